"""Placing orders and changing their status, with the effect on the stock and the e-mails to send."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Row
from sqlalchemy.orm import Session

from bookshop.accounts.authentication import Authentication
from bookshop.alerts.service import AlertService
from bookshop.audit.service import AuditService
from bookshop.cart.repository import CartEntry, CartRepository
from bookshop.cart.service import Cart, CartLine
from bookshop.catalog.repository import BookRepository, StockedBook
from bookshop.checkout.offer import Offer, OrderRules
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
from bookshop.orders.service import require_order

# The statuses from which an order can move to each status.
ALLOWED_FROM = {READY: (PLACED,), COLLECTED: (READY,), CANCELLED: (PLACED, READY)}
NEW_ORDER = {"status": PLACED, "payment": ON_COLLECTION}


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """What a customer enters at the checkout. Without a name, the order is under the e-mail address.

    `shown` is the fingerprint of the offer that the customer saw, `expected` its total for this delivery, one amount
    per currency. The order is refused if the cart, a price or the postage has changed since.
    """

    name: str | None = None
    phone: str | None = None
    note: str | None = None
    delivery: str = COLLECT
    address: str | None = None
    shown: str | None = None
    expected: Sequence[Amount] | None = None


class PlacedOrder(NamedTuple):
    """A new order and its lines, as rows whose columns are named as in the models."""

    order: Row[*tuple[Any, ...]]
    lines: Sequence[Row[*tuple[Any, ...]]]


class CheckoutService:
    """Places, changes and cancels orders; never commits. BookService changes the stock.

    Customers get an e-mail when an order is placed, ready or cancelled. Cancelling also queues the alerts to waiting
    customers who were notified because copies returned to stock.
    """

    def __init__(
        self, session: Session, inventory: BookService, mail: MailService, alerts: AlertService, rules: OrderRules
    ) -> None:
        self.inventory = inventory
        self.mail = mail
        self.alerts = alerts
        self.audit = AuditService(session)
        self.authentication = Authentication(session)
        self.books = BookRepository(session)
        self.items = CartRepository(session)
        self.orders = OrderRepository(session)
        self.lines = CheckoutRepository(session)
        self.rules = rules

    def place(self, user_id: int, checkout: Checkout, entries: Sequence[CartEntry] | None = None) -> PlacedOrder:
        """Order all books in the customer's cart, or none; with `entries`, order these and leave the rest of the cart.

        Locks the customer's row, so that the limit is exact and a second checkout or a change of the cart waits, then
        the books in id order; both until the caller's commit. Raises Conflict for an empty cart, for one that has
        changed since it was shown and for too many open orders, InsufficientStock if any book has too few copies,
        Invalid if it cannot be posted as `checkout` requests, or NotAuthenticated if the account is no longer active.
        """
        user = self.authentication.lock_active(user_id)
        if user is None:
            raise NotAuthenticated("This account is no longer active.")
        if entries is None:
            entries = self.items.take_all(user_id)
        else:
            self.items.remove_all(user_id, [entry.book_id for entry in entries])
        if not entries:
            raise _cart_is_empty()
        self._check_limit(user_id)
        locked = self.books.lock([entry.book_id for entry in entries])
        lines = _lines(entries, locked)
        offer = self.offer(Cart(lines))
        self._check(checkout, offer)
        terms = {"wording": offer.wording, **_charge(offer.charge(checkout.delivery))}
        order = self.orders.insert(_contact(checkout, user.email) | {"user_id": user_id, **terms, **NEW_ORDER})
        self.inventory.sell([_sale(line, order.id, user_id) for line in lines], locked)
        sold = self.lines.insert(user_id, [_order_line(line, order.id) for line in lines])
        self.mail.queue_order_message(ORDER_PLACED, order.id, user_id, user.email)
        return PlacedOrder(order, sold)

    def check(self, checkout: Checkout, entries: Sequence[CartEntry]) -> None:
        """Raise what `place` would raise about these books and this checkout; locks nothing."""
        if not entries:
            raise _cart_is_empty()
        lines = _lines(entries, self.books.list_stocked([entry.book_id for entry in entries]))
        self._check(checkout, self.offer(Cart(lines)))

    def offer(self, cart: Cart) -> Offer:
        """Return what the shop charges for a cart."""
        return Offer(cart, self.rules.postage, self.rules.wording)

    def _check_limit(self, user_id: int) -> None:
        if self.orders.count_open(user_id) >= self.rules.max_open:
            raise Conflict(
                f"You can have at most {self.rules.max_open} open orders at a time. Collect or cancel one, then order "
                "again.",
                "ORDER_LIMIT",
            )

    def _check(self, checkout: Checkout, offer: Offer) -> None:
        if short := [line for line in offer.cart.lines if line.is_short]:
            raise _insufficient_stock(short)
        if checkout.delivery == POST and not self.rules.postage:
            raise Invalid("This shop does not post orders. Collect this one in the shop.", "delivery")
        total = offer.totals(checkout.delivery)
        price_differs = checkout.expected is not None and sorted(checkout.expected) != sorted(total)
        if checkout.shown not in (None, offer.fingerprint) or price_differs:
            raise order_changed()
        if checkout.delivery == POST and not checkout.address:
            raise Invalid("Enter the address that we should post it to.", "address")

    def cancel(self, user_id: int, order_id: int) -> Notified:
        """Cancel the customer's own order while it is placed, and return its copies to stock.

        Returns the customers who were notified because copies returned; locks as `change_all` does. Raises NotFound or
        Conflict.
        """
        require_order(self.orders.get(order_id, user_id))
        changed, notified = self._cancel([order_id], (PLACED,), by=user_id, user_id=user_id)
        if not changed:
            raise _wrong_state(require_order(self.orders.get(order_id, user_id)), CANCELLED)
        return notified

    def change(self, order_id: int, status: str, by: int) -> Notified:
        """Mark one order as ready, collected or cancelled on behalf of a member of staff (`by`).

        Returns the customers who were notified because copies returned. Raises NotFound or Conflict.
        """
        require_order(self.orders.get(order_id))
        changed, notified = self.change_all([order_id], status, by)
        if not changed:
            raise _wrong_state(require_order(self.orders.get(order_id)), status)
        return notified

    def change_all(self, order_ids: Collection[int], status: str, by: int) -> tuple[Sequence[int], Notified]:
        """Mark orders as ready, collected or cancelled on behalf of a member of staff (`by`).

        Skips orders that cannot move to this status. Returns the ids of the changed orders, and the customers who were
        notified because copies returned. Locks the books in id order (only to cancel), then the orders, until the
        caller's transaction ends. Raises Conflict if a stock has no room for the returned copies.
        """
        if status == CANCELLED:
            return self._cancel(order_ids, ALLOWED_FROM[CANCELLED], by=by)
        changed = self.orders.change_status(order_ids, ALLOWED_FROM[status], status)
        self.audit.record_field(f"order.{status}", "status", changed, status)
        if status == READY:
            self.mail.queue_order_messages(ORDER_READY, self.orders.customers_of(list(changed)))
        return list(changed), Notified()

    def lock_open(self, user_id: int, also: Collection[int]) -> None:
        """Lock the books of the customer's placed and ready orders together with the books `also`, in id order."""
        lines = self.orders.list_lines(self.orders.list_open(user_id))
        self.books.lock({*also, *(line.book_id for line in lines)})

    def cancel_open(self, user_id: int) -> Notified:
        """Cancel all placed and ready orders of the customer; returns the customers who were notified by this.

        Locks and raises as `change_all` does.
        """
        return self._cancel(self.orders.list_open(user_id), ALLOWED_FROM[CANCELLED], by=user_id)[1]

    def _cancel(
        self, order_ids: Collection[int], statuses: Collection[str], *, by: int, user_id: int | None = None
    ) -> tuple[Sequence[int], Notified]:
        lines = self.orders.list_lines(order_ids)
        self.books.lock({line.book_id for line in lines})
        # Only orders whose lines were read above: the copies of an order placed since would not be returned.
        changed = self.orders.change_status({line.order_id for line in lines}, statuses, CANCELLED, user_id=user_id)
        self.audit.record_field(f"order.{CANCELLED}", "status", changed, CANCELLED)
        notified = Notified()
        for order_id in changed:  # one at a time, as several orders may have the same book
            notified.add(self._return([line for line in lines if line.order_id == order_id], by))
        self.mail.queue_order_messages(ORDER_CANCELLED, self.orders.customers_of(list(changed)))
        self.alerts.queue(notified)
        return list(changed), notified

    def _return(self, lines: Sequence[OrderLine], by: int) -> Notified:
        """Put the copies of an order back into stock, and return the customers who were notified by this."""
        changes = [
            StockChange(book_id=line.book_id, delta=line.quantity, reason=RETURN, user_id=by, order_id=line.order_id)
            for line in lines
        ]
        try:
            return self.inventory.update_stocks(changes)
        except Invalid as full:
            raise Conflict(f"The order cannot be cancelled now. {full.sentence}", "ORDER_STATE") from None


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


