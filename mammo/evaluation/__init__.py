"""Turn tables of predictions into numbers. Nothing in here knows a model or a trainer."""
