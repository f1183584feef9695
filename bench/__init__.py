"""Measurements; see the README of this folder."""
