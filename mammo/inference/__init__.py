"""From a run to an answer for a new film."""
