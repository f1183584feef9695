"""Placing orders and what becomes of them: the stock that they take and give back, and their mail."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Row
from sqlalchemy.orm import Session

from bookshop.accounts.authentication import Authentication
from bookshop.alerts.service import AlertService
from bookshop.cart.repository import CartEntry, CartRepository
from bookshop.cart.service import Cart, CartLine
from bookshop.catalog.repository import BookRepository, StockedBook
from bookshop.checkout.repository import CheckoutRepository
from bookshop.inventory.models import RETURN, SALE
from bookshop.inventory.service import BookService, Notified, StockChange
from bookshop.kit.exceptions import Conflict, InsufficientStock, Invalid, NotAuthenticated
from bookshop.kit.money import Amount
from bookshop.kit.text import fold, shortened
from bookshop.mail.models import ORDER_CANCELLED, ORDER_PLACED, ORDER_READY
from bookshop.mail.service import MailService
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
from bookshop.orders.repository import OrderRepository
from bookshop.orders.service import existing

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


class CheckoutService:
    """Places, changes and cancels orders; never commits. A sale and a return are BookService's.

    Every change queues its mail: to the customer, and to those that returned copies notified.
    """

    def __init__(
        self, session: Session, inventory: BookService, mail: MailService, alerts: AlertService, *, post_orders: bool
    ) -> None:
        self.inventory = inventory
        self.mail = mail
        self.alerts = alerts
        self.authentication = Authentication(session)
        self.books = BookRepository(session)
        self.items = CartRepository(session)
        self.orders = OrderRepository(session)
        self.lines = CheckoutRepository(session)
        self.post_orders = post_orders

    def place(self, user_id: int, checkout: Checkout) -> PlacedOrder:
        """Order what is in the customer's cart, all or nothing, and empty the cart.

        Locks the customer's row, so that a second checkout or a change of the cart waits, then the books in id order;
        both until the caller's commit. Raises Conflict if the cart is empty or not what was shown, InsufficientStock
        if there are too few copies of anything, Invalid if something of `checkout` is missing.
        """
        user = self.authentication.lock_active(user_id)
        if user is None:
            raise NotAuthenticated("This account is no longer active.")
        entries = self.items.take_all(user_id)
        if not entries:
            raise Conflict("Your cart is empty, so there is nothing to order.", "ORDER_CART_EMPTY")
        locked = self.books.lock([entry.book_id for entry in entries])
        lines = _lines(entries, locked)
        self._check(checkout, lines)
        order = self.orders.insert(_contact(checkout, user.email) | {"user_id": user_id, **NEW})
        self.inventory.sell([_sale(line, order.id, user_id) for line in lines], locked)
        sold = self.lines.insert(user_id, [_sold(line, order.id) for line in lines])
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

    def cancel(self, user_id: int, order_id: int) -> Notified:
        """Cancel the customer's own order while it is placed, and give its copies back.

        Returns the customers that this notified; locks as `change_all` does. Raises NotFound or Conflict.
        """
        existing(self.orders.get(order_id, user_id))
        changed, notified = self._cancel([order_id], (PLACED,), by=user_id, user_id=user_id)
        if not changed:
            raise _wrong_state(existing(self.orders.get(order_id, user_id)), CANCELLED)
        return notified

    def change(self, order_id: int, status: str, by: int) -> Notified:
        """Let staff (`by`) make one order ready, collected or cancelled; raises NotFound or Conflict.

        Returns the customers that returned copies notified.
        """
        existing(self.orders.get(order_id))
        changed, notified = self.change_all([order_id], status, by)
        if not changed:
            raise _wrong_state(existing(self.orders.get(order_id)), status)
        return notified

    def change_all(self, order_ids: Collection[int], status: str, by: int) -> tuple[Sequence[int], Notified]:
        """Let staff (`by`) make orders ready, collected or cancelled; those that cannot become so are left alone.

        Returns the ids of those that did, and the customers that returned copies notified. Locks, for
        cancelling, the books in id order, then the orders; until the caller's transaction ends.
        """
        if status == CANCELLED:
            return self._cancel(order_ids, BEFORE[CANCELLED], by=by)
        changed = self.orders.change_status(order_ids, BEFORE[status], status)
        if status == READY:
            self.mail.queue_of_orders(ORDER_READY, self.orders.customers_of(changed))
        return changed, Notified()

    def lock_open(self, user_id: int, also: Collection[int]) -> None:
        """Lock the books of the customer's orders that are placed or ready, and these others, all in one id order."""
        lines = self.orders.list_lines(self.orders.list_open(user_id))
        self.books.lock({*also, *(line.book_id for line in lines)})

    def cancel_open(self, user_id: int) -> Notified:
        """Cancel all the customer's orders that are placed or ready; returns the customers that this notified."""
        return self._cancel(self.orders.list_open(user_id), BEFORE[CANCELLED], by=user_id)[1]

    def _cancel(
        self, order_ids: Collection[int], which: Collection[str], *, by: int, user_id: int | None = None
    ) -> tuple[Sequence[int], Notified]:
        lines = self.orders.list_lines(order_ids)
        self.books.lock({line.book_id for line in lines})
        seen = {line.order_id for line in lines}  # none that was placed since: its copies would not come back
        changed = self.orders.change_status(seen, which, CANCELLED, user_id=user_id)
        notified = Notified()
        for order_id in changed:  # one by one, as a book may be in several
            notified.add(self._return([line for line in lines if line.order_id == order_id], by))
        self.mail.queue_of_orders(ORDER_CANCELLED, self.orders.customers_of(changed))
        self.alerts.queue(notified)
        return changed, notified

    def _return(self, lines: Sequence[OrderLine], by: int) -> Notified:
        """Give the copies of an order back; returns the customers that this notified."""
        changes = [
            StockChange(book_id=line.book_id, delta=line.quantity, reason=RETURN, user_id=by, order_id=line.order_id)
            for line in lines
        ]
        try:
            return self.inventory.update_stocks(changes)
        except Invalid as full:
            raise Conflict(f"The order cannot be cancelled just now. {full.sentence}", "ORDER_STATE") from None


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


def _lines(entries: Sequence[CartEntry], locked: Sequence[StockedBook]) -> list[CartLine]:
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


def _wrong_state(order: Order, status: str) -> Conflict:
    if (order.status, status) == (PLACED, COLLECTED):
        return Conflict(f"Order {order.number} must be marked ready first.", "ORDER_STATE")
    return Conflict(f"Order {order.number} is {order.status}, so it cannot become {status}.", "ORDER_STATE")
