"""SQL for new shops."""

from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from bookshop.accounts.models import OWNER, User
from bookshop.kit.database import dialect_of, insert_into, is_sqlite, later, table_of
from bookshop.opening.models import PassedCheck

OPENING_LOCK = 20_123  # the number of the advisory lock for the first owner; used by no other lock
passed = table_of(PassedCheck)


class OpeningRepository:
    """Asks whether a shop is new, and records the checks that have passed; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def lock(self) -> None:
        """Lock the first owner until the transaction ends; on SQLite, every writing transaction is alone."""
        if not is_sqlite(self.session):
            self.session.execute(select(func.pg_advisory_xact_lock(OPENING_LOCK)))

    def has_users(self) -> bool:
        """Whether the shop has any account."""
        return self.session.connection().scalar(select(User.id).limit(1)) is not None

    def has_owner(self) -> bool:
        """Whether the shop has an owner, even one who is deactivated."""
        return self.session.connection().scalar(select(User.id).where(User.role == OWNER).limit(1)) is not None

    def record_passed(self, name: str, fingerprint: str) -> None:
        """Record that a check has passed now, for the settings with this fingerprint."""
        values = {"fingerprint": fingerprint, "passed_at": later(0)}
        insert = insert_into(dialect_of(self.session), passed).values(name=name, **values)
        self.session.connection().execute(insert.on_conflict_do_update(index_elements=["name"], set_=values))

    def passed_at(self, name: str, fingerprint: str) -> datetime | None:
        """Return when a check last passed for the settings with this fingerprint; None if it never did."""
        found = select(passed.c.passed_at).where(passed.c.name == name, passed.c.fingerprint == fingerprint)
        return self.session.connection().scalar(found)
