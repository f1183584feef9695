"""Attempts that may fail are counted, and each that does makes the next wait longer."""

import hashlib
import hmac
from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

from sqlalchemy.orm import Session

from bookshop.kit.exceptions import TooManyAttempts
from bookshop.throttle.repository import AttemptRepository

COUNTED_FOR = 24 * 3600  # seconds after the first attempt in which the others add to it
AT_ONCE = 100  # counts that are over and forgotten beside an attempt


class AttemptLimit(NamedTuple):
    """How many attempts are free; after those each wait is twice the last, from a second up to `longest_wait`."""

    key: str
    free_attempts: int
    longest_wait: int

    def wait(self, count: int) -> int:
        """The seconds to wait after that many attempts."""
        return min(2 ** min(count - self.free_attempts, 20), self.longest_wait) if count >= self.free_attempts else 0


class ThrottleService:
    """Counts attempts, each in one or more limits; never commits.

    `secret` keys the hashes that stand for addresses, so that the table names nobody.
    """

    def __init__(self, session: Session, secret: str) -> None:
        self.attempts = AttemptRepository(session)
        self.secret = secret.encode()

    def claim(self, limits: Sequence[AttemptLimit]) -> None:
        """Count an attempt before it is made; raises TooManyAttempts if one of the limits must wait.

        Counted before and not after, so that of a hundred at the same moment no more are made than are free. Locks the
        limits until the transaction ends. What is refused must be rolled back: it makes nobody wait longer.
        """
        for key, limit in sorted((self._hashed(limit.key), limit) for limit in limits):
            count = self.attempts.claim(key, limit.longest_wait, COUNTED_FOR)
            if count is None:
                raise TooManyAttempts(max(1, ceil(self.attempts.wait(key))))
            if wait := limit.wait(count):
                self.attempts.delay(key, wait)
        self.attempts.forget_old(AT_ONCE)

    def forgive(self, limits: Sequence[AttemptLimit]) -> None:
        """Take back an attempt that succeeded. Locks the limits in the order in which `claim` does."""
        for key in sorted(self._hashed(limit.key) for limit in limits):
            self.attempts.forgive(key)

    def count(self, key: str, seconds: int, amount: int = 1) -> int:
        """Count something in a window of so many seconds; returns how many there are in it."""
        counted = self.attempts.count(self._hashed(key), seconds, amount)
        self.attempts.forget_old(AT_ONCE)
        return counted

    def in_window(self, key: str) -> tuple[int, float]:
        """How many were counted in the window, and in how many seconds it ends."""
        return self.attempts.in_window(self._hashed(key))

    def forget(self, *keys: str) -> None:
        """Forget what was counted under these keys, or everything."""
        self.attempts.forget(*map(self._hashed, keys))

    def _hashed(self, key: str) -> str:
        return hmac.new(self.secret, key.encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()
