"""The rules for carts, both of customers and of visitors who are not logged in."""

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
    """A book in a cart: `book` is its current state, `entry` its state when it was added or last changed."""

    entry: CartEntry
    book: StockedBook

    @property
    def quantity(self) -> int:
        """The number of copies wanted."""
        return self.entry.quantity

    @property
    def withdrawn(self) -> bool:
        """Whether the book is no longer sold."""
        return self.book.withdrawn_at is not None

    @property
    def left(self) -> int:
        """The number of copies that can be sold now."""
        return 0 if self.withdrawn else self.book.stock_quantity

    @property
    def is_short(self) -> bool:
        """Whether fewer copies are left than wanted."""
        return self.left < self.quantity

    @property
    def capped(self) -> "CartLine":
        """This line with at most the copies that are left."""
        return CartLine(self.entry._replace(quantity=min(self.quantity, self.left)), self.book)

    @property
    def price_changed(self) -> bool:
        """Whether the price has changed since the book was added or its quantity last changed."""
        return (self.entry.price_cents, self.entry.currency) != (self.book.price_cents, self.book.currency)

    @property
    def stock_changed(self) -> bool:
        """Whether the stock has changed since the book was added or its quantity last changed."""
        return self.entry.stock_quantity != self.left

    @property
    def amount(self) -> Amount:
        """The price of all copies of the line."""
        return Amount(self.quantity * self.book.price_cents, self.book.currency)


@dataclass(frozen=True)
class Cart:
    """The contents of a cart."""

    lines: Sequence[CartLine]

    @property
    def copies(self) -> int:
        """The number of copies in the cart."""
        return sum(line.quantity for line in self.lines)

    @property
    def totals(self) -> Sequence[Amount]:
        """The total price, one amount per currency."""
        return totals(line.amount for line in self.lines)

    @property
    def available(self) -> "Cart":
        """The part that can be ordered now: at most the copies that are left, and no sold-out books."""
        return Cart([line.capped for line in self.lines if line.left])

    @property
    def is_short(self) -> bool:
        """Whether any book has too few copies, so that the cart cannot be ordered as it is."""
        return any(line.is_short for line in self.lines)

    @property
    def fingerprint(self) -> str:
        """A text that changes whenever a book, a quantity or a price changes; the customer orders exactly this."""
        return " ".join(
            f"{line.book.id}x{line.quantity}@{line.book.price_cents}{line.book.currency}" for line in self.lines
        )


