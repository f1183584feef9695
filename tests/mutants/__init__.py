"""Measure what the tests detect: plant known faults, one at a time, and run the tests that should fail.

`python -m tests.mutants` (`make mutants`). The faults are in the TOML files of this folder, one file per area.
"""
