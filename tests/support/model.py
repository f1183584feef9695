"""A plain Python model of the shop's state and responses, with which the state machine compares the shop."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from tests.support.clients import ApiClient

MAX_WAITING, CART_LINES, CART_COPIES = 2, 2, 3  # small enough to be reached


@dataclass
class Book:
    isbn: str
    title: str
    stock: int = 0
    withdrawn: bool = False


@dataclass
class User:
    email: str
    api_client: ApiClient
    active: bool = True
    deleted: bool = False


@dataclass
class Reservation:
    user: int
    book: int
    status: str = "waiting"


@dataclass
class Line:
    """An order line: its quantity and the reservation that it fulfils."""

    quantity: int
    reservation: int | None


@dataclass
class Order:
    user: int
    lines: dict[int, Line]
    status: str = "placed"


@dataclass
class Link:
    """A login link: the browser that asked for it, and whether it has been used and still works."""

    email: str
    browser: str
    is_used: bool = False
    is_open: bool = True


@dataclass
class Model:
    """The expected state of the shop, by id; carts by user id, and in each the copies by book id."""

    books: dict[int, Book] = field(default_factory=dict)
    users: dict[int, User] = field(default_factory=dict)
    reservations: dict[int, Reservation] = field(default_factory=dict)
    carts: defaultdict[int, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    orders: dict[int, Order] = field(default_factory=dict)
    alerts: dict[int, str] = field(default_factory=dict)  # by reservation: queued, sent, or why stopped
    links: dict[int, Link] = field(default_factory=dict)
    started: dict[tuple[str, str], set[int]] = field(default_factory=dict)  # books by address and browser

    def waiting(self, *, user: int | None = None, book: int | None = None) -> list[Reservation]:
        return [
            reservation
            for reservation in self.reservations.values()
            if reservation.status == "waiting" and user in (None, reservation.user) and book in (None, reservation.book)
        ]

    def response_to_reserve(self, user: int, book: int) -> tuple[int, str | None]:
        if not self.users[user].active:
            return 401, "NOT_AUTHENTICATED"
        if refusal := self.refusal_of_book(book):
            return 404 if refusal == "BOOK_NOT_FOUND" else 409, refusal
        if self.waiting(user=user, book=book):
            return 409, "PREBOOK_DUPLICATE"
        if len(self.waiting(user=user)) >= MAX_WAITING:
            return 409, "PREBOOK_LIMIT_REACHED"
        return 201, None

    def refusal_of_book(self, book: int) -> str | None:
        """Return why nobody can reserve this book."""
        if self.books[book].withdrawn:
            return "BOOK_NOT_FOUND"
        return "PREBOOK_BOOK_IN_STOCK" if self.books[book].stock else None

    def is_deactivated(self, email: str) -> bool:
        return any(user.email == email and not user.active and not user.deleted for user in self.users.values())

    def take_started(self, email: str, browsers: set[str]) -> set[int]:
        """Return the books that were started for an address in these browsers, and forget them."""
        return {book for browser in browsers for book in self.started.pop((email, browser), set())}

    def end_links(self, email: str) -> None:
        for link in self.links.values():
            if link.email == email:
                link.is_open = False

    def response_to_cancel(self, user: int, reservation: int) -> tuple[int, str | None]:
        if not self.users[user].active:
            return 401, "NOT_AUTHENTICATED"
        if self.reservations[reservation].user != user:
            return 404, "PREBOOK_NOT_FOUND"
        status = self.reservations[reservation].status
        return (204, None) if status == "waiting" else (409, f"PREBOOK_ALREADY_{status.upper()}")

    def set_stock(self, book: int, quantity: int) -> int:
        """Set a stock; return the number of notified reservations."""
        is_restock = self.books[book].stock == 0 < quantity
        notified = self.waiting(book=book) if is_restock else []
        self.books[book].stock = quantity
        self.alerts |= {
            number: "queued"
            for number, reservation in self.reservations.items()
            if any(reservation is one for one in notified)
        }
        if is_restock:
            self.queue_again(book)
        elif quantity == 0:
            self.change_alerts("queued", "gone", book=book)
        return set_statuses(notified, "notified")

    def put_back(self, book: int) -> None:
        self.books[book].withdrawn = False
        if self.books[book].stock:
            self.queue_again(book)

    def change_alerts(self, before: str, after: str, *, user: int | None = None, book: int | None = None) -> None:
        for number, state in self.alerts.items():
            reservation = self.reservations[number]
            if state == before and user in (None, reservation.user) and book in (None, reservation.book):
                self.alerts[number] = after

    def queue_again(self, book: int) -> None:
        """Queue the alerts that were stopped as gone, except those with a final reason."""
        for number, state in self.alerts.items():
            if state == "gone" and self.reservations[number].book == book and not self.books[book].withdrawn:
                self.alerts[number] = self.final_reason(number) or "queued"

    def final_reason(self, number: int) -> str | None:
        reservation = self.reservations[number]
        if not self.users[reservation.user].active:
            return "closed"
        if any(line.reservation == number for order in self.orders.values() for line in order.lines.values()):
            return "bought"
        return "reserved_again" if self.is_reserved_again(number) else None

    def is_reserved_again(self, number: int) -> bool:
        reservation = self.reservations[number]
        return any(
            later > number and (other.user, other.book) == (reservation.user, reservation.book)
            for later, other in self.reservations.items()
        )

    def send(self) -> None:
        """Send everything that is queued."""
        for number, state in self.alerts.items():
            if state == "queued":
                self.alerts[number] = self.outcome(number)

    def outcome(self, number: int) -> str:
        book, reason = self.books[self.reservations[number].book], self.final_reason(number)
        if reason == "bought" and self.is_reserved_again(number):
            reason = "reserved_again"
        if book.withdrawn or not book.stock:
            return reason or "gone"
        return reason if reason and reason != "bought" else "sent"

    def response_to_add(self, user: int, book: int, quantity: int) -> tuple[int, str | None]:
        cart = self.carts[user]
        if not self.users[user].active:
            return 401, "NOT_AUTHENTICATED"
        if self.books[book].withdrawn:
            return 404, "BOOK_NOT_FOUND"
        if self.books[book].stock == 0:
            return 409, "CART_BOOK_OUT_OF_STOCK"
        if (book not in cart and len(cart) >= CART_LINES) or cart.get(book, 0) + quantity > CART_COPIES:
            return 409, "CART_LIMIT"
        return (200 if book in cart else 201), None

    def response_to_change(self, user: int, book: int, quantity: int) -> tuple[int, str | None]:
        if not self.users[user].active:
            return 401, "NOT_AUTHENTICATED"
        if book not in self.carts[user]:
            return 404, "CART_ITEM_NOT_FOUND"
        if self.books[book].withdrawn:
            return 404, "BOOK_NOT_FOUND"
        if quantity > CART_COPIES:
            return 409, "CART_LIMIT"
        sold_out = not self.books[book].stock and quantity > self.carts[user][book]
        return (409, "CART_BOOK_OUT_OF_STOCK") if sold_out else (200, None)

    def response_to_order(self, user: int) -> tuple[int, str | None]:
        if not self.users[user].active:
            return 401, "NOT_AUTHENTICATED"
        if not self.carts[user]:
            return 409, "ORDER_CART_EMPTY"
        books = {book: self.books[book] for book in self.carts[user]}
        available = {number: 0 if book.withdrawn else book.stock for number, book in books.items()}
        short = any(available[book] < copies for book, copies in self.carts[user].items())
        return (409, "ORDER_INSUFFICIENT_STOCK") if short else (201, None)

    def response_to_cancel_order(self, user: int, order: int) -> tuple[int, str | None]:
        if not self.users[user].active:
            return 401, "NOT_AUTHENTICATED"
        if self.orders[order].user != user:
            return 404, "ORDER_NOT_FOUND"
        return (200, None) if self.orders[order].status == "placed" else (409, "ORDER_STATE")

    def order(self, user: int) -> Order:
        """Order what is in the cart and empty it."""
        cart = self.carts.pop(user)
        order = Order(
            user, {book: Line(copies, self.fulfilled_reservation(user, book)) for book, copies in cart.items()}
        )
        for book, copies in cart.items():
            self.books[book].stock -= copies
        return order

    def fulfilled_reservation(self, user: int, book: int) -> int | None:
        """Return the customer's last notified reservation of the book, unless an order has fulfilled it."""
        live = [order for order in self.orders.values() if order.status != "cancelled"]
        fulfilled = {line.reservation for order in live for line in order.lines.values()}
        notified = [
            n for n, reservation in self.reservations.items() if reservation == Reservation(user, book, "notified")
        ]
        last = max(notified, default=None)
        return None if last in fulfilled else last

    def cancel_order(self, order: Order) -> None:
        """Cancel an order and return its copies, which may notify waiting customers."""
        order.status = "cancelled"
        for book, line in order.lines.items():
            self.set_stock(book, self.books[book].stock + line.quantity)

    def delete_account(self, user: int) -> int:
        """Delete an account; return the number of cancelled reservations."""
        cancelled = set_statuses(self.waiting(user=user), "cancelled")
        for order in self.orders.values():
            if order.user == user and order.status in {"placed", "ready"}:
                self.cancel_order(order)
        for state in ("queued", "gone"):
            self.change_alerts(state, "closed", user=user)
        self.carts.pop(user, None)
        self.users[user].active, self.users[user].deleted = False, True
        email = self.users[user].email
        self.links = {number: link for number, link in self.links.items() if link.email != email}
        self.started = {key: books for key, books in self.started.items() if key[0] != email}
        return cancelled


def set_statuses(reservations: list[Reservation], status: str) -> int:
    for reservation in reservations:
        reservation.status = status
    return len(reservations)


def status_and_code(response: Any) -> tuple[int, str | None]:
    """Return the status of a response and the code of its problem, if any."""
    return response.status_code, response.get_json()["code"] if response.status_code >= 400 else None
