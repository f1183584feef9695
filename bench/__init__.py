"""Benchmarks of the shop on PostgreSQL with normal durability: `make bench`.

Most compare the shop with hand-written SQL or a bare Flask view, alternating in one run, so that the ratio is
meaningful on any machine.
"""
