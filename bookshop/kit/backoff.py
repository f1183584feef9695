"""The backoff between attempts to send an e-mail or to call a webhook."""

from random import SystemRandom

FIRST_WAIT, LONGEST_WAIT = 60, 4 * 3600  # seconds between attempts; each wait is twice the one before
MAX_ATTEMPTS = 26  # whose waits add up to 3 days
GIVE_UP_AFTER = 3 * 24 * 3600  # seconds
GIVEN_UP = "Given up after 3 days."
JITTER = 0.25  # of a wait, so that attempts that failed together are not retried together

rng = SystemRandom()


def delay_after(attempts: int) -> float:
    """Return the seconds to wait after a failed attempt, without jitter; `attempts` counts those before it."""
    return float(min(FIRST_WAIT * 2 ** min(attempts, 20), LONGEST_WAIT))


def jittered_delay_after(attempts: int) -> float:
    """Return the seconds to wait after a failed attempt, with jitter; `attempts` counts those before it."""
    return rng.uniform(1 - JITTER, 1 + JITTER) * delay_after(attempts)
