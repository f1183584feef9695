"""The shared inventory service: the only code that changes a stock, for every page, script, command and import."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy.orm import Session

from bookshop.catalog.models import STOCK_MAX
from bookshop.catalog.repository import BookRepository, StockedBook
from bookshop.inventory.models import CORRECTION, RECEIVED, RETURN, SALE, Movement
from bookshop.inventory.repository import MovementRepository
from bookshop.kit.database import Page
from bookshop.kit.exceptions import BookshopError, Busy, Conflict, Invalid, book_not_found
from bookshop.kit.pagination import PageRequest
from bookshop.prebookings.repository import PreBookRepository


class Notified(list[str]):
    """The e-mail addresses of the customers whom changes of stock notified, and the restocks that did it.

    `restocks` are movements: id -> book id. `again` counts the alerts, by book id, that were stopped before and that
    AlertService.queue has queued again.
    """

    def __init__(self, emails: Iterable[str] = (), restocks: Mapping[int, int] | None = None) -> None:
        super().__init__(emails)
        self.restocks = dict(restocks or {})
        self.again: Counter[int] = Counter()

    @property
    def alerts_queued(self) -> int:
        """How many alerts are queued: one to each of these customers, and those that are queued again."""
        return len(self) + self.again.total()

    def add(self, other: "Notified") -> None:
        """Take in those of another change."""
        self.extend(other)
        self.restocks |= other.restocks
        self.again += other.again


SIGNS = {RECEIVED: 1, RETURN: 1, SALE: -1}  # which way the stock goes for a reason; the others go either way


@dataclass(frozen=True, kw_only=True)
class StockChange:
    """A wish to change one book's stock: to `quantity`, or by `delta`; exactly one of the two is given.

    `expected` is the stock that the person who wishes it saw; if it is another by now, the change is refused.
    `order_id` is the order that sells the copies or, cancelled, gives them back.
    """

    book_id: int
    quantity: int | None = None
    delta: int | None = None
    reason: str | None = None
    note: str | None = None
    user_id: int | None = None
    order_id: int | None = None
    expected: int | None = None

    def __post_init__(self) -> None:
        if (self.quantity is None) == (self.delta is None):
            raise ValueError("either quantity or delta must be given")


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Books that came together: ISBN-13 -> copies. `note` is its name in the ledger, which no other delivery has."""

    copies: Mapping[str, int]
    note: str
    user_id: int | None = None

    def change(self, book: StockedBook, copies: int) -> StockChange:
        """What it does to the stock of one book."""
        return StockChange(book_id=book.id, delta=copies, reason=RECEIVED, note=self.note, user_id=self.user_id)


@dataclass(frozen=True, kw_only=True)
class DeliveryLine:
    """What a delivery brings of one book: as it would be, or as it was. Plain values, which no commit takes away.

    `customers` are those who wait and would be told, or those who were. `refusal` says why nothing can come in;
    `repeated`, that these copies had come in before with this very delivery.
    """

    isbn: str
    copies: int
    book_id: int = 0
    title: str = ""
    withdrawn: bool = False
    stock_before: int = 0
    customers: int = 0
    emails: Notified = field(default_factory=Notified)
    refusal: str = ""
    repeated: bool = False

    @property
    def comes_back(self) -> bool:
        """Whether these copies put a book that is on sale back in stock."""
        return not (self.stock_before or self.withdrawn or self.repeated)

    @property
    def stock_after(self) -> int:
        """The stock with these copies."""
        return self.stock_before + self.copies


Taking = Callable[[DeliveryLine, StockedBook, StockChange], DeliveryLine]


