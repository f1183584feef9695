"""SQL about attempts, by the database's clock. Should it be set back, nobody waits longer than the longest wait."""

from typing import Any

from sqlalchemy import case, delete, select, update
from sqlalchemy.orm import Session

from bookshop.kit.database import dialect_of, insert_into, later, table_of
from bookshop.throttle.models import Attempts

attempts = table_of(Attempts)
NOW = later(0)
# The time in a statement is that of its beginning: one that waited for a row may read what was written after it.
SLACK = 60
AT_ONCE = later(-SLACK)


class AttemptRepository:
    """Counts attempts and finds out how long to wait for the next; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.dialect = dialect_of(session)

    def claim(self, key: str, longest_wait: float, kept: float) -> int | None:
        """Count one more attempt and return how many there were in the last `kept` seconds; None if it is too early.

        Locks the row until the transaction ends, so that simultaneous attempts are all counted. No wait is longer than
        `longest_wait` seconds.
        """
        values = {"key": key, "count": 1, "until": AT_ONCE, "forget_at": later(kept)}
        forgotten = (attempts.c.forget_at <= NOW) | (attempts.c.forget_at > later(kept + SLACK))
        counted = insert_into(self.dialect, attempts).values(values)
        counted = counted.on_conflict_do_update(
            index_elements=["key"],
            set_={
                "count": case((forgotten, 1), else_=attempts.c.count + 1),
                "until": AT_ONCE,
                "forget_at": case((forgotten, later(kept)), else_=attempts.c.forget_at),
            },
            where=(attempts.c.until <= NOW) | (attempts.c.until > later(longest_wait + SLACK)) | forgotten,
        )
        count: int | None = self._execute(counted.returning(attempts.c.count)).scalar()
        return count

    def delay(self, key: str, seconds: float) -> None:
        """Let the next attempt come in so many seconds."""
        self._execute(update(attempts).where(attempts.c.key == key).values(until=later(seconds)))

    def wait(self, key: str) -> float:
        """In how many seconds the next attempt may come."""
        row = self._execute(select(attempts.c.until, NOW).where(attempts.c.key == key)).first()
        return (row[0] - row[1]).total_seconds() if row else 0.0

    def forgive(self, key: str) -> None:
        """Take one attempt back, but not the wait that others' attempts may have caused."""
        mine = update(attempts).where(attempts.c.key == key, attempts.c.count > 0)
        self._execute(mine.values(count=attempts.c.count - 1))

    def count(self, key: str, seconds: int, amount: int) -> int:
        """Count in a window of so many seconds, which begins with the first; returns how many there are in it."""
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

    def in_window(self, key: str) -> tuple[int, float]:
        """How many there are in the window, and in how many seconds it ends; nothing if it has ended."""
        row = self._execute(
            select(attempts.c.count, attempts.c.until, NOW).where(attempts.c.key == key, attempts.c.until > NOW)
        ).first()
        return (row[0], (row[1] - row[2]).total_seconds()) if row else (0, 0.0)

    def forget(self, *keys: str) -> None:
        """Forget these counts, or all if none is named."""
        ended = delete(attempts)
        self._execute(ended.where(attempts.c.key.in_(keys)) if keys else ended)

    def forget_old(self, number: int) -> None:
        """Forget that many of the counts that are over; those that others hold are left to them."""
        old = select(attempts.c.key).where(attempts.c.forget_at <= NOW).limit(number)
        self._execute(delete(attempts).where(attempts.c.key.in_(old.with_for_update(skip_locked=True))))

    def _execute(self, statement: Any) -> Any:
        return self.session.connection().execute(statement)
