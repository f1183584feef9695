"""The checkout, and what becomes of orders."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row
from sqlalchemy.orm import Session

from bookshop.accounts.repository import UserRepository
from bookshop.cart.repository import CartRepository, Entry
from bookshop.cart.service import Cart, CartLine
from bookshop.catalog.isbn import isbn13
from bookshop.catalog.models import Book
from bookshop.catalog.repository import LockedBook
from bookshop.inventory.models import RETURN, SALE
from bookshop.inventory.service import BookService, Notified, StockChange
from bookshop.kit.database import Page, now
from bookshop.kit.exceptions import Conflict, InsufficientStock, Invalid, NotAuthenticated, NotFound
from bookshop.kit.money import Amount
from bookshop.kit.pagination import Place, sliced
from bookshop.kit.text import EMAIL_MAX, fold, problem_in, shortened, tidy
from bookshop.mail.models import ORDER_CANCELLED, ORDER_PLACED, ORDER_READY
from bookshop.mail.service import MailService
from bookshop.orders import repository as sql
from bookshop.orders.models import (
    CANCELLED,
    COLLECT,
    COLLECTED,
    NAME_MAX,
    ON_COLLECTION,
    PLACED,
    POST,
    READY,
    Order,
    OrderLine,
)
from bookshop.orders.numbers import is_misheard, read_number
from bookshop.orders.repository import OrderRepository, Outcomes

# What an order must be before it can become something else.
BEFORE = {READY: (PLACED,), COLLECTED: (READY,), CANCELLED: (PLACED, READY)}
NEW = {"status": PLACED, "payment": ON_COLLECTION}


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """What a customer says at the checkout. Without a name the order is under the e-mail address.

    `shown` is the fingerprint of the cart that the customer saw, `expected` what it cost, an amount for each currency;
    if the cart is another by now, or a price, the order is refused.
    """

    name: str | None = None
    phone: str | None = None
    note: str | None = None
    delivery: str = COLLECT
    address: str | None = None
    shown: str | None = None
    expected: Sequence[Amount] | None = None


class PlacedOrder(NamedTuple):
    """A new order and its lines, as rows with the names of the models."""

    order: Row[*tuple[Any, ...]]
    lines: Sequence[Row[*tuple[Any, ...]]]


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
    """Places, lists and changes orders; never commits. A sale and a return are BookService's.

    Every change queues its mail: to the customer, and to those whom copies that came back notified.
    """

    def __init__(
        self, session: Session, inventory: BookService, mail: MailService, *, post_orders: bool, collect_days: int
    ) -> None:
        self.inventory = inventory
        self.mail = mail
        self.users = UserRepository(session)
        self.items = CartRepository(session)
        self.orders = OrderRepository(session)
        self.post_orders = post_orders
        self.collect_within = timedelta(days=collect_days)

    def place(self, user_id: int, checkout: Checkout) -> PlacedOrder:
        """Order what is in the customer's cart, all or nothing, and empty the cart.

        Locks the customer's row, so that a second checkout or a change of the cart waits, then the books in id order;
        both until the caller's commit. Raises Conflict if the cart is empty or not what was shown, InsufficientStock
        if there are too few copies of anything, Invalid if something of `checkout` is missing.
        """
        user = self.users.lock_active(user_id)
        if user is None:
            raise NotAuthenticated("This account is no longer active.")
        entries = self.items.take_all(user_id)
        if not entries:
            raise Conflict("Your cart is empty, so there is nothing to order.", "ORDER_CART_EMPTY")
        locked = self.inventory.lock([entry.book_id for entry in entries])
        lines = _lines(entries, locked)
        self._check(checkout, lines)
        order = self.orders.insert(_contact(checkout, user.email) | {"user_id": user_id, **NEW})
        self.inventory.sell([_sale(line, order.id, user_id) for line in lines], locked)
        sold = self.orders.insert_lines(user_id, [_sold(line, order.id) for line in lines])
        self.mail.queue_of_order(ORDER_PLACED, order.id, user_id, user.email)
        return PlacedOrder(order, sold)

    def _check(self, checkout: Checkout, lines: Sequence[CartLine]) -> None:
        if short := [line for line in lines if line.is_short]:
            raise _too_few(short)
        cart = Cart(lines)
        is_another_price = checkout.expected is not None and sorted(checkout.expected) != sorted(cart.totals)
        if checkout.shown not in (None, cart.fingerprint) or is_another_price:
            raise Conflict(
                "Your cart or a price changed since you saw it. Nothing was ordered; please look at it "
                "once more and order again.",
                "ORDER_CHANGED",
            )
        if checkout.delivery == POST and not self.post_orders:
            raise Invalid("This shop does not post orders: please collect it.", "delivery")
        if checkout.delivery == POST and not checkout.address:
            raise Invalid("Please give the address to which we post it.", "address")

    def get(self, user_id: int, order_id: int) -> Order:
        """The customer's own order; raises NotFound, also when it is another's."""
        return _found(self.orders.get(order_id, user_id))

    def get_any(self, order_id: int) -> Order:
        """Any customer's order, for staff; raises NotFound."""
        return _found(self.orders.get(order_id))

    def get_with_books(self, order_id: int) -> Order:
        """Any customer's order, for staff, with the book of each line as it is now; raises NotFound."""
        return _found(self.orders.get_with_books(order_id))

    def list_these(self, order_ids: Collection[int]) -> Sequence[Order]:
        """Any customers' orders, for staff; those that are not there are left out."""
        return self.orders.list_by_id(order_ids)

    def list_own(self, user_id: int, status: str | None, place: Place, size: int) -> Page[Order]:
        """The customer's own orders, newest first."""
        return self.orders.list_by_user(user_id, status, place, size)

    def cancel(self, user_id: int, order_id: int) -> Notified:
        """Cancel the customer's own order while it is placed, and give its copies back.

        Returns those whom that notified; locks as `change_all` does. Raises NotFound or Conflict.
        """
        self.get(user_id, order_id)
        changed, notified = self._cancel([order_id], (PLACED,), by=user_id, user_id=user_id)
        if not changed:
            raise _wrong_state(self.get(user_id, order_id), CANCELLED)
        return notified

    def change(self, order_id: int, status: str, by: int) -> Notified:
        """Let staff (`by`) make one order ready, collected or cancelled; raises NotFound or Conflict.

        Returns those whom copies that came back notified.
        """
        self.get_any(order_id)
        changed, notified = self.change_all([order_id], status, by)
        if not changed:
            raise _wrong_state(self.get_any(order_id), status)
        return notified

    def change_all(self, order_ids: Collection[int], status: str, by: int) -> tuple[Sequence[int], Notified]:
        """Let staff (`by`) make orders ready, collected or cancelled; those that cannot become so are left alone.

        Returns the ids of those that did, and those whom copies that came back notified. Locks, for
        cancelling, the books in id order, then the orders; until the caller's transaction ends.
        """
        if status == CANCELLED:
            return self._cancel(order_ids, BEFORE[CANCELLED], by=by)
        changed = self.orders.change_status(order_ids, BEFORE[status], status)
        if status == READY:
            self.mail.queue_of_orders(ORDER_READY, changed)
        return changed, Notified()

    def count_ready(self, user_id: int) -> int:
        """How many of the customer's orders are ready."""
        return self.orders.count_ready(user_id)

    def count_open(self, user_id: int) -> int:
        """How many of the customer's orders are placed or ready."""
        return len(self.orders.list_open(user_id))

    def lock_open(self, user_id: int, also: Collection[int]) -> None:
        """Lock the books of the customer's orders that are placed or ready, and these others, all in one id order."""
        lines = self.orders.list_lines(self.orders.list_open(user_id))
        self.inventory.lock({*also, *(line.book_id for line in lines)})

    def cancel_open(self, user_id: int) -> Notified:
        """Cancel all the customer's orders that are placed or ready; returns whom that notified."""
        return self._cancel(self.orders.list_open(user_id), BEFORE[CANCELLED], by=user_id)[1]

    def forget_person(self, user_id: int) -> None:
        """Forget the contact and the notes in all the customer's orders; what was ordered is kept."""
        self.orders.forget_person(user_id)

    def _cancel(
        self, order_ids: Collection[int], which: Collection[str], *, by: int, user_id: int | None = None
    ) -> tuple[Sequence[int], Notified]:
        lines = self.orders.list_lines(order_ids)
        self.inventory.lock({line.book_id for line in lines})
        seen = {line.order_id for line in lines}  # none that was placed since: its copies would not come back
        changed = self.orders.change_status(seen, which, CANCELLED, user_id=user_id)
        notified = Notified()
        for order_id in changed:  # one by one, as a book may be in several
            notified.add(self._return([line for line in lines if line.order_id == order_id], by))
        self.mail.queue_of_orders(ORDER_CANCELLED, changed)
        self.mail.queue_alerts(notified)
        return changed, notified

    def _return(self, lines: Sequence[OrderLine], by: int) -> Notified:
        """Give the copies of an order back; returns whom that notified."""
        changes = [
            StockChange(book_id=line.book_id, delta=line.quantity, reason=RETURN, user_id=by, order_id=line.order_id)
            for line in lines
        ]
        try:
            return self.inventory.update_stocks(changes)
        except Invalid as full:
            raise Conflict(f"The order cannot be cancelled just now. {full.sentence}", "ORDER_STATE") from None

    def search(self, wanted: OrderSearch, place: Place, size: int) -> Page[Order]:
        """The orders that staff look for; what is to be done oldest first, all else newest first.

        Raises Invalid for a number of which a digit must be wrong.
        """
        q = tidy(wanted.q)
        if problem_in(q) or len(q) > EMAIL_MAX:
            return sliced({}, place, size)
        which = _named(q) if q else []
        if wanted.uncollected:
            which += sql.uncollected(now() - self.collect_within)
        if wanted.status:
            which.append(Order.status == wanted.status)
        to_do = wanted.uncollected or wanted.status in (PLACED, READY)
        return self.orders.search(which, place, size, oldest_first=to_do)

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

    def count_set_aside(self, book_id: int) -> int:
        """How many copies of the book lie in the shop, but are sold: those of orders that are placed or ready."""
        return self.orders.count_open_copies(book_id)

    def outcomes(self, book_id: int | None = None) -> Outcomes:
        """What became of the reservations of a book, or of all: waiting, told, bought."""
        return self.orders.count_outcomes(book_id)


