"""SQL about orders."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Executable,
    Row,
    and_,
    bindparam,
    exists,
    func,
    literal_column,
    select,
)
from sqlalchemy import update as update_rows
from sqlalchemy.orm import Session, contains_eager, joinedload, raiseload, selectinload

from bookshop.accounts.models import User
from bookshop.catalog.models import Book
from bookshop.events.kinds import ORDER_CANCELLED, ORDER_COLLECTED, ORDER_PLACED, ORDER_READY
from bookshop.events.repository import EventRepository
from bookshop.kit.database import Page, dialect_of, insert_into, now, table_of
from bookshop.kit.pagination import PageRequest, SortKey, list_page
from bookshop.orders.models import CANCELLED, COLLECTED, PLACED, READY, Order, OrderLine
from bookshop.orders.numbers import new_number

# The checkout is what everybody waits for at once, and every page of a customer says how many orders wait to be
# collected. Made once, of tables: 191 µs to write an order instead of 284, 128 to count instead of 237
# (bench/statements.py).
orders, order_lines = table_of(Order), table_of(OrderLine)
HAPPENED = {READY: ORDER_READY, COLLECTED: ORDER_COLLECTED, CANCELLED: ORDER_CANCELLED}
COUNT_READY = (
    select(func.count())
    .select_from(orders)
    .where(orders.c.user_id == bindparam("user"), orders.c.status == literal_column(f"'{READY}'"))
)


@cache
def _insert(dialect: str) -> Executable:
    written = insert_into(dialect, orders)
    return written.on_conflict_do_nothing(index_elements=["number"]).returning(*orders.c)


class OrderRepository:
    """Finds and changes orders; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.events = EventRepository(session)

    def insert(self, values: Mapping[str, Any]) -> Row[*tuple[Any, ...]]:
        """Write a new order under a number that no other has, and its event; returns its row."""
        statement = _insert(dialect_of(self.session))
        while True:
            row = {**values, "number": new_number(), "created_at": now()}
            written = self.session.connection().execute(statement, row).first()
            if written is not None:
                self.events.insert((ORDER_PLACED, [written.id]))
                return written

    def get(self, order_id: int, user_id: int | None = None) -> Order | None:
        """The order as the database has it now, with the customer's account; with `user_id` only if it is theirs."""
        found = select(Order).where(Order.id == order_id).options(joinedload(Order.user))
        if user_id is not None:
            found = found.where(Order.user_id == user_id)
        return self.session.scalar(found.execution_options(populate_existing=True))

    def get_with_books(self, order_id: int) -> Order | None:
        """Any customer's order as the database has it now, with the account, and at each line the book as it is now."""
        found = select(Order).where(Order.id == order_id)
        found = found.options(joinedload(Order.user), selectinload(Order.lines).joinedload(OrderLine.book))
        return self.session.scalar(found.execution_options(populate_existing=True))

    def list_by_id(self, order_ids: Collection[int]) -> Sequence[Order]:
        """These orders as the database has them now, oldest first; those that are not there are left out."""
        found = select(Order).where(Order.id.in_(order_ids)).order_by(Order.id)
        return self.session.scalars(found.execution_options(populate_existing=True)).all()

    def list_by_user(self, user_id: int, status: str | None, page_request: PageRequest, size: int) -> Page[Order]:
        """The customer's own orders, newest first."""
        own = select(Order).where(Order.user_id == user_id)
        own = own.where(Order.status == status) if status else own
        return list_page(self.session, own, [SortKey(Order.id, descending=True)], page_request, size)

    def search(
        self, which: Sequence[ColumnElement[bool]], page_request: PageRequest, size: int, *, oldest_first: bool
    ) -> Page[Order]:
        """The orders for which all this holds, with their customers' accounts."""
        found = select(Order).join(Order.user).options(contains_eager(Order.user)).where(*which)
        return list_page(self.session, found, [SortKey(Order.id, descending=not oldest_first)], page_request, size)

    def count_by_status(self) -> Mapping[str, int]:
        """How many orders there are in each state: status -> count, 0 left out."""
        counts = select(Order.status, func.count()).group_by(Order.status)
        return {row[0]: row[1] for row in self.session.execute(counts)}

    def count_ready(self, user_id: int) -> int:
        """How many of the customer's orders are ready."""
        return self.session.connection().scalar(COUNT_READY, {"user": user_id}) or 0

    def count_uncollected(self, before: datetime) -> int:
        """How many orders nobody has collected since then."""
        return self.session.scalar(select(func.count()).select_from(Order).where(*uncollected(before))) or 0

    def count_open_copies(self, book_id: int) -> int:
        """How many copies of the book are sold to orders that nobody has collected yet."""
        copies = select(func.coalesce(func.sum(OrderLine.quantity), 0)).join(Order, Order.id == OrderLine.order_id)
        copies = copies.where(OrderLine.book_id == book_id, Order.status.in_([PLACED, READY]))
        return int(self.session.scalar(copies) or 0)

    def change_status(
        self, order_ids: Collection[int], which: Collection[str], status: str, *, user_id: int | None = None
    ) -> Sequence[int]:
        """Give those of the orders a status that have one of `which` now; returns their ids, in order.

        With `user_id` only the customer's own. Holds their rows until the transaction ends.
        """
        changed = update_rows(Order).where(Order.id.in_(order_ids), Order.status.in_(which))
        if user_id is not None:
            changed = changed.where(Order.user_id == user_id)
        values = {"status": status, f"{status}_at": now()}
        found = sorted(
            self.session.scalars(
                changed.values(values).returning(Order.id), execution_options={"synchronize_session": False}
            )
        )
        self.events.insert((HAPPENED[status], found))
        return found

    def customers_of(self, order_ids: Collection[int]) -> Sequence[Row[int, int, str]]:
        """The id of each of these orders, that of its customer and their e-mail address."""
        customers = select(Order.id, User.id, User.email).join(User, User.id == Order.user_id)
        return self.session.execute(customers.where(Order.id.in_(order_ids)).order_by(Order.id)).all()

    def list_lines(self, order_ids: Collection[int]) -> Sequence[OrderLine]:
        """The lines of these orders, by order and book."""
        found = select(OrderLine).where(OrderLine.order_id.in_(order_ids))
        return self.session.scalars(found.order_by(OrderLine.order_id, OrderLine.book_id)).all()

    def list_to_pick(self) -> Sequence[Row[OrderLine, Book, Order]]:
        """The lines of all placed orders, each with its book and its order, oldest order first."""
        lines = select(OrderLine, Book, Order).options(raiseload(Order.lines)).join(Book, Book.id == OrderLine.book_id)
        lines = lines.join(Order, Order.id == OrderLine.order_id).where(Order.status == PLACED)
        return self.session.execute(lines.order_by(Order.id, OrderLine.id)).all()

    def list_open(self, user_id: int) -> Sequence[int]:
        """The ids of the customer's orders that are placed or ready."""
        own = select(Order.id).where(Order.user_id == user_id, Order.status.in_([PLACED, READY]))
        return self.session.scalars(own.order_by(Order.id)).all()

    def count_open(self, user_id: int) -> int:
        """How many of the customer's orders are placed or ready."""
        return len(self.list_open(user_id))

    def forget_person(self, user_id: int) -> None:
        """Forget who ordered; what was ordered is kept."""
        nobody = {"name": "", "name_key": "", "phone": None, "address": None, "note": None}
        own = update_rows(Order).where(Order.user_id == user_id).values(nobody)
        self.session.execute(own, execution_options={"synchronize_session": False})


def uncollected(before: datetime) -> tuple[ColumnElement[bool], ...]:
    """That an order has been placed or ready since before then."""
    return Order.status.in_([PLACED, READY]), func.coalesce(Order.ready_at, Order.created_at) < before


def has_number(number: str) -> ColumnElement[bool]:
    """That it is the order with this number."""
    return Order.number == number


def has_isbn(isbn: str) -> ColumnElement[bool]:
    """That the book with this ISBN-13 is in the order."""
    of_book = OrderLine.order_id == Order.id, OrderLine.book_id == Book.id, Book.isbn == isbn
    return exists().where(*of_book)


def is_of(names: Sequence[str], email_key: str) -> ColumnElement[bool]:
    """That all these are in the name on the order, or this is in the customer's e-mail address."""
    named = [Order.name_key.contains(name, autoescape=True) for name in names]
    in_email = User.email_key.contains(email_key, autoescape=True)
    return and_(*named) | in_email if named else in_email
