"""Decides what a line of a file changes: which book of the shop it is about, and which of its fields."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bookshop.catalog.models import NO_PRICE, Book
from bookshop.catalog.works import without_isbn
from bookshop.imports.models import ADOPTED, GUESS, HIDDEN, REFUSED
from bookshop.imports.plan import PlanLine
from bookshop.kit.text import shortened

NAMED = 3  # books named in a sentence
ADDED_LINE, UPDATED_LINE, UNCHANGED_LINE, REFUSED_LINE = "added", "updated", "unchanged", "refused"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a line changes. Without a book and a problem, it adds one with `values`.

    `values` are the fields that change, without the stock; `quantity` is the new stock, None if it stays the same.
    """

    line: PlanLine
    book: Book | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    quantity: int | None = None
    problem: str = ""
    adopts: bool = False

    @property
    def outcome(self) -> str:
        """What becomes of the line: added, updated, unchanged or refused."""
        if self.problem:
            return REFUSED_LINE
        if self.book is None:
            return ADDED_LINE
        return UPDATED_LINE if self.values or self.quantity is not None else UNCHANGED_LINE

    def refuse(self, problem: str) -> "Decision":
        """Return the decision not to do anything with the line."""
        return Decision(self.line, problem=problem)

    @property
    def notes(self) -> Sequence[tuple[str, str]]:
        """What to report about the line: kinds of notes, and sentences."""
        if self.problem:
            return [(REFUSED, self.problem)]
        notes = [(GUESS, guess) for guess in self.line.guesses]
        if self.adopts:
            title = shortened(self.line.values["title"])
            notes.append((ADOPTED, f"gives its ISBN {self.line.isbn} to “{title}”, which had none"))
        if self.book and self.book.withdrawn_at is not None and self.outcome == UPDATED_LINE:
            notes.append((HIDDEN, "changes a book that is withdrawn, so customers do not see it"))
        elif self.line.is_withdrawn and self.book is None:
            notes.append((HIDDEN, "adds a book that is withdrawn, so customers do not see it"))
        elif self.line.is_withdrawn and self.book and self.book.withdrawn_at is None:
            notes.append((HIDDEN, "is withdrawn in the file, but on sale here: an import does not withdraw books"))
        return notes


class Candidates:
    """The books of the shop that lines of a file may be about."""

    def __init__(self, books: Sequence[Book]) -> None:
        self.books = books
        self.by_isbn = {book.isbn: book for book in books if book.isbn}
        self.by_work: dict[str, list[Book]] = defaultdict(list)
        for book in books:
            self.by_work[book.work_key].append(book)

    def decide(self, line: PlanLine, defaults: Mapping[str, Any]) -> Decision:
        """Decide what a line changes; `defaults` are the values of new books that it does not have."""
        if line.problem:
            return Decision(line, problem=line.problem)
        fits = self._fitting(line)
        if len(fits) > 1:
            named = ", ".join(_named(book) for book in fits[:NAMED])
            return Decision(line, problem=f"has no ISBN, and fits {len(fits)} books of the shop: {named}")
        return _update(line, fits[0], defaults) if fits else _add(line, defaults)

    def _fitting(self, line: PlanLine) -> Sequence[Book]:
        """Return the book that a line is about, several if that cannot be decided, or none if it is a new one."""
        if line.isbn in self.by_isbn:
            return [self.by_isbn[line.isbn]]
        editions = self.by_work.get(line.work) or self.by_work.get(line.main_work, []) if line.work else []
        if line.isbn is None:
            return [book for book in editions if book.id == line.own_id] or editions
        adopting = without_isbn(editions) if line.is_only_edition else None
        return [adopting] if adopting else []


def _add(line: PlanLine, defaults: Mapping[str, Any]) -> Decision:
    if not line.work:
        missing = " and ".join(name for name in ("title", "authors") if not line.values.get(name))
        return Decision(
            line, problem=f"there is no book with the ISBN {line.isbn} in the shop, and no {missing} to add one"
        )
    values = {"price_cents": NO_PRICE, **defaults, **line.values}
    quantity = values.pop("stock_quantity", 0)
    return Decision(line, values=values, quantity=quantity or None)


def _update(line: PlanLine, book: Book, defaults: Mapping[str, Any]) -> Decision:
    values = dict(line.values)
    if line.isbn is None or line.isbn != book.isbn:  # found by title and authors, which the shop may write better
        values = {name: value for name, value in values.items() if name not in {"title", "authors"}}
    if book.price_cents == NO_PRICE and "price_cents" in defaults:
        values = {"price_cents": defaults["price_cents"], **values}
    changes = {name: value for name, value in values.items() if getattr(book, name) != value}
    quantity = changes.pop("stock_quantity", None)
    return Decision(line, book, changes, quantity, adopts="isbn" in changes)


def _named(book: Book) -> str:
    """Name a book so that staff can find it."""
    return f"“{shortened(book.title)}” ({f'ISBN {book.isbn}' if book.isbn else f'book {book.id}, without an ISBN'})"
