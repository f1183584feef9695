"""SQL about the stock ledger."""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Executable, Integer, Row, String, bindparam, func, insert, select
from sqlalchemy.orm import Session

from bookshop.accounts.models import User
from bookshop.catalog.models import Book
from bookshop.events.kinds import BOOK_RESTOCKED, STOCK_CHANGED
from bookshop.events.repository import EventRepository
from bookshop.inventory.models import IS_RESTOCK, Movement
from bookshop.kit.database import Page, UtcDateTime, given_rows, now, table_of
from bookshop.kit.pagination import By, Place, list_page
from bookshop.orders.models import Order
from bookshop.prebookings.models import IS_NOTIFIED, PreBook

ledger = table_of(Movement)
TOLD = select(func.count()).where(PreBook.movement_id == Movement.id, IS_NOTIFIED).scalar_subquery()


@cache
def _insert(dialect: str) -> Executable:
    """The statement that writes the ledger: one for all of a delivery or batch; made once."""
    numbers = dict.fromkeys(("book_id", "delta", "quantity_after", "user_id", "order_id"), Integer)
    given = given_rows(dialect, "rows", **numbers, reason=String, note=String)
    values = {**{part.name: part for part in given.c}, "created_at": bindparam("time", type_=UtcDateTime)}
    written = insert(ledger).from_select(list(values), select(*values.values()), include_defaults=False)
    return written.returning(ledger.c.book_id, ledger.c.id)


def is_restock(row: Mapping[str, Any]) -> bool:
    """Whether a line of the ledger takes a stock from 0 to more than 0."""
    return bool(row["quantity_after"] == row["delta"] > 0)


class MovementRepository:
    """Writes and lists movements; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.events = EventRepository(session)

    def insert(self, rows: Sequence[Mapping[str, Any]]) -> dict[int, int]:
        """Write lines into the ledger, each of another book, and their events; returns the restocks: id -> book id."""
        statement = _insert(self.session.get_bind().dialect.name)
        written = self.session.connection().execute(statement, {"rows": list(rows), "time": now()})
        ids = {row[0]: row[1] for row in written}
        restocks = {ids[row["book_id"]]: row["book_id"] for row in rows if is_restock(row)}
        self.events.insert((STOCK_CHANGED, ids.values()), (BOOK_RESTOCKED, restocks))
        return restocks

    def list_by_book(self, book_id: int, place: Place, size: int) -> Page[tuple[Movement, str | None, str | None]]:
        """The book's movements, newest first, each with the e-mail address of who made it and its order's number."""
        movements = select(Movement, User.email, Order.number).outerjoin(User, User.id == Movement.user_id)
        movements = movements.outerjoin(Order, Order.id == Movement.order_id)
        movements = movements.where(Movement.book_id == book_id)
        return list_page(self.session, movements, [By(Movement.id, falling=True)], place, size)

    def list_by_note(self, book_ids: Collection[int], note: str) -> Sequence[Row[Movement, int]]:
        """The movements of these books that have this note, each with how many customers it notified."""
        noted = select(Movement, TOLD).where(Movement.book_id.in_(book_ids), Movement.note == note)
        return self.session.execute(noted).all()

    def count_told(self, restocks: Collection[int]) -> Mapping[int, int]:
        """How many customers these restocks notified: book id -> count, 0 left out."""
        told = select(Movement.book_id, func.count()).join(PreBook, PreBook.movement_id == Movement.id)
        told = told.where(Movement.id.in_(restocks), IS_NOTIFIED).group_by(Movement.book_id)
        return {row[0]: row[1] for row in self.session.execute(told)}

    def list_restocks(self, number: int) -> Sequence[Row[Movement, str, str | None, int]]:
        """The last restocks, newest first: the movement, the book's title, who made it and how many it notified."""
        restocks = select(Movement, Book.title, User.email, TOLD).join(Book, Book.id == Movement.book_id)
        restocks = restocks.outerjoin(User, User.id == Movement.user_id).where(IS_RESTOCK)
        return self.session.execute(restocks.order_by(Movement.id.desc()).limit(number)).all()

    def list_low(self, copies: int, number: int) -> Sequence[Book]:
        """The books on sale of which at most so many copies are left, but some, fewest first."""
        low = select(Book).where(Book.stock_quantity.between(1, copies), Book.withdrawn_at.is_(None))
        return self.session.scalars(low.order_by(Book.stock_quantity, Book.title_key, Book.id).limit(number)).all()
