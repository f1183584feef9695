"""Many changes of stock at once, as scripts upload them: all or none, or each for itself."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy.orm import Session

from bookshop.catalog.isbn import isbn13
from bookshop.catalog.repository import BookRepository, LockedBook
from bookshop.exceptions import BookshopError, Misshapen, NotFound, book_not_found
from bookshop.inventory.repository import MovementRepository
from bookshop.inventory.service import BookService, Notified, StockChange, movement_of


@dataclass(frozen=True, kw_only=True)
class BatchLine:
    """A wish to change the stock of a book that is named by its ISBN or its id; see StockChange."""

    isbn: str | None = None
    book_id: int | None = None
    quantity: int | None = None
    delta: int | None = None
    reason: str | None = None
    note: str | None = None

    def change(self, book_id: int, user_id: int) -> StockChange:
        """What it does to the stock of that book."""
        wish = {"quantity": self.quantity, "delta": self.delta, "reason": self.reason, "note": self.note}
        return StockChange(book_id=book_id, user_id=user_id, **wish)  # type: ignore[arg-type]


@dataclass(frozen=True, kw_only=True)
class LineResult:
    """What became of a line: by how much it changed the stock, and how many that notified; or why it was refused."""

    line: BatchLine
    book: LockedBook | None = None
    delta: int = 0
    notified_count: int = 0
    refused: BookshopError | None = None


@dataclass
class BatchOutcome:
    """What became of a batch: the results in the order of its lines, and whom it notified."""

    results: list[LineResult]
    notified: Notified = field(default_factory=Notified)

    @property
    def sold_out(self) -> Collection[int]:
        """The ids of the books of which lines that were not refused leave none."""
        books = [result.book for result in self.results if result.book and not result.refused]
        left = {book.id: book.stock_quantity for book in books}
        return [book_id for book_id, quantity in left.items() if not quantity]


class StockBatch:
    """Changes stocks by batch, in the caller's transaction; never commits.

    Locks all the books, in id order, until then. Lines of one book are carried out one after the other.
    """

    def __init__(self, session: Session, inventory: BookService, user_id: int) -> None:
        self.session = session
        self.inventory = inventory
        self.user_id = user_id
        self.repository = BookRepository(session)
        self.movements = MovementRepository(session)
        self.ids: Mapping[str, int] = {}
        self.books: dict[int, LockedBook] = {}

    def change_all(self, lines: Sequence[BatchLine]) -> BatchOutcome:
        """Change all these stocks or, if one line is refused, none: raises Misshapen, which names every such line."""
        self._lock(lines)
        before = dict(self.books)
        outcome = BatchOutcome([self._look_at(line) for line in lines])
        if errors := [_error(number, result) for number, result in enumerate(outcome.results) if result.refused]:
            raise Misshapen(errors)
        self.books = before
        with self.session.begin_nested():
            for numbers in _rounds(outcome.results):
                self._write(outcome, numbers)
        return outcome

    def change_each(self, lines: Sequence[BatchLine]) -> BatchOutcome:
        """Change these stocks one by one, each in a savepoint of its own; a line that is refused changes nothing."""
        self._lock(lines)
        outcome = BatchOutcome([])
        for number, line in enumerate(lines):
            former = self.books.get(self._id_of(line))
            outcome.results.append(self._look_at(line))
            if former is not None and outcome.results[-1].delta:
                self.books[former.id] = former
                with self.session.begin_nested():
                    self._write(outcome, [number])
        return outcome

    def _lock(self, lines: Sequence[BatchLine]) -> None:
        isbns = {known for line in lines if line.isbn is not None and (known := _known(line.isbn))}
        self.ids = self.repository.ids_by_isbn(isbns)
        ids = {self._id_of(line) for line in lines}
        self.books = {book.id: book for book in self.inventory.lock(sorted(ids))}
        self.ids = {book.isbn: book.id for book in self.books.values() if book.isbn}  # until the lock they could change

    def _id_of(self, line: BatchLine) -> int:
        """The id of the book that a line names, 0 if there is none."""
        if line.isbn is None:
            return line.book_id or 0
        return self.ids.get(_known(line.isbn), 0)

    def _look_at(self, line: BatchLine) -> LineResult:
        """What a line does after those before it; the stock that it leaves is kept for those that follow."""
        book = self.books.get(self._id_of(line))
        try:
            if book is None:
                raise _not_found(line)
            row = movement_of(book, line.change(book.id, self.user_id))
        except BookshopError as refused:
            return LineResult(line=line, book=book, refused=refused)
        delta = row["delta"] if row else 0
        self.books[book.id] = book._replace(stock_quantity=book.stock_quantity + delta)
        return LineResult(line=line, book=self.books[book.id], delta=delta)

    def _write(self, outcome: BatchOutcome, numbers: Sequence[int]) -> None:
        """Carry out lines, of which no two are of one book."""
        results = [outcome.results[number] for number in numbers]
        books = [self.books[result.book.id] for result in results if result.book]
        changes = [result.line.change(result.book.id, self.user_id) for result in results if result.book]
        notified = self.inventory.change_locked(books, changes)
        told = self.movements.count_told(notified.restocks) if notified else {}
        for number, result in zip(numbers, results, strict=True):
            if result.book:
                self.books[result.book.id] = result.book
                outcome.results[number] = replace(result, notified_count=told.get(result.book.id, 0))
        outcome.notified.add(notified)


def _rounds(results: Sequence[LineResult]) -> list[list[int]]:
    """The numbers of the lines that change something: first those that do so first to their book, and so on."""
    rounds: list[list[int]] = []
    seen: Counter[int] = Counter()
    for number, result in enumerate(results):
        if result.book and result.delta:
            if seen[result.book.id] == len(rounds):
                rounds.append([])
            rounds[seen[result.book.id]].append(number)
            seen[result.book.id] += 1
    return rounds


def _known(isbn: str) -> str:
    """The ISBN as the shop keeps it, '' for what is none."""
    try:
        return isbn13(isbn)
    except ValueError:
        return ""


def _not_found(line: BatchLine) -> NotFound:
    if line.isbn is None:
        return book_not_found()
    known = _known(line.isbn)
    return NotFound("There is no book with this ISBN." if known else "This is no ISBN.", "BOOK_NOT_FOUND")


def _error(number: int, result: LineResult) -> dict[str, Any]:
    refused = result.refused
    member = getattr(refused, "field", "") or ("isbn" if result.line.isbn is not None else "book_id")
    code, detail = (refused.code, refused.sentence) if refused else ("", "")
    return {"detail": detail, "pointer": f"#/lines/{number}/{member}", "code": code}
