"""Batches of stock changes uploaded by scripts: all or nothing, or each line on its own."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from sqlalchemy.orm import Session

from bookshop.catalog.isbn import isbn13
from bookshop.catalog.repository import BookRepository, StockedBook
from bookshop.inventory.repository import MovementRepository, is_restock
from bookshop.inventory.service import BookService, Notified, StockChange, movement_of
from bookshop.kit.exceptions import BookshopError, MalformedRequest, NotFound, book_not_found


@dataclass(frozen=True, kw_only=True)
class BatchLine:
    """A requested change of the stock of a book, given by its ISBN or its id; see StockChange."""

    isbn: str | None = None
    book_id: int | None = None
    quantity: int | None = None
    delta: int | None = None
    reason: str | None = None
    note: str | None = None

    def change(self, book_id: int, user_id: int) -> StockChange:
        """Return the change for the book with this id."""
        return StockChange(
            book_id=book_id,
            quantity=self.quantity,
            delta=self.delta,
            reason=self.reason,
            note=self.note,
            user_id=user_id,
        )


@dataclass(frozen=True, kw_only=True)
class LineResult:
    """The result of a line: the book after it, its movement if it changed the stock, or the error that refused it."""

    line: BatchLine
    book: StockedBook | None = None
    movement: Mapping[str, Any] | None = None
    notified_count: int = 0
    error: BookshopError | None = None


@dataclass
class BatchOutcome:
    """The result of a batch: a result per line, in order, and the customers it notified."""

    results: list[LineResult]
    notified: Notified = field(default_factory=Notified)

    @property
    def sold_out(self) -> Collection[int]:
        """The ids of the books that the applied lines leave without stock."""
        books = {result.book.id: result.book for result in self.results if result.book and not result.error}
        return [book_id for book_id, book in books.items() if not book.stock_quantity]

    def alerts_by_line(self) -> list[int]:
        """Return how many alerts each line queued, including those queued again; 0 for a book that ends at 0.

        Call this after the alerts are queued; see AlertService.queue.
        """
        again, sold_out = Counter(self.notified.again), self.sold_out
        return [
            0 if result.book is None or result.book.id in sold_out else _alerts(result, again)
            for result in self.results
        ]


class StockBatch:
    """Changes many stocks in the caller's transaction; never commits.

    Locks all the books, in id order, until that transaction ends. Lines for the same book are applied in turn.
    """

    def __init__(self, session: Session, inventory: BookService, user_id: int) -> None:
        self.session = session
        self.inventory = inventory
        self.user_id = user_id
        self.repository = BookRepository(session)
        self.movements = MovementRepository(session)
        self.books: dict[int, StockedBook] = {}

    def change_all(self, lines: Sequence[BatchLine]) -> BatchOutcome:
        """Change all these stocks; if a line is refused, change none and raise MalformedRequest with all such lines."""
        ids = self._lock(lines)
        outcome = BatchOutcome([self._result(line, book_id) for line, book_id in zip(lines, ids, strict=True)])
        if errors := [_error(number, result) for number, result in enumerate(outcome.results) if result.error]:
            raise MalformedRequest(errors)
        with self.session.begin_nested():
            for numbers in _rounds(outcome.results):
                self._write(outcome, numbers)
        return outcome

    def change_each(self, lines: Sequence[BatchLine]) -> BatchOutcome:
        """Change these stocks one by one, each in its own savepoint; a refused line changes nothing."""
        outcome = BatchOutcome([])
        for number, (line, book_id) in enumerate(zip(lines, self._lock(lines), strict=True)):
            outcome.results.append(self._result(line, book_id))
            if outcome.results[number].movement:
                with self.session.begin_nested():
                    self._write(outcome, [number])
        return outcome

    def _lock(self, lines: Sequence[BatchLine]) -> list[int]:
        """Lock the books of the lines; return the book id of each line, 0 if there is no such book."""
        ids_by_isbn = self.repository.ids_by_isbn({isbn for line in lines if (isbn := _normal_isbn(line.isbn))})
        book_ids = {line.book_id for line in lines if line.book_id is not None}
        self.books = {book.id: book for book in self.repository.lock(book_ids.union(ids_by_isbn.values()))}
        by_isbn = {book.isbn: book.id for book in self.books.values()}  # reread: an ISBN can change until it is locked
        return [line.book_id or by_isbn.get(_normal_isbn(line.isbn), 0) for line in lines]

    def _result(self, line: BatchLine, book_id: int) -> LineResult:
        """Return the result of a line after the lines before it, and remember the new stock for the lines after it."""
        book = self.books.get(book_id)
        try:
            if book is None:
                raise _not_found(line)
            row = movement_of(book, line.change(book_id, self.user_id))
        except BookshopError as error:
            return LineResult(line=line, book=book, error=error)
        if row:
            self.books[book_id] = book = book._replace(stock_quantity=row["quantity_after"])
        return LineResult(line=line, book=book, movement=row)

    def _write(self, outcome: BatchOutcome, numbers: Sequence[int]) -> None:
        """Write the movements of these lines, at most one per book, and notify."""
        movements = {number: row for number in numbers if (row := outcome.results[number].movement)}
        notified = self.inventory.write(list(movements.values()))
        counts = self.movements.count_notified(notified.restocks) if notified else {}
        for number, row in movements.items():
            if row["book_id"] in counts:
                outcome.results[number] = replace(outcome.results[number], notified_count=counts[row["book_id"]])
        outcome.notified.add(notified)


def _alerts(result: LineResult, again: Counter[int]) -> int:
    """Count the alerts that a line queued; the first restock of a book takes the ones queued again out of `again`."""
    if result.movement is None or not is_restock(result.movement):
        return 0
    return result.notified_count + again.pop(result.movement["book_id"], 0)


def _rounds(results: Sequence[LineResult]) -> list[list[int]]:
    """Group the numbers of the lines that change a stock: round 0 has the first change of each book, and so on."""
    rounds: list[list[int]] = []
    seen: Counter[int] = Counter()
    for number, result in enumerate(results):
        if result.movement:
            book_id = result.movement["book_id"]
            if seen[book_id] == len(rounds):
                rounds.append([])
            rounds[seen[book_id]].append(number)
            seen[book_id] += 1
    return rounds


@lru_cache(maxsize=50_000)  # a nightly upload has the same books every night
def _normal_isbn(isbn: str | None) -> str:
    """Return the ISBN-13 that the shop stores for this ISBN, '' if it is not one."""
    if isbn is None:
        return ""
    try:
        return isbn13(isbn)
    except ValueError:
        return ""


def _not_found(line: BatchLine) -> NotFound:
    if line.isbn is None:
        return book_not_found()
    detail = "There is no book with this ISBN." if _normal_isbn(line.isbn) else "This is not an ISBN."
    return NotFound(detail, "BOOK_NOT_FOUND")


def _error(number: int, result: LineResult) -> dict[str, str]:
    book_member = "book_id" if result.line.isbn is None else "isbn"
    member = getattr(result.error, "field", "") or book_member
    return {"detail": result.error.sentence if result.error else "", "pointer": f"#/lines/{number}/{member}"}
