"""The audit log: what staff and commands changed, written in the same transaction. Independent of other features."""
