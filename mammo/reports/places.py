"""The part of a report on places of films, if the run has one: marks of a detector, or regions."""

from mammo.reports import detection, segmentation
from mammo.run_folder import RunFolder


def write(run: RunFolder) -> detection.Marks:
    """Judge the marks or regions of a run, and return its part of the report."""
    if run.detects:
        return detection.write(run)
    return segmentation.write(run) if run.segmented else detection.NONE
