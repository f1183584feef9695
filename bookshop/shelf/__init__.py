"""The shelf: stock changes with their restock alerts, and withdrawing books."""
