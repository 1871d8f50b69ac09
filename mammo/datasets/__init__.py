"""What lies on disk: films, findings, splits."""
