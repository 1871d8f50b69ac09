"""A service on one model: a page and an API. The extra `serve` has what it needs."""
