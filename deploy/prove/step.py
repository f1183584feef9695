"""The steps of the proof: each is printed with the time that it took, and named if it fails."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

STARTED = time.monotonic()


class StepFailed(Exception):
    """A step failed; the message names it and says why."""


def seconds() -> float:
    """Return how long the proof has been running."""
    return time.monotonic() - STARTED


@contextmanager
def step(name: str) -> Iterator[None]:
    """Raise StepFailed if what follows fails."""
    started = time.monotonic()
    try:
        yield
    except Exception as error:
        raise StepFailed(f"'{name}': {type(error).__name__}: {error}") from error
    print(f"{seconds():6.1f} s  {name} ({time.monotonic() - started:.1f} s)", flush=True)
