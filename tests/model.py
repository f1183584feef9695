"""What the shop should hold and answer, as plain Python: the model that the state machine compares it with."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from tests.clients import Script

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
    script: Script
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
        told = self.waiting(book=book) if self.books[book].stock == 0 < quantity else []
        self.books[book].stock = quantity
        return end(told, "notified")

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
