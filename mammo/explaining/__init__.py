"""Show where a run looked on a film, and score such maps against the lesions."""
