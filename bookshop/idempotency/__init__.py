"""Idempotency: a repeated request has no second effect and gets the stored response."""
