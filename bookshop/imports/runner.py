"""Carries out imports for the worker and the command: checks a file, writes its plan, and applies it in batches."""

import logging
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

from bookshop.bookfiles.columns import OWN_FIELDS, missing_columns
from bookshop.bookfiles.reading import BookFile, Chosen, ReadLine, open_books, remove_converted
from bookshop.catalog.works import work_key
from bookshop.extensions import db, settings
from bookshop.imports.batch import BatchReport
from bookshop.imports.file_index import FileIndex
from bookshop.imports.matching import ADDED_LINE, REFUSED_LINE, Decision
from bookshop.imports.models import CHECKING, IMPORTING, UNDOING, ImportJob
from bookshop.imports.plan import PlanLine, PlanWriter, pack, read_plan
from bookshop.imports.repository import Claim
from bookshop.imports.service import ImportStopped, Source
from bookshop.kit.exceptions import Conflict, Invalid
from bookshop.web import services

log = logging.getLogger(__name__)

T = TypeVar("T")

LEASE = 30.0  # seconds after which another worker goes on with the import of one that was killed
LONG_LEASE = 180.0  # while a spreadsheet is converted, which cannot be interrupted
PREVIEWED = 20  # books


def upload_path(job_id: int) -> Path:
    """Return where the file of an import is kept until it has ended."""
    return settings().imports / f"{job_id}.upload"


def plan_path(job_id: int) -> Path:
    """Return where the plan of an import is."""
    return settings().imports / f"{job_id}.plan"


def store_upload(job_id: int, save: Callable[[Path], object]) -> None:
    """Let `save` write the file of a new import, which no worker may claim until it is there."""
    settings().imports.mkdir(parents=True, exist_ok=True)
    save(upload_path(job_id))


def remove_files(job_id: int) -> None:
    """Remove the files of an import that has ended."""
    remove_converted(upload_path(job_id))
    for path in (upload_path(job_id), plan_path(job_id), plan_path(job_id).with_suffix(".draft")):
        path.unlink(missing_ok=True)


class ImportRunner:
    """Carries out one import that a worker has claimed, until it is complete, paused or cancelled, or `stopping`."""

    def __init__(self, claim: Claim, stopping: Callable[[], bool] = lambda: False) -> None:
        self.claim, self.stopping = claim, stopping
        self.job_id = claim.job_id
        self.renewed = time.monotonic()

    def run(self) -> None:
        """Do what the state of the import asks for."""
        job = services.imports().get(self.job_id)
        steps = {CHECKING: self.check, IMPORTING: self.write, UNDOING: self.undo}
        db.session.rollback()
        try:
            steps[job.state]()
        except ImportStopped:
            log.info("import %d has been stopped or taken over", self.job_id)
            self._tidy()
        except Invalid as error:
            self._commit(partial(services.imports().fail, self.claim, error.sentence))
            remove_files(self.job_id)

    # -- checking

    def check(self) -> None:
        """Read the whole file, write its plan, and find out what it would change."""
        self._commit(partial(services.imports().begin_check, self.claim._replace(seconds=LONG_LEASE)))
        job = services.imports().get(self.job_id)
        file = self._open(job)
        db.session.rollback()
        conventions = file.conventions.decimal, file.conventions.names
        source = Source(file.format, file.encoding, file.header, file.mapping, *conventions)
        self._commit(partial(services.imports().record_source, self.claim, source))
        error = missing_columns(file.mapping) if file.header else ""
        preview = [] if error else self._plan(file)
        size = plan_path(self.job_id).stat().st_size if not error else 0
        finish = partial(services.imports().finish_check, self.claim, preview, size, error)
        self._commit(finish)

    def _open(self, job: ImportJob) -> BookFile:
        chosen = Chosen(cast(Any, job.decimal), cast(Any, job.names), job.encoding)
        return open_books(
            upload_path(self.job_id), services.shop().read().currency, partial(_columns, job.mapping), chosen
        )

    def _plan(self, file: BookFile) -> list[dict[str, Any]]:
        """Write the plan in two passes, as a line may clash with a later one; returns the preview."""
        draft = plan_path(self.job_id).with_suffix(".draft")
        preview: list[dict[str, Any]] = []
        with FileIndex() as index:
            with PlanWriter(draft) as plan:
                for read in file.lines():
                    line = _plan_line(read)
                    index.add(line)
                    plan.write(line)
                    self._renew(CHECKING)
            with PlanWriter(plan_path(self.job_id)) as plan:
                for lines, _position in read_plan(draft):
                    decisions = self._check([_compared(line, index) for line in lines], index)
                    for decision in decisions:
                        plan.write(_seen(decision))
                    preview += _previewed(decisions, PREVIEWED - len(preview))
        draft.unlink()
        return preview

    def _check(self, lines: Sequence[PlanLine], index: FileIndex) -> list[Decision]:
        return self._commit(partial(services.imports().check, self.claim, lines, index.first_line))

    # -- writing and undoing

    def write(self) -> None:
        """Apply the plan from where it was left."""
        for _report in self.write_batches():
            if self.stopping():
                return

    def write_batches(self) -> Iterator[BatchReport]:
        """Apply the plan, yielding the report of each batch after its commit, and end the import."""
        position = services.imports().get(self.job_id).position
        db.session.rollback()
        for lines, after in read_plan(plan_path(self.job_id), position):
            yield self._write(lines, position, after)
            position = after
        self._commit(partial(services.imports().finish, self.claim))
        remove_files(self.job_id)

    def _write(self, lines: Sequence[PlanLine], position: int, after: int) -> BatchReport:
        work = partial(services.imports().write, self.claim, lines, position, after)
        try:
            return self._commit(work)
        except Conflict:  # another transaction has just added one of these ISBNs: the second try will find it
            return self._commit(work)

    def undo(self) -> None:
        """Remove the books that the import has added."""
        while self._commit(partial(services.imports().remove, self.claim)):
            if self.stopping():
                return

    # -- claims

    def _renew(self, state: str) -> None:
        """Renew the claim from time to time, between two lines."""
        if time.monotonic() - self.renewed > self.claim.seconds / 3:
            self._commit(partial(services.imports().renew, self.claim, state))
            if self.stopping():
                raise ImportStopped

    def _commit(self, work: Callable[[], T]) -> T:
        result = services.commit(work)
        self.renewed = time.monotonic()
        return result

    def _tidy(self) -> None:
        """Remove the files of an import that has been cancelled meanwhile."""
        db.session.rollback()
        if services.imports().get(self.job_id).finished_at is not None:
            remove_files(self.job_id)
        db.session.rollback()


