"""From a film to the crops that a network sees."""
