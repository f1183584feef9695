"""Retention: delete what is older than the settings allow, in small batches beside a busy shop."""
