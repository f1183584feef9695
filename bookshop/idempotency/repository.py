"""Queries for stored responses and submitted forms."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, func, select, tuple_, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from bookshop.idempotency.models import IdempotencyRecord, SentForm
from bookshop.kit.database import dialect_of, insert_into, is_sqlite, later, now, table_of
from bookshop.kit.exceptions import Conflict
from bookshop.kit.transactions import LOCK_NOT_AVAILABLE

DELETION_LOCK = 1_816  # an arbitrary first key for the advisory locks of deletions; the second is the user's id

records, forms = table_of(IdempotencyRecord), table_of(SentForm)
SENT = select(forms.c.answer, forms.c.created_at, later(0)).where(forms.c.key == bindparam("key"))


class IdempotencyRepository:
    """Claims keys; stores and reads responses; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def claim(self, user_id: int, key: str, fingerprint: str, expired: datetime) -> bool:
        """Claim the key until the transaction ends; False if it has a response newer than `expired`.

        The unique constraint makes a second request wait here until the first commits (then its response is stored) or
        rolls back (then the key is free again). Raises Conflict after the lock timeout.
        """
        insert = insert_into(dialect_of(self.session), records)
        values = {"fingerprint": fingerprint, "created_at": now(), "status": None, "body": None, "location": None}
        claimed = insert.values(user_id=user_id, key=key, **values).on_conflict_do_update(
            index_elements=["user_id", "key"], set_=values, where=records.c.created_at < expired
        )
        try:
            return self.session.connection().execute(claimed.returning(records.c.key)).first() is not None
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
            raise in_flight() from None

    def get(self, user_id: int, key: str) -> Row[*tuple[Any, ...]] | None:
        """Return the stored response of a key that could not be claimed; None if it has since been deleted."""
        return self.session.connection().execute(select(records).where(*_is(user_id, key))).first()

    def store(self, user_id: int, key: str, status: int, body: str, location: str | None) -> None:
        """Store the response under a claimed key."""
        statement = update(records).where(*_is(user_id, key)).values(status=status, body=body, location=location)
        self.session.connection().execute(statement)

    def delete_expired(self, expired: datetime, number: int) -> None:
        """Delete up to `number` expired responses of all users, skipping locked rows."""
        old = select(records.c.user_id, records.c.key).where(records.c.created_at < expired)
        old = old.order_by(records.c.created_at).limit(number).with_for_update(skip_locked=True)
        self.session.connection().execute(delete(records).where(tuple_(records.c.user_id, records.c.key).in_(old)))

    def delete_by_user(self, user_id: int) -> None:
        """Delete the user's stored responses.

        One transaction at a time does so for a user. Two deletions of one account, each of which deletes twice, would
        otherwise deadlock over a response that was stored in between.
        """
        if not is_sqlite(self.session):
            self.session.execute(select(func.pg_advisory_xact_lock(DELETION_LOCK, user_id)))
        self.session.connection().execute(delete(records).where(records.c.user_id == user_id))


class SentFormRepository:
    """Claims forms; stores and reads their responses; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def claim(self, key: str, user_id: int | None, answer: str | None = None) -> bool:
        """Claim the form until the transaction ends; False if it has already taken effect.

        The unique constraint makes a second request wait here until the first commits or rolls back.
        """
        insert = insert_into(dialect_of(self.session), forms)
        claimed = insert.values(key=key, user_id=user_id, answer=answer).on_conflict_do_nothing()
        return self.session.connection().execute(claimed.returning(forms.c.key)).first() is not None

    def get(self, key: str) -> Row[str | None, datetime, datetime] | None:
        """Return a form's response, the time it was sent and the time now; None if it is not stored."""
        return self.session.connection().execute(SENT, {"key": key}).first()

    def store(self, key: str, answer: str) -> None:
        """Store the response to a form."""
        self.session.connection().execute(update(forms).where(forms.c.key == key).values(answer=answer))

    def erase_old_responses(self, seconds: float) -> None:
        """Erase the responses of forms that were sent more than `seconds` ago."""
        old = update(forms).where(forms.c.created_at < later(-seconds), forms.c.answer.is_not(None))
        self.session.connection().execute(old.values(answer=None))

    def delete_expired(self, seconds: float, number: int) -> None:
        """Delete up to `number` forms that were sent more than `seconds` ago, skipping locked rows."""
        old = select(forms.c.key).where(forms.c.created_at < later(-seconds)).order_by(forms.c.created_at).limit(number)
        self.session.connection().execute(delete(forms).where(forms.c.key.in_(old.with_for_update(skip_locked=True))))

    def erase_responses(self) -> None:
        """Erase all stored responses: any of them, such as a page for staff, may show the data of a person."""
        self.session.connection().execute(update(forms).where(forms.c.answer.is_not(None)).values(answer=None))


def in_flight() -> Conflict:
    """Return the error for a repeated request while the first is still being processed."""
    return Conflict(
        "A request with this Idempotency-Key is still being processed. Try again in a moment.", "IDEMPOTENCY_IN_FLIGHT"
    )


def _is(user_id: int, key: str) -> tuple[Any, Any]:
    return records.c.user_id == user_id, records.c.key == key
