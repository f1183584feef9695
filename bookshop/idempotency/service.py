"""One effect and one answer for each key, however often a request is sent."""

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from bookshop.idempotency.repository import IdempotencyRepository, SentFormRepository, in_flight
from bookshop.kit.database import now
from bookshop.kit.exceptions import BookshopError, Invalid

KEPT_FOR = timedelta(hours=24)
ANSWER_KEPT_FOR = 600  # seconds
AT_ONCE = 100  # expired answers that a request forgets beside its own work


class Answer(NamedTuple):
    """What a request is answered: plain text, which can be kept and sent again."""

    body: str
    status: int = 200
    location: str | None = None


class AlreadySent(BookshopError):
    """The form was sent before, and has had its effect."""

    def __init__(self) -> None:
        super().__init__("This was done already.")


class FormAnswer(NamedTuple):
    """How a form was answered: by a `page` with its status or, if it is empty, by the way to another, at `location`.

    There the `notices` (category and message) were shown. `cookies` are the Set-Cookie headers besides the session's.
    """

    location: str
    notices: Sequence[Sequence[Any]] = ()
    page: str = ""
    status: int = 200
    cookies: Sequence[str] = ()


class FormSent(NamedTuple):
    """How a form was answered, if that is known, and how many seconds ago it was sent."""

    answer: FormAnswer | None
    age: float


class SentFormService:
    """Lets a form of a page have one effect and keeps its answer; never commits."""

    def __init__(self, session: Session) -> None:
        self.forms = SentFormRepository(session)

    def claim(self, key: str, user_id: int | None) -> None:
        """Claim a form before any other lock, in the transaction of its effect; raises SentBefore if it has had that.

        A second request waits here for the first.
        """
        if not self.forms.claim(key, user_id):
            raise AlreadySent

    def keep(self, key: str, answer: FormAnswer) -> None:
        """Keep how a form was answered, for some minutes, and that it was sent, for a day."""
        self.forms.keep(key, json.dumps(answer, ensure_ascii=False))
        self.forms.forget_answers(ANSWER_KEPT_FOR)
        self.forms.forget_expired(KEPT_FOR.total_seconds(), AT_ONCE)

    def claim_attempt(self, key: str) -> bool:
        """Claim a form as an attempt, which it is once; False if it was one before."""
        return self.forms.claim(hashlib.sha256(f"attempt {key}".encode()).hexdigest(), None)

    def was_sent(self, key: str) -> bool:
        """Whether the form has had its effect."""
        return self.forms.get(key) is not None

    def get(self, key: str) -> FormSent:
        """How a form that was sent was answered, and when that was."""
        row = self.forms.get(key)
        if row is None:  # forgotten this moment
            return FormSent(None, KEPT_FOR.total_seconds())
        answer, sent_at, now = row
        return FormSent(FormAnswer(*json.loads(answer)) if answer else None, (now - sent_at).total_seconds())


class IdempotencyService:
    """Keeps answers beside what they report, in the caller's transaction; never commits."""

    def __init__(self, session: Session) -> None:
        self.answers = IdempotencyRepository(session)

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
