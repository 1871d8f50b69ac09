"""Data sets on disk (films and findings), and their splits."""
