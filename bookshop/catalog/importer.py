"""Import books from a CSV file, in batches of one transaction each, so that a large file blocks no other request."""

import csv
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, TextIO

from pydantic import ValidationError

from bookshop.catalog.models import NO_PRICE, Book
from bookshop.catalog.repository import BookRepository
from bookshop.catalog.schemas import BookLine
from bookshop.catalog.service import Edit
from bookshop.inventory.models import IMPORT
from bookshop.inventory.service import Notified, StockChange
from bookshop.kit.exceptions import Conflict, Invalid
from bookshop.kit.text import fold, from_cell
from bookshop.web import services

BATCH = 500
REQUIRED = ("title", "authors")
# Column names of the Goodbooks data set, and ours for them.
GOODBOOKS = {"original_publication_year": "published_year", "language_code": "language"}
SHORTENED = range(6, 10)  # lengths of an ISBN-10 whose leading zeros a spreadsheet has dropped
SENTENCES = {  # by pydantic's types of errors
    "missing": "is missing",
    "int_parsing": "must be a whole number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_long": "must have at most {max_length} characters",
}

Values = dict[str, Any]


@dataclass
class BatchReport:
    """The result of one batch; `refused` lists line numbers with reasons."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    unpriced: int = 0
    notified: Notified = field(default_factory=Notified)
    refused: list[tuple[int, str]] = field(default_factory=list)

    def add(self, other: "BatchReport") -> None:
        self.added += other.added
        self.updated += other.updated
        self.unchanged += other.unchanged
        self.unpriced += other.unpriced
        self.notified.add(other.notified)
        self.refused += other.refused


class FirstLines:
    """The first line of the file that describes each book; a book is identified by ISBN, title and authors, or id."""

    def __init__(self) -> None:
        self.first: dict[Any, int] = {}

    def clash(self, number: int, *identities: Any) -> str | None:
        """Record a line's identities, or return the error if an earlier line has the first of them."""
        first = self.first.get(identities[0], number)
        if first != number:
            return f"describes the same book as line {first}"
        for identity in identities:
            self.first.setdefault(identity, number)
        return None


def import_books(file: TextIO, defaults: Mapping[str, Any]) -> Iterator[BatchReport]:
    """Add or update the books of a CSV file with a header; commits each batch and yields its report.

    Books are matched by ISBN or, for a line without one, by title and authors. `defaults` (price_cents, currency,
    stock_quantity) apply to new books for columns that are missing or empty; existing books keep their own values,
    except that a price that is not set yet gets the default. Stock goes through BookService. Raises Invalid if the
    header is wrong.
    """
    reader = csv.reader(file)
    lines = _lines(reader, _header(reader))
    first_lines = FirstLines()
    while batch := list(islice(lines, BATCH)):
        report = BatchReport()
        accepted = list(_accepted(batch, first_lines, report))
        yield _write_batch(accepted, defaults, first_lines, report)


def _header(reader: Any) -> list[str]:
    names: list[str] = []
    with suppress(csv.Error):
        names = [name.strip().lower() for name in next(reader, [])]
    if len(names) == 1 and any(separator in names[0] for separator in ";\t"):
        raise Invalid("The columns must be separated by commas.")
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise Invalid(f"The first line must name the columns. Missing: {' and '.join(missing)}.")
    renamed = [GOODBOOKS.get(name, name) for name in names]
    if len(set(filter(None, renamed))) < len(list(filter(None, renamed))):
        raise Invalid("The first line names the same column twice.")
    return renamed


def _lines(reader: Any, header: list[str]) -> Iterator[tuple[int, Values | str]]:
    """Yield each record of the file as its line number and its values, or the reason why it cannot be read."""
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            yield number, f"is not valid CSV: {error}"
            continue
        if len(cells) == len(header):
            yield number, {name: cell for name, cell in zip(header, cells, strict=True) if cell.strip()}
        elif cells:
            yield number, f"has {len(cells)} columns, but the header has {len(header)}"


def _accepted(
    batch: list[tuple[int, Values | str]], first_lines: FirstLines, report: BatchReport
) -> Iterator[tuple[int, Values]]:
    for number, cells in batch:
        line = cells if isinstance(cells, str) else _parse(cells)
        if isinstance(line, dict):
            clash = first_lines.clash(number, _identity(line), (line["title"], line["authors"]))
            if clash is None:
                yield number, line
                continue
            line = clash
        report.refused.append((number, line))


