"""Measurements of the shop on PostgreSQL with normal durability: `make bench`.

Each compares the shop with the same SQL sent by hand, in one interleaved run, so that the ratio means something on any
machine.
"""