def _charge(postage: Amount | None) -> dict[str, Any]:
    """Return the columns of an order for its postage."""
    cents, currency = postage or (0, None)
    return {"postage_cents": cents, "postage_currency": currency}


def _lines(entries: Sequence[CartEntry], locked: Sequence[StockedBook]) -> list[CartLine]:
    books = {book.id: book for book in locked}
    return [CartLine(entry, books[entry.book_id]) for entry in entries]


def order_changed() -> Conflict:
    """Return the refusal of an order that is not what the customer was shown."""
    return Conflict(
        "Your cart or what it costs has changed since you last saw it. Nothing was ordered: check your cart and order "
        "again.",
        "ORDER_CHANGED",
    )


def _cart_is_empty() -> Conflict:
    return Conflict("Your cart is empty, so there is nothing to order.", "ORDER_CART_EMPTY")


def _insufficient_stock(short: Sequence[CartLine]) -> InsufficientStock:
    lines = "; ".join(f"{shortened(line.book.title)} ({line.left} left, {line.quantity} wanted)" for line in short)
    return InsufficientStock(
        f"There are too few copies of {lines}. Nothing was ordered: order fewer copies, reserve what is sold out, or "
        "remove what is withdrawn.",
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


def _order_line(line: CartLine, order_id: int) -> dict[str, Any]:
    """Return the values of an order line: a copy of the book's data, which later changes of the book do not affect."""
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
