"""SQL about pre-bookings."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Executable,
    Integer,
    Row,
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

# Written out instead of passed as a parameter, so that any plan may use the partial indexes.
IS_WAITING, IS_NOTIFIED = (PreBook.status == literal_column(f"'{status}'") for status in (WAITING, NOTIFIED))

# A sale to the customer who was told, which was not cancelled, ends a reservation for good.
order_lines, orders = table_of(OrderLine), table_of(Order)
IS_BOUGHT = exists().where(
    order_lines.c.prebooking_id == PreBook.id,
    orders.c.id == order_lines.c.order_id,
    orders.c.status != literal_column(f"'{CANCELLED_ORDER}'"),
)
WAS_BOUGHT = exists().where(order_lines.c.prebooking_id == PreBook.id)  # even if the order was cancelled since
later = aliased(PreBook)
IS_RESERVED_ANEW = exists().where(
    later.user_id == PreBook.user_id, later.book_id == PreBook.book_id, later.id > PreBook.id
)

# Reserving is what the shop does most. Made once, of tables: 192 µs instead of 403, and 136 to count what a customer
# waits for instead of 245 (bench/statements.py).
books, prebookings, users = table_of(Book), table_of(PreBook), table_of(User)
COUNT_WAITING = (
    select(func.count()).select_from(prebookings).where(prebookings.c.user_id == bindparam("user"), IS_WAITING)
)
COUNT_WAITING_FOR = (
    select(func.count()).select_from(prebookings).where(prebookings.c.book_id == bindparam("book"), IS_WAITING)
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
    """The statement that notifies. Its LIMIT changes nothing but what PostgreSQL expects: not a hundred restocks."""
    given = rows_from_json(dialect, "rows", movement_id=Integer, book_id=Integer)
    restocks = select(*given.c).limit(bindparam("number")).subquery("restocks")
    values = {
        "status": NOTIFIED,
        "notified_at": bindparam("time", type_=UtcDateTime),
        "movement_id": restocks.c.movement_id,
    }
    notified = update(prebookings).where(prebookings.c.book_id == restocks.c.book_id, IS_WAITING).values(values)
    is_theirs = users.c.id == prebookings.c.user_id
    if dialect == "sqlite":  # where RETURNING knows no other table
        return notified.returning(select(users.c.email).where(is_theirs).scalar_subquery())
    return notified.where(is_theirs).returning(users.c.email)


class PreBookRepository:
    """Finds and changes pre-bookings; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.events = EventRepository(session)

    def insert_if_out_of_stock(self, user_id: int, book_id: int) -> Row[*tuple[Any, ...]] | None:
        """Insert a waiting pre-booking if the book is on sale, out of stock and not reserved yet.

        Returns its row, with `book_title` and `book_authors`, or None. FOR SHARE makes this and any change of the
        book's stock wait for each other: without it a restock that runs at the same moment would not see this row,
        and its customer would wait for a book that is on the shelf. The lock is held until the commit, which should
        therefore be next. Only the event is written in between, so that it stands before those of the next restock.
        """
        statement = _reserve(dialect_of(self.session))
        values = {"user": user_id, "book": book_id, "time": now()}
        reserved = self.session.connection().execute(statement, values).first()
        if reserved is not None:
            self.events.insert((PREBOOKING_CREATED, [reserved.id]))
        return reserved

    def notify_waiting_by_book(self, restocks: Mapping[int, int]) -> list[str]:
        """Turn everyone who waits for the books of these restocks into notified; returns their e-mail addresses.

        `restocks` are movements: id -> book id. One statement for all, then one for their events. It must come after,
        and apart from, the one that changed the stock: only a later statement sees the reservations for whose commits
        that one had to wait.
        """
        rows = [{"movement_id": movement_id, "book_id": book_id} for movement_id, book_id in restocks.items()]
        values = {"rows": rows, "number": len(rows), "time": now()}
        emails = list(self.session.connection().scalars(_notify(dialect_of(self.session)), values))
        if emails:
            self.events.insert_each(PREBOOKING_NOTIFIED, NOTIFIED_BY, {"restocks": list(restocks)})
        return emails

    def cancel(self, user_id: int, prebook_id: int) -> bool:
        """Cancel the customer's own pre-booking if it waits; False if there was no such."""
        return self._cancel(PreBook.id == prebook_id, PreBook.user_id == user_id) == 1

    def cancel_waiting_by_book(self, book_id: int) -> int:
        """Cancel all that wait for the book, whose row must be locked; returns how many."""
        return self._cancel(PreBook.book_id == book_id)

    def cancel_waiting_by_user(self, user_id: int) -> int:
        """Cancel all that the user waits for, whose row must be locked; returns how many."""
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
        """The customer's own pre-booking as the database has it now."""
        own = select(PreBook).where(PreBook.id == prebook_id, PreBook.user_id == user_id)
        return self.session.scalar(own.execution_options(populate_existing=True))

    def latest(self, user_id: int, book_id: int) -> PreBook | None:
        """The customer's newest pre-booking of the book, unless it ended in a sale."""
        own = select(func.max(PreBook.id)).where(PreBook.user_id == user_id, PreBook.book_id == book_id)
        return self.session.scalar(select(PreBook).where(PreBook.id == own.scalar_subquery(), ~IS_BOUGHT))

    def list_by_user(self, user_id: int, status: str | None, page_request: PageRequest, size: int) -> Page[PreBook]:
        """The customer's own pre-bookings, newest first."""
        own = select(PreBook).where(PreBook.user_id == user_id)
        own = own.where(PreBook.status == status) if status else own
        return list_page(self.session, own, [SortKey(PreBook.id, descending=True)], page_request, size)

    def list_by_state(self, user_id: int, page: int, size: int) -> Page[Row[PreBook, str]]:
        """The customer's own pre-bookings, each with its state for people.

        In this order: `back`, `waiting`, `bought`, `past`. A book is back while it can be had; once it is sold out
        again or reserved anew, that is past.
        """
        can_be_had = (Book.stock_quantity > 0) & Book.withdrawn_at.is_(None) & ~IS_RESERVED_ANEW
        state = case(
            (IS_BOUGHT, "bought"),
            ((PreBook.status == NOTIFIED) & can_be_had, "back"),
            (IS_WAITING, "waiting"),
            else_="past",
        )
        own = select(PreBook, state).join(PreBook.book).where(PreBook.user_id == user_id)
        order = case({"back": 1, "waiting": 2, "bought": 3}, value=state, else_=4)
        own = own.options(contains_eager(PreBook.book)).order_by(order, PreBook.id.desc())
        return paginate(self.session, own, page, size)

    def list_waiting_by_book(self, book_id: int, page: int, size: int) -> Page[Row[PreBook, str]]:
        """Who waits for the book, and their addresses, longest first."""
        waiting = select(PreBook, User.email).join(User, User.id == PreBook.user_id)
        waiting = waiting.where(PreBook.book_id == book_id, IS_WAITING).order_by(PreBook.id)
        return paginate(self.session, waiting, page, size)

    def list_by_book(self, book_id: int, status: str | None, page_request: PageRequest, size: int) -> Page[Any]:
        """The book's pre-bookings, oldest first, each with its customer's address, None if that account is deleted."""
        email = case((User.deleted_at.is_(None), User.email))
        found = select(PreBook, email).join(User, User.id == PreBook.user_id).where(PreBook.book_id == book_id)
        found = found.where(PreBook.status == status) if status else found
        return list_page(self.session, found, [SortKey(PreBook.id)], page_request, size)

    def count_waiting(self, user_id: int) -> int:
        """How many books the customer waits for."""
        return self.session.connection().scalar(COUNT_WAITING, {"user": user_id}) or 0

    def has_waiting(self, user_id: int, book_id: int) -> bool:
        """Whether the customer waits for the book."""
        waiting = select(PreBook.id).where(PreBook.user_id == user_id, PreBook.book_id == book_id)
        return self.session.scalar(waiting.where(IS_WAITING)) is not None

    def count_notified(self, user_id: int) -> int:
        """How many of the customer's reserved books ever came back; it never falls."""
        notified = select(func.count()).where(PreBook.user_id == user_id, PreBook.status == NOTIFIED)
        return self.session.scalar(notified) or 0

    def count_to_be_had(self, user_id: int, latest: int) -> int:
        """Of how many books that the customer has not bought the latest notified pre-bookings can still be had."""
        told = aliased(PreBook)
        latest_told = select(told.id).where(told.user_id == user_id, told.status == NOTIFIED)
        latest_told = latest_told.order_by(told.notified_at.desc(), told.id.desc()).limit(latest)
        here = Book.stock_quantity > 0, Book.withdrawn_at.is_(None)
        count = select(func.count()).select_from(PreBook).join(Book, PreBook.book_id == Book.id)
        count = count.where(PreBook.id.in_(latest_told.scalar_subquery()), ~IS_BOUGHT, ~IS_RESERVED_ANEW, *here)
        return self.session.scalar(count) or 0

    def count_waiting_for(self, book_id: int) -> int:
        """How many wait for the book."""
        return self.session.connection().scalar(COUNT_WAITING_FOR, {"book": book_id}) or 0

    def count_waiting_by_book(self, book_ids: Collection[int]) -> Mapping[int, int]:
        """How many wait for each of the books: book id -> count, 0 left out."""
        counts = select(PreBook.book_id, func.count()).where(PreBook.book_id.in_(book_ids), IS_WAITING)
        return {row[0]: row[1] for row in self.session.execute(counts.group_by(PreBook.book_id))}

    def count_waiting_by_user(self, user_ids: Collection[int]) -> Mapping[int, int]:
        """How many books each of the users waits for: user id -> count, 0 left out."""
        counts = select(PreBook.user_id, func.count()).where(PreBook.user_id.in_(user_ids), IS_WAITING)
        return {row[0]: row[1] for row in self.session.execute(counts.group_by(PreBook.user_id))}

    def waiting_since(self, book_ids: Collection[int]) -> Mapping[int, datetime]:
        """Since when the one who waits longest for each of the books does; books that nobody waits for are left out."""
        since = select(PreBook.book_id, func.min(PreBook.created_at)).where(PreBook.book_id.in_(book_ids), IS_WAITING)
        return {row[0]: row[1] for row in self.session.execute(since.group_by(PreBook.book_id))}

    def count_all_waiting(self) -> tuple[int, int]:
        """How many pre-bookings wait in the whole shop, and for how many books."""
        by_book = select(func.count().label("waiting")).where(IS_WAITING).group_by(PreBook.book_id).subquery()
        totals = select(func.sum(by_book.c.waiting), func.count()).select_from(by_book)
        reservations, titles = self.session.execute(totals).one()
        return int(reservations or 0), titles

    def list_out_of_stock(self, page: int, size: int) -> Page[Row[Book, int]]:
        """The books that are out of stock and how many wait for each, most wanted first."""
        waiting = (
            select(PreBook.book_id, func.count().label("count")).where(IS_WAITING).group_by(PreBook.book_id).subquery()
        )
        count = func.coalesce(waiting.c.count, 0)
        wanted = select(Book, count).outerjoin(waiting, waiting.c.book_id == Book.id)
        wanted = wanted.where(Book.stock_quantity == 0, Book.withdrawn_at.is_(None))
        return paginate(self.session, wanted.order_by(count.desc(), Book.title_key, Book.id), page, size)

    def books_waited_for(self, user_id: int) -> Sequence[int]:
        """The ids of the books that the user waits for."""
        return self.session.scalars(select(PreBook.book_id).where(PreBook.user_id == user_id, IS_WAITING)).all()

    def lock_books_waited_for(self, user_id: int) -> Sequence[int]:
        """Hold the stock of every book that the user waits for, in id order, until the transaction ends."""
        waited_for = select(Book.id).join(PreBook, PreBook.book_id == Book.id)
        waited_for = waited_for.where(PreBook.user_id == user_id, IS_WAITING).order_by(Book.id)
        return self.session.scalars(waited_for.with_for_update(read=True, of=Book)).all()
