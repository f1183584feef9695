"""One effect however often a request is sent: the answers that were given under a key."""
