"""Opening a new shop: its first owner, and the checks before customers come."""
