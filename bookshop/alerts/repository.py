"""SQL about restock alerts: messages of the outbox that are about a notified pre-booking."""

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import ColumnElement, String, case, cast, func, literal, select, true, update
from sqlalchemy.orm import Session

from bookshop.accounts.models import User
from bookshop.catalog.models import Book
from bookshop.inventory.models import IS_RESTOCK, Movement
from bookshop.kit.database import dialect_of, insert_into, later
from bookshop.mail.models import (
    BOUGHT,
    CLOSED,
    GONE,
    IS_GONE,
    QUEUED,
    RESERVED_AGAIN,
    RESTOCK,
    UNSUBSCRIBED,
    Message,
)
from bookshop.mail.repository import MessageRepository, messages
from bookshop.prebookings.models import PreBook
from bookshop.prebookings.repository import IS_NOTIFIED, IS_RESERVED_ANEW, WAS_BOUGHT

# What wins over "gone": an alert with such a reason is never queued again. NULL if there is none.
NEVER_AGAIN = (
    select(
        case(
            (User.deactivated_at.is_not(None), CLOSED),
            (User.unsubscribed_at.is_not(None), UNSUBSCRIBED),
            (WAS_BOUGHT, BOUGHT),
            (IS_RESERVED_ANEW, RESERVED_AGAIN),
        )
    )
    .select_from(PreBook)
    .join(User, User.id == PreBook.user_id)
    .where(PreBook.id == messages.c.prebooking_id)
    .correlate(messages)
    .scalar_subquery()
)
BOOK_OF_ALERT = (
    select(PreBook.book_id).where(PreBook.id == messages.c.prebooking_id).correlate(messages).scalar_subquery()
)


class AlertRepository:
    """Writes, stops and counts restock alerts; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.messages = MessageRepository(session)

    def insert(self, movement_ids: Collection[int], delay: float, id_end: str) -> None:
        """Queue a restock alert for everyone whom these restocks notified, in the order in which they reserved.

        One statement, however many they are.

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
        told = told.where(PreBook.movement_id.in_(movement_ids), IS_NOTIFIED).order_by(PreBook.id)
        insert = insert_into(dialect_of(self.session), messages)
        queued = insert.from_select(list(alerts), told, include_defaults=False)
        self.session.connection().execute(queued.on_conflict_do_nothing(index_elements=["dedupe_key"]))

    def queue_again(self, book_ids: Collection[int], delay: float) -> Collection[int]:
        """Queue the alerts again that were stopped as gone, about those of these books that are on sale with copies.

        Returns the id of the book of each. An alert that is never to go out is given the reason for that instead.
        The books' rows must be locked.
        """
        on_sale = select(Book.id).where(Book.id.in_(book_ids), Book.stock_quantity > 0, Book.withdrawn_at.is_(None))
        stopped = update(messages).where(IS_GONE, BOOK_OF_ALERT.in_(on_sale))
        connection = self.session.connection()
        connection.execute(stopped.where(NEVER_AGAIN.is_not(None)).values(reason=NEVER_AGAIN))
        queued = {"state": QUEUED, "reason": None, "attempts": 0, "last_error": None, "next_attempt_at": later(delay)}
        return connection.scalars(stopped.values(queued).returning(BOOK_OF_ALERT)).all()

    def count_gone(self, book_ids: Collection[int]) -> Mapping[int, int]:
        """How many alerts about each of these books would be queued again: book id -> count, 0 left out."""
        counts = select(BOOK_OF_ALERT.label("book"), func.count()).select_from(messages)
        counts = counts.where(IS_GONE, NEVER_AGAIN.is_(None), BOOK_OF_ALERT.in_(book_ids)).group_by("book")
        return {row[0]: row[1] for row in self.session.connection().execute(counts)}

    def stop(self, book_ids: Collection[int]) -> int:
        """Suppress as gone the alerts about those of these books that are out of stock, unless a worker has them.

        Returns how many.
        """
        of_gone = select(Movement.id).join(Book, Book.id == Movement.book_id)
        of_gone = of_gone.where(Book.id.in_(book_ids), Book.stock_quantity == 0, IS_RESTOCK)
        restocks = self.session.scalars(of_gone).all()
        if not restocks:
            return 0
        # Asked of each message: joined, as PostgreSQL would without statistics of what was just queued, it takes 30 s.
        restock = select(PreBook.movement_id).where(PreBook.id == messages.c.prebooking_id).correlate(messages)
        return self.messages.suppress(GONE, restock.scalar_subquery().in_(restocks))

    def count_alerts(self, book_id: int) -> Mapping[str, int]:
        """How many restock alerts about a book there are in each state: state -> count, 0 left out."""
        restocks = select(Movement.id).where(Movement.book_id == book_id, IS_RESTOCK)
        counts = select(Message.state, func.count()).join(PreBook, Message.dedupe_key == dedupe_key_of_alert())
        counts = counts.where(PreBook.movement_id.in_(restocks), IS_NOTIFIED)
        return {row[0]: row[1] for row in self.session.execute(counts.group_by(Message.state))}


def dedupe_key_of_alert() -> ColumnElement[str]:
    """The dedupe key of the alert about a pre-booking, in SQL."""
    return literal(f"{RESTOCK}:") + cast(PreBook.id, String)