def check_file(path: Path, **options: int | None) -> Claim:
    """Create an import for a command and check its file at once; returns its claim, for `write_checked`.

    `options` are those of ImportService.create. Raises Invalid if the file cannot be read or lacks a column.
    """
    claim = services.commit(partial(_create, path.name, options))
    store_upload(claim.job_id, partial(shutil.copyfile, path))  # after the commit, so that nobody waits for the copy
    ImportRunner(claim).run()
    if error := services.imports().get(claim.job_id).error:
        raise Invalid(error)
    return claim


def write_checked(claim: Claim) -> Iterator[BatchReport]:
    """Apply an import that has been checked, yielding the report of each batch after its commit.

    Raises Conflict if staff pause or cancel it on its page.
    """
    services.commit(partial(_start, claim))
    try:
        yield from ImportRunner(claim).write_batches()
    except ImportStopped:
        raise Conflict("The import has been paused or cancelled on its page.", "IMPORT_CHANGED") from None


def import_file(path: Path) -> ImportJob:
    """Check a file and import it at once; returns the import, with its counts. Raises Invalid as `check_file` does."""
    claim = check_file(path)
    for _report in write_checked(claim):
        pass
    return services.imports().get(claim.job_id)


def _create(name: str, options: dict[str, int | None]) -> Claim:
    job_id = services.imports().create(name, None, **options)
    return _claim(job_id, secrets.token_hex(8))


def _start(claim: Claim) -> None:
    services.imports().start(claim.job_id)
    _claim(claim.job_id, claim.worker)


def _claim(job_id: int, worker: str) -> Claim:
    claim = services.imports().claim(worker, LEASE, job_id)
    if claim is None:
        raise ImportStopped
    return claim


def _columns(mapping: Sequence[str], header: Sequence[str]) -> Sequence[str] | None:
    """Return the columns that staff have chosen for this import, else those chosen before for such a header, if any."""
    return mapping if len(mapping) == len(header) else services.imports().remembered_mapping(header)


def _plan_line(read: ReadLine) -> PlanLine:
    values = {name: value for name, value in read.values.items() if name not in {"main_title", *OWN_FIELDS}}
    authors = values.get("authors", "")
    work, main_work = (
        work_key(title, authors) if title and authors else ""
        for title in (values.get("title"), read.values.get("main_title"))
    )
    return PlanLine(
        number=read.number,
        values=values,
        problem=read.problem,
        swallowed=read.swallowed,
        guesses=list(read.guesses),
        work=work,
        main_work=main_work,
        own_id=read.values.get("book_id"),
        is_withdrawn=read.values.get("withdrawn", False),
        record=pack(read.record),
    )


def _compared(line: PlanLine, index: FileIndex) -> PlanLine:
    """Compare a line with the other lines of the file."""
    if line.problem:
        return line
    if problem := index.problem(line):
        return line.refuse(problem)
    return line.with_editions(index.is_only_edition(line))


def _seen(decision: Decision) -> PlanLine:
    """Return the line as it goes into the plan, with the book that it changes as it is now."""
    line, book = decision.line, decision.book
    return line.as_seen(book.id, book.stock_quantity) if book and not decision.problem else line


def _previewed(decisions: Sequence[Decision], number: int) -> list[dict[str, Any]]:
    """Describe the first books as they would become, up to a number of them."""
    wanted = (decision for decision in decisions if decision.outcome != REFUSED_LINE)
    return [_described(decision) for decision in islice(wanted, max(0, number))]


def _described(decision: Decision) -> dict[str, Any]:
    book, values = decision.book, decision.values
    names = ("isbn", "title", "authors", "publisher", "language", "published_year", "price_cents", "currency")
    after = {name: values.get(name, getattr(book, name, None)) for name in names}
    stock = decision.quantity if decision.quantity is not None else book.stock_quantity if book else 0
    before = {name: getattr(book, name) for name in values if name in names} if book else {}
    if book and decision.quantity is not None:
        before["stock_quantity"] = book.stock_quantity
    return {
        "line": decision.line.number,
        "outcome": decision.outcome,
        "book_id": book.id if book and decision.outcome != ADDED_LINE else None,
        "after": {**after, "stock_quantity": stock},
        "before": before,
        "notes": [sentence for _kind, sentence in decision.notes],
    }
