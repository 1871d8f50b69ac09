"""The public archives of mammograms: each file reads one as it lies on disk, and says what its labels are worth."""
