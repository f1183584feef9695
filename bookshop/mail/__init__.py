"""E-mail: the outbox, the worker that empties it, and what the messages say."""
