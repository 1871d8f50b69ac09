"""Apply a trained run to a new film."""
