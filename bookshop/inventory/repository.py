"""SQL about the stock ledger."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, func, insert, select
from sqlalchemy.orm import Session

from bookshop.accounts.models import User
from bookshop.catalog.models import Book
from bookshop.database import Base, Page, paginate
from bookshop.events.kinds import BOOK_RESTOCKED, STOCK_CHANGED
from bookshop.events.repository import EventRepository
from bookshop.inventory.models import IS_RESTOCK, Movement
from bookshop.orders.models import Order
from bookshop.prebookings.models import IS_NOTIFIED, PreBook

# Made once, of the table instead of the model, as a delivery sends it for every book.
ledger = Base.metadata.tables["movements"]
INSERT = insert(ledger).returning(ledger.c.id, sort_by_parameter_order=True)
TOLD = select(func.count()).where(PreBook.movement_id == Movement.id, IS_NOTIFIED).scalar_subquery()


class MovementRepository:
    """Writes and lists movements; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.events = EventRepository(session)

    def insert(self, rows: Sequence[Mapping[str, Any]]) -> list[int]:
        """Write lines into the ledger, and their events; returns the ids of the restocks among them, in order."""
        ids = list(self.session.connection().scalars(INSERT, list(rows)))
        restocks = [number for number, row in zip(ids, rows, strict=True) if row["quantity_after"] == row["delta"] > 0]
        self.events.insert((STOCK_CHANGED, ids), (BOOK_RESTOCKED, restocks))
        return restocks

    def list_by_book(self, book_id: int, page: int, size: int) -> Page[Row[Movement, str | None, str | None]]:
        """The book's movements, newest first, each with the e-mail address of who made it and its order's number."""
        movements = select(Movement, User.email, Order.number).outerjoin(User, User.id == Movement.user_id)
        movements = movements.outerjoin(Order, Order.id == Movement.order_id)
        movements = movements.where(Movement.book_id == book_id).order_by(Movement.id.desc())
        return paginate(self.session, movements, page, size)

    def list_by_note(self, book_ids: Collection[int], note: str) -> Sequence[Row[Movement, int]]:
        """The movements of these books that have this note, each with how many customers it notified."""
        noted = select(Movement, TOLD).where(Movement.book_id.in_(book_ids), Movement.note == note)
        return self.session.execute(noted).all()

    def list_restocks(self, number: int) -> Sequence[Row[Movement, str, str | None, int]]:
        """The last restocks, newest first: the movement, the book's title, who made it and how many it notified."""
        restocks = select(Movement, Book.title, User.email, TOLD).join(Book, Book.id == Movement.book_id)
        restocks = restocks.outerjoin(User, User.id == Movement.user_id).where(IS_RESTOCK)
        return self.session.execute(restocks.order_by(Movement.id.desc()).limit(number)).all()

    def list_low(self, copies: int, number: int) -> Sequence[Book]:
        """The books on sale of which at most so many copies are left, but some, fewest first."""
        low = select(Book).where(Book.stock_quantity.between(1, copies), Book.withdrawn_at.is_(None))
        return self.session.scalars(low.order_by(Book.stock_quantity, Book.title_key, Book.id).limit(number)).all()
