"""SQL for the outbox. Due times and leases always use the database's clock."""

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
    union_all,
    update,
)
from sqlalchemy.orm import Session

from bookshop.kit.database import dialect_of, insert_into, is_sqlite, later, table_of
from bookshop.mail.models import (
    FAILED,
    IS_GONE,
    IS_UNSENT,
    NOTICE_KINDS,
    QUEUED,
    SENDING,
    SENT,
    SUPPRESSED,
    Message,
)

messages = table_of(Message)


def _is_due() -> ColumnElement[bool]:
    return messages.c.next_attempt_at <= later(0)


# One subquery for each value of `bulk`, which is the first column of the index.
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
    """Build the statement once, because every checkout runs it: 175 µs instead of 287 (bench/statements.py)."""
    insert = insert_into(dialect, messages)
    queued = {"state": QUEUED, "attempts": 0, "created_at": later(0), "next_attempt_at": later(0)}
    requeued = {**queued, "reason": None, "last_error": None, "recipient": insert.excluded.recipient}
    statement = insert.values(queued).on_conflict_do_update(
        index_elements=["dedupe_key"],
        set_=requeued,
        where=or_(*(messages.c.state == state for state in (SUPPRESSED, FAILED))),
    )
    return statement.execution_options(preserve_rowcount=True)  # of an INSERT, psycopg's count is lost otherwise