class CartService:
    """Adds books to carts and removes them; never commits. `max_lines` and `max_copies` are the cart's limits.

    A customer's cart is in the database. The cart of a visitor who is not logged in is a mapping of book ids to
    entries that the view stores in a cookie. `added_line`, `changed_line` and `reduced_entry` apply the rules to both.
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
        """Return the customer's cart."""
        return self.with_current_books(self.items.list_entries(user_id))

    def get_line(self, user_id: int, book_id: int) -> CartLine:
        """Return the cart line of a book; raises NotFound if it is not in the customer's cart."""
        entries = {entry.book_id: entry for entry in self.items.list_entries(user_id)}
        return self.with_current_books([_entry_of(entries, book_id)]).lines[0]

    def with_current_books(self, entries: Sequence[CartEntry]) -> Cart:
        """Return a cart of the entries with the current state of their books; entries for unknown books are dropped."""
        books = {book.id: book for book in self.books.list_stocked([entry.book_id for entry in entries])}
        return Cart([CartLine(entry, books[entry.book_id]) for entry in entries if entry.book_id in books])

    def add(self, user_id: int, book_id: int, quantity: int = 1) -> CartLine:
        """Add copies of a book to the customer's cart; returns the new line.

        Locks the customer's row until the transaction ends, so that the limits are exact. Raises NotFound or Conflict,
        or NotAuthenticated if the account is no longer active.
        """
        line = self.added_line(self._locked_entries(user_id), book_id, quantity)
        self.items.put(user_id, line.entry)
        return line

    def set_quantity(self, user_id: int, book_id: int, quantity: int) -> CartLine:
        """Change the number of copies of a book in the customer's cart; returns the new line.

        Locks and raises as `add` does.
        """
        line = self.changed_line(self._locked_entries(user_id), book_id, quantity)
        self.items.put(user_id, line.entry)
        return line

    def reduce_to_stock(self, user_id: int, book_id: int) -> None:
        """Reduce the copies in the customer's cart to those in stock, or remove the book if it is sold out.

        Locks as `add` does; raises NotFound if the book is not in the cart.
        """
        entry = self.reduced_entry(self._locked_entries(user_id), book_id)
        if entry:
            self.items.put(user_id, entry)
        else:
            self.items.remove(user_id, book_id)

    def remove(self, user_id: int, book_id: int) -> None:
        """Remove a book from the customer's cart; raises NotFound if it is not there. Locks as `add` does."""
        self._lock(user_id)
        if not self.items.remove(user_id, book_id):
            raise _not_in_cart()

    def reserve_instead(self, user_id: int, book_id: int) -> Any:
        """Reserve a sold-out book and remove it from the customer's cart.

        Returns the new pre-booking or, if the customer was already waiting for the book, the existing one. Otherwise
        locks and raises as `PreBookService.reserve` does.
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
        """Merge the cart that a visitor had before login into the customer's; returns the titles that did not fit.

        The larger quantity wins when a book is in both, so that a login that is sent twice, or a book added again
        while logged out, does not double it. Locks as `add` does.
        """
        merged, dropped_titles = self._locked_entries(user_id), []
        for line in self.with_current_books(entries).lines:
            previous = merged.get(line.book.id)
            if previous is None and len(merged) >= self.max_lines:
                dropped_titles.append(line.book.title)
                continue
            quantity = min(max(line.quantity, previous.quantity if previous else 0), self.max_copies)
            merged[line.book.id] = line.entry._replace(quantity=quantity)
            self.items.put(user_id, merged[line.book.id])
        return dropped_titles

    def added_line(self, entries: Mapping[int, CartEntry], book_id: int, quantity: int) -> CartLine:
        """Return the cart line for this book after adding copies to a cart with these entries.

        Raises NotFound, or Conflict if the book is out of stock or a limit of the cart would be exceeded.
        """
        book = self._book(book_id)
        if not book.in_stock:
            raise _sold_out()
        if book_id not in entries and len(entries) >= self.max_lines:
            raise Conflict(
                f"A cart can hold at most {self.max_lines} different books. Order these first, or remove one.",
                "CART_LIMIT",
            )
        total = quantity + (entries[book_id].quantity if book_id in entries else 0)
        self._check_copies(total)
        return CartLine(_current_entry(book, total), book)

    def changed_line(self, entries: Mapping[int, CartEntry], book_id: int, quantity: int) -> CartLine:
        """Return the cart line for this book with a new quantity.

        Raises NotFound if the book is withdrawn or not in the cart. Increasing the quantity raises Conflict if the book
        is out of stock or there would be too many copies; reducing it never does.
        """
        previous, book = _entry_of(entries, book_id), self._book(book_id)
        if quantity > previous.quantity:
            self._check_copies(quantity)
            if not book.in_stock:
                raise _sold_out()
        return CartLine(_current_entry(book, quantity), book)

    def reduced_entry(self, entries: Mapping[int, CartEntry], book_id: int) -> CartEntry | None:
        """Return the entry for this book with at most the copies in stock, None if there are none; raises NotFound."""
        for line in self.with_current_books([_entry_of(entries, book_id)]).lines:
            if line.left:
                return _current_entry(line.book, line.capped.quantity)
        return None

    def _check_copies(self, quantity: int) -> None:
        if quantity > self.max_copies:
            raise Conflict(
                f"A cart can hold at most {self.max_copies} copies of a book. If you need more, tell us in the note "
                "to your order.",
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

    def _locked_entries(self, user_id: int) -> dict[int, CartEntry]:
        """Lock the customer's cart until the transaction ends and return its entries by book id."""
        self._lock(user_id)
        return {entry.book_id: entry for entry in self.items.list_entries(user_id)}


def _current_entry(book: StockedBook, quantity: int) -> CartEntry:
    """Return an entry with the book's current price and stock."""
    return CartEntry(book.id, quantity, book.price_cents, book.currency, book.stock_quantity)


def _sold_out() -> Conflict:
    return Conflict("This book is out of stock — reserve it instead.", "CART_BOOK_OUT_OF_STOCK")


def _entry_of(entries: Mapping[int, CartEntry], book_id: int) -> CartEntry:
    if book_id not in entries:
        raise _not_in_cart()
    return entries[book_id]


def _not_in_cart() -> NotFound:
    return NotFound("This book is not in your cart.", "CART_ITEM_NOT_FOUND")
