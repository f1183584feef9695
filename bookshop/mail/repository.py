"""SQL about the outbox. What is due and when a lease ends is told by the database's clock alone."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Executable,
    Row,
    String,
    TextClause,
    bindparam,
    case,
    cast,
    false,
    func,
    literal,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.orm import Session

from bookshop.accounts.models import User
from bookshop.catalog.models import Book
from bookshop.inventory.models import IS_RESTOCK, Movement
from bookshop.kit.database import Page, dialect_of, insert_into, is_sqlite, later, paginate, table_of
from bookshop.mail.models import (
    BOUGHT,
    CLOSED,
    FAILED,
    GONE,
    IS_GONE,
    IS_UNSENT,
    QUEUED,
    RESERVED_AGAIN,
    RESTOCK,
    SENDING,
    SENT,
    SUPPRESSED,
    UNSUBSCRIBED,
    Message,
)
from bookshop.orders.models import Order
from bookshop.orders.repository import IS_NOTIFIED
from bookshop.prebookings.models import PreBook
from bookshop.prebookings.repository import IS_RESERVED_ANEW, WAS_BOUGHT

TOO_OLD = 4 * 3600  # seconds after which nobody expects an answer to a question any more

messages = table_of(Message)

# All that is asked of a message before it is sent, and what its letter names; made once, as every message asks it.
TO_SEND = (
    select(
        *(messages.c[name] for name in ("id", "kind", "user_id", "order_id", "message_id", "attempts")),
        messages.c.recipient.label("queued_for"),
        User.email.label("recipient"),  # as it is now: a message may be queued while its user changes the address
        User.deactivated_at.is_(None).label("active"),
        User.email_key,
        User.email_confirmed_at,
        User.unsubscribed_at,
        Book.id.label("book_id"),
        *(getattr(Book, name) for name in ("title", "authors", "price_cents", "currency")),
        Book.stock_quantity,
        Book.withdrawn_at,
        IS_RESERVED_ANEW.label("reserved_again"),
        WAS_BOUGHT.label("bought"),
        Order.status.label("order_status"),
        (messages.c.created_at < later(-TOO_OLD)).label("too_old"),
    )
    .select_from(messages)
    .join(User, User.id == messages.c.user_id)
    .outerjoin(PreBook, PreBook.id == messages.c.prebooking_id)
    .outerjoin(Book, Book.id == PreBook.book_id)
    .outerjoin(Order, Order.id == messages.c.order_id)
    .where(messages.c.id == bindparam("id"), messages.c.lease == bindparam("lease"))
    .where(messages.c.next_attempt_at > later(0))  # not who was frozen, and wakes up after the lease
)
MARK_SENT = (
    update(messages)
    .where(messages.c.id == bindparam("message"), messages.c.lease == bindparam("held"))
    .values(
        state=SENT,
        lease=None,
        recipient=select(User.email).where(User.id == messages.c.user_id).scalar_subquery(),
        attempts=messages.c.attempts + 1,
        sent_at=later(0),
        last_error=None,
    )
)


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

# A message and what staff know what it is about by: a book, or the number of an order.
LISTED = (
    select(Message, Book.id.label("book_id"), Book.title, Order.number)
    .outerjoin(PreBook, PreBook.id == Message.prebooking_id)
    .outerjoin(Book, Book.id == PreBook.book_id)
    .outerjoin(Order, Order.id == Message.order_id)
)


@cache
def _insert_at_once(dialect: str) -> Executable:
    """Made once, as every checkout sends it."""
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
            self.session.connection().execute(_insert_at_once(self.session.get_bind().dialect.name), list(rows))

    def insert_alerts(self, movement_ids: Collection[int], delay: float, id_end: str) -> None:
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

    def customers_of(self, order_ids: Collection[int]) -> Sequence[Row[int, int, str]]:
        """The id of each of these orders, that of its customer and their e-mail address."""
        customers = select(Order.id, User.id, User.email).join(User, User.id == Order.user_id)
        return self.session.execute(customers.where(Order.id.in_(order_ids)).order_by(Order.id)).all()

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

    def get_to_send(self, message_id: int, lease: str) -> Row[*tuple[Any, ...]] | None:
        """All that is to be known of a message just before it is sent; None if the lease was lost."""
        return self.session.connection().execute(TO_SEND, {"id": message_id, "lease": lease}).first()

    def mark_sent(self, message_id: int, lease: str) -> bool:
        """Note that a message is sent, and end its lease; returns False if the lease was lost."""
        result: Any = self.session.connection().execute(MARK_SENT, {"message": message_id, "held": lease})
        return bool(result.rowcount)

    def settle(self, lease: str, message_id: int | None = None, **values: Any) -> int:
        """Write what became of a message under this lease, or of all that are left, and end it; returns how many.

        It is none if the lease was lost.
        """
        settled = update(messages).where(messages.c.lease == lease, messages.c.state == SENDING)
        if message_id is not None:
            settled = settled.where(messages.c.id == message_id)
        result: Any = self.session.connection().execute(settled.values(lease=None, **values))
        return int(result.rowcount)

    def stop_alerts(self, book_ids: Collection[int]) -> int:
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
        return self._suppress(GONE, restock.scalar_subquery().in_(restocks))

    def suppress_unsent(self, user_id: int, reason: str, kinds: Collection[str]) -> int:
        """Suppress what of these kinds is queued for a user; returns how many."""
        return self._suppress(reason, messages.c.user_id == user_id, messages.c.kind.in_(kinds))

    def _suppress(self, reason: str, *which: ColumnElement[bool]) -> int:
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

    def find(self, message_ids: Collection[int]) -> Sequence[Any]:
        """Messages as the database has them now, each with what it is about; see LISTED."""
        found = LISTED.where(Message.id.in_(message_ids)).order_by(Message.id)
        return self.session.execute(found, execution_options={"populate_existing": True}).all()

    def list_unsent(self, page: int, size: int, most: int) -> Page[Any]:
        """At most so many messages that are not sent, in the order in which they go; see LISTED."""
        found = LISTED.where(IS_UNSENT).order_by(Message.bulk, Message.next_attempt_at, Message.id)
        return paginate(self.session, found, page, size, self._count(IS_UNSENT, most))

    def list_by_state(self, state: str, page: int, size: int, most: int) -> Page[Any]:
        """At most so many messages in this state, newest first; see LISTED."""
        found = LISTED.where(Message.state == state).order_by(Message.id.desc())
        return paginate(self.session, found, page, size, self._count(Message.state == state, most))

    def _count(self, which: ColumnElement[bool] | TextClause, most: int) -> int:
        """How many messages there are, counted up to `most`: no list is leafed through any further."""
        counted = select(Message.id).where(which).limit(most).subquery()
        return self.session.scalar(select(func.count()).select_from(counted)) or 0

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

    def count_alerts(self, book_id: int) -> Mapping[str, int]:
        """How many restock alerts about a book there are in each state: state -> count, 0 left out."""
        restocks = select(Movement.id).where(Movement.book_id == book_id, IS_RESTOCK)
        counts = select(Message.state, func.count()).join(PreBook, Message.dedupe_key == dedupe_key_of_alert())
        counts = counts.where(PreBook.movement_id.in_(restocks), IS_NOTIFIED)
        return {row[0]: row[1] for row in self.session.execute(counts.group_by(Message.state))}


def dedupe_key_of_alert() -> ColumnElement[str]:
    """The dedupe key of the alert about a pre-booking, in SQL."""
    return literal(f"{RESTOCK}:") + cast(PreBook.id, String)
