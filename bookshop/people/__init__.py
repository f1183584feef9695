"""What concerns a whole person, in every feature: deactivating, deleting and exporting an account."""
