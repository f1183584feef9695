"""Queries for attempts, by the database's clock. Setting it back makes no wait longer than the longest wait."""

from typing import Any

from sqlalchemy import case, delete, select, update
from sqlalchemy.orm import Session

from bookshop.kit.database import dialect_of, insert_into, later, table_of
from bookshop.throttle.models import Attempts

attempts = table_of(Attempts)
NOW = later(0)
# A statement's time is when it began. After waiting for a row lock it may read times later than its own.
SLACK = 60
AT_ONCE = later(-SLACK)  # early enough for such a statement


class AttemptRepository:
    """Counts attempts and returns the wait until the next; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.dialect = dialect_of(session)

    def claim(self, key: str, longest_wait: float, period: float) -> int | None:
        """Count an attempt and return the number within `period` seconds of the first; None if it is too early.

        Locks the row until the transaction ends, so that simultaneous attempts are all counted. No wait is longer than
        `longest_wait` seconds.
        """
        values = {"key": key, "count": 1, "until": AT_ONCE, "forget_at": later(period)}
        expired = (attempts.c.forget_at <= NOW) | (attempts.c.forget_at > later(period + SLACK))
        counted = insert_into(self.dialect, attempts).values(values)
        counted = counted.on_conflict_do_update(
            index_elements=["key"],
            set_={
                "count": case((expired, 1), else_=attempts.c.count + 1),
                "until": AT_ONCE,
                "forget_at": case((expired, later(period)), else_=attempts.c.forget_at),
            },
            where=(attempts.c.until <= NOW) | (attempts.c.until > later(longest_wait + SLACK)) | expired,
        )
        count: int | None = self._execute(counted.returning(attempts.c.count)).scalar()
        return count

    def delay(self, key: str, seconds: float) -> None:
        """Allow the next attempt in this many seconds."""
        self._execute(update(attempts).where(attempts.c.key == key).values(until=later(seconds)))

    def wait(self, key: str) -> float:
        """Return the seconds until the next attempt is allowed."""
        row = self._execute(select(attempts.c.until, NOW).where(attempts.c.key == key)).first()
        return (row[0] - row[1]).total_seconds() if row else 0.0

    def uncount(self, key: str) -> None:
        """Uncount one attempt, but keep the wait, which other attempts may have caused."""
        statement = update(attempts).where(attempts.c.key == key, attempts.c.count > 0)
        self._execute(statement.values(count=attempts.c.count - 1))

    def count(self, key: str, seconds: int, amount: int) -> int:
        """Add to a fixed window of `seconds` that starts with the first count; returns the total in it."""
        ended = (attempts.c.until <= NOW) | (attempts.c.until > later(seconds + SLACK))
        end = case((ended, later(seconds)), else_=attempts.c.until)
        values = {"key": key, "count": amount, "until": later(seconds), "forget_at": later(seconds)}
        counted = insert_into(self.dialect, attempts).values(values)
        counted = counted.on_conflict_do_update(
            index_elements=["key"],
            set_={
                "count": case((ended, amount), else_=attempts.c.count + amount),
                "until": end,
                "forget_at": end,
            },
        )
        return int(self._execute(counted.returning(attempts.c.count)).scalar_one())

    def window_count(self, key: str) -> tuple[int, float]:
        """Return the count in the window and the seconds until it ends; zeros if it has ended."""
        row = self._execute(
            select(attempts.c.count, attempts.c.until, NOW).where(attempts.c.key == key, attempts.c.until > NOW)
        ).first()
        return (row[0], (row[1] - row[2]).total_seconds()) if row else (0, 0.0)

    def clear(self, *keys: str) -> None:
        """Delete these counters, or all of them if no key is given."""
        statement = delete(attempts)
        self._execute(statement.where(attempts.c.key.in_(keys)) if keys else statement)

    def delete_expired(self, number: int) -> None:
        """Delete up to `number` expired counters, skipping locked ones."""
        old = select(attempts.c.key).where(attempts.c.forget_at <= NOW).limit(number)
        self._execute(delete(attempts).where(attempts.c.key.in_(old.with_for_update(skip_locked=True))))

    def _execute(self, statement: Any) -> Any:
        return self.session.connection().execute(statement)
