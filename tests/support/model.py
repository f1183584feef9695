"""What the shop should hold and answer, as plain Python: the model that the state machine compares it with."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from tests.support.clients import ApiClient

MAX_WAITING, CART_LINES, CART_COPIES = 2, 2, 3  # small, so that they are reached


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
    left: bool = False


@dataclass
class Wish:
    user: int
    book: int
    status: str = "waiting"


@dataclass
class Line:
    """Copies of a book in an order, and the wish that they end."""

    quantity: int
    wish: int | None


@dataclass
class Order:
    user: int
    lines: dict[int, Line]
    status: str = "placed"


@dataclass
class Model:
    """What the shop should hold, by id; a cart by its user, and in it the copies by their book."""

    books: dict[int, Book] = field(default_factory=dict)
    users: dict[int, User] = field(default_factory=dict)
    wishes: dict[int, Wish] = field(default_factory=dict)
    carts: defaultdict[int, dict[int, int]] = field(default_factory=lambda: defaultdict(dict))
    orders: dict[int, Order] = field(default_factory=dict)
    alerts: dict[int, str] = field(default_factory=dict)  # by their wish: queued, sent, or why they are stopped

    def waiting(self, *, user: int | None = None, book: int | None = None) -> list[Wish]:
        return [
            wish
            for wish in self.wishes.values()
            if wish.status == "waiting" and user in (None, wish.user) and book in (None, wish.book)
        ]

    def answer_to_reserve(self, user: int, book: int) -> tuple[int, str | None]:
        if not self.users[user].active:
            return 401, "NOT_AUTHENTICATED"
        if self.books[book].withdrawn:
            return 404, "BOOK_NOT_FOUND"
        if self.books[book].stock:
            return 409, "PREBOOK_BOOK_IN_STOCK"
        if self.waiting(user=user, book=book):
            return 409, "PREBOOK_DUPLICATE"
        if len(self.waiting(user=user)) >= MAX_WAITING:
            return 409, "PREBOOK_LIMIT_REACHED"
        return 201, None

    def answer_to_cancel(self, user: int, wish: int) -> tuple[int, str | None]:
        if not self.users[user].active:
            return 401, "NOT_AUTHENTICATED"
        if self.wishes[wish].user != user:
            return 404, "PREBOOK_NOT_FOUND"
        status = self.wishes[wish].status
        return (204, None) if status == "waiting" else (409, f"PREBOOK_ALREADY_{status.upper()}")

    def set_stock(self, book: int, quantity: int) -> int:
        """Returns how many that notifies."""
        is_restock = self.books[book].stock == 0 < quantity
        told = self.waiting(book=book) if is_restock else []
        self.books[book].stock = quantity
        self.alerts |= {number: "queued" for number, wish in self.wishes.items() if any(wish is one for one in told)}
        if is_restock:
            self.queue_again(book)
        elif quantity == 0:
            self.change_alerts("queued", "gone", book=book)
        return end(told, "notified")

    def put_back(self, book: int) -> None:
        self.books[book].withdrawn = False
        if self.books[book].stock:
            self.queue_again(book)

    def change_alerts(self, before: str, after: str, *, user: int | None = None, book: int | None = None) -> None:
        for number, state in self.alerts.items():
            wish = self.wishes[number]
            if state == before and user in (None, wish.user) and book in (None, wish.book):
                self.alerts[number] = after

    def queue_again(self, book: int) -> None:
        """Queue the alerts that were stopped as gone, but those that are never to go out."""
        for number, state in self.alerts.items():
            if state == "gone" and self.wishes[number].book == book and not self.books[book].withdrawn:
                self.alerts[number] = self.never_again(number) or "queued"

    def never_again(self, number: int) -> str | None:
        wish = self.wishes[number]
        if not self.users[wish.user].active:
            return "closed"
        if any(line.wish == number for order in self.orders.values() for line in order.lines.values()):
            return "bought"
        return "reserved_again" if self.is_reserved_again(number) else None

    def is_reserved_again(self, number: int) -> bool:
        wish = self.wishes[number]
        return any(n > number and (w.user, w.book) == (wish.user, wish.book) for n, w in self.wishes.items())

    def send(self) -> None:
        """Let everything that is queued be due."""
        for number, state in self.alerts.items():
            if state == "queued":
                self.alerts[number] = self.outcome(number)

    def outcome(self, number: int) -> str:
        book, never = self.books[self.wishes[number].book], self.never_again(number)
        if never == "bought" and self.is_reserved_again(number):
            never = "reserved_again"
        if book.withdrawn or not book.stock:
            return never or "gone"
        return never if never and never != "bought" else "sent"

    def answer_to_add(self, user: int, book: int, quantity: int) -> tuple[int, str | None]:
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

    def answer_to_change(self, user: int, book: int, quantity: int) -> tuple[int, str | None]:
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

    def answer_to_order(self, user: int) -> tuple[int, str | None]:
        if not self.users[user].active:
            return 401, "NOT_AUTHENTICATED"
        if not self.carts[user]:
            return 409, "ORDER_CART_EMPTY"
        books = {book: self.books[book] for book in self.carts[user]}
        left = {number: 0 if book.withdrawn else book.stock for number, book in books.items()}
        short = any(left[book] < copies for book, copies in self.carts[user].items())
        return (409, "ORDER_INSUFFICIENT_STOCK") if short else (201, None)

    def answer_to_cancel_order(self, user: int, order: int) -> tuple[int, str | None]:
        if not self.users[user].active:
            return 401, "NOT_AUTHENTICATED"
        if self.orders[order].user != user:
            return 404, "ORDER_NOT_FOUND"
        return (200, None) if self.orders[order].status == "placed" else (409, "ORDER_STATE")

    def order(self, user: int) -> Order:
        """Sell what is in the cart, and empty it."""
        cart = self.carts.pop(user)
        made = Order(user, {book: Line(copies, self.wish_to_end(user, book)) for book, copies in cart.items()})
        for book, copies in cart.items():
            self.books[book].stock -= copies
        return made

    def wish_to_end(self, user: int, book: int) -> int | None:
        """The customer's last wish for the book that was notified, unless an order has ended it."""
        live = [order for order in self.orders.values() if order.status != "cancelled"]
        ended = {line.wish for order in live for line in order.lines.values()}
        told = [n for n, wish in self.wishes.items() if wish == Wish(user, book, "notified")]
        last = max(told, default=None)
        return None if last in ended else last

    def cancel_order(self, order: Order) -> None:
        """Put its copies back, for which some may wait."""
        order.status = "cancelled"
        for book, line in order.lines.items():
            self.set_stock(book, self.books[book].stock + line.quantity)

    def leave(self, user: int) -> int:
        """Forget a customer; returns how many wishes that cancels."""
        cancelled = end(self.waiting(user=user), "cancelled")
        for order in self.orders.values():
            if order.user == user and order.status in {"placed", "ready"}:
                self.cancel_order(order)
        for state in ("queued", "gone"):
            self.change_alerts(state, "closed", user=user)
        self.carts.pop(user, None)
        self.users[user].active, self.users[user].left = False, True
        return cancelled


def end(wishes: list[Wish], status: str) -> int:
    for wish in wishes:
        wish.status = status
    return len(wishes)


def said(answer: Any) -> tuple[int, str | None]:
    """The status of an answer, and the code of its problem."""
    return answer.status_code, answer.get_json()["code"] if answer.status_code >= 400 else None
