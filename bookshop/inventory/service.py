"""The shared inventory service: the only code that changes stock, for all pages, scripts, commands and imports."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy.orm import Session

from bookshop.audit.service import AuditService
from bookshop.catalog.models import STOCK_MAX
from bookshop.catalog.repository import BookRepository, StockedBook
from bookshop.inventory.models import CORRECTION, RECEIVED, RETURN, SALE, Movement
from bookshop.inventory.repository import MovementRepository, is_restock
from bookshop.kit.database import Page
from bookshop.kit.exceptions import BookshopError, Busy, Conflict, Invalid, book_not_found
from bookshop.kit.pagination import PageRequest
from bookshop.prebookings.repository import PreBookRepository


class Notified(list[str]):
    """The e-mail addresses of the customers notified by stock changes, and the restocks that notified them.

    `restocks` maps movement id -> book id. `again` counts, by book id, the stopped alerts that AlertService.queue has
    queued again.
    """

    def __init__(self, emails: Iterable[str] = (), restocks: Mapping[int, int] | None = None) -> None:
        super().__init__(emails)
        self.restocks = dict(restocks or {})
        self.again: Counter[int] = Counter()

    @property
    def alerts_queued(self) -> int:
        """The number of queued alerts: one for each of these customers, and those queued again."""
        return len(self) + self.again.total()

    def add(self, other: "Notified") -> None:
        """Add the customers and restocks of another change."""
        self.extend(other)
        self.restocks |= other.restocks
        self.again += other.again


NO_SUCH_BOOK = "There is no book with this ISBN. Check the number, or press Check the delivery and add the book there."
SIGNS = {RECEIVED: 1, RETURN: 1, SALE: -1}  # the direction of the stock for a reason; other reasons allow both


@dataclass(frozen=True, kw_only=True)
class StockChange:
    """A requested change of one book's stock, either to `quantity` or by `delta`.

    `expected` is the stock that the user saw; if the stock has changed since, the change is refused. `order_id` is
    the order that sells the copies or, when cancelled, returns them.
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
            raise ValueError("give either quantity or delta")


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Books delivered together: ISBN-13 -> copies. `note` identifies the delivery in the ledger and must be unique.

    `new` has the values of books to add, by ISBN-13, in the form that the catalogue service expects.
    """

    copies: Mapping[str, int]
    note: str
    user_id: int | None = None
    new: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def change(self, book: StockedBook, copies: int) -> StockChange:
        """Return the stock change for one of its books."""
        return StockChange(book_id=book.id, delta=copies, reason=RECEIVED, note=self.note, user_id=self.user_id)


@dataclass(frozen=True, kw_only=True)
class DeliveryLine:
    """One book of a delivery, previewed or received. Holds plain values, which stay readable after a commit.

    `customers` counts the customers who were or would be notified. `refusal` says why the copies cannot be received;
    `repeated` means that this delivery has already added them. `is_new` means that the delivery has added the book,
    `adopted` that the shop had the book without this ISBN.
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
    is_new: bool = False
    adopted: bool = False

    @property
    def can_be_added(self) -> bool:
        """Whether the shop does not have the book, and may have this many copies of it."""
        return not self.book_id and self.copies <= STOCK_MAX

    @property
    def comes_back(self) -> bool:
        """Whether these copies restock a book that is on sale."""
        return not (self.stock_before or self.withdrawn or self.repeated)

    @property
    def stock_after(self) -> int:
        """The stock with these copies."""
        return self.stock_before + self.copies


ReceiveLine = Callable[[DeliveryLine, StockedBook, StockChange], DeliveryLine]


