"""SQL about answers that were given under a key, and forms of pages that were sent."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, delete, select, tuple_, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from bookshop.idempotency.models import IdempotencyRecord, SentForm
from bookshop.kit.database import dialect_of, insert_into, later, now, table_of
from bookshop.kit.exceptions import Conflict
from bookshop.kit.transactions import LOCK_NOT_AVAILABLE

answers, forms = table_of(IdempotencyRecord), table_of(SentForm)
SENT = select(forms.c.answer, forms.c.created_at, later(0)).where(forms.c.key == bindparam("key"))


class IdempotencyRepository:
    """Claims keys, and keeps and finds answers; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def claim(self, user_id: int, key: str, fingerprint: str, expired: datetime) -> bool:
        """Claim the key until the transaction ends; False if an answer was given under it that is not `expired`.

        The unique key makes a second request wait here until the first is committed (then the answer is there) or
        rolled back (then the key is free again). Raises Conflict if that takes as long as one waits for a lock.
        """
        insert = insert_into(dialect_of(self.session), answers)
        values = {"fingerprint": fingerprint, "created_at": now(), "status": None, "body": None, "location": None}
        claimed = insert.values(user_id=user_id, key=key, **values).on_conflict_do_update(
            index_elements=["user_id", "key"], set_=values, where=answers.c.created_at < expired
        )
        try:
            return self.session.connection().execute(claimed.returning(answers.c.key)).first() is not None
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
            raise in_flight() from None

    def get(self, user_id: int, key: str) -> Row[*tuple[Any, ...]] | None:
        """The answer that was given under a key that could not be claimed; None if it is forgotten by now."""
        return self.session.connection().execute(select(answers).where(*_is(user_id, key))).first()

    def keep(self, user_id: int, key: str, status: int, body: str, location: str | None) -> None:
        """Write the answer under the key that was claimed."""
        kept = update(answers).where(*_is(user_id, key)).values(status=status, body=body, location=location)
        self.session.connection().execute(kept)

    def forget_expired(self, expired: datetime, number: int) -> None:
        """Forget that many of all users' expired answers; those that others are about to forget are left to them."""
        old = select(answers.c.user_id, answers.c.key).where(answers.c.created_at < expired)
        old = old.order_by(answers.c.created_at).limit(number).with_for_update(skip_locked=True)
        self.session.connection().execute(delete(answers).where(tuple_(answers.c.user_id, answers.c.key).in_(old)))

    def forget(self, user_id: int) -> None:
        """Forget the user's answers."""
        self.session.connection().execute(delete(answers).where(answers.c.user_id == user_id))


class SentFormRepository:
    """Claims forms, and keeps and finds how they were answered; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def claim(self, key: str, user_id: int | None, answer: str | None = None) -> bool:
        """Claim the form until the transaction ends; False if it has had its effect.

        The unique key makes a second request wait here until the first is committed or rolled back.
        """
        insert = insert_into(dialect_of(self.session), forms)
        claimed = insert.values(key=key, user_id=user_id, answer=answer).on_conflict_do_nothing()
        return self.session.connection().execute(claimed.returning(forms.c.key)).first() is not None

    def get(self, key: str) -> Row[str | None, datetime, datetime] | None:
        """How a form was answered, when it was sent, and the time now; None if it was not, or that is forgotten."""
        return self.session.connection().execute(SENT, {"key": key}).first()

    def keep(self, key: str, answer: str) -> None:
        """Write how a form was answered."""
        self.session.connection().execute(update(forms).where(forms.c.key == key).values(answer=answer))

    def forget_answers(self, seconds: float) -> None:
        """Forget how forms were answered that were sent so long ago."""
        old = update(forms).where(forms.c.created_at < later(-seconds), forms.c.answer.is_not(None))
        self.session.connection().execute(old.values(answer=None))

    def forget_expired(self, seconds: float, number: int) -> None:
        """Forget that many forms that were sent so long ago; those that others are about to forget are left to them."""
        old = select(forms.c.key).where(forms.c.created_at < later(-seconds)).order_by(forms.c.created_at).limit(number)
        self.session.connection().execute(delete(forms).where(forms.c.key.in_(old.with_for_update(skip_locked=True))))

    def forget_person(self, user_id: int, email: str) -> None:
        """Forget how the user's forms were answered, and all answers that name the user's address."""
        theirs = (forms.c.user_id == user_id) | forms.c.answer.contains(email, autoescape=True)
        self.session.connection().execute(update(forms).where(theirs).values(answer=None))


def in_flight() -> Conflict:
    """What is said to who asks again while the first request is being worked on."""
    return Conflict(
        "A request with this Idempotency-Key is being worked on. Ask again in a moment.", "IDEMPOTENCY_IN_FLIGHT"
    )


def _is(user_id: int, key: str) -> tuple[Any, Any]:
    return answers.c.user_id == user_id, answers.c.key == key
