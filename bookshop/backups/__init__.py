"""Backups: the whole shop in one file, restored, moved to another database, and upgraded."""
