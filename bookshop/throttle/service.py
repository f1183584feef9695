"""Count attempts; each failure makes the next one wait longer."""

import hashlib
import hmac
from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from sqlalchemy.orm import Session

from bookshop.kit.exceptions import TooManyAttempts
from bookshop.throttle.repository import AttemptRepository

COUNT_PERIOD = 24 * 3600  # seconds from the first attempt for which a count is stored
CLEANUP_BATCH = 100  # expired counters that each call deletes


class AttemptLimit(NamedTuple):
    """`free_attempts` without a wait; then each wait is twice the last, from 1 to `longest_wait` seconds."""

    key: str
    free_attempts: int
    longest_wait: int

    def wait(self, count: int) -> int:
        """Return the seconds to wait after `count` attempts."""
        return min(2 ** min(count - self.free_attempts, 20), self.longest_wait) if count >= self.free_attempts else 0


class ThrottleService:
    """Counts attempts against one or more limits; never commits.

    Keys are stored as hashes keyed with `secret`, so that the table contains no addresses.
    """

    def __init__(self, session: Session, secret: str) -> None:
        self.attempts = AttemptRepository(session)
        self.secret = secret.encode()

    def claim(self, limits: Sequence[AttemptLimit]) -> None:
        """Count an attempt before it is made; raises TooManyAttempts if a limit requires a wait.

        Counting first keeps simultaneous attempts within the limit. Locks the limits until the transaction ends. Roll
        back after TooManyAttempts, so that refused attempts are not counted.
        """
        for key, limit in sorted((self._hashed(limit.key), limit) for limit in limits):
            count = self.attempts.claim(key, limit.longest_wait, COUNT_PERIOD)
            if count is None:
                raise TooManyAttempts(max(1, ceil(self.attempts.wait(key))))
            if wait := limit.wait(count):
                self.attempts.delay(key, wait)
        self.attempts.delete_expired(CLEANUP_BATCH)

    def uncount(self, limits: Sequence[AttemptLimit]) -> None:
        """Uncount an attempt that did not fail. Locks the limits in the same order as `claim`."""
        for key in sorted(self._hashed(limit.key) for limit in limits):
            self.attempts.uncount(key)

    def count(self, key: str, seconds: int, amount: int = 1) -> int:
        """Add to a fixed window of `seconds`; returns the total in it."""
        counted = self.attempts.count(self._hashed(key), seconds, amount)
        self.attempts.delete_expired(CLEANUP_BATCH)
        return counted

    def window_count(self, key: str) -> tuple[int, float]:
        """Return the count in the window and the seconds until it ends."""
        return self.attempts.window_count(self._hashed(key))

    def clear(self, *keys: str) -> None:
        """Delete the counters of these keys, or all of them."""
        self.attempts.clear(*map(self._hashed, keys))

    def _hashed(self, key: str) -> str:
        return hmac.new(self.secret, key.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
