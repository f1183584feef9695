"""Imports of books: checking a file, showing what it would change, and changing it, in batches."""
