"""What customers, and visitors who are not logged in, do with a cart."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from bookshop.accounts.authentication import Authentication
from bookshop.cart.repository import CartEntry, CartRepository
from bookshop.catalog.repository import BookRepository, StockedBook
from bookshop.kit.exceptions import Conflict, NotAuthenticated, NotFound, book_not_found
from bookshop.kit.money import Amount, totals
from bookshop.prebookings.repository import PreBookRepository
from bookshop.prebookings.service import PreBookService


@dataclass(frozen=True)
class CartLine:
    """A book in a cart as it is now (`book`), beside what it was when it was put there (`entry`)."""

    entry: CartEntry
    book: StockedBook

    @property
    def quantity(self) -> int:
        """How many copies are wanted."""
        return self.entry.quantity

    @property
    def withdrawn(self) -> bool:
        """Whether the book is no longer sold."""
        return self.book.withdrawn_at is not None

    @property
    def left(self) -> int:
        """How many copies can be had just now."""
        return 0 if self.withdrawn else self.book.stock_quantity

    @property
    def is_short(self) -> bool:
        """Whether fewer copies are left than wanted."""
        return self.left < self.quantity

    @property
    def capped(self) -> "CartLine":
        """The same with no more copies than can be had just now."""
        return CartLine(self.entry._replace(quantity=min(self.quantity, self.left)), self.book)

    @property
    def price_changed(self) -> bool:
        """Whether the price is another than when the book was put into the cart."""
        return (self.entry.price_cents, self.entry.currency) != (self.book.price_cents, self.book.currency)

    @property
    def stock_changed(self) -> bool:
        """Whether the stock is another than when the book was put into the cart."""
        return self.entry.stock_quantity != self.left

    @property
    def amount(self) -> Amount:
        """What the line costs."""
        return Amount(self.quantity * self.book.price_cents, self.book.currency)


@dataclass(frozen=True)
class Cart:
    """What is in a cart."""

    lines: Sequence[CartLine]

    @property
    def copies(self) -> int:
        """How many copies are in it."""
        return sum(line.quantity for line in self.lines)

    @property
    def totals(self) -> Sequence[Amount]:
        """What all of it costs, an amount for each currency."""
        return totals(line.amount for line in self.lines)

    @property
    def available(self) -> "Cart":
        """What of it can be had just now: no more copies than are left, and no book of which there are none."""
        return Cart([line.capped for line in self.lines if line.left])

    @property
    def is_short(self) -> bool:
        """Whether it could not be ordered just now, as there are too few copies of something."""
        return any(line.is_short for line in self.lines)

    @property
    def fingerprint(self) -> str:
        """What one agrees to by ordering it: another text as soon as a book, a number or a price is another."""
        return " ".join(
            f"{line.book.id}x{line.quantity}@{line.book.price_cents}{line.book.currency}" for line in self.lines
        )


class CartService:
    """Puts books into carts and takes them out; never commits. `max_lines` and `max_copies` are the cart's limits.

    A customer's cart is in the database. That of a visitor who is not logged in is a mapping of book ids to entries
    that the view keeps in a cookie: `added` and `changed` hold the rules for both.
    """

    def __init__(
        self,
        session: Session,
        authentication: Authentication,
        prebookings: PreBookService,
        max_lines: int,
        max_copies: int,
    ) -> None:
        self.session = session
        self.authentication = authentication
        self.books = BookRepository(session)
        self.items = CartRepository(session)
        self.prebookings = prebookings
        self.max_lines, self.max_copies = max_lines, max_copies

    def get(self, user_id: int) -> Cart:
        """What is in the customer's cart."""
        return self.with_current_books(self.items.list_entries(user_id))

    def get_line(self, user_id: int, book_id: int) -> CartLine:
        """A book in the customer's cart; raises NotFound if it is not in it."""
        held = {entry.book_id: entry for entry in self.items.list_entries(user_id)}
        return self.with_current_books([_in(held, book_id)]).lines[0]

    def with_current_books(self, entries: Sequence[CartEntry]) -> Cart:
        """The entries beside what their books are now; those of books that were never there are left out."""
        books = {book.id: book for book in self.books.list_stocked([entry.book_id for entry in entries])}
        return Cart([CartLine(entry, books[entry.book_id]) for entry in entries if entry.book_id in books])

    def add(self, user_id: int, book_id: int, quantity: int = 1) -> CartLine:
        """Put copies of a book into the customer's cart, to those that are in it; returns its line.

        Locks the customer's row, which makes the limits exact. Raises NotFound or Conflict.
        """
        line = self.added(self._locked(user_id), book_id, quantity)
        self.items.put(user_id, line.entry)
        return line

    def set_quantity(self, user_id: int, book_id: int, quantity: int) -> CartLine:
        """Change how many copies of a book are in the customer's cart; returns its line.

        Raises NotFound or Conflict.
        """
        line = self.changed(self._locked(user_id), book_id, quantity)
        self.items.put(user_id, line.entry)
        return line

    def reduce_to_stock(self, user_id: int, book_id: int) -> None:
        """Want no more copies than there are: lower the number in the customer's cart, or take the book out."""
        entry = self.reduced(self._locked(user_id), book_id)
        if entry:
            self.items.put(user_id, entry)
        else:
            self.items.remove(user_id, book_id)

    def remove(self, user_id: int, book_id: int) -> None:
        """Take a book out of the customer's cart; raises NotFound if it is not in it."""
        self._lock(user_id)
        if not self.items.remove(user_id, book_id):
            raise _not_in_cart()

    def reserve_instead(self, user_id: int, book_id: int) -> Any:
        """Reserve a sold-out book and take it out of the customer's cart; raises as `reserve` does.

        Returns what `reserve` does or, if the customer waits for the book already, the pre-booking of before.
        """
        self._lock(user_id)
        self.items.remove(user_id, book_id)
        try:
            return self.prebookings.reserve(user_id, book_id)
        except Conflict as refused:
            if refused.code != "PREBOOK_DUPLICATE":
                raise
            return PreBookRepository(self.session).latest(user_id, book_id)

    def merge(self, user_id: int, entries: Sequence[CartEntry]) -> Sequence[str]:
        """Put what a visitor had in the cart before the login into the customer's; returns titles that had no room.

        Of a book that was in both the larger number is kept: whoever logs in with a double click, or puts a book in
        again because they were logged out, does not find it doubled.
        """
        held, left_out = self._locked(user_id), []
        for line in self.with_current_books(entries).lines:
            former = held.get(line.book.id)
            if former is None and len(held) >= self.max_lines:
                left_out.append(line.book.title)
                continue
            quantity = min(max(line.quantity, former.quantity if former else 0), self.max_copies)
            held[line.book.id] = line.entry._replace(quantity=quantity)
            self.items.put(user_id, held[line.book.id])
        return left_out

    def added(self, held: Mapping[int, CartEntry], book_id: int, quantity: int) -> CartLine:
        """The line of a book of which copies are added to a cart that holds these entries.

        Raises NotFound, or Conflict if the book is out of stock or the cart is full.
        """
        book = self._book(book_id)
        if not book.in_stock:
            raise _sold_out()
        if book_id not in held and len(held) >= self.max_lines:
            raise Conflict(
                f"A cart holds {self.max_lines} different books at most. Order these first, or take one out.",
                "CART_LIMIT",
            )
        already = held[book_id].quantity if book_id in held else 0
        self._check_copies(already + quantity)
        return CartLine(_seen(book, already + quantity), book)

    def changed(self, held: Mapping[int, CartEntry], book_id: int, quantity: int) -> CartLine:
        """The line of a book that is in a cart that holds these entries, with another number of copies.

        Fewer can always be had; more are refused as `added` does. Raises NotFound or Conflict.
        """
        former, book = _in(held, book_id), self._book(book_id)
        if quantity > former.quantity:
            self._check_copies(quantity)
            if not book.in_stock:
                raise _sold_out()
        return CartLine(_seen(book, quantity), book)

    def reduced(self, held: Mapping[int, CartEntry], book_id: int) -> CartEntry | None:
        """The entry of a book that is in a cart that holds these entries, with no more copies than there are.

        None if there are none. Raises NotFound.
        """
        for line in self.with_current_books([_in(held, book_id)]).lines:
            if line.left:
                return _seen(line.book, line.capped.quantity)
        return None

    def _check_copies(self, quantity: int) -> None:
        if quantity > self.max_copies:
            raise Conflict(
                f"A cart holds {self.max_copies} copies of a book at most. If you need more, tell us in the note of "
                "your order.",
                "CART_LIMIT",
            )

    def _book(self, book_id: int) -> StockedBook:
        for book in self.books.list_stocked([book_id]):
            if book.withdrawn_at is None:
                return book
        raise book_not_found()

    def _lock(self, user_id: int) -> None:
        if not self.authentication.lock_active(user_id):
            raise NotAuthenticated("This account is no longer active.")

    def _locked(self, user_id: int) -> dict[int, CartEntry]:
        """What is in the customer's cart, which nobody else changes until the transaction ends."""
        self._lock(user_id)
        return {entry.book_id: entry for entry in self.items.list_entries(user_id)}


def _seen(book: StockedBook, quantity: int) -> CartEntry:
    """An entry of the book as it is now."""
    return CartEntry(book.id, quantity, book.price_cents, book.currency, book.stock_quantity)


def _sold_out() -> Conflict:
    return Conflict("This book is out of stock — reserve it instead.", "CART_BOOK_OUT_OF_STOCK")


def _in(held: Mapping[int, CartEntry], book_id: int) -> CartEntry:
    if book_id not in held:
        raise _not_in_cart()
    return held[book_id]


def _not_in_cart() -> NotFound:
    return NotFound("This book is not in your cart.", "CART_ITEM_NOT_FOUND")
