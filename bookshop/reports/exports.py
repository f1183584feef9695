"""The lists that staff export, read in parts, so that a list of any length fits into memory."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, Select, case, func, select
from sqlalchemy.orm import Session, aliased

from bookshop.accounts.models import User
from bookshop.bookfiles.columns import EXPORT_HEADER
from bookshop.catalog.models import NO_PRICE, Book
from bookshop.kit.database import ID_MAX
from bookshop.kit.money import to_major_units
from bookshop.kit.pagination import Cursor, SortKey, list_page
from bookshop.orders.models import PLACED, READY, Order, OrderLine
from bookshop.prebookings.models import PreBook
from bookshop.prebookings.repository import IS_WAITING
from bookshop.reports.repository import DEMAND, demand
from bookshop.shop.service import ShopService

Cells = Sequence[str | int | Decimal | datetime | None]
CHUNK = 1000  # rows read at a time


@dataclass(frozen=True)
class Export:
    """A list: its columns, and how it is read.

    `before` are sort keys before those of any row. `cells` converts a row of the query. `has_personal_data` says that
    it names customers.
    """

    header: Sequence[str]
    query: Select[*tuple[Any, ...]]
    order: Sequence[SortKey]
    before: Sequence[Any]
    cells: Callable[[Row[*tuple[Any, ...]]], Cells] = tuple
    has_personal_data: bool = False
    chunk: int = CHUNK


def cells_of(export: Export, open_session: Callable[[], AbstractContextManager[Session]]) -> Iterator[Cells]:
    """Yield the cells of each row, with times in the shop's zone.

    Each chunk has a session of its own, closed before its rows are yielded, so that a slow client holds no connection
    and no transaction. What changes meanwhile is in the list as it was when its chunk was read.
    """
    with open_session() as session:
        zone = ShopService(session).read().zone
    keys: Sequence[Any] | None = export.before
    while keys is not None:
        with open_session() as session:
            page = list_page(session, export.query, export.order, Cursor(keys, 0, 1), export.chunk)
        for row in page.items:
            yield [cell.astimezone(zone) if isinstance(cell, datetime) else cell for cell in export.cells(row)]
        keys = page.next_keys


def _book_cells(row: Row[*tuple[Any, ...]]) -> Cells:
    *values, withdrawn_at = row
    return [*values, "yes" if withdrawn_at else "no"]


BOOKS = Export(
    EXPORT_HEADER,
    select(
        *(Book.id, Book.isbn, Book.title, Book.authors, Book.publisher, Book.language, Book.published_year),
        *(Book.description, Book.price_cents, Book.currency, Book.stock_quantity, Book.withdrawn_at),
    ).where(Book.removed_at.is_(None)),
    [SortKey(Book.id)],
    [0],
    _book_cells,
)


def _stock_cells(row: Row[*tuple[Any, ...]]) -> Cells:
    price = None if row.price_cents == NO_PRICE else to_major_units(row.price_cents, row.currency)
    facts = row.isbn, row.title, row.authors, price, row.currency, row.stock_quantity
    return [*facts, row.set_aside, row.waiting, "yes" if row.withdrawn_at else "no"]


OPEN_COPIES = (
    select(func.coalesce(func.sum(OrderLine.quantity), 0))
    .join(Order, Order.id == OrderLine.order_id)
    .where(OrderLine.book_id == Book.id, Order.status.in_([PLACED, READY]))
)
WAITING = select(func.count()).select_from(PreBook).where(PreBook.book_id == Book.id, IS_WAITING)
STOCK = Export(
    ("ISBN", "Title", "Authors", "Price", "Currency", "Copies", "Set aside", "Waiting customers", "Withdrawn"),
    select(
        *(Book.isbn, Book.title, Book.authors, Book.price_cents, Book.currency, Book.stock_quantity),
        *(OPEN_COPIES.scalar_subquery().label("set_aside"), WAITING.scalar_subquery().label("waiting")),
        Book.withdrawn_at,
    ).where(Book.removed_at.is_(None)),
    [SortKey(Book.title_key), SortKey(Book.id)],
    ["", 0],
    _stock_cells,
)


def _order_cells(row: Row[*tuple[Any, ...]]) -> Cells:
    *facts, quantity, cents, currency, postage, postage_currency = row
    prices = [to_major_units(amount, currency) for amount in (cents, quantity * cents)]
    charge = to_major_units(postage, postage_currency) if postage else None
    return [*facts, quantity, *prices, currency, charge, postage_currency if postage else None]


# Of the lines of an order, only the first has its postage, so that a sum of all lines is right.
another = aliased(OrderLine)
FIRST_BOOK = select(func.min(another.book_id)).where(another.order_id == OrderLine.order_id)
IS_FIRST = OrderLine.book_id == FIRST_BOOK.scalar_subquery()
EMAIL = case((User.deleted_at.is_(None), User.email))  # the key of a deleted account is no address
ORDERS = Export(
    (
        *("Order", "Status", "Delivery", "Placed", "Ready", "Collected or posted", "Cancelled"),
        *("Customer", "E-mail", "ISBN", "Title", "Authors", "Copies", "Price", "Total", "Currency"),
        *("Postage", "Postage currency"),
    ),
    select(
        *(Order.number, Order.status, Order.delivery),
        *(Order.created_at, Order.ready_at, Order.collected_at, Order.cancelled_at),
        *(Order.name, EMAIL, Book.isbn, OrderLine.title, Book.authors),
        *(OrderLine.quantity, OrderLine.price_cents, OrderLine.currency),
        *(case((IS_FIRST, Order.postage_cents)), Order.postage_currency),
    )
    .join(Order, Order.id == OrderLine.order_id)
    .join(User, User.id == Order.user_id)
    .join(Book, Book.id == OrderLine.book_id),
    [SortKey(OrderLine.order_id), SortKey(OrderLine.book_id)],
    [0, 0],
    _order_cells,
    has_personal_data=True,
)
RESERVATIONS = Export(
    ("ISBN", "Title", "Authors", "Status", "Reserved", "Notified", "Cancelled", "E-mail"),
    select(
        *(Book.isbn, Book.title, Book.authors),
        *(PreBook.status, PreBook.created_at, PreBook.notified_at, PreBook.cancelled_at, EMAIL),
    )
    .join(Book, Book.id == PreBook.book_id)
    .join(User, User.id == PreBook.user_id),
    [SortKey(PreBook.id)],
    [0],
    has_personal_data=True,
)
DEMAND_BY_BOOK = Export(
    tuple(column.name for column in DEMAND.selected_columns),
    DEMAND,
    [SortKey(demand.c.waiting, descending=True), SortKey(Book.id)],
    [ID_MAX, 0],  # more than any number of customers
    chunk=10_000,  # each chunk counts all reservations
)
EXPORTS = {
    "books": BOOKS,
    "stock": STOCK,
    "orders": ORDERS,
    "reservations": RESERVATIONS,
    "demand": DEMAND_BY_BOOK,
}