class BookService:
    """Changes stock, writes the ledger and notifies those who waited, all in the caller's transaction."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.books = BookRepository(session)
        self.movements = MovementRepository(session)
        self.prebookings = PreBookRepository(session)

    def update_stock(self, change: StockChange, versions: Collection[int] | None = None) -> Notified:
        """Change one book's stock; returns the e-mail addresses of those whom it notified.

        Locks the book's row until the caller's transaction ends; what was written is one savepoint, there whole or
        not at all. The caller queues mail to them in the same transaction: see AlertService.queue. Raises
        NotFound, Outdated (`versions` are given and the book has none of them), Conflict (`expected` is no longer so)
        or Invalid (the stock would leave 0 to 1,000,000).
        """
        with self.session.begin_nested():
            locked = self.books.lock([change.book_id])
            for book in locked:
                book.expect(versions)
            return self.change_locked(locked, [change])

    def update_stocks(self, changes: Sequence[StockChange]) -> Notified:
        """Change the stock of many books, each at most once, as `update_stock` does one: all or none."""
        with self.session.begin_nested():
            return self.change_locked(self.books.lock([change.book_id for change in changes]), changes)

    def sell(self, sales: Sequence[StockChange], locked: Sequence[StockedBook]) -> None:
        """Take copies of locked books off the shelf, for a caller who goes back to the start if that is refused.

        A sale brings nothing back, so nobody is to be notified, and no savepoint parts it from the caller's order.
        """
        self.change_locked(locked, sales)

    def change_locked(self, locked: Sequence[StockedBook], changes: Sequence[StockChange]) -> Notified:
        """Change the stock of locked books, each at most once, for a caller who holds their locks and a savepoint.

        What it wrote before it was refused is the caller's to take back.
        """
        if len({change.book_id for change in changes}) < len(changes):
            raise ValueError("a book is named twice")
        books = {book.id: book for book in locked}
        rows = [row for change in changes if (row := movement_of(books.get(change.book_id), change))]
        return self.write(rows) if rows else Notified()

    def write(self, rows: Sequence[Mapping[str, Any]]) -> Notified:
        """Write lines of the ledger, each of another locked book, with the stocks that they leave, and notify.

        The lines are as `movement_of` makes them.
        """
        quantities = {row["book_id"]: (row["quantity_after"] - row["delta"], row["quantity_after"]) for row in rows}
        if not self.movements.set_stock(quantities):
            raise Busy("Others are changing this book just now. Please try again in a moment.")
        restocks = self.movements.insert(rows)
        return Notified(self.prebookings.notify_waiting_by_book(restocks), restocks) if restocks else Notified()

    def preview_delivery(self, delivery: Delivery) -> list[DeliveryLine]:
        """What `receive` would do just now, line by line; locks nothing and writes nothing."""
        books = self.books.list_stocked(self.books.ids_by_isbn(delivery.copies).values())
        waiting = self.prebookings.count_waiting_by_book([book.id for book in books])

        def expect(line: DeliveryLine, book: StockedBook, change: StockChange) -> DeliveryLine:
            movement_of(book, change)
            return replace(line, customers=waiting.get(book.id, 0))

        return self._deliver(delivery, books, expect)

    def receive(self, delivery: Delivery) -> list[DeliveryLine]:
        """Take in a delivery: every book whole or not at all, whatever becomes of the others; returns the lines.

        Locks all the books, in id order, until the caller's transaction ends; what was written of each is a savepoint
        of its own. A book that came in with this very delivery before is not added again, but reported as it was. The
        caller queues mail to the lines' `emails` in the same transaction.
        """

        def take_in(line: DeliveryLine, book: StockedBook, change: StockChange) -> DeliveryLine:
            with self.session.begin_nested():
                emails = self.change_locked([book], [change])
            return replace(line, customers=len(emails), emails=emails)

        books = self.books.lock(self.books.ids_by_isbn(delivery.copies).values())
        return self._deliver(delivery, books, take_in)

    def _deliver(self, delivery: Delivery, books: Sequence[StockedBook], take: Taking) -> list[DeliveryLine]:
        by_isbn = {book.isbn: book for book in books}
        before = self.movements.list_by_note([book.id for book in books], delivery.note)
        repeated = {movement.book_id: (movement, told) for movement, told in before}

        def line_of(isbn: str, copies: int) -> DeliveryLine:
            book = by_isbn.get(isbn)
            line = _delivery_line(isbn, copies, book)
            if book is None:
                return line
            if book.id in repeated:
                return _as_it_was(line, *repeated[book.id])
            try:
                return take(line, book, delivery.change(book, copies))
            except BookshopError as refused:
                return replace(line, refusal=refused.sentence)

        return [line_of(isbn, copies) for isbn, copies in delivery.copies.items()]

    def list_movements(self, book_id: int, page_request: PageRequest, size: int) -> Page[Any]:
        """The book's ledger, newest first: rows of a movement, the address of who made it and the order's number."""
        if self.books.get(book_id) is None:
            raise book_not_found()
        return self.movements.list_by_book(book_id, page_request, size)


def movement_of(book: StockedBook | None, change: StockChange) -> dict[str, Any] | None:
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
        "order_id": change.order_id,
    }


def _quantity(book: StockedBook, change: StockChange) -> int:
    field = "quantity" if change.quantity is not None else "delta"
    quantity = change.quantity if change.quantity is not None else book.stock_quantity + (change.delta or 0)
    if quantity < 0:
        raise Invalid(f"The stock is {book.stock_quantity}; it cannot fall below 0.", field)
    if quantity > STOCK_MAX:
        raise Invalid(f"The stock is {book.stock_quantity}; it cannot rise above {STOCK_MAX:,}.", field)
    return quantity


def _delivery_line(isbn: str, copies: int, book: StockedBook | None) -> DeliveryLine:
    if book is None:
        return DeliveryLine(isbn=isbn, copies=copies, refusal="There is no book with this ISBN in the shop.")
    return DeliveryLine(
        isbn=isbn,
        copies=copies,
        book_id=book.id,
        title=book.title,
        withdrawn=book.withdrawn_at is not None,
        stock_before=book.stock_quantity,
    )


def _as_it_was(line: DeliveryLine, movement: Movement, told: int) -> DeliveryLine:
    if movement.delta != line.copies:
        before = f"{movement.delta:,} came" if movement.delta > 1 else "1 came"
        return replace(line, refusal=f"{before} in with this delivery already; send others as a new delivery.")
    before_it = movement.quantity_after - movement.delta
    return replace(line, stock_before=before_it, customers=told, repeated=True)
