"""SQL about restock alerts: outbox messages that belong to a notified pre-booking."""

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
from bookshop.prebookings.repository import IS_NOTIFIED, IS_RESERVED_AGAIN, WAS_BOUGHT

# The reason not to queue an alert again, which takes precedence over `gone`; NULL if there is none.
FINAL_REASON = (
    select(
        case(
            (User.deactivated_at.is_not(None), CLOSED),
            (User.unsubscribed_at.is_not(None), UNSUBSCRIBED),
            (WAS_BOUGHT, BOUGHT),
            (IS_RESERVED_AGAIN, RESERVED_AGAIN),
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
    """Queues, stops and counts restock alerts; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.messages = MessageRepository(session)

    def insert(self, movement_ids: Collection[int], delay: float, id_end: str) -> None:
        """Queue a restock alert for each customer notified by these restocks, in the order of their reservations.

        Runs one statement for all of them. Each Message-ID consists of the pre-booking's id and `id_end`.
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
        notified = select(*alerts.values()).join(User, User.id == PreBook.user_id)
        notified = notified.where(PreBook.movement_id.in_(movement_ids), IS_NOTIFIED).order_by(PreBook.id)
        insert = insert_into(dialect_of(self.session), messages)
        queued = insert.from_select(list(alerts), notified, include_defaults=False)
        self.session.connection().execute(queued.on_conflict_do_nothing(index_elements=["dedupe_key"]))

    def queue_again(self, book_ids: Collection[int], delay: float) -> Collection[int]:
        """Queue again the alerts for these books that were stopped as `gone`, if the book is now on sale and in stock.

        Returns the book id of each alert. An alert that must never be sent gets its final reason instead. The books'
        rows must be locked.
        """
        on_sale = select(Book.id).where(Book.id.in_(book_ids), Book.stock_quantity > 0, Book.withdrawn_at.is_(None))
        stopped = update(messages).where(IS_GONE, BOOK_OF_ALERT.in_(on_sale))
        connection = self.session.connection()
        connection.execute(stopped.where(FINAL_REASON.is_not(None)).values(reason=FINAL_REASON))
        queued = {"state": QUEUED, "reason": None, "attempts": 0, "last_error": None, "next_attempt_at": later(delay)}
        return connection.scalars(stopped.values(queued).returning(BOOK_OF_ALERT)).all()

    def count_to_queue_again(self, book_ids: Collection[int]) -> Mapping[int, int]:
        """Count the alerts that would be queued again for each of these books: book id -> count, without zeros."""
        counts = select(BOOK_OF_ALERT.label("book"), func.count()).select_from(messages)
        counts = counts.where(IS_GONE, FINAL_REASON.is_(None), BOOK_OF_ALERT.in_(book_ids)).group_by("book")
        return {row[0]: row[1] for row in self.session.connection().execute(counts)}

    def stop(self, book_ids: Collection[int]) -> int:
        """Suppress the queued alerts for those of these books that are out of stock; return how many.

        Their reason is `gone`. Alerts that a worker is sending are left alone.
        """
        if not book_ids:
            return 0
        sold_out = select(Movement.id).join(Book, Book.id == Movement.book_id)
        sold_out = sold_out.where(Book.id.in_(book_ids), Book.stock_quantity == 0, IS_RESTOCK)
        restocks = self.session.scalars(sold_out).all()
        if not restocks:
            return 0
        # A correlated subquery: without statistics on the new rows, PostgreSQL would plan a join that takes 30 s.
        restock = select(PreBook.movement_id).where(PreBook.id == messages.c.prebooking_id).correlate(messages)
        return self.messages.suppress(GONE, restock.scalar_subquery().in_(restocks))

    def count_alerts(self, book_id: int) -> Mapping[str, int]:
        """Count a book's restock alerts by state: state -> count, without zeros."""
        restocks = select(Movement.id).where(Movement.book_id == book_id, IS_RESTOCK)
        counts = select(Message.state, func.count()).join(PreBook, Message.dedupe_key == dedupe_key_of_alert())
        counts = counts.where(PreBook.movement_id.in_(restocks), IS_NOTIFIED)
        return {row[0]: row[1] for row in self.session.execute(counts.group_by(Message.state))}


def dedupe_key_of_alert() -> ColumnElement[str]:
    """Return the SQL expression for the dedupe key of a pre-booking's alert."""
    return literal(f"{RESTOCK}:") + cast(PreBook.id, String)
