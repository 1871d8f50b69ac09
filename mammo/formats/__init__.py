"""Formats of films on disk: DICOM and pictures. `mammo.datasets.film` chooses between them."""