def _parse(cells: Values) -> Values | str:
    """Return the validated values of a line, or what is wrong with it."""
    cells = {name: from_cell(cell) for name, cell in cells.items()}
    isbn = cells.get("isbn", "").strip()
    if len(isbn) in SHORTENED:
        cells = {**cells, "isbn": isbn.rjust(10, "0")}
    try:
        return BookLine.model_validate(cells).model_dump(exclude_none=True)
    except ValidationError as error:
        return "; ".join(map(_sentence, error.errors()))


def _sentence(problem: Any) -> str:
    """Explain one of pydantic's validation errors to somebody who is looking at a spreadsheet."""
    words = SENTENCES.get(problem["type"])
    explanation = words.format(**problem.get("ctx", {})) if words else problem["msg"].removeprefix("Value error, ")
    return f"{problem['loc'][0]} {explanation}"


def _identity(values: Values) -> Any:
    return values.get("isbn") or (values["title"], values["authors"])


def _write_batch(
    lines: list[tuple[int, Values]], defaults: Mapping[str, Any], first_lines: FirstLines, report: BatchReport
) -> BatchReport:
    def write() -> BatchReport:
        return _Batch(defaults, first_lines, BatchReport(refused=list(report.refused))).write(lines)

    try:
        return services.commit(write)
    except Conflict:  # another transaction has just added one of these ISBNs: the second try will find it
        return services.commit(write)


class _Batch:
    """Writes the lines of one batch in the caller's transaction."""

    def __init__(self, defaults: Mapping[str, Any], first_lines: FirstLines, report: BatchReport) -> None:
        self.books = services.repository(BookRepository)
        self.catalog = services.catalog()
        self.shelf = services.shelf()
        self.audit = services.audit()
        self.defaults = defaults
        self.first_lines = first_lines
        self.report = report
        self.stock: list[StockChange] = []
        self.edits: dict[int, Edit] = {}

    def write(self, lines: list[tuple[int, Values]]) -> BatchReport:
        self.books.lock_imports()
        existing = self._find_existing([values for _number, values in lines])
        new = [values for _number, values in lines if _identity(values) not in existing]
        self.books.lock_and_refresh(existing.values())
        for number, values in lines:
            if book := existing.get(_identity(values)):
                self._update(number, book, values)
        self.audit.record_all("book.edited", self.edits)
        self._add(new)
        self.report.notified = self.shelf.update_stocks(self.stock)
        return self.report

    def _find_existing(self, rows: list[Values]) -> dict[Any, Book]:
        """Return the books that the shop already has, by the identity of their lines."""
        isbns = [row["isbn"] for row in rows if "isbn" in row]
        titles = [fold(row["title"]) for row in rows if "isbn" not in row]
        existing: dict[Any, Book] = {}
        for book in self.books.find_by_isbn_or_title(isbns, titles):
            if book.isbn:
                existing[book.isbn] = book
            best = existing.setdefault((book.title, book.authors), book)
            if best.isbn and not book.isbn:
                existing[book.title, book.authors] = book
        return existing

    def _update(self, number: int, book: Book, values: Values) -> None:
        if clash := self.first_lines.clash(number, book.id):
            self.report.refused.append((number, clash))
            return
        if book.price_cents == NO_PRICE and "price_cents" in self.defaults:
            values = {"price_cents": self.defaults["price_cents"], **values}
        changes = {name: value for name, value in values.items() if getattr(book, name) != value}
        quantity = changes.pop("stock_quantity", None)
        if quantity is not None:
            self.stock.append(StockChange(book_id=book.id, quantity=quantity, reason=IMPORT))
        if edit := self.catalog.edit_locked(book, changes):
            self.edits[book.id] = edit
        if edit or quantity is not None:
            self.report.updated += 1
        else:
            self.report.unchanged += 1

    def _add(self, lines: list[Values]) -> None:
        rows, quantities = [], []
        for values in lines:
            row = {"price_cents": NO_PRICE, **self.defaults, **values}
            self.report.unpriced += row["price_cents"] == NO_PRICE
            quantities.append(row.pop("stock_quantity", 0))
            rows.append(row)
        ids = self.catalog.create_all(rows) if rows else []
        self.report.added += len(ids)
        self.stock += [
            StockChange(book_id=book_id, quantity=quantity, reason=IMPORT)
            for book_id, quantity in zip(ids, quantities, strict=True)
        ]
