"""SQL for pre-bookings."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Executable,
    Integer,
    Row,
    Select,
    bindparam,
    case,
    exists,
    func,
    literal,
    literal_column,
    select,
    update,
)
from sqlalchemy.orm import Session, aliased, contains_eager

from bookshop.accounts.models import User
from bookshop.catalog.models import Book
from bookshop.events.kinds import PREBOOKING_CANCELLED, PREBOOKING_CREATED, PREBOOKING_NOTIFIED
from bookshop.events.repository import EventRepository
from bookshop.kit.database import (
    Page,
    UtcDateTime,
    dialect_of,
    insert_into,
    now,
    paginate,
    rows_from_json,
    table_of,
)
from bookshop.kit.pagination import PageRequest, SortKey, list_page
from bookshop.orders.models import CANCELLED as CANCELLED_ORDER
from bookshop.orders.models import Order, OrderLine
from bookshop.prebookings.models import CANCELLED, NOTIFIED, WAITING, PreBook


class Waiting(NamedTuple):
    """How many customers are waiting for a book, and whether one of them is the customer who is looking."""

    customers: int
    mine: bool


# Literals instead of parameters, so that generic query plans can also use the partial indexes.
IS_WAITING, IS_NOTIFIED = (PreBook.status == literal_column(f"'{status}'") for status in (WAITING, NOTIFIED))

# A sale to the notified customer ends a pre-booking for good, unless the order is cancelled.
order_lines, orders = table_of(OrderLine), table_of(Order)
IS_BOUGHT = exists().where(
    order_lines.c.prebooking_id == PreBook.id,
    orders.c.id == order_lines.c.order_id,
    orders.c.status != literal_column(f"'{CANCELLED_ORDER}'"),
)
WAS_BOUGHT = exists().where(order_lines.c.prebooking_id == PreBook.id)  # even if the order has been cancelled since
later = aliased(PreBook)
IS_RESERVED_AGAIN = exists().where(
    later.user_id == PreBook.user_id, later.book_id == PreBook.book_id, later.id > PreBook.id
)

# Reserving is the shop's most frequent write. Built once, as Core statements: reserving takes 192 µs instead of 403,
# counting a customer's waiting pre-bookings 136 instead of 245 (bench/statements.py).
books, prebookings, users = table_of(Book), table_of(PreBook), table_of(User)
COUNT_WAITING = (
    select(func.count()).select_from(prebookings).where(prebookings.c.user_id == bindparam("user"), IS_WAITING)
)
COUNT_WAITING_FOR = (
    select(func.count()).select_from(prebookings).where(prebookings.c.book_id == bindparam("book"), IS_WAITING)
)


class WantedBook(NamedTuple):
    """A sold-out book, and how many customers are waiting for it."""

    id: int
    title: str
    authors: str
    price_cents: int
    currency: str
    cover: str | None
    waiting: int

    @property
    def in_stock(self) -> bool:
        """False: nobody can wait for a book that is in stock."""
        return False


# The index of waiting pre-bookings is small however many books there are, and only the books found are read.
most_wanted = (
    select(prebookings.c.book_id, func.count().label("waiting"))
    .where(IS_WAITING)
    .group_by(prebookings.c.book_id)
    .order_by(func.count().desc(), prebookings.c.book_id)
    .limit(bindparam("limit"))
    .subquery()
)
MOST_WANTED: Select[Any] = (
    select(*(books.c[name] for name in WantedBook._fields[:-1]), most_wanted.c.waiting)
    .join(most_wanted, most_wanted.c.book_id == books.c.id)
    .order_by(most_wanted.c.waiting.desc(), books.c.id)
)
NOTIFIED_BY = select(prebookings.c.id).where(
    prebookings.c.movement_id.in_(bindparam("restocks", type_=Integer, expanding=True)), IS_NOTIFIED
)


@cache
def _reserve(dialect: str) -> Executable:
    may_be_reserved = (
        select(bindparam("user", type_=Integer), books.c.id, literal(WAITING), bindparam("time", type_=UtcDateTime))
        .where(books.c.id == bindparam("book"), books.c.stock_quantity == 0, books.c.withdrawn_at.is_(None))
        .with_for_update(read=True)
    )
    title, authors = (
        select(books.c[name]).where(books.c.id == bindparam("book")).scalar_subquery().label(f"book_{name}")
        for name in ("title", "authors")
    )
    insert = insert_into(dialect, prebookings)
    columns = ["user_id", "book_id", "status", "created_at"]
    return (
        insert.from_select(columns, may_be_reserved, include_defaults=False)
        .on_conflict_do_nothing()
        .returning(*prebookings.c, title, authors)
    )


@cache
def _notify(dialect: str) -> Executable:
    """Return the statement that notifies waiting customers.

    The LIMIT does not change the result. It only gives PostgreSQL's planner a realistic estimate of the number of
    restocks, instead of its default of a hundred.
    """
    rows = rows_from_json(dialect, "rows", movement_id=Integer, book_id=Integer)
    restocks = select(*rows.c).limit(bindparam("number")).subquery("restocks")
    values = {
        "status": NOTIFIED,
        "notified_at": bindparam("time", type_=UtcDateTime),
        "movement_id": restocks.c.movement_id,
    }
    notified = update(prebookings).where(prebookings.c.book_id == restocks.c.book_id, IS_WAITING).values(values)
    is_theirs = users.c.id == prebookings.c.user_id
    if dialect == "sqlite":  # RETURNING cannot refer to other tables
        return notified.returning(select(users.c.email).where(is_theirs).scalar_subquery())
    return notified.where(is_theirs).returning(users.c.email)


class PreBookRepository:
    """Finds and changes pre-bookings; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.events = EventRepository(session)

    def insert_if_out_of_stock(self, user_id: int, book_id: int) -> Row[*tuple[Any, ...]] | None:
        """Insert a waiting pre-booking if the book is out of stock, not withdrawn, and not reserved by this customer.

        Returns its row, with `book_title` and `book_authors`, or None. FOR SHARE makes this and any change of the
        book's stock wait for each other: without it, a simultaneous restock would not see this row, and the customer
        would wait for a book that is in stock. The lock is held until the commit, which should therefore be next. Only
        the event is written in between, so that it precedes those of the next restock.
        """
        statement = _reserve(dialect_of(self.session))
        values = {"user": user_id, "book": book_id, "time": now()}
        reserved = self.session.connection().execute(statement, values).first()
        if reserved is not None:
            self.events.insert((PREBOOKING_CREATED, [reserved.id]))
        return reserved

    def notify_waiting_by_book(self, restocks: Mapping[int, int]) -> list[str]:
        """Mark all waiting pre-bookings of the restocked books as notified; returns the customers' e-mail addresses.

        `restocks` maps movement ids to book ids. One statement notifies all, a second writes their events. Call it
        after the statement that changed the stock, not as part of it: only a later statement sees the pre-bookings
        whose commits that statement had to wait for.
        """
        rows = [{"movement_id": movement_id, "book_id": book_id} for movement_id, book_id in restocks.items()]
        values = {"rows": rows, "number": len(rows), "time": now()}
        emails = list(self.session.connection().scalars(_notify(dialect_of(self.session)), values))
        if emails:
            self.events.insert_each(PREBOOKING_NOTIFIED, NOTIFIED_BY, {"restocks": list(restocks)})
        return emails

    def cancel(self, user_id: int, prebook_id: int) -> bool:
        """Cancel the customer's own pre-booking if it is waiting; return False if there was none."""
        return self._cancel(PreBook.id == prebook_id, PreBook.user_id == user_id) == 1

    def cancel_waiting_by_book(self, book_id: int) -> int:
        """Cancel all waiting pre-bookings of the book, whose row must be locked; returns their number."""
        return self._cancel(PreBook.book_id == book_id)

    def cancel_waiting_by_user(self, user_id: int) -> int:
        """Cancel all waiting pre-bookings of the user, whose row must be locked; returns their number."""
        return self._cancel(PreBook.user_id == user_id)

    def _cancel(self, *which: ColumnElement[bool]) -> int:
        statement = update(PreBook).where(*which, IS_WAITING)
        values = {"status": CANCELLED, "cancelled_at": now()}
        cancelled = self.session.scalars(
            statement.values(values).returning(PreBook.id), execution_options={"synchronize_session": False}
        ).all()
        self.events.insert((PREBOOKING_CANCELLED, sorted(cancelled)))
        return len(cancelled)

    def get(self, user_id: int, prebook_id: int) -> PreBook | None:
        """Return the customer's own pre-booking with fresh values, or None if there is no such pre-booking."""
        own = select(PreBook).where(PreBook.id == prebook_id, PreBook.user_id == user_id)
        return self.session.scalar(own.execution_options(populate_existing=True))

    def latest(self, user_id: int, book_id: int) -> PreBook | None:
        """Return the customer's latest pre-booking of the book; None if there is none or it ended in a sale."""
        own = select(func.max(PreBook.id)).where(PreBook.user_id == user_id, PreBook.book_id == book_id)
        return self.session.scalar(select(PreBook).where(PreBook.id == own.scalar_subquery(), ~IS_BOUGHT))

    def list_by_user(self, user_id: int, status: str | None, page_request: PageRequest, size: int) -> Page[PreBook]:
        """Return a page of the customer's own pre-bookings, newest first."""
        own = select(PreBook).where(PreBook.user_id == user_id)
        own = own.where(PreBook.status == status) if status else own
        return list_page(self.session, own, [SortKey(PreBook.id, descending=True)], page_request, size)

    def list_by_state(self, user_id: int, page: int, size: int) -> Page[Row[PreBook, str]]:
        """Return a page of the customer's own pre-bookings, each with its state for the reservations page.

        Sorted by state: `back`, `waiting`, `bought`, `past`. A notified pre-booking is `back` while the book is in
        stock; once the book is sold out or reserved again, it is `past`.
        """
        can_be_bought = (Book.stock_quantity > 0) & Book.withdrawn_at.is_(None) & ~IS_RESERVED_AGAIN
        state = case(
            (IS_BOUGHT, "bought"),
            ((PreBook.status == NOTIFIED) & can_be_bought, "back"),
            (IS_WAITING, "waiting"),
            else_="past",
        )
        own = select(PreBook, state).join(PreBook.book).where(PreBook.user_id == user_id)
        order = case({"back": 1, "waiting": 2, "bought": 3}, value=state, else_=4)
        own = own.options(contains_eager(PreBook.book)).order_by(order, PreBook.id.desc())
        return paginate(self.session, own, page, size)

    def list_waiting_by_book(self, book_id: int, page: int, size: int) -> Page[Row[PreBook, str]]:
        """Return a page of the book's waiting pre-bookings, longest wait first, each with an e-mail address."""
        waiting = select(PreBook, User.email).join(User, User.id == PreBook.user_id)
        waiting = waiting.where(PreBook.book_id == book_id, IS_WAITING).order_by(PreBook.id)
        return paginate(self.session, waiting, page, size)

    def list_by_book(self, book_id: int, status: str | None, page_request: PageRequest, size: int) -> Page[Any]:
        """Return a page of the book's pre-bookings, oldest first, each with an address: None for a deleted account."""
        email = case((User.deleted_at.is_(None), User.email))
        query = select(PreBook, email).join(User, User.id == PreBook.user_id).where(PreBook.book_id == book_id)
        query = query.where(PreBook.status == status) if status else query
        return list_page(self.session, query, [SortKey(PreBook.id)], page_request, size)

    def count_waiting(self, user_id: int) -> int:
        """Count the customer's waiting pre-bookings."""
        return self.session.connection().scalar(COUNT_WAITING, {"user": user_id}) or 0

    def has_waiting(self, user_id: int, book_id: int) -> bool:
        """Return whether the customer is waiting for the book."""
        waiting = select(PreBook.id).where(PreBook.user_id == user_id, PreBook.book_id == book_id)
        return self.session.scalar(waiting.where(IS_WAITING)) is not None

    def count_notified(self, user_id: int) -> int:
        """Count the customer's notified pre-bookings; the number never decreases."""
        notified = select(func.count()).where(PreBook.user_id == user_id, PreBook.status == NOTIFIED)
        return self.session.scalar(notified) or 0

    def count_in_stock(self, user_id: int, latest: int) -> int:
        """Count how many of the customer's `latest` notified pre-bookings are unbought and for books in stock."""
        notified = aliased(PreBook)
        latest_ids = select(notified.id).where(notified.user_id == user_id, notified.status == NOTIFIED)
        latest_ids = latest_ids.order_by(notified.notified_at.desc(), notified.id.desc()).limit(latest)
        in_stock = Book.stock_quantity > 0, Book.withdrawn_at.is_(None)
        count = select(func.count()).select_from(PreBook).join(Book, PreBook.book_id == Book.id)
        count = count.where(PreBook.id.in_(latest_ids.scalar_subquery()), ~IS_BOUGHT, ~IS_RESERVED_AGAIN, *in_stock)
        return self.session.scalar(count) or 0

    def count_waiting_for(self, book_id: int) -> int:
        """Count the waiting pre-bookings of the book."""
        return self.session.connection().scalar(COUNT_WAITING_FOR, {"book": book_id}) or 0

    def count_waiting_by_book(self, book_ids: Collection[int]) -> Mapping[int, int]:
        """Count the waiting pre-bookings by book id; books without any are missing from the mapping."""
        counts = select(PreBook.book_id, func.count()).where(PreBook.book_id.in_(book_ids), IS_WAITING)
        return {row[0]: row[1] for row in self.session.execute(counts.group_by(PreBook.book_id))}

    def waiting_by_book(self, book_ids: Collection[int], user_id: int | None) -> Mapping[int, Waiting]:
        """Return who is waiting for each of the books; books for which nobody waits are missing from the mapping."""
        mine = func.max(case((PreBook.user_id == (user_id or 0), 1), else_=0))
        waiting = select(PreBook.book_id, func.count(), mine).where(PreBook.book_id.in_(book_ids), IS_WAITING)
        rows = self.session.execute(waiting.group_by(PreBook.book_id))
        return {row[0]: Waiting(row[1], bool(row[2])) for row in rows}

    def count_waiting_by_user(self, user_ids: Collection[int]) -> Mapping[int, int]:
        """Count the waiting pre-bookings by user id; users without any are missing from the mapping."""
        counts = select(PreBook.user_id, func.count()).where(PreBook.user_id.in_(user_ids), IS_WAITING)
        return {row[0]: row[1] for row in self.session.execute(counts.group_by(PreBook.user_id))}

    def waiting_since(self, book_ids: Collection[int]) -> Mapping[int, datetime]:
        """Return by book id when the oldest waiting pre-booking was made; books without any are missing."""
        since = select(PreBook.book_id, func.min(PreBook.created_at)).where(PreBook.book_id.in_(book_ids), IS_WAITING)
        return {row[0]: row[1] for row in self.session.execute(since.group_by(PreBook.book_id))}

    def count_all_waiting(self) -> tuple[int, int]:
        """Count the waiting pre-bookings of the whole shop, and the books they are for."""
        by_book = select(func.count().label("waiting")).where(IS_WAITING).group_by(PreBook.book_id).subquery()
        totals = select(func.sum(by_book.c.waiting), func.count()).select_from(by_book)
        reservations, titles = self.session.execute(totals).one()
        return int(reservations or 0), titles

    def list_most_wanted(self, limit: int) -> Sequence[WantedBook]:
        """Return the books that most customers are waiting for, most wanted first."""
        rows = self.session.connection().execute(MOST_WANTED, {"limit": limit})
        return [WantedBook(*row) for row in rows]

    def books_waited_for(self, user_id: int) -> Sequence[int]:
        """Return the ids of the books that the user is waiting for."""
        return self.session.scalars(select(PreBook.book_id).where(PreBook.user_id == user_id, IS_WAITING)).all()

    def lock_books_waited_for(self, user_id: int) -> Sequence[int]:
        """Lock (FOR SHARE) every book that the user is waiting for, in id order, until the transaction ends.

        Returns the ids of the books.
        """
        waited_for = select(Book.id).join(PreBook, PreBook.book_id == Book.id)
        waited_for = waited_for.where(PreBook.user_id == user_id, IS_WAITING).order_by(Book.id)
        return self.session.scalars(waited_for.with_for_update(read=True, of=Book)).all()
