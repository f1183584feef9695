"""The outbox: messages that the shop has decided to send, and what becomes of them; knows no other feature."""
