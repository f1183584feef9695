"""SQL that counts across stock, reservations and orders."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Row, case, func, literal_column, select
from sqlalchemy.orm import Session

from bookshop.catalog.models import Book
from bookshop.inventory.models import IS_RESTOCK, Movement
from bookshop.kit.database import Page, UtcDateTime, table_of
from bookshop.kit.pagination import PageRequest, SortKey, list_page
from bookshop.orders.models import CANCELLED as CANCELLED_ORDER
from bookshop.orders.models import Order, OrderLine
from bookshop.prebookings.models import CANCELLED, PreBook
from bookshop.prebookings.repository import IS_NOTIFIED, IS_WAITING

orders, order_lines = table_of(Order), table_of(OrderLine)

# What became of the reservations of each book that anybody waits for or was told of.
waits = case((IS_WAITING, PreBook.created_at))
told = case((IS_NOTIFIED, PreBook.id))
demand = (
    select(
        PreBook.book_id,
        func.count(waits).label("waiting"),
        func.min(waits, type_=UtcDateTime).label("waiting_since"),
        func.count(told).label("notified"),
    )
    .where(PreBook.status != literal_column(f"'{CANCELLED}'"))
    .group_by(PreBook.book_id)
    .subquery()
)
bought = (
    select(order_lines.c.book_id, func.count(order_lines.c.prebooking_id.distinct()).label("bought"))
    .join(orders, orders.c.id == order_lines.c.order_id)
    .where(orders.c.status != literal_column(f"'{CANCELLED_ORDER}'"))
    .group_by(order_lines.c.book_id)
    .subquery()
)
DEMAND = (
    select(
        Book.id.label("book_id"),
        *(Book.isbn, Book.title, Book.authors, Book.stock_quantity),
        *(demand.c.waiting, demand.c.waiting_since, demand.c.notified),
        func.coalesce(bought.c.bought, 0).label("bought"),
    )
    .join(demand, demand.c.book_id == Book.id)
    .outerjoin(bought, bought.c.book_id == Book.id)
)


class Outcomes(NamedTuple):
    """What became of reservations: how many wait, were told that the book is back, and bought it then."""

    waiting: int
    notified: int
    bought: int

    @property
    def not_bought(self) -> int:
        """How many were told and have not bought."""
        return self.notified - self.bought


class ReportRepository:
    """Counts; never writes."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def count_outcomes(self, book_id: int | None = None) -> Outcomes:
        """What became of the reservations of a book, or of all."""
        waiting, notified = (
            select(func.count()).select_from(PreBook).where(is_so) for is_so in (IS_WAITING, IS_NOTIFIED)
        )
        if book_id is not None:
            # Which pre-bookings a restock notified is in an index, but not all those of a book.
            restocks = select(Movement.id).where(Movement.book_id == book_id, IS_RESTOCK)
            waiting, notified = (
                waiting.where(PreBook.book_id == book_id),
                notified.where(PreBook.movement_id.in_(restocks)),
            )
        bought = select(func.count(OrderLine.prebooking_id.distinct())).join(Order, Order.id == OrderLine.order_id)
        if book_id is not None:
            bought = bought.where(OrderLine.book_id == book_id)
        counted = waiting, notified, bought.where(Order.status != CANCELLED_ORDER)
        return Outcomes(*self.session.execute(select(*(query.scalar_subquery() for query in counted))).one())

    def list_demand(self, page_request: PageRequest, size: int) -> Page[Any]:
        """How much books are wanted, most first: rows of DEMAND."""
        return list_page(
            self.session, DEMAND, [SortKey(demand.c.waiting, descending=True), SortKey(Book.id)], page_request, size
        )

    def all_demand(self) -> Sequence[Row[*tuple[Any, ...]]]:
        """The same, all of it."""
        return self.session.execute(DEMAND.order_by(demand.c.waiting.desc(), Book.id)).all()
