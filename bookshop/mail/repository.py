"""SQL about the outbox. What is due and when a lease ends is told by the database's clock alone."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    String,
    bindparam,
    case,
    cast,
    func,
    literal,
    select,
    true,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from bookshop.accounts.models import User
from bookshop.catalog.models import Book
from bookshop.database import Base, Page, is_sqlite, later, paginate
from bookshop.inventory.models import IS_RESTOCK, Movement
from bookshop.mail.models import IS_UNSENT, QUEUED, RESTOCK, SENDING, SUPPRESSED, Message
from bookshop.orders.models import Order
from bookshop.orders.repository import IS_NOTIFIED
from bookshop.prebookings.models import PreBook

messages = Base.metadata.tables["messages"]

# All that is asked of a message before it is sent, and what its letter names; made once, as every message asks it.
TO_SEND = (
    select(
        *(messages.c[name] for name in ("id", "kind", "user_id", "order_id", "recipient", "message_id", "attempts")),
        User.deactivated_at.is_(None).label("active"),
        User.email_key,
        User.email_confirmed_at,
        User.unsubscribed_at,
        Book.id.label("book_id"),
        *(getattr(Book, name) for name in ("title", "authors", "price_cents", "currency")),
        Book.stock_quantity,
        Book.withdrawn_at,
        Order.status.label("order_status"),
    )
    .select_from(messages)
    .join(User, User.id == messages.c.user_id)
    .outerjoin(PreBook, PreBook.id == messages.c.prebooking_id)
    .outerjoin(Book, Book.id == PreBook.book_id)
    .outerjoin(Order, Order.id == messages.c.order_id)
    .where(messages.c.id == bindparam("id"), messages.c.lease == bindparam("lease"))
)


class MessageRepository:
    """Writes, claims and settles messages; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def insert(self, values: Mapping[str, Any]) -> None:
        """Queue a message to go at once, unless there is or was one with its dedupe key."""
        row = {**values, "state": QUEUED, "attempts": 0, "created_at": later(0), "next_attempt_at": later(0)}
        insert = self._insert().values(row).on_conflict_do_nothing(index_elements=["dedupe_key"])
        self.session.connection().execute(insert)

    def insert_alerts(self, movement_ids: Collection[int], delay: float, id_end: str) -> None:
        """Queue a restock alert for everyone whom these restocks notified; one statement, however many they are.

        The Message-ID of each is made of its pre-booking's id and of `id_end`.
        """
        number = cast(PreBook.id, String)
        alerts: dict[str, Any] = {
            "kind": literal(RESTOCK),
            "bulk": true(),
            "user_id": PreBook.user_id,
            "prebooking_id": PreBook.id,
            "recipient": User.email,
            "dedupe_key": dedupe_key_of_alert(),
            "message_id": literal("<restock.") + number + literal(id_end),
            "state": literal(QUEUED),
            "attempts": literal(0),
            "created_at": later(0),
            "next_attempt_at": later(delay),
        }
        told = select(*alerts.values()).join(User, User.id == PreBook.user_id)
        told = told.where(PreBook.movement_id.in_(movement_ids), IS_NOTIFIED)
        insert = self._insert().from_select(list(alerts), told, include_defaults=False)
        self.session.connection().execute(insert.on_conflict_do_nothing(index_elements=["dedupe_key"]))

    def _insert(self) -> Any:
        return sqlite.insert(messages) if is_sqlite(self.session) else postgresql.insert(messages)

    def customers_of(self, order_ids: Collection[int]) -> Sequence[Row[int, int, str]]:
        """The id of each of these orders, that of its customer and their e-mail address."""
        customers = select(Order.id, User.id, User.email).join(User, User.id == Order.user_id)
        return self.session.execute(customers.where(Order.id.in_(order_ids)).order_by(Order.id)).all()

    def has_due(self) -> bool:
        """Whether a worker has anything to do now."""
        due = select(messages.c.id).where(IS_UNSENT, messages.c.next_attempt_at <= later(0)).limit(1)
        return self.session.connection().scalar(due) is not None

    def claim(self, number: int, lease: str, seconds: float) -> Mapping[int, int]:
        """Take at most so many messages that are due, for so many seconds, under the name `lease`.

        Returns the ids, each with how often it was tried. What another worker is just taking is passed over (SKIP
        LOCKED). A message whose lease has ended is taken from its worker, which is dead or too slow; that counts as
        an attempt.
        """
        due = select(messages.c.id).where(IS_UNSENT, messages.c.next_attempt_at <= later(0))
        due = due.order_by(messages.c.bulk, messages.c.next_attempt_at).limit(number)
        picked = due.with_for_update(skip_locked=True).cte("due")
        attempts = messages.c.attempts + case((messages.c.state == SENDING, 1), else_=0)
        claimed = update(messages).where(messages.c.id.in_(select(picked.c.id)))
        claimed = claimed.values(state=SENDING, lease=lease, attempts=attempts, next_attempt_at=later(seconds))
        rows = self.session.connection().execute(claimed.returning(messages.c.id, messages.c.attempts))
        return {row[0]: row[1] for row in sorted(rows)}

    def get_to_send(self, message_id: int, lease: str) -> Row[*tuple[Any, ...]] | None:
        """All that is to be known of a message just before it is sent; None if the lease was lost."""
        return self.session.connection().execute(TO_SEND, {"id": message_id, "lease": lease}).first()

    def settle(self, lease: str, message_id: int | None = None, **values: Any) -> int:
        """Write what became of a message under this lease, or of all that are left, and end it; returns how many.

        It is none if the lease was lost.
        """
        settled = update(messages).where(messages.c.lease == lease, messages.c.state == SENDING)
        if message_id is not None:
            settled = settled.where(messages.c.id == message_id)
        result: Any = self.session.connection().execute(settled.values(lease=None, **values))
        return int(result.rowcount)

    def stop_alerts(self, book_id: int, reason: str) -> int:
        """Suppress the alerts about a book that no worker has taken yet, if it is out of stock; returns how many."""
        restocks = select(Movement.id).where(Movement.book_id == book_id, IS_RESTOCK)
        told = select(PreBook.id).where(PreBook.movement_id.in_(restocks), IS_NOTIFIED)
        gone = select(Book.id).where(Book.id == book_id, Book.stock_quantity == 0).exists()
        return self._suppress(reason, messages.c.prebooking_id.in_(told), gone)

    def suppress_unsent(self, user_id: int, reason: str, kinds: Collection[str]) -> int:
        """Suppress what of these kinds is queued for a user; returns how many."""
        return self._suppress(reason, messages.c.user_id == user_id, messages.c.kind.in_(kinds))

    def _suppress(self, reason: str, *which: ColumnElement[bool]) -> int:
        suppressed = update(messages).where(IS_UNSENT, messages.c.state == QUEUED, *which)
        result: Any = self.session.connection().execute(suppressed.values(state=SUPPRESSED, last_error=reason))
        return int(result.rowcount)

    def readdress(self, user_id: int, recipient: str, *, unsent: bool) -> None:
        """Give all messages of a user, or only those that are queued, another recipient."""
        own = update(messages).where(messages.c.user_id == user_id)
        own = own.where(IS_UNSENT, messages.c.state == QUEUED) if unsent else own
        self.session.connection().execute(own.values(recipient=recipient))

    def change_state(self, message_id: int, before: Collection[str], **values: Any) -> bool:
        """Change a message that is in one of these states; returns whether it was."""
        changed = update(messages).where(messages.c.id == message_id, messages.c.state.in_(before))
        result: Any = self.session.connection().execute(changed.values(**values))
        return bool(result.rowcount)

    def get(self, message_id: int) -> Message | None:
        """The message as the database has it now."""
        return self.session.get(Message, message_id, populate_existing=True)

    def list_by_state(self, states: Collection[str], page: int, size: int, *, oldest_first: bool) -> Page[Any]:
        """Messages in these states, as rows of a message and the title of its book, if it is about one."""
        found = select(Message, Book.title).outerjoin(PreBook, PreBook.id == Message.prebooking_id)
        found = found.outerjoin(Book, Book.id == PreBook.book_id).where(Message.state.in_(states))
        return paginate(self.session, found.order_by(Message.id if oldest_first else Message.id.desc()), page, size)

    def list_by_user(self, user_id: int) -> Sequence[Message]:
        """All messages to a user, newest first."""
        own = select(Message).where(Message.user_id == user_id).order_by(Message.id.desc())
        return self.session.scalars(own).all()

    def count_by_state(self) -> Mapping[str, int]:
        """How many messages there are in each state: state -> count, 0 left out."""
        counts = select(Message.state, func.count()).group_by(Message.state)
        return {row[0]: row[1] for row in self.session.execute(counts)}

    def waiting_since(self) -> datetime | None:
        """When the oldest message that is due, but not sent, was queued."""
        due = select(func.min(Message.created_at)).where(IS_UNSENT, Message.next_attempt_at <= later(0))
        return self.session.scalar(due)

    def count_alerts(self, book_id: int) -> Mapping[str, int]:
        """How many restock alerts about a book there are in each state: state -> count, 0 left out."""
        restocks = select(Movement.id).where(Movement.book_id == book_id, IS_RESTOCK)
        counts = select(Message.state, func.count()).join(PreBook, Message.dedupe_key == dedupe_key_of_alert())
        counts = counts.where(PreBook.movement_id.in_(restocks), IS_NOTIFIED)
        return {row[0]: row[1] for row in self.session.execute(counts.group_by(Message.state))}


def dedupe_key_of_alert() -> ColumnElement[str]:
    """The dedupe key of the alert about a pre-booking, in SQL."""
    return literal(f"{RESTOCK}:") + cast(PreBook.id, String)
