"""Finding orders: one's own, and those that staff look for or pick."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement
from sqlalchemy.orm import Session

from bookshop.catalog.isbn import isbn13
from bookshop.catalog.models import Book
from bookshop.kit.database import Page, now
from bookshop.kit.exceptions import Invalid, NotFound
from bookshop.kit.pagination import PageRequest, page_of_rows
from bookshop.kit.text import EMAIL_MAX, fold, problem_in, tidy
from bookshop.orders import repository as sql
from bookshop.orders.models import PLACED, READY, Order
from bookshop.orders.numbers import is_misheard, read_number
from bookshop.orders.repository import OrderRepository


@dataclass(frozen=True, kw_only=True)
class OrderSearch:
    """Which orders staff look for: in a state, not collected for too long, or by number, ISBN, name or e-mail."""

    q: str = ""
    status: str | None = None
    uncollected: bool = False


class Pick(NamedTuple):
    """A book to take off the shelf: how many copies, and which orders want how many."""

    book: Book
    quantity: int
    wanted: Sequence[tuple[Order, int]]


class OrderService:
    """Finds orders, for customers and for staff. Placing and cancelling them is CheckoutService's."""

    def __init__(self, session: Session, collect_days: int) -> None:
        self.orders = OrderRepository(session)
        self.collect_within = timedelta(days=collect_days)

    def get(self, user_id: int, order_id: int) -> Order:
        """The customer's own order; raises NotFound, also when it is another's."""
        return existing(self.orders.get(order_id, user_id))

    def get_any(self, order_id: int) -> Order:
        """Any customer's order, for staff; raises NotFound."""
        return existing(self.orders.get(order_id))

    def get_with_books(self, order_id: int) -> Order:
        """Any customer's order, for staff, with the book of each line as it is now; raises NotFound."""
        return existing(self.orders.get_with_books(order_id))

    def search(self, wanted: OrderSearch, page_request: PageRequest, size: int) -> Page[Order]:
        """The orders that staff look for; what is to be done oldest first, all else newest first.

        Raises Invalid for a number of which a digit must be wrong.
        """
        q = tidy(wanted.q)
        if problem_in(q) or len(q) > EMAIL_MAX:
            return page_of_rows({}, page_request, size)
        which = _named(q) if q else []
        if wanted.uncollected:
            which += sql.uncollected(now() - self.collect_within)
        if wanted.status:
            which.append(Order.status == wanted.status)
        to_do = wanted.uncollected or wanted.status in (PLACED, READY)
        return self.orders.search(which, page_request, size, oldest_first=to_do)

    def counts(self) -> Mapping[str, int]:
        """How many orders there are in each state, and how many are `uncollected` for too long."""
        overdue = self.orders.count_uncollected(now() - self.collect_within)
        return {**self.orders.count_by_status(), "uncollected": overdue}

    def pick_list(self) -> Sequence[Pick]:
        """The books to take off the shelves for all placed orders, by the first author's last name and title."""
        picks: dict[int, Pick] = {}
        for line, book, order in self.orders.list_to_pick():
            former = picks.get(book.id, Pick(book, 0, ()))
            picks[book.id] = Pick(book, former.quantity + line.quantity, [*former.wanted, (order, line.quantity)])
        return sorted(picks.values(), key=_on_the_shelf)


def _on_the_shelf(pick: Pick) -> tuple[str, ...]:
    """Where a book stands: by the last name of its first author, then the whole name, then the title."""
    name = fold(pick.book.authors.split(",")[0])
    return name.rpartition(" ")[2], name, pick.book.title_key


def existing(order: Order | None) -> Order:
    """The order that was looked for; raises NotFound if there is none."""
    if order is None:
        raise NotFound("There is no such order.", "ORDER_NOT_FOUND")
    return order


def _named(q: str) -> list[ColumnElement[bool]]:
    """What the words that staff type ask of an order."""
    number = read_number(q)
    if number:
        if is_misheard(number):
            raise Invalid(f"No order can have the number {number}: one of its digits is wrong.", "q")
        return [sql.has_number(number)]
    try:
        isbn = isbn13(q)
    except ValueError:
        isbn = None
    return [sql.has_isbn(isbn)] if isbn else [sql.is_of(fold(q).split(), q.casefold())]
