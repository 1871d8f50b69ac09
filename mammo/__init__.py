"""Train, judge and use classifiers of mammograms. The import loads nothing heavy."""

__version__ = "0.2.0.dev0"
