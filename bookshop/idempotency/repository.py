"""SQL about answers that were given under a key."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from bookshop.database import LOCK_NOT_AVAILABLE, Base, is_sqlite, now
from bookshop.exceptions import Conflict
from bookshop.idempotency.models import GivenAnswer

answers = Base.metadata.tables[GivenAnswer.__tablename__]


class GivenAnswerRepository:
    """Claims keys, and keeps and finds answers; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def claim(self, user_id: int, key: str, fingerprint: str) -> bool:
        """Claim the key until the transaction ends; False if an answer was given under it.

        The unique key makes a second request wait here until the first is committed (then the answer is there) or
        rolled back (then the key is free again). Raises Conflict if that takes as long as one waits for a lock.
        """
        insert = sqlite.insert(answers) if is_sqlite(self.session) else postgresql.insert(answers)
        values = {"user_id": user_id, "key": key, "fingerprint": fingerprint, "created_at": now()}
        claimed = insert.values(values).on_conflict_do_nothing().returning(answers.c.key)
        try:
            return self.session.connection().execute(claimed).first() is not None
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                raise
            raise Conflict(
                "A request with this Idempotency-Key is being worked on. Ask again in a moment.",
                "IDEMPOTENCY_IN_FLIGHT",
            ) from None

    def get(self, user_id: int, key: str) -> Row[*tuple[Any, ...]]:
        """The answer that was given under a key that could not be claimed."""
        return self.session.connection().execute(select(answers).where(*_is(user_id, key))).one()

    def keep(self, user_id: int, key: str, status: int, body: str, location: str | None) -> None:
        """Write the answer under the key that was claimed."""
        kept = update(answers).where(*_is(user_id, key)).values(status=status, body=body, location=location)
        self.session.connection().execute(kept)

    def forget(self, user_id: int, before: datetime | None = None) -> None:
        """Forget the user's answers, or those that are older."""
        own = delete(answers).where(answers.c.user_id == user_id)
        self.session.connection().execute(own.where(answers.c.created_at < before) if before else own)


def _is(user_id: int, key: str) -> tuple[Any, Any]:
    return answers.c.user_id == user_id, answers.c.key == key
