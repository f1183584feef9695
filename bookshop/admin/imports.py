"""The staff pages for imports: the list with the form for a file, and each import from its preview to its report."""

import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, NamedTuple

from flask import flash, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from bookshop.accounts.repository import UserRepository
from bookshop.admin import bp
from bookshop.admin.import_forms import ColumnsForm, ImportForm
from bookshop.admin.views import ViewResponse
from bookshop.bookfiles.columns import unused_columns
from bookshop.catalog.models import NO_PRICE
from bookshop.extensions import settings
from bookshop.imports.matching import ADDED_LINE, UPDATED_LINE
from bookshop.imports.models import ACTIVE, ADOPTED, CHECKED, GUESS, HIDDEN, KEPT, REFUSED, WAITING, ImportJob
from bookshop.imports.repository import ImportRepository
from bookshop.imports.runner import remove_files, store_upload
from bookshop.imports.service import OVER, TOO_LATE
from bookshop.kit.database import now
from bookshop.kit.exceptions import Busy, Conflict
from bookshop.kit.money import format_amount
from bookshop.kit.text import format_year
from bookshop.operations.repository import OperationsRepository
from bookshop.operations.service import ALIVE
from bookshop.web import services
from bookshop.web.access import current_identity, staff_required
from bookshop.web.downloads import csv_download
from bookshop.web.forms import ShopForm
from bookshop.web.navigation import render_list, requested_page

log = logging.getLogger(__name__)

IMPORT = "/admin/imports/<int:job_id>"
SIZE = 50
SHOWN = 100  # notes of a kind on the page; the report has all
READ_AT_ONCE = 1000  # notes of the report
NOT_STORED = "The file could not be stored. Tell your system administrator: the log of the shop has the reason."
STATES = {
    "checking": "Being checked",
    "checked": "Checked, not imported yet",
    "importing": "Being imported",
    "paused": "Paused",
    "done": "Imported",
    "cancelled": "Cancelled",
    "failed": "Failed",
    "undoing": "Being undone",
    "undone": "Undone",
}
REPORT_HEADER = ("line", "what happened", "reason")
PREVIEWED = {
    "title": "Title",
    "authors": "Authors",
    "isbn": "ISBN",
    "publisher": "Publisher",
    "language": "Language",
    "published_year": "Year",
    "price_cents": "Price",
    "stock_quantity": "Copies",
}
IN_HEADING = 2  # of them are shown above the others
NOTE_WORDS = {
    REFUSED: "refused",
    GUESS: "guessed",
    ADOPTED: "gives its ISBN to a book",
    WAITING: "customers waiting",
    KEPT: "kept",
    HIDDEN: "withdrawn",
}


class Change(NamedTuple):
    """A field of a previewed book: its name, its text after the import, and the one before, None for a new book."""

    name: str
    after: str
    before: str | None


@bp.route("/admin/imports", methods=["GET", "POST"])
@staff_required
def imports() -> ViewResponse:
    form = ImportForm()
    if form.validate_on_submit():
        job_id = _create(form)
        return redirect(url_for("admin.import_job", job_id=job_id), 303)
    found = services.repository(ImportRepository).list_jobs(requested_page(), SIZE)
    page = render_list("admin/imports.html", found, form=form, states=STATES, emails=_emails_of(found.items))
    return (page, form.status) if isinstance(page, str) else page


def _create(form: ImportForm) -> int:
    """Save the file, then create its import, so that no transaction waits for a large file. Raises Busy."""
    upload = form.file.data
    try:
        settings().imports.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=settings().imports, suffix=".received") as received:
            upload.save(received)
            received.flush()
            os.fsync(received.fileno())
            return services.commit(partial(_insert, upload.filename, Path(received.name), form.options()))
    except OSError as error:
        log.exception("a file to import could not be stored in %s", settings().imports)
        raise Busy(NOT_STORED) from error


def _insert(file_name: str, received: Path, options: Mapping[str, int | None]) -> int:
    job_id = services.imports().create(file_name, current_identity().user_id, **options)
    store_upload(job_id, partial(_link, received))
    return job_id


def _link(received: Path, path: Path) -> None:
    """Give a file a second name, or copy it where that is impossible. This may run twice."""
    path.unlink(missing_ok=True)
    with suppress(OSError):
        path.hardlink_to(received)
        return
    shutil.copyfile(received, path)


@bp.get(IMPORT)
@staff_required
def import_job(job_id: int) -> ViewResponse:
    job = services.imports().get(job_id)
    return _page(job, ColumnsForm(job))


