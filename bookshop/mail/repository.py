"""SQL about the outbox. What is due and when a lease ends is told by the database's clock alone."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Executable,
    case,
    false,
    func,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.orm import Session

from bookshop.kit.database import dialect_of, insert_into, is_sqlite, later, table_of
from bookshop.mail.models import (
    FAILED,
    IS_GONE,
    IS_UNSENT,
    QUEUED,
    SENDING,
    SUPPRESSED,
    Message,
)

messages = table_of(Message)


def _is_due() -> ColumnElement[bool]:
    return messages.c.next_attempt_at <= later(0)


# One question for each of `bulk`, as the index begins with it.
HAS_DUE = select(
    or_(
        *(
            select(messages.c.id).where(IS_UNSENT, messages.c.bulk == bulk, _is_due()).exists()
            for bulk in (false(), true())
        )
    )
)


@cache
def _insert_at_once(dialect: str) -> Executable:
    """Made once, as every checkout sends it: 175 µs instead of 287 (bench/statements.py)."""
    insert = insert_into(dialect, messages)
    queued = {"state": QUEUED, "attempts": 0, "created_at": later(0), "next_attempt_at": later(0)}
    again = {**queued, "reason": None, "last_error": None}
    return insert.values(queued).on_conflict_do_update(
        index_elements=["dedupe_key"],
        set_=again,
        where=or_(*(messages.c.state == state for state in (SUPPRESSED, FAILED))),
    )


class MessageRepository:
    """Writes, claims and settles messages; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def insert(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Queue messages to go at once, but those whose dedupe key one has that is queued or was sent."""
        if rows:
            self.session.connection().execute(_insert_at_once(dialect_of(self.session)), list(rows))

    def has_due(self) -> bool:
        """Whether a worker has anything to do now."""
        return bool(self.session.connection().scalar(HAS_DUE))

    def claim(self, number: int, lease: str, seconds: float) -> Mapping[int, int]:
        """Take at most so many messages that are due, for so many seconds, under the name `lease`.

        Returns the ids, each with how often it was tried. What another worker is just taking is passed over (SKIP
        LOCKED). A message whose lease has ended is taken from its worker, which is dead or too slow.
        """
        if not is_sqlite(self.session):
            # Of 100,000 messages that were queued just now PostgreSQL has no statistics yet. It would take them for a
            # few, fetch all and sort them, at every claim, instead of following the index.
            self.session.connection().exec_driver_sql("SET LOCAL enable_bitmapscan = off")
        due = select(messages.c.id).where(IS_UNSENT, _is_due())
        due = due.order_by(messages.c.bulk, messages.c.next_attempt_at).limit(number)
        picked = due.with_for_update(skip_locked=True).cte("due")
        claimed = update(messages).where(messages.c.id.in_(select(picked.c.id)))
        claimed = claimed.values(state=SENDING, lease=lease, next_attempt_at=later(seconds))
        rows = self.session.connection().execute(claimed.returning(messages.c.id, messages.c.attempts))
        return {row[0]: row[1] for row in sorted(rows)}

    def settle(self, lease: str, message_id: int | None = None, **values: Any) -> int:
        """Write what became of a message under this lease, or of all that are left, and end it; returns how many.

        It is none if the lease was lost.
        """
        settled = update(messages).where(messages.c.lease == lease, messages.c.state == SENDING)
        if message_id is not None:
            settled = settled.where(messages.c.id == message_id)
        result: Any = self.session.connection().execute(settled.values(lease=None, **values))
        return int(result.rowcount)

    def suppress_unsent(self, user_id: int, reason: str, kinds: Collection[str]) -> int:
        """Suppress what of these kinds is queued for a user; returns how many."""
        return self.suppress(reason, messages.c.user_id == user_id, messages.c.kind.in_(kinds))

    def suppress(self, reason: str, *which: ColumnElement[bool]) -> int:
        """Suppress those queued messages for which all this holds; returns how many."""
        suppressed = update(messages).where(IS_UNSENT, messages.c.state == QUEUED, *which)
        result: Any = self.session.connection().execute(suppressed.values(state=SUPPRESSED, reason=reason))
        return int(result.rowcount)

    def end_gone(self, user_id: int, reason: str) -> None:
        """Give a user's alerts that were stopped as gone a reason for which they are never queued again."""
        gone = update(messages).where(IS_GONE, messages.c.user_id == user_id)
        self.session.connection().execute(gone.values(reason=reason))

    def readdress(self, user_id: int, recipient: str, *, unsent: bool) -> None:
        """Give the queued messages of a user another recipient; or all, and forget what servers said of the former."""
        own = update(messages).where(messages.c.user_id == user_id).values(recipient=recipient)
        own = own.where(IS_UNSENT, messages.c.state == QUEUED) if unsent else own.values(last_error=None)
        self.session.connection().execute(own)

    def change_state(self, message_ids: Collection[int], before: Collection[str], **values: Any) -> Collection[int]:
        """Change those of these messages that are in one of these states; returns their ids."""
        changed = update(messages).where(messages.c.id.in_(message_ids), messages.c.state.in_(before))
        return set(self.session.connection().scalars(changed.values(**values).returning(messages.c.id)))

    def change_all(self, before: str, **values: Any) -> int:
        """Change all messages in a state; returns how many."""
        result: Any = self.session.connection().execute(
            update(messages).where(messages.c.state == before).values(**values)
        )
        return int(result.rowcount)

    def list_by_user(self, user_id: int) -> Sequence[Message]:
        """All messages to a user, newest first."""
        own = select(Message).where(Message.user_id == user_id).order_by(Message.id.desc())
        return self.session.scalars(own).all()

    def count_by_state(self, states: Collection[str]) -> Mapping[str, int]:
        """How many messages there are in each of these states: state -> count, 0 left out."""
        counts = select(Message.state, func.count()).where(Message.state.in_(states)).group_by(Message.state)
        return {row[0]: row[1] for row in self.session.execute(counts)}

    def oldest_unsent(self, late: float) -> tuple[datetime | None, bool, str | None]:
        """When the oldest unsent message was queued, whether that is too long ago, and its last error.

        It is if it was tried in vain since before `late` seconds ago, or has been due since then.
        """
        since = case((Message.last_error.is_(None), Message.next_attempt_at), else_=Message.created_at)
        oldest = select(Message.created_at, since < later(-late), Message.last_error).where(IS_UNSENT)
        found = self.session.execute(oldest.order_by(Message.created_at).limit(1)).first()
        return (found[0], found[1], found[2]) if found else (None, False, None)
