"""Sending the outbox: the final check of each message, its content, the mail server and the worker."""
