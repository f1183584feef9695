"""Many changes of stock at once, as scripts upload them: all or none, or each for itself."""

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
    """A wish to change the stock of a book that is named by its ISBN or its id; see StockChange."""

    isbn: str | None = None
    book_id: int | None = None
    quantity: int | None = None
    delta: int | None = None
    reason: str | None = None
    note: str | None = None

    def change(self, book_id: int, user_id: int) -> StockChange:
        """What it does to the stock of that book."""
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
    """What became of a line: the book after it, its movement if it changed the stock, or why it was refused."""

    line: BatchLine
    book: StockedBook | None = None
    movement: Mapping[str, Any] | None = None
    notified_count: int = 0
    refused: BookshopError | None = None


@dataclass
class BatchOutcome:
    """What became of a batch: the results in the order of its lines, and whom it notified."""

    results: list[LineResult]
    notified: Notified = field(default_factory=Notified)

    @property
    def sold_out(self) -> Collection[int]:
        """The ids of the books of which the lines that were carried out leave none."""
        left = {result.book.id: result.book for result in self.results if result.book and not result.refused}
        return [book_id for book_id, book in left.items() if not book.stock_quantity]

    def alerts_by_line(self) -> list[int]:
        """How many alerts each line queued, those queued again among them; none about a book that ends at 0.

        To be asked when they are queued; see AlertService.queue.
        """
        again, sold_out = Counter(self.notified.again), self.sold_out
        return [
            0 if result.book is None or result.book.id in sold_out else _alerts(result, again)
            for result in self.results
        ]


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
        self.books: dict[int, StockedBook] = {}

    def change_all(self, lines: Sequence[BatchLine]) -> BatchOutcome:
        """Change all these stocks or, if one line is refused, none: raises Misshapen, which names every such line."""
        ids = self._lock(lines)
        outcome = BatchOutcome([self._look_at(line, book_id) for line, book_id in zip(lines, ids, strict=True)])
        if errors := [_error(number, result) for number, result in enumerate(outcome.results) if result.refused]:
            raise MalformedRequest(errors)
        with self.session.begin_nested():
            for numbers in _rounds(outcome.results):
                self._write(outcome, numbers)
        return outcome

    def change_each(self, lines: Sequence[BatchLine]) -> BatchOutcome:
        """Change these stocks one by one, each in a savepoint of its own; a line that is refused changes nothing."""
        outcome = BatchOutcome([])
        for number, (line, book_id) in enumerate(zip(lines, self._lock(lines), strict=True)):
            outcome.results.append(self._look_at(line, book_id))
            if outcome.results[number].movement:
                with self.session.begin_nested():
                    self._write(outcome, [number])
        return outcome

    def _lock(self, lines: Sequence[BatchLine]) -> list[int]:
        """Lock the books; returns the id of each line's, 0 where there is none."""
        found = self.repository.ids_by_isbn({isbn for line in lines if (isbn := _known(line.isbn))})
        wanted = {line.book_id for line in lines if line.book_id is not None}
        self.books = {book.id: book for book in self.repository.lock(wanted.union(found.values()))}
        by_isbn = {book.isbn: book.id for book in self.books.values()}  # as it is now: until the lock it could change
        return [line.book_id or by_isbn.get(_known(line.isbn), 0) for line in lines]

    def _look_at(self, line: BatchLine, book_id: int) -> LineResult:
        """What a line does after those before it; the stock that it leaves is kept for those that follow."""
        book = self.books.get(book_id)
        try:
            if book is None:
                raise _not_found(line)
            row = movement_of(book, line.change(book_id, self.user_id))
        except BookshopError as refused:
            return LineResult(line=line, book=book, refused=refused)
        if row:
            self.books[book_id] = book = book._replace(stock_quantity=row["quantity_after"])
        return LineResult(line=line, book=book, movement=row)

    def _write(self, outcome: BatchOutcome, numbers: Sequence[int]) -> None:
        """Write what lines do, of which no two are of one book."""
        movements = {number: row for number in numbers if (row := outcome.results[number].movement)}
        notified = self.inventory.write(list(movements.values()))
        told = self.movements.count_told(notified.restocks) if notified else {}
        for number, row in movements.items():
            if row["book_id"] in told:
                outcome.results[number] = replace(outcome.results[number], notified_count=told[row["book_id"]])
        outcome.notified.add(notified)


def _alerts(result: LineResult, again: Counter[int]) -> int:
    """The alerts that a line queued; the first restock of a book takes those that are queued again out of `again`."""
    if result.movement is None or not is_restock(result.movement):
        return 0
    return result.notified_count + again.pop(result.movement["book_id"], 0)


def _rounds(results: Sequence[LineResult]) -> list[list[int]]:
    """The numbers of the lines that change something: first those that do so first to their book, and so on."""
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


@lru_cache(maxsize=50_000)  # a nightly upload names the same books every night
def _known(isbn: str | None) -> str:
    """The ISBN as the shop keeps it, '' for what is none."""
    if isbn is None:
        return ""
    try:
        return isbn13(isbn)
    except ValueError:
        return ""


def _not_found(line: BatchLine) -> NotFound:
    if line.isbn is None:
        return book_not_found()
    return NotFound("There is no book with this ISBN." if _known(line.isbn) else "This is no ISBN.", "BOOK_NOT_FOUND")


def _error(number: int, result: LineResult) -> dict[str, str]:
    named = "book_id" if result.line.isbn is None else "isbn"
    member = getattr(result.refused, "field", "") or named
    return {"detail": result.refused.sentence if result.refused else "", "pointer": f"#/lines/{number}/{member}"}