class MessageRepository:
    """Inserts, claims and settles messages; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def insert(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Queue messages for immediate sending; returns how many.

        If a message with the same dedupe key exists, requeues it if it was suppressed or failed, and else does nothing.
        """
        if not rows:
            return 0
        result: Any = self.session.connection().execute(_insert_at_once(dialect_of(self.session)), list(rows))
        return int(result.rowcount)

    def recipient_of(self, dedupe_key: str) -> str:
        """Return the recipient of the message with this key; '' if there is none, or it has been purged."""
        found = select(messages.c.recipient).where(messages.c.dedupe_key == dedupe_key)
        return self.session.connection().scalar(found) or ""

    def has_due(self) -> bool:
        """Return whether any message is due."""
        return bool(self.session.connection().scalar(HAS_DUE))

    def claim(self, number: int, lease: str, seconds: float) -> Mapping[int, int]:
        """Claim up to `number` due messages under `lease`, which expires after `seconds`.

        Returns a mapping of ids to previous attempts. Skips rows that another worker is claiming (SKIP LOCKED).
        Messages with an expired lease count as due: their worker is dead or too slow.
        """
        if not is_sqlite(self.session):
            # PostgreSQL has no statistics yet about 100,000 messages that were just queued. It would expect only a few,
            # and fetch and sort them all for every claim instead of following the index.
            self.session.connection().exec_driver_sql("SET LOCAL enable_bitmapscan = off")
        due = select(messages.c.id).where(IS_UNSENT, _is_due())
        due = due.order_by(messages.c.bulk, messages.c.next_attempt_at).limit(number)
        locked = due.with_for_update(skip_locked=True).cte("due")
        claimed = update(messages).where(messages.c.id.in_(select(locked.c.id)))
        claimed = claimed.values(state=SENDING, lease=lease, next_attempt_at=later(seconds))
        rows = self.session.connection().execute(claimed.returning(messages.c.id, messages.c.attempts))
        return {row[0]: row[1] for row in sorted(rows)}

    def settle(self, lease: str, message_id: int | None = None, **values: Any) -> int:
        """Record the outcome of one message, or of all remaining messages, under this lease and release it.

        Returns the number of messages updated: 0 if the lease was lost.
        """
        settled = update(messages).where(messages.c.lease == lease, messages.c.state == SENDING)
        if message_id is not None:
            settled = settled.where(messages.c.id == message_id)
        result: Any = self.session.connection().execute(settled.values(lease=None, **values))
        return int(result.rowcount)

    def suppress_queued(self, user_id: int, reason: str, kinds: Collection[str]) -> int:
        """Suppress a user's queued messages of these kinds; returns how many."""
        return self.suppress(reason, messages.c.user_id == user_id, messages.c.kind.in_(kinds))

    def suppress(self, reason: str, *conditions: ColumnElement[bool]) -> int:
        """Suppress the queued messages that meet all these conditions; returns how many."""
        suppressed = update(messages).where(IS_UNSENT, messages.c.state == QUEUED, *conditions)
        result: Any = self.session.connection().execute(suppressed.values(state=SUPPRESSED, reason=reason))
        return int(result.rowcount)

    def end_gone(self, user_id: int, reason: str) -> None:
        """Replace the reason `gone` of a user's alerts with a final one, so that they are never queued again."""
        gone = update(messages).where(IS_GONE, messages.c.user_id == user_id)
        self.session.connection().execute(gone.values(reason=reason))

    def readdress(self, user_id: int, recipient: str, *, queued_only: bool) -> None:
        """Change the recipient of a user's messages: if `queued_only`, the queued ones except notices, else all.

        Also clears `last_error` when all are changed, as a server's reply may quote the old address.
        """
        changed = update(messages).where(messages.c.user_id == user_id).values(recipient=recipient)
        queued = IS_UNSENT, messages.c.state == QUEUED, messages.c.kind.not_in(NOTICE_KINDS)
        changed = changed.where(*queued) if queued_only else changed.values(last_error=None)
        self.session.connection().execute(changed)

    def assign_links(self, link_ids: Collection[int], user_id: int) -> None:
        """Make the messages with these links a user's, as they went to that user's addresses."""
        theirs = update(messages).where(messages.c.link_id.in_(link_ids)).values(user_id=user_id)
        self.session.connection().execute(theirs)

    def change_state(
        self,
        message_ids: Collection[int],
        before: Collection[str],
        *,
        except_kinds: Collection[str] = (),
        **values: Any,
    ) -> Mapping[int, str]:
        """Update the messages that are in one of the states `before`; returns them in order: id -> state before.

        Leaves messages of `except_kinds` alone. Locks the messages in id order.
        """
        found = select(messages.c.id, messages.c.state).where(messages.c.id.in_(message_ids))
        found = found.where(messages.c.state.in_(before), messages.c.kind.not_in(except_kinds))
        found = found.order_by(messages.c.id).with_for_update()
        states = {row[0]: row[1] for row in self.session.connection().execute(found)}
        self.session.connection().execute(update(messages).where(messages.c.id.in_(states)).values(**values))
        return states

    def change_all(self, before: str, **values: Any) -> Sequence[int]:
        """Update all messages in the state `before`; returns their ids, in order."""
        changed = update(messages).where(messages.c.state == before).values(**values)
        return sorted(self.session.connection().scalars(changed.returning(messages.c.id)))

    def list_by_user(self, user_id: int) -> Sequence[Message]:
        """Return all messages to a user, newest first."""
        query = select(Message).where(Message.user_id == user_id).order_by(Message.id.desc())
        return self.session.scalars(query).all()

    def count_by_state(self, states: Collection[str]) -> Mapping[str, int]:
        """Count the messages in each of these states; states without messages are omitted."""
        counts = select(Message.state, func.count()).where(Message.state.in_(states)).group_by(Message.state)
        return {row[0]: row[1] for row in self.session.execute(counts)}

    def newest_outcomes(self, number: int, since: datetime) -> Sequence[str]:
        """Return the states of the newest messages that were sent or failed, at most `number`, if queued since then."""
        newest = (
            select(messages.c.id, messages.c.state, messages.c.created_at)
            .where(messages.c.state == state)
            .order_by(messages.c.id.desc())
            .limit(number)
            .subquery()
            for state in (SENT, FAILED)  # for each of them a few rows of ix_messages_state_id
        )
        rows = self.session.connection().execute(union_all(*map(select, newest)))
        return [row.state for row in sorted(rows, reverse=True)[:number] if row.created_at > since]

    def oldest_unsent(self, late: float) -> tuple[datetime | None, bool, str | None]:
        """Return when the oldest unsent message was queued, whether it is late, and its last error.

        It is late if it has been due for more than `late` seconds or, once an attempt has failed, was queued more than
        `late` seconds ago.
        """
        since = case((Message.last_error.is_(None), Message.next_attempt_at), else_=Message.created_at)
        oldest = select(Message.created_at, since < later(-late), Message.last_error).where(IS_UNSENT)
        row = self.session.execute(oldest.order_by(Message.created_at).limit(1)).first()
        return (row[0], row[1], row[2]) if row else (None, False, None)
