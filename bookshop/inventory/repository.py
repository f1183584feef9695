"""SQL about the stock ledger."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Executable, Integer, Row, String, Update, bindparam, case, exists, func, insert, select, update
from sqlalchemy.orm import Session

from bookshop.accounts.models import User
from bookshop.catalog.models import Book
from bookshop.events.kinds import BOOK_RESTOCKED, STOCK_CHANGED
from bookshop.events.repository import EventRepository
from bookshop.inventory.models import IS_RESTOCK, Movement
from bookshop.kit.database import Page, UtcDateTime, dialect_of, now, rows_from_json, table_of
from bookshop.kit.pagination import PageRequest, SortKey, list_page
from bookshop.orders.models import Order
from bookshop.prebookings.models import PreBook
from bookshop.prebookings.repository import IS_NOTIFIED

ledger, books = table_of(Movement), table_of(Book)
NOTIFIED_COUNT = select(func.count()).where(PreBook.movement_id == Movement.id, IS_NOTIFIED).scalar_subquery()


@cache
def _insert(dialect: str) -> Executable:
    """Build the insert of movements, one statement for a whole delivery or batch: 3 rows take 184 µs instead of 328
    with the model (bench/statements.py).
    """
    numbers = dict.fromkeys(("book_id", "delta", "quantity_after", "user_id", "order_id"), Integer)
    rows = rows_from_json(dialect, "rows", **numbers, reason=String, note=String)
    values = {**{column.name: column for column in rows.c}, "created_at": bindparam("time", type_=UtcDateTime)}
    statement = insert(ledger).from_select(list(values), select(*values.values()), include_defaults=False)
    return statement.returning(ledger.c.book_id, ledger.c.id)


@cache
def _set_stock(dialect: str) -> Update:
    """Build the update of stocks, one statement for a whole delivery or batch, which the model cannot express."""
    rows = rows_from_json(dialect, "rows", book_id=Integer, before=Integer, after=Integer)
    comes_back = (books.c.stock_quantity == 0) & exists().where(ledger.c.book_id == books.c.id)
    time = bindparam("time", type_=UtcDateTime)
    values = {
        "stock_quantity": rows.c.after,
        "back_in_stock_at": case((comes_back, time), else_=books.c.back_in_stock_at),
        "updated_at": time,
        "version": books.c.version + 1,
    }
    is_unchanged = (books.c.id == rows.c.book_id) & (books.c.stock_quantity == rows.c.before)
    return update(books).where(is_unchanged).values(values)


def is_restock(row: Mapping[str, Any]) -> bool:
    """Whether a ledger row raises a stock from 0."""
    return bool(row["quantity_after"] == row["delta"] > 0)


class MovementRepository:
    """Writes stocks and the ledger, and lists movements; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.events = EventRepository(session)

    def set_stock(self, changes: Mapping[int, tuple[int, int]]) -> bool:
        """Write the stock of locked books, id -> (before, after); for BookService, which also writes the ledger.

        A restocked book that already has movements is back in stock as of now. Returns False if a stock was not
        `before`, which cannot happen while the lock is held.
        """
        rows = [{"book_id": book_id, "before": before, "after": after} for book_id, (before, after) in changes.items()]
        statement = _set_stock(dialect_of(self.session))
        result: Any = self.session.connection().execute(statement, {"rows": rows, "time": now()})
        return bool(result.rowcount == len(changes))

    def insert(self, rows: Sequence[Mapping[str, Any]]) -> dict[int, int]:
        """Insert ledger rows, at most one per book, and their events; return their ids: book id -> movement id."""
        statement = _insert(dialect_of(self.session))
        result = self.session.connection().execute(statement, {"rows": list(rows), "time": now()})
        ids = {row[0]: row[1] for row in result}
        restocks = [ids[row["book_id"]] for row in rows if is_restock(row)]
        self.events.insert((STOCK_CHANGED, ids.values()), (BOOK_RESTOCKED, restocks))
        return ids

    def list_by_book(
        self, book_id: int, page_request: PageRequest, size: int
    ) -> Page[tuple[Movement, str | None, str | None]]:
        """List a book's movements, newest first, each with its user's e-mail address and its order's number."""
        movements = select(Movement, User.email, Order.number).outerjoin(User, User.id == Movement.user_id)
        movements = movements.outerjoin(Order, Order.id == Movement.order_id)
        movements = movements.where(Movement.book_id == book_id)
        return list_page(self.session, movements, [SortKey(Movement.id, descending=True)], page_request, size)

    def list_by_user(self, user_id: int) -> Sequence[Row[*tuple[Any, ...]]]:
        """List the movements that this user made, newest first, each with the title of its book."""
        movements = select(*ledger.c, Book.title.label("book_title")).join(Book, Book.id == Movement.book_id)
        return self.session.execute(movements.where(Movement.user_id == user_id).order_by(Movement.id.desc())).all()

    def list_by_note(self, book_ids: Collection[int], note: str) -> Sequence[Row[Movement, int]]:
        """List the movements of these books with this note, each with the number of customers it notified."""
        movements = select(Movement, NOTIFIED_COUNT).where(Movement.book_id.in_(book_ids), Movement.note == note)
        return self.session.execute(movements).all()

    def count_notified(self, restocks: Collection[int]) -> Mapping[int, int]:
        """Count the customers notified by these restocks: book id -> count, without zeros."""
        counts = select(Movement.book_id, func.count()).join(PreBook, PreBook.movement_id == Movement.id)
        counts = counts.where(Movement.id.in_(restocks), IS_NOTIFIED).group_by(Movement.book_id)
        return {row[0]: row[1] for row in self.session.execute(counts)}

    def list_restocks(self, number: int) -> Sequence[Row[Movement, str, str | None, int]]:
        """List the last restocks, newest first: movement, book title, its user's e-mail address, customers notified."""
        restocks = select(Movement, Book.title, User.email, NOTIFIED_COUNT).join(Book, Book.id == Movement.book_id)
        restocks = restocks.outerjoin(User, User.id == Movement.user_id).where(IS_RESTOCK)
        return self.session.execute(restocks.order_by(Movement.id.desc()).limit(number)).all()
