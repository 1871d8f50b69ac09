"""Formats of films on disk: DICOM and pictures. `mammo.datasets.film` chooses between them."""

READING_VERSION = (
    5  # raise it if a change of this package or of `mammo.datasets.film` changes a pixel or fact of a film
)
