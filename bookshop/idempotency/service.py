"""One effect and one response for each idempotency key and each form."""

import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from bookshop.idempotency.repository import IdempotencyRepository, SentFormRepository, in_flight
from bookshop.kit.database import now
from bookshop.kit.exceptions import BookshopError, Invalid

RESPONSE_RETENTION = 600  # seconds, for the response to a form
CLEANUP_BATCH = 100  # expired rows that each request deletes


class StoredResponse(NamedTuple):
    """A response as text, which can be stored and sent again."""

    body: str
    status: int = 200
    location: str | None = None


class AlreadySent(BookshopError):
    """The form was sent before and has already taken effect."""

    def __init__(self) -> None:
        super().__init__("This has already been done.")


class FormResponse(NamedTuple):
    """The response to a form: a `page` with its status or, if `page` is empty, a redirect to `location`.

    `notices` are the flashed messages (category, message). `cookies` are Set-Cookie headers except the session's.
    """

    location: str
    notices: Sequence[Sequence[Any]] = ()
    page: str = ""
    status: int = 200
    cookies: Sequence[str] = ()


class SentFormResponse(NamedTuple):
    """The response to a form, if known, and how many seconds ago the form was sent."""

    response: FormResponse | None
    age: float


class SentFormService:
    """Lets a form take effect once and stores its response; never commits."""

    def __init__(self, session: Session, days: int) -> None:
        self.forms = SentFormRepository(session)
        self.retention = timedelta(days=days)

    def claim(self, key: str, user_id: int | None) -> None:
        """Claim a form in the transaction of its effect, before any other lock; raises AlreadySent.

        A second request waits here for the first.
        """
        if not self.forms.claim(key, user_id):
            raise AlreadySent

    def store(self, key: str, response: FormResponse) -> None:
        """Store the response to a form for ten minutes. The form itself stays claimed for the service's days."""
        self.forms.store(key, json.dumps(response, ensure_ascii=False))
        self.forms.erase_old_responses(RESPONSE_RETENTION)
        self.forms.delete_expired(self.retention.total_seconds(), CLEANUP_BATCH)

    def keep(self, key: str, user_id: int | None, text: str) -> None:
        """Keep a page or what was typed into a form for ten minutes, under a key that nobody can guess."""
        self.forms.claim(key, user_id, text)
        self.forms.erase_old_responses(RESPONSE_RETENTION)

    def kept(self, key: str) -> str | None:
        """Return the text that was kept under this key in the last ten minutes."""
        row = self.forms.get(key)
        return row[0] if row and (row[2] - row[1]).total_seconds() <= RESPONSE_RETENTION else None

    def claim_attempt(self, key: str) -> bool:
        """Claim a form as a counted attempt; False if it has been counted before."""
        return self.forms.claim(hashlib.sha256(f"attempt {key}".encode()).hexdigest(), None)

    def was_sent(self, key: str) -> bool:
        """Whether the form has already taken effect."""
        return self.forms.get(key) is not None

    def get(self, key: str) -> SentFormResponse:
        """Return the response to a form that was sent, and its age."""
        row = self.forms.get(key)
        if row is None:  # deleted in the meantime
            return SentFormResponse(None, self.retention.total_seconds())
        stored, sent_at, read_at = row
        age = (read_at - sent_at).total_seconds()
        return SentFormResponse(FormResponse(*json.loads(stored)) if stored else None, age)


class IdempotencyService:
    """Stores responses in the caller's transaction, together with their effect, for some days; never commits."""

    def __init__(self, session: Session, days: int) -> None:
        self.records = IdempotencyRepository(session)
        self.retention = timedelta(days=days)

    def run_once(self, user_id: int, key: str, fingerprint: str, work: Callable[[], StoredResponse]) -> StoredResponse:
        """Run `work` and return its response, or the stored one if the user has used this key before.

        Claims the key before any other lock, so a second request waits for the first and gets its response. An error
        rolls back the key as well, so the request can be corrected and resent. Raises Invalid if the fingerprint
        differs from the first request's, Conflict if that request takes too long.
        """
        expired = now() - self.retention
        if self.records.claim(user_id, key, fingerprint, expired):
            response = work()
            self.records.store(user_id, key, response.status, response.body, response.location)
            self.records.delete_expired(expired, CLEANUP_BATCH)
            return response
        stored = self.records.get(user_id, key)
        if stored is None:
            raise in_flight()
        if stored.fingerprint != fingerprint:
            raise Invalid(
                "This Idempotency-Key was used for a different request. Use a new key for each request.",
                code="IDEMPOTENCY_MISMATCH",
            )
        return StoredResponse(stored.body, stored.status, stored.location)