def _page(job: ImportJob, columns: ColumnsForm) -> str:
    """Show an import in its state; `columns` is the form that corrects how its file is read."""
    found = services.repository(ImportRepository)
    return render_template(
        "admin/import.html",
        job=job,
        states=STATES,
        emails=_emails_of([job]),
        columns=columns,
        unused=unused_columns(job.header, job.mapping),
        form=ShopForm(),
        counts=found.count_notes(job.id),
        notes={kind: found.list_notes(job.id, {kind}, 0, SHOWN) for kind in NOTE_WORDS},
        preview=[(book, _changes(book)) for book in job.preview],
        reloads=job.state in ACTIVE and request.args.get("reload") != "off",
        no_worker=job.state in ACTIVE and not _is_held(job) and not _worker_is_alive(),
        is_over=job.state in OVER,
        undo_refusal=services.imports().undo_refusal(job),
    )


@bp.post(f"{IMPORT}/columns")
@staff_required
def choose_columns(job_id: int) -> ViewResponse:
    job = services.imports().get(job_id)
    if job.state != CHECKED:
        raise Conflict(TOO_LATE, "IMPORT_CHANGED")
    form = ColumnsForm(job)
    if not form.validate():
        return _page(job, form), 400
    chosen = (form.columns.data, form.decimal.data, form.names.data, form.encoding.data)
    services.commit(lambda: services.imports().choose_columns(job_id, *chosen))
    flash("The file is read again with these columns.", "success")
    return _to_import(job_id)


@bp.post(f"{IMPORT}/start")
@staff_required
def start_import(job_id: int) -> Response:
    return _change(job_id, services.imports().start, "The import has been started.")


@bp.post(f"{IMPORT}/pause")
@staff_required
def pause_import(job_id: int) -> Response:
    return _change(job_id, services.imports().pause, "The import has been paused.")


@bp.post(f"{IMPORT}/continue")
@staff_required
def continue_import(job_id: int) -> Response:
    return _change(job_id, services.imports().resume, "The import goes on.")


@bp.post(f"{IMPORT}/cancel")
@staff_required
def cancel_import(job_id: int) -> Response:
    response = _change(job_id, services.imports().cancel, "The import has been cancelled.")
    remove_files(job_id)
    return response


@bp.post(f"{IMPORT}/undo")
@staff_required
def undo_import(job_id: int) -> Response:
    return _change(job_id, services.imports().undo, "The books that the import added are being removed.")


def _change(job_id: int, change: Callable[[int], None], done: str) -> Response:
    services.commit(lambda: change(job_id))
    flash(done, "success")
    return _to_import(job_id)


def _to_import(job_id: int) -> Response:
    return redirect(url_for("admin.import_job", job_id=job_id), 303)


@bp.get(f"{IMPORT}/report.csv")
@staff_required
def import_report(job_id: int) -> Response:
    """Download what is to be said about the lines of an import."""
    services.imports().get(job_id)
    return csv_download(f"bookshop-import-{job_id}.csv", REPORT_HEADER, _report_rows(job_id))


def _report_rows(job_id: int) -> Iterator[tuple[int | None, str, str]]:
    """Yield the rows of the report; each part has a session of its own, so that a slow client holds no connection."""
    last = 0
    while notes := _next_notes(job_id, last):
        yield from ((note.line, NOTE_WORDS[note.kind], note.sentence) for note in notes)
        last = notes[-1].id


def _next_notes(job_id: int, last: int) -> Sequence[Any]:
    with services.reading_session() as session:
        return ImportRepository(session).list_notes(job_id, NOTE_WORDS, last, READ_AT_ONCE)


def _emails_of(jobs: Sequence[ImportJob]) -> Mapping[int, str]:
    return services.repository(UserRepository).emails_of({job.user_id for job in jobs if job.user_id})


def _is_held(job: ImportJob) -> bool:
    """Whether a worker has claimed an import."""
    return job.claimed_until is not None and job.claimed_until > now()


def _worker_is_alive() -> bool:
    return any(beat.age <= ALIVE for beat in services.repository(OperationsRepository).list_beats())


def _changes(book: Mapping[str, Any]) -> list[Change]:
    """Return the fields of a previewed book that change, or those that a new one has besides its title and authors."""
    after, before = book["after"], {**book["after"], **book["before"]}
    texts = [(name, _text(field, after), _text(field, before)) for field, name in PREVIEWED.items()]
    if book["outcome"] == ADDED_LINE:
        return [Change(name, text, None) for name, text, _before in texts[IN_HEADING:] if text]
    changed = [Change(name, text, before) for name, text, before in texts if text != before]
    return changed or ([Change("Description", "", None)] if book["outcome"] == UPDATED_LINE else [])


def _text(field: str, values: Mapping[str, Any]) -> str:
    """Return the value of a previewed field in words; "" if it has none."""
    value = values.get(field)
    if value is None:
        return ""
    if field == "price_cents":
        return "on request" if value == NO_PRICE else format_amount(value, values["currency"])
    if field == "published_year":
        return format_year(value)
    return f"{value:,}" if isinstance(value, int) else str(value)
