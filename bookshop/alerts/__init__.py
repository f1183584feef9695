"""Restock alerts: one message to each customer whose reserved book is back in stock."""
