"""Deactivate, delete and export accounts, across all features."""