def _contact(checkout: Checkout, email: str) -> dict[str, Any]:
    name = checkout.name or email[:NAME_MAX]
    address = checkout.address if checkout.delivery == POST else None
    return {
        "name": name,
        "name_key": fold(name),
        "phone": checkout.phone,
        "note": checkout.note,
        "delivery": checkout.delivery,
        "address": address,
    }


def _lines(entries: Sequence[Entry], locked: Sequence[LockedBook]) -> list[CartLine]:
    books = {book.id: book for book in locked}
    return [CartLine(entry, books[entry.book_id]) for entry in entries]


def _too_few(short: Sequence[CartLine]) -> InsufficientStock:
    lines = "; ".join(f"{shortened(line.book.title)} ({line.left} left, {line.quantity} wanted)" for line in short)
    return InsufficientStock(
        f"There are too few copies of {lines}. Nothing was ordered. Take fewer, reserve what is sold out, or leave out "
        "what is withdrawn.",
        [_shortage(line) for line in short],
    )


def _shortage(line: CartLine) -> dict[str, Any]:
    return {
        "book_id": line.book.id,
        "book_title": line.book.title,
        "quantity": line.quantity,
        "left": line.left,
        "withdrawn": line.withdrawn,
    }


def _sale(line: CartLine, order_id: int, user_id: int) -> StockChange:
    return StockChange(book_id=line.book.id, delta=-line.quantity, reason=SALE, user_id=user_id, order_id=order_id)


def _sold(line: CartLine, order_id: int) -> dict[str, Any]:
    """The line as it is sold: later changes of the book do not change it."""
    return {
        "order_id": order_id,
        "book_id": line.book.id,
        "title": line.book.title,
        "price_cents": line.book.price_cents,
        "currency": line.book.currency,
        "quantity": line.quantity,
    }


def _on_the_shelf(pick: Pick) -> tuple[str, ...]:
    """Where a book stands: by the last name of its first author, then the whole name, then the title."""
    name = fold(pick.book.authors.split(",")[0])
    return name.rpartition(" ")[2], name, pick.book.title_key


def _found(order: Order | None) -> Order:
    if order is None:
        raise NotFound("There is no such order.", "ORDER_NOT_FOUND")
    return order


def _wrong_state(order: Order, status: str) -> Conflict:
    if (order.status, status) == (PLACED, COLLECTED):
        return Conflict(f"Order {order.number} must be marked ready first.", "ORDER_STATE")
    return Conflict(f"Order {order.number} is {order.status}, so it cannot become {status}.", "ORDER_STATE")


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
