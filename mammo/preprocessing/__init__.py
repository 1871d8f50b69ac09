"""From a film to the crops that a network sees."""

# Raise it if `cutting`, `squares`, `breast`, `appearance` or `region` changes a pixel or a number, so that nothing old
# is used. A change in `mammo.formats` or `mammo.datasets.film` raises READING_VERSION, which names the store too.
CUTTING_VERSION = 4
