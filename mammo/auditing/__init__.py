"""The audit of anybody's films, splits and claims."""
