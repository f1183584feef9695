"""The shared inventory service: the only code that changes a stock, for every face, command and import."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from bookshop.catalog.models import STOCK_MAX, Book
from bookshop.catalog.repository import BookRepository
from bookshop.database import Page
from bookshop.exceptions import Conflict, Invalid, book_not_found
from bookshop.inventory.models import CORRECTION, RECEIVED, RETURN, SALE
from bookshop.inventory.repository import MovementRepository
from bookshop.prebookings.repository import PreBookRepository

SIGNS = {RECEIVED: 1, RETURN: 1, SALE: -1}  # which way the stock goes for a reason; the others go either way


@dataclass(frozen=True, kw_only=True)
class StockChange:
    """A wish to change one book's stock: to `quantity`, or by `delta`; exactly one of the two is given.

    `expected` is the stock that the person who wishes it saw; if it is another by now, the change is refused.
    """

    book_id: int
    quantity: int | None = None
    delta: int | None = None
    reason: str | None = None
    note: str | None = None
    user_id: int | None = None
    expected: int | None = None

    def __post_init__(self) -> None:
        if (self.quantity is None) == (self.delta is None):
            raise ValueError("either quantity or delta must be given")


class BookService:
    """Changes stock, writes the ledger and notifies those who waited, all in the caller's transaction."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.books = BookRepository(session)
        self.movements = MovementRepository(session)
        self.prebookings = PreBookRepository(session)

    def update_stock(self, change: StockChange) -> list[str]:
        """Change one book's stock; returns the e-mail addresses of those whom it notified.

        Locks the book's row until the caller's transaction ends; what was written is one savepoint, there whole or
        not at all. The caller sends no mail before its commit. Raises NotFound, Conflict (`expected` is no longer
        so) or Invalid (the stock would leave 0 to 1,000,000).
        """
        return self.update_stocks([change])

    def update_stocks(self, changes: Sequence[StockChange]) -> list[str]:
        """Change the stock of many books, each at most once, as `update_stock` does one: all or none."""
        if len({change.book_id for change in changes}) < len(changes):
            raise ValueError("a book is named twice")
        with self.session.begin_nested():
            books = {book.id: book for book in self.books.lock([change.book_id for change in changes])}
            rows = [row for change in changes if (row := _movement(books.get(change.book_id), change))]
            if not rows:
                return []
            self.books.set_stock({row["book_id"]: row["quantity_after"] for row in rows})
            restocks = [
                movement_id
                for movement_id, row in zip(self.movements.insert(rows), rows, strict=True)
                if row["quantity_after"] == row["delta"] > 0
            ]
            return self.prebookings.notify_waiting_by_book(restocks) if restocks else []

    def list_movements(self, book_id: int, page: int, size: int) -> Page[Any]:
        """The book's ledger, newest first: rows of a movement and the e-mail address of who made it."""
        if self.books.get(book_id) is None:
            raise book_not_found()
        return self.movements.list_by_book(book_id, page, size)


def _movement(book: Book | None, change: StockChange) -> dict[str, Any] | None:
    """The line of the ledger for a change of a locked book; None if it changes nothing."""
    if book is None:
        raise book_not_found()
    if change.expected is not None and change.expected != book.stock_quantity:
        raise Conflict(
            f"The stock of {book.title} changed from {change.expected} to {book.stock_quantity} since you "
            "opened this page. Nothing was written; please check and send it again.",
            "STOCK_CHANGED",
        )
    quantity = _quantity(book, change)
    delta = quantity - book.stock_quantity
    if delta == 0:
        return None
    if delta * SIGNS.get(change.reason or "", 0) < 0:
        raise Invalid(
            f"The stock would change by {delta:+}, which does not fit the reason '{change.reason}'.", "reason"
        )
    return {
        "book_id": book.id,
        "delta": delta,
        "quantity_after": quantity,
        "reason": change.reason or (RECEIVED if delta > 0 else CORRECTION),
        "note": change.note,
        "user_id": change.user_id,
    }


def _quantity(book: Book, change: StockChange) -> int:
    field = "quantity" if change.quantity is not None else "delta"
    quantity = change.quantity if change.quantity is not None else book.stock_quantity + (change.delta or 0)
    if quantity < 0:
        raise Invalid(f"The stock is {book.stock_quantity}; it cannot fall below 0.", field)
    if quantity > STOCK_MAX:
        raise Invalid(f"The stock is {book.stock_quantity}; it cannot rise above {STOCK_MAX:,}.", field)
    return quantity
