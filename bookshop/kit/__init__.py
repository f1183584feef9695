"""Shared foundations: independent of every feature and of Flask."""
