"""The outbox: messages waiting to be sent and the result of each. Independent of every other feature."""
