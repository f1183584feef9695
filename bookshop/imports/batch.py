"""Checks and writes the lines of an import, some hundred at a time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.orm import Session

from bookshop.audit.service import AuditService
from bookshop.catalog.models import NO_PRICE
from bookshop.catalog.repository import BookRepository
from bookshop.catalog.service import CatalogService
from bookshop.imports.matching import ADDED_LINE, REFUSED_LINE, UPDATED_LINE, Candidates, Decision
from bookshop.imports.plan import PlanLine, unpack
from bookshop.imports.repository import ImportRepository
from bookshop.inventory.models import IMPORT
from bookshop.inventory.service import Notified, StockChange
from bookshop.prebookings.repository import PreBookRepository
from bookshop.shelf.service import ShelfService

Note = tuple[int | None, str, str]  # the line, the kind and the sentence
FirstLine = Callable[[int, int], int | None]  # records that a line changes a book; returns the line that already does


@dataclass
class BatchReport:
    """What became of some lines. `added + updated + unchanged + refused` are all of them."""

    added: int = 0
    updated: int = 0
    unchanged: int = 0
    refused: int = 0
    unpriced: int = 0
    notified: int = 0
    notes: list[Note] = field(default_factory=list)

    def count(self, decision: Decision) -> None:
        """Count a line, and note what is to be reported about it."""
        lines = decision.line.lines if decision.outcome == REFUSED_LINE else 1
        setattr(self, decision.outcome, getattr(self, decision.outcome) + lines)
        self.unpriced += decision.outcome == ADDED_LINE and decision.values["price_cents"] == NO_PRICE
        self.notes += [(decision.line.number, kind, sentence) for kind, sentence in decision.notes]

    @property
    def counts(self) -> Mapping[str, int]:
        """The numbers by the names of the columns of ImportJob."""
        outcomes = {name: getattr(self, name) for name in ("added", "updated", "unchanged", "refused")}
        return {"lines": sum(outcomes.values()), **outcomes, "unpriced": self.unpriced, "notified": self.notified}


class ImportBatch:
    """Decides on some lines and writes them in the caller's transaction; never commits."""

    def __init__(
        self, session: Session, catalog: CatalogService, shelf: ShelfService, defaults: Mapping[str, Any]
    ) -> None:
        self.books = BookRepository(session)
        self.imports = ImportRepository(session)
        self.prebookings = PreBookRepository(session)
        self.audit = AuditService(session)
        self.catalog = catalog
        self.shelf = shelf
        self.defaults = defaults

    def check(self, lines: Sequence[PlanLine], first_line: FirstLine) -> tuple[list[Decision], BatchReport]:
        """Decide what these lines would change now, without locks; the report says how many would be notified.

        `first_line` remembers, over the whole file, which line changes which book.
        """
        decisions = self._decide(lines, self._candidates(lines), first_line)
        report = _report(decisions)
        restocked = [
            decision.book.id
            for decision in decisions
            if decision.book and decision.quantity and not decision.book.stock_quantity
        ]
        report.notified = sum(self.prebookings.count_waiting_by_book(restocked).values())
        return decisions, report

    def write(self, lines: Sequence[PlanLine], job_id: int, user_id: int | None, *, as_seen: bool) -> BatchReport:
        """Write what these lines change; with `as_seen`, refuse those whose book's stock is no longer what it was.

        Locks the books, in id order, until the caller's transaction ends. No other import writes until then.
        """
        self.books.lock_imports()
        books = self._candidates(lines).books
        self.books.lock_and_refresh(books)
        decisions = self._decide(lines, Candidates(books), _first_lines())
        decisions = [_unless_changed(decision) if as_seen else decision for decision in decisions]
        report = _report(decisions)
        changes = self._update([one for one in decisions if one.outcome == UPDATED_LINE])
        added = self._add([one for one in decisions if one.outcome == ADDED_LINE], job_id)
        changes += [(book_id, decision) for book_id, decision in added if decision.quantity is not None]
        report.notified = len(self._change_stocks(changes, user_id))
        self._keep_records(decisions, added)
        return report

    def _candidates(self, lines: Sequence[PlanLine]) -> Candidates:
        good = [line for line in lines if not line.problem]
        isbns = {line.isbn for line in good if line.isbn}
        works = {work for line in good for work in (line.work, line.main_work) if work}
        return Candidates(self.books.find_editions(isbns, works))

    def _decide(self, lines: Sequence[PlanLine], candidates: Candidates, first_line: FirstLine) -> list[Decision]:
        decisions = []
        for line in lines:
            decision = candidates.decide(line, self.defaults)
            if decision.book and (first := first_line(decision.book.id, line.number)):
                decision = candidates.decide(line.refuse(f"describes the same book as line {first}"), self.defaults)
            decisions.append(decision)
        return decisions

    def _update(self, decisions: Sequence[Decision]) -> list[tuple[int, Decision]]:
        """Write the fields that change; returns the books whose stock changes, too."""
        edits, changes = {}, []
        for decision in decisions:
            book = decision.book
            assert book is not None  # noqa: S101 - it is updated
            if edit := self.catalog.edit_locked(book, decision.values):
                edits[book.id] = edit
            if decision.quantity is not None:
                changes.append((book.id, decision))
        self.audit.record_all("book.edited", edits)
        return changes

    def _add(self, decisions: Sequence[Decision], job_id: int) -> list[tuple[int, Decision]]:
        rows = [{**decision.values, "import_id": job_id} for decision in decisions]
        ids = self.catalog.create_all(rows) if rows else []
        added = list(zip(ids, decisions, strict=True))
        for book_id, decision in added:
            if decision.line.is_withdrawn:
                self.shelf.withdraw(book_id)
        return added

    def _change_stocks(self, changes: Sequence[tuple[int, Decision]], user_id: int | None) -> Notified:
        return self.shelf.update_stocks(
            [
                StockChange(book_id=book_id, quantity=decision.quantity, reason=IMPORT, user_id=user_id)
                for book_id, decision in changes
            ]
        )

    def _keep_records(self, decisions: Sequence[Decision], added: Sequence[tuple[int, Decision]]) -> None:
        owners = [*added, *((one.book.id, one) for one in decisions if one.book and not one.problem)]
        records = {book_id: unpack(one.line.record) for book_id, one in owners if one.line.record}
        if records:
            self.imports.keep_records(records)


def _first_lines() -> FirstLine:
    """Remember which of the lines of one batch changes which book."""
    first: dict[int, int] = {}

    def first_line(book_id: int, number: int) -> int | None:
        earlier = first.setdefault(book_id, number)
        return None if earlier == number else earlier

    return first_line


def _report(decisions: Sequence[Decision]) -> BatchReport:
    report = BatchReport()
    for decision in decisions:
        report.count(decision)
    return report


def _unless_changed(decision: Decision) -> Decision:
    """Refuse a line whose book has another stock than when the line was checked."""
    if decision.problem or decision.book is None or decision.quantity is None:
        return decision
    book_id, seen = decision.line.seen or (decision.book.id, 0)
    now = decision.book.stock_quantity
    if (book_id, seen) == (decision.book.id, now):
        return decision
    return decision.refuse(f"the stock of its book has changed since the preview, from {seen:,} to {now:,}")
