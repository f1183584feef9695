"""Restock alerts: the one message to each customer whose reserved book came back."""
