"""Finding orders: the customer's own, and those that staff search for or pick."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from bookshop.accounts.emails import key_of
from bookshop.catalog.isbn import isbn13
from bookshop.catalog.models import Book
from bookshop.kit.database import Page, now
from bookshop.kit.exceptions import Invalid, NotFound
from bookshop.kit.pagination import PageRequest, page_of_rows
from bookshop.kit.text import EMAIL_MAX, fold, problem_in, tidy
from bookshop.orders import repository as sql
from bookshop.orders.models import PLACED, READY, Order
from bookshop.orders.numbers import has_wrong_digit, parse_number
from bookshop.orders.repository import OrderRepository

SEPARATORS = re.compile(r"[\s\-/.()#+\u2010-\u2015]+")  # in numbers, phones and ISBNs
DIGITS = re.compile(r"[0-9]+")


@dataclass(frozen=True, kw_only=True)
class OrderSearch:
    """What staff search for: a status, orders uncollected for too long, or any part of a number, name, phone, e-mail
    address or ISBN.
    """

    q: str = ""
    status: str | None = None
    uncollected: bool = False


class Pick(NamedTuple):
    """A book to take off the shelf: the copies in total, and each order with the copies it needs."""

    book: Book
    quantity: int
    copies_by_order: Sequence[tuple[Order, int]]


class OrderService:
    """Finds orders, for customers and for staff. CheckoutService places and cancels them."""

    def __init__(self, session: Session, collect_days: int) -> None:
        self.orders = OrderRepository(session)
        self.collect_within = timedelta(days=collect_days)

    def get(self, user_id: int, order_id: int) -> Order:
        """Return the customer's own order; raises NotFound, even if it is another customer's."""
        return require_order(self.orders.get(order_id, user_id))

    def get_any(self, order_id: int) -> Order:
        """Return any customer's order, for staff; raises NotFound."""
        return require_order(self.orders.get(order_id))

    def get_with_books(self, order_id: int) -> Order:
        """Return any customer's order, for staff, with the current book of each line; raises NotFound."""
        return require_order(self.orders.get_with_books(order_id))

    def search(self, search: OrderSearch, page_request: PageRequest, size: int) -> Page[Order]:
        """Search all orders, for staff: orders still to be handled oldest first, others newest first.

        Raises Invalid for an order number with a wrong digit, unless its digits are found elsewhere, as in a phone.
        """
        q = tidy(search.q)
        if problem_in(q) or len(q) > EMAIL_MAX:
            return page_of_rows({}, page_request, size)
        conditions = _matches(q) if q else []
        if search.uncollected:
            conditions += sql.uncollected(now() - self.collect_within)
        if search.status:
            conditions.append(Order.status == search.status)
        to_do = search.uncollected or search.status in (PLACED, READY)
        found = self.orders.search(conditions, page_request, size, oldest_first=to_do)
        number = parse_number(q)
        if number and not found.total and has_wrong_digit(number):
            raise Invalid(f"No order can have the number {number}: one of its digits is wrong.", "q")
        return found

    def id_of(self, typed: str) -> int | None:
        """Return the id of the order whose complete number was typed; None if there is none."""
        number = parse_number(typed)
        return self.orders.id_of(number) if number else None

    def counts(self) -> Mapping[str, int]:
        """Return the number of orders by status, and under `uncollected` those not collected for too long."""
        overdue = self.orders.count_uncollected(now() - self.collect_within)
        return {**self.orders.count_by_status(), "uncollected": overdue}

    def pick_list(self) -> Sequence[Pick]:
        """Return the books to take off the shelves for all placed orders, by the first author's last name and title."""
        picks: dict[int, Pick] = {}
        for line, book, order in self.orders.list_to_pick():
            pick = picks.get(book.id, Pick(book, 0, ()))
            copies_by_order = [*pick.copies_by_order, (order, line.quantity)]
            picks[book.id] = Pick(book, pick.quantity + line.quantity, copies_by_order)
        return sorted(picks.values(), key=_shelf_order)


def _shelf_order(pick: Pick) -> tuple[str, ...]:
    """Return the sort key of a book: the last name of its first author, then the whole name, then the title."""
    name = fold(pick.book.authors.split(",")[0])
    return name.rpartition(" ")[2], name, pick.book.title_key


def require_order(order: Order | None) -> Order:
    """Return the order, or raise NotFound if it is None."""
    if order is None:
        raise NotFound("There is no such order.", "ORDER_NOT_FOUND")
    return order


def _matches(q: str) -> list[ColumnElement[bool]]:
    """Return the condition that an order has the search text in its number, name, phone, address or ISBNs."""
    found = sql.is_by_customer(fold(q).split(), key_of(q))
    digits = SEPARATORS.sub("", q)
    if DIGITS.fullmatch(digits):
        found |= sql.has_digits(digits)
    try:
        return [found | sql.has_isbn(isbn13(q))]
    except ValueError:
        return [found]
