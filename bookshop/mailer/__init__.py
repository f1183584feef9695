"""Sending what is in the outbox: a second look at each message, its words, the mail server, the worker."""
