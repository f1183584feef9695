"""One effect and one answer for each key, however often a request is sent."""

from collections.abc import Callable
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy.orm import Session

from bookshop.database import now
from bookshop.exceptions import Invalid
from bookshop.idempotency.repository import GivenAnswerRepository, in_flight

KEPT_FOR = timedelta(hours=24)
AT_ONCE = 100  # expired answers that a request forgets beside its own work


class Answer(NamedTuple):
    """What a request is answered: plain text, which can be kept and sent again."""

    body: str
    status: int = 200
    location: str | None = None


class IdempotencyService:
    """Keeps answers beside what they report, in the caller's transaction; never commits."""

    def __init__(self, session: Session) -> None:
        self.answers = GivenAnswerRepository(session)

    def once(self, user_id: int, key: str, fingerprint: str, work: Callable[[], Answer]) -> Answer:
        """Do the work and return its answer or, if the user had it done under this key before, the answer of then.

        Claims the key first, before any other lock: a second request waits for the first, and gets its answer. What
        was refused is rolled back, its key too, so that it can be mended and sent again. Answers are kept for a day.
        Raises Invalid if `fingerprint` is another than before, Conflict if the first request takes too long.
        """
        expired = now() - KEPT_FOR
        if self.answers.claim(user_id, key, fingerprint, expired):
            answer = work()
            self.answers.keep(user_id, key, answer.status, answer.body, answer.location)
            self.answers.forget_expired(expired, AT_ONCE)
            return answer
        given = self.answers.get(user_id, key)
        if given is None:
            raise in_flight()
        if given.fingerprint != fingerprint:
            raise Invalid(
                "This Idempotency-Key was used for another request. Use a new key for each.",
                code="IDEMPOTENCY_MISMATCH",
            )
        return Answer(given.body, given.status, given.location)
