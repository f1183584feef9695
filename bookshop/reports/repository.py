"""SQL that counts across stock, pre-bookings and orders."""

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

# The outcome of pre-bookings by book, for books with any that are waiting or notified.
waiting_times = case((IS_WAITING, PreBook.created_at))
notified_ids = case((IS_NOTIFIED, PreBook.id))
demand = (
    select(
        PreBook.book_id,
        func.count(waiting_times).label("waiting"),
        func.min(waiting_times, type_=UtcDateTime).label("waiting_since"),
        func.count(notified_ids).label("notified"),
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
    """How many pre-bookings are waiting, how many were notified, and how many of those bought the book."""

    waiting: int
    notified: int
    bought: int

    @property
    def not_bought(self) -> int:
        """How many were notified and have not bought the book."""
        return self.notified - self.bought


class ReportRepository:
    """Counts; never writes."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def count_outcomes(self, book_id: int | None = None) -> Outcomes:
        """Count the outcomes of the pre-bookings of one book, or of all books."""
        waiting, notified = (
            select(func.count()).select_from(PreBook).where(status) for status in (IS_WAITING, IS_NOTIFIED)
        )
        if book_id is not None:
            # An index leads from restocks to notified pre-bookings; by book, all its pre-bookings would be read.
            restocks = select(Movement.id).where(Movement.book_id == book_id, IS_RESTOCK)
            waiting, notified = (
                waiting.where(PreBook.book_id == book_id),
                notified.where(PreBook.movement_id.in_(restocks)),
            )
        bought = select(func.count(OrderLine.prebooking_id.distinct())).join(Order, Order.id == OrderLine.order_id)
        if book_id is not None:
            bought = bought.where(OrderLine.book_id == book_id)
        counts = waiting, notified, bought.where(Order.status != CANCELLED_ORDER)
        return Outcomes(*self.session.execute(select(*(count.scalar_subquery() for count in counts))).one())

    def list_demand(self, page_request: PageRequest, size: int) -> Page[Any]:
        """Return a page of DEMAND rows, most wanted books first."""
        return list_page(
            self.session, DEMAND, [SortKey(demand.c.waiting, descending=True), SortKey(Book.id)], page_request, size
        )

    def all_demand(self) -> Sequence[Row[*tuple[Any, ...]]]:
        """Return all DEMAND rows, most wanted books first."""
        return self.session.execute(DEMAND.order_by(demand.c.waiting.desc(), Book.id)).all()
