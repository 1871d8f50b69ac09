"""Audits of anybody's films, splits and published claims."""
