"""Counts attempts to guess a password or a code, whatever becomes of the request itself."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from bookshop.kit import transactions
from bookshop.kit.exceptions import BookshopError, WrongPassword
from bookshop.throttle.service import AttemptLimit
from bookshop.web import services

T = TypeVar("T")


def with_counted_attempt(limits: Sequence[AttemptLimit], form_key: str, work: Callable[[], T]) -> T:
    """Count an attempt, then run work that checks a password; uncount it unless the password was wrong.

    It also stays counted after an unexpected error. A repeated form, with the same `form_key` (unless ''), is the same
    attempt. Raises TooManyAttempts before any work.
    """

    def count() -> bool:
        is_first = not form_key or services.sent_forms(session).claim_attempt(form_key)
        if is_first:
            services.throttle(session).claim(limits)
        return is_first

    with services.separate_session() as session:
        counted = transactions.in_transaction(session, count)
    try:
        result = work()
    except WrongPassword:
        raise
    except BookshopError:
        _uncount(counted, limits)
        raise
    _uncount(counted, limits)
    return result


def _uncount(counted: bool, limits: Sequence[AttemptLimit]) -> None:
    if counted:
        services.try_write("an attempt stays counted", lambda session: services.throttle(session).uncount(limits))
