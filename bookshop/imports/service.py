"""Imports of books: what staff can do with them, and the steps that a worker takes."""

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from bookshop.audit.service import Actor, AuditService, set_actor
from bookshop.catalog.repository import BookRepository
from bookshop.catalog.service import CatalogService
from bookshop.imports.batch import BatchReport, FirstLine, ImportBatch
from bookshop.imports.matching import Decision
from bookshop.imports.models import (
    CANCELLED,
    CHECKED,
    CHECKING,
    DONE,
    FAILED,
    FILE_NAME_MAX,
    IMPORTING,
    KEPT,
    PAUSED,
    UNDOING,
    UNDONE,
    WAITING,
    ImportJob,
)
from bookshop.imports.plan import BATCH, PlanLine
from bookshop.imports.repository import WAITING_TITLES_MAX, Claim, ImportRepository
from bookshop.inventory.models import CORRECTION
from bookshop.inventory.service import StockChange
from bookshop.kit.database import now
from bookshop.kit.exceptions import Conflict, NotFound
from bookshop.kit.text import one_line, shortened
from bookshop.shelf.service import ShelfService

NO_COUNTS = dict.fromkeys(
    ("lines", "added", "updated", "unchanged", "refused", "unpriced", "notified", "removed", "position"), 0
)
OVER = frozenset({DONE, CANCELLED, FAILED})  # states from which an import can be undone
USES = {  # why a book is kept when its import is undone
    "movements": "its stock has been changed since",
    "cart": "it is in a cart",
    "prebookings": "it has been reserved",
    "orders": "it has been ordered",
}
TOO_LATE = "The import has gone on meanwhile. Look at it again."


class ImportStopped(Exception):
    """The import has been paused or cancelled, or another worker has taken it over; nothing more is to be done."""


class Source(NamedTuple):
    """What a check has found out about a file; `mapping` has the field of each column of the header."""

    format: str
    encoding: str
    header: Sequence[str]
    mapping: Sequence[str]
    decimal: str
    names: str


