"""Films and findings as they lie on disk, and splits of them."""
