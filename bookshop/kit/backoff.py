"""How long what could not be sent waits before it is tried again: e-mail and webhooks alike."""

from random import SystemRandom

FIRST_WAIT, LONGEST_WAIT = 60, 4 * 3600  # seconds between attempts: each wait doubles the one before
MOST_ATTEMPTS = 26  # the waits between so many come to 3 days
PATIENCE = 3 * 24 * 3600  # seconds
GIVEN_UP = "Given up after 3 days."
JITTER = 0.25  # of a wait, so that what failed together does not come back together

chance = SystemRandom()


def wait_after(attempts: int) -> float:
    """How many seconds something waits that was tried so often before, without the jitter."""
    return float(min(FIRST_WAIT * 2 ** min(attempts, 20), LONGEST_WAIT))


def spread_wait_after(attempts: int) -> float:
    """How many seconds it waits, with the jitter."""
    return chance.uniform(1 - JITTER, 1 + JITTER) * wait_after(attempts)