class ImportService:
    """Creates, starts, pauses, cancels and undoes imports, and carries out their steps; never commits.

    `defaults` are the values of new books that a file does not have. A step raises ImportStopped unless the worker
    holds the import: the caller must then roll back.
    """

    def __init__(self, session: Session, catalog: CatalogService, shelf: ShelfService, currency: str) -> None:
        self.session = session
        self.imports = ImportRepository(session)
        self.books = BookRepository(session)
        self.audit = AuditService(session)
        self.catalog = catalog
        self.shelf = shelf
        self.currency = currency

    # -- what staff do

    def create(self, file_name: str, user_id: int | None, **options: int | None) -> int:
        """Add an import whose file has been stored, to be checked; returns its id.

        `options` are price_cents and stock_quantity for new books without them.
        """
        name = one_line(file_name)[:FILE_NAME_MAX] or "unnamed"
        job_id = self.imports.insert({"file_name": name, "user_id": user_id, **options})
        self.audit.record("import.created", job_id)
        return job_id

    def get(self, job_id: int) -> ImportJob:
        """Return an import with fresh values; raises NotFound."""
        job = self.imports.get(job_id)
        if job is None:
            raise NotFound("There is no such import.", "IMPORT_NOT_FOUND")
        return job

    def choose_columns(
        self,
        job_id: int,
        mapping: Sequence[str],
        decimal: str | None,
        names: str | None,
        encoding: str | None = None,
    ) -> None:
        """Read the file again with these columns, which are remembered for its header, and these conventions."""
        job = self.get(job_id)
        if len(mapping) != len(job.header):
            raise Conflict(TOO_LATE, "IMPORT_CHANGED")
        chosen = list(mapping)
        if chosen != job.mapping:  # what other columns seemed to say counts only if staff chose it themselves
            decimal, names = (new if new != old else None for new, old in ((decimal, job.decimal), (names, job.names)))
        elif encoding not in {None, job.encoding}:  # in which the names of the columns may be known
            chosen = []
        if chosen and any(job.header):  # without names, one file says nothing about the next
            self.imports.remember_mapping(_header_hash(job.header), chosen)
        conventions = {"decimal": decimal, "names": names, "encoding": encoding}
        self._change(job_id, {CHECKED}, {"state": CHECKING, "mapping": chosen, "error": None, **conventions})
        self.audit.record("import.columns_chosen", job_id)

    def start(self, job_id: int) -> None:
        """Import what has been checked."""
        if error := self.get(job_id).error:
            raise Conflict(error, "IMPORT_NOT_READY")
        self._change(job_id, {CHECKED}, {"state": IMPORTING, **NO_COUNTS})
        self.imports.delete_notes(job_id)
        self.audit.record("import.started", job_id)

    def pause(self, job_id: int) -> None:
        """Stop after the batch in hand, until the import is resumed."""
        self._change(job_id, {IMPORTING}, {"state": PAUSED})
        self.audit.record("import.paused", job_id)

    def resume(self, job_id: int) -> None:
        """Go on with a paused import."""
        self._change(job_id, {PAUSED}, {"state": IMPORTING})
        self.audit.record("import.resumed", job_id)

    def cancel(self, job_id: int) -> None:
        """Stop for good, after the batch in hand; what has been imported stays."""
        self._change(
            job_id, {CHECKING, CHECKED, IMPORTING, PAUSED}, {"state": CANCELLED, "finished_at": now(), "error": None}
        )
        self.audit.record("import.cancelled", job_id)

    def undo(self, job_id: int) -> None:
        """Remove the books that an import added, except those that are in use; see `remove`. Raises Conflict."""
        if refusal := self.undo_refusal(self.get(job_id)):
            raise Conflict(refusal, "IMPORT_CHANGED")
        self._change(job_id, OVER, {"state": UNDOING, "position": 0})
        self.audit.record("import.undone", job_id)

    def undo_refusal(self, job: ImportJob) -> str:
        """Return why an import cannot be undone; "" if it can."""
        if job.state not in OVER:
            return TOO_LATE
        if not self.imports.list_added(job.id, 0, 1):
            return "There is nothing to undo: no book that the import added is left."
        if sold := self.imports.count_sold(job.id):
            what = "1 book that it added has" if sold == 1 else f"{sold:,} books that it added have"
            return f"{what} been sold, so the import cannot be undone any more."
        return ""

    def _change(self, job_id: int, states: Collection[str], values: Mapping[str, Any]) -> None:
        if not self.imports.change(job_id, states, values):
            self.get(job_id)
            raise Conflict(TOO_LATE, "IMPORT_CHANGED")

    # -- what a worker does

    def claim(self, worker: str, seconds: float, job_id: int | None = None) -> Claim | None:
        """Claim an import with work to do that no other worker holds, the oldest or this one."""
        return self.imports.claim(worker, seconds, job_id)

    def release(self, worker: str) -> None:
        """Let another worker go on at once with what this one holds."""
        self.imports.release(worker)

    def begin_check(self, claim: Claim) -> None:
        """Forget what an earlier check has found out."""
        self._hold(claim, CHECKING)
        self.imports.delete_notes(claim.job_id)
        self.imports.set_values(claim.job_id, {**NO_COUNTS, "preview": [], "error": None})

    def renew(self, claim: Claim, state: str) -> None:
        """Renew the worker's claim."""
        self._hold(claim, state)

    def remembered_mapping(self, header: Sequence[str]) -> Sequence[str] | None:
        """Return the columns that staff have chosen for this header before, if any."""
        return self.imports.mapping(_header_hash(header))

    def record_source(self, claim: Claim, source: Source) -> None:
        """Record what the check has found out about the file."""
        self._hold(claim, CHECKING)
        values = {**source._asdict(), "header": list(source.header), "mapping": list(source.mapping)}
        self.imports.set_values(claim.job_id, values)

    def check(self, claim: Claim, lines: Sequence[PlanLine], first_line: FirstLine) -> list[Decision]:
        """Decide what these lines would change, and count them; see ImportBatch.check."""
        self._hold(claim, CHECKING)
        decisions, report = self._batch(self.get(claim.job_id)).check(lines, first_line)
        self.imports.add_counts(claim.job_id, report.counts)
        self.imports.add_notes(claim.job_id, report.notes)
        return decisions

    def finish_check(self, claim: Claim, preview: Sequence[Mapping[str, Any]], size: int, error: str) -> None:
        """Show the result of the check to staff; an error says why the file cannot be imported as it is."""
        self._hold(claim, CHECKING)
        values = {"state": CHECKED, "preview": list(preview), "size": size, "error": error or None}
        self.imports.change(claim.job_id, {CHECKING}, values)

    def fail(self, claim: Claim, error: str) -> None:
        """End an import whose file cannot be read, or that met a fault."""
        job = self.get(claim.job_id)
        self._hold(claim, job.state)
        self.imports.change(claim.job_id, {job.state}, {"state": FAILED, "error": error, "finished_at": now()})

    def write(self, claim: Claim, lines: Sequence[PlanLine], position: int, after: int) -> BatchReport:
        """Write the lines of the plan from a position on, and set the position after them.

        Locks the import and then the books, in id order, until the caller's transaction ends.
        """
        self._hold(claim, IMPORTING, position)
        job = self.get(claim.job_id)
        set_actor(self.session, Actor(job.user_id, None, is_audited=True))
        report = self._batch(job).write(lines, claim.job_id, job.user_id, as_seen=job.user_id is not None)
        self.imports.add_counts(claim.job_id, report.counts, position=after)
        self.imports.add_notes(claim.job_id, report.notes)
        return report

    def finish(self, claim: Claim) -> None:
        """End an import, and note which titles customers wait for while another edition is in stock."""
        self._hold(claim, IMPORTING)
        rows = self.imports.list_waiting_beside_stock()
        sentences = [_waiting_sentence(row) for row in rows]
        if len(rows) == WAITING_TITLES_MAX:
            sentences.append(f"There are more: this report lists the first {WAITING_TITLES_MAX:,}.")
        self.imports.add_notes(claim.job_id, [(None, WAITING, sentence) for sentence in sentences])
        self.imports.change(claim.job_id, {IMPORTING}, {"state": DONE, "finished_at": now()})

    def remove(self, claim: Claim) -> bool:
        """Remove the next books that an import added; returns False, and ends the undo, when there are no more.

        A removed book has no stock and no ISBN, and only its ledger is left. Books that somebody has reserved, ordered
        or put into a cart, or whose stock has been changed, are kept and noted. Locks the books, in id order.
        """
        self._hold(claim, UNDOING)
        job = self.get(claim.job_id)
        set_actor(self.session, Actor(job.user_id, None, is_audited=True))
        book_ids = self.imports.list_added(claim.job_id, job.position, BATCH)
        if not book_ids:
            self.imports.change(claim.job_id, {UNDOING}, {"state": UNDONE})
            return False
        locked = self.books.lock(book_ids)
        kept = self.imports.in_use(book_ids)
        removed = [book for book in locked if book.id not in kept]
        self._remove_books([book.id for book in removed], job)
        titles = {book.id: shortened(book.title) for book in locked}
        sentences = [f"“{titles[book_id]}”: {USES[use]}" for book_id, use in kept.items()]
        self.imports.add_notes(claim.job_id, [(None, KEPT, sentence) for sentence in sentences])
        self.imports.add_counts(claim.job_id, {"removed": len(removed)}, position=book_ids[-1])
        return True

    def _remove_books(self, book_ids: Sequence[int], job: ImportJob) -> None:
        self.shelf.update_stocks(
            [StockChange(book_id=book_id, quantity=0, reason=CORRECTION, user_id=job.user_id) for book_id in book_ids]
        )
        self.books.remove(book_ids)
        self.audit.record_all("book.removed", dict.fromkeys(book_ids, (None, {"import": job.id})))

    def _hold(self, claim: Claim, state: str, position: int | None = None) -> None:
        if not self.imports.hold(claim, state, position):
            raise ImportStopped

    def _batch(self, job: ImportJob) -> ImportBatch:
        values = {"price_cents": job.price_cents, "stock_quantity": job.stock_quantity, "currency": self.currency}
        defaults = {name: value for name, value in values.items() if value is not None}
        return ImportBatch(self.session, self.catalog, self.shelf, defaults)


def _header_hash(header: Sequence[str]) -> str:
    return sha256("\x1f".join(name.strip().casefold() for name in header).encode(errors="replace")).hexdigest()


def _waiting_sentence(row: Any) -> str:
    customers = "1 customer is" if row.waiting == 1 else f"{row.waiting:,} customers are"
    edition = f"another edition (ISBN {row.other_isbn})" if row.other_isbn else "another edition, without an ISBN,"
    copies = "1 copy" if row.stock_quantity == 1 else f"{row.stock_quantity:,} copies"
    own = f"ISBN {row.isbn}" if row.isbn else f"book {row.id}, without an ISBN"
    return f"“{shortened(row.title)}” ({own}): {customers} waiting, while {copies} of {edition} {_are(row)} in stock"


def _are(row: Any) -> str:
    return "is" if row.stock_quantity == 1 else "are"