class BookService:
    """Changes stock, writes the ledger and notifies waiting customers, all in the caller's transaction."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.books = BookRepository(session)
        self.movements = MovementRepository(session)
        self.prebookings = PreBookRepository(session)
        self.audit = AuditService(session)

    def update_stock(self, change: StockChange, versions: Collection[int] | None = None) -> Notified:
        """Change one book's stock; return the customers who were notified by this.

        Locks the book's row until the caller's transaction ends, and writes in one savepoint, all or nothing. The
        caller queues their alerts in the same transaction: see AlertService.queue. Raises NotFound, PreconditionFailed
        (`versions` are given and the book has none of them), Conflict (the stock is no longer `expected`) or Invalid
        (the stock would leave the range 0 to 1,000,000, or the change does not fit its reason).
        """
        with self.session.begin_nested():
            locked = self.books.lock([change.book_id])
            for book in locked:
                book.check_version(versions)
            return self.change_locked(locked, [change])

    def update_stocks(self, changes: Sequence[StockChange]) -> Notified:
        """Change the stock of many books, each at most once, like `update_stock`: all or none."""
        with self.session.begin_nested():
            return self.change_locked(self.books.lock([change.book_id for change in changes]), changes)

    def sell(self, sales: Sequence[StockChange], locked: Sequence[StockedBook]) -> None:
        """Take sold copies of locked books out of stock; on an error, the caller must roll back.

        A sale restocks nothing, so there is no customer to notify and no savepoint.
        """
        self.change_locked(locked, sales)

    def change_locked(self, locked: Sequence[StockedBook], changes: Sequence[StockChange]) -> Notified:
        """Change the stock of books that the caller has locked, each at most once.

        On an error, the caller must roll back what was written before it, for example to a savepoint.
        """
        if len({change.book_id for change in changes}) < len(changes):
            raise ValueError("a book is given twice")
        books = {book.id: book for book in locked}
        rows = [row for change in changes if (row := movement_of(books.get(change.book_id), change))]
        return self.write(rows) if rows else Notified()

    def write(self, rows: Sequence[Mapping[str, Any]]) -> Notified:
        """Write ledger rows of `movement_of`, at most one per locked book, set the stocks and notify customers."""
        quantities = {row["book_id"]: (row["quantity_after"] - row["delta"], row["quantity_after"]) for row in rows}
        if not self.movements.set_stock(quantities):
            raise Busy("This book is being changed by someone else. Please try again in a moment.")
        ids = self.movements.insert(rows)
        self.audit.record_all("book.stock_changed", {row["book_id"]: _audited(row, ids) for row in rows})
        restocks = {ids[row["book_id"]]: row["book_id"] for row in rows if is_restock(row)}
        return Notified(self.prebookings.notify_waiting_by_book(restocks), restocks) if restocks else Notified()

    def preview_delivery(self, delivery: Delivery) -> list[DeliveryLine]:
        """Return what `receive` would do now, line by line, without locks or writes."""
        books = self.books.list_stocked(self.books.ids_by_isbn(delivery.copies).values())
        waiting = self.prebookings.count_waiting_by_book([book.id for book in books])

        def preview_line(line: DeliveryLine, book: StockedBook, change: StockChange) -> DeliveryLine:
            movement_of(book, change)
            return replace(line, customers=waiting.get(book.id, 0))

        return self._deliver(delivery, books, preview_line)

    def receive(self, delivery: Delivery) -> list[DeliveryLine]:
        """Receive a delivery, each book in its own savepoint, all or nothing; return the lines.

        Locks all the books, in id order, until the caller's transaction ends. A book that this delivery has already
        added is not added again, but reported as it was then. The caller queues alerts for the lines' `emails` in the
        same transaction.
        """

        def receive_line(line: DeliveryLine, book: StockedBook, change: StockChange) -> DeliveryLine:
            with self.session.begin_nested():
                emails = self.change_locked([book], [change])
            return replace(line, customers=len(emails), emails=emails)

        books = self.books.lock(self.books.ids_by_isbn(delivery.copies).values())
        return self._deliver(delivery, books, receive_line)

    def _deliver(
        self, delivery: Delivery, books: Sequence[StockedBook], receive_line: ReceiveLine
    ) -> list[DeliveryLine]:
        by_isbn = {book.isbn: book for book in books}
        before = self.movements.list_by_note([book.id for book in books], delivery.note)
        repeated = {movement.book_id: (movement, notified) for movement, notified in before}

        def line_of(isbn: str, copies: int) -> DeliveryLine:
            book = by_isbn.get(isbn)
            line = _delivery_line(isbn, copies, book)
            if book is None:
                return line
            if book.id in repeated:
                return _repeated_line(line, *repeated[book.id])
            try:
                return receive_line(line, book, delivery.change(book, copies))
            except BookshopError as error:
                return replace(line, refusal=error.sentence)

        return [line_of(isbn, copies) for isbn, copies in delivery.copies.items()]

    def list_movements(self, book_id: int, page_request: PageRequest, size: int) -> Page[Any]:
        """List a book's movements, newest first, each with its user's e-mail address and its order's number.

        Raises NotFound.
        """
        if self.books.get(book_id) is None:
            raise book_not_found()
        return self.movements.list_by_book(book_id, page_request, size)


def movement_of(book: StockedBook | None, change: StockChange) -> dict[str, Any] | None:
    """Return the ledger row for a change of a locked book, None if the stock stays the same.

    Raises NotFound if `book` is None, Conflict or Invalid as `BookService.update_stock` does.
    """
    if book is None:
        raise book_not_found()
    if change.expected is not None and change.expected != book.stock_quantity:
        raise Conflict(
            f"The stock of {book.title} changed from {change.expected} to {book.stock_quantity} since you "
            "opened this page. Nothing was saved. Check the number and save again.",
            "STOCK_CHANGED",
        )
    quantity = _quantity(book, change)
    delta = quantity - book.stock_quantity
    if delta == 0:
        return None
    if book.removed_at is not None:
        raise book_not_found()
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


def _audited(row: Mapping[str, Any], ids: Mapping[int, int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what the audit log says about a ledger row: before and after. Its note is left out: people typed it."""
    after = {"stock": row["quantity_after"], "reason": row["reason"], "movement": ids[row["book_id"]]}
    return {"stock": row["quantity_after"] - row["delta"]}, after


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
        refusal = NO_SUCH_BOOK if copies <= STOCK_MAX else f"The stock cannot rise above {STOCK_MAX:,}."
        return DeliveryLine(isbn=isbn, copies=copies, refusal=refusal)
    return DeliveryLine(
        isbn=isbn,
        copies=copies,
        book_id=book.id,
        title=book.title,
        withdrawn=book.withdrawn_at is not None,
        stock_before=book.stock_quantity,
    )


def _repeated_line(line: DeliveryLine, movement: Movement, notified: int) -> DeliveryLine:
    if movement.delta != line.copies:
        copies = f"{movement.delta:,} copies were" if movement.delta > 1 else "1 copy was"
        refusal = f"{copies} already received with this delivery. Enter other copies as a new delivery."
        return replace(line, refusal=refusal)
    stock_before = movement.quantity_after - movement.delta
    return replace(line, stock_before=stock_before, customers=notified, repeated=True)
