"""The owners' pages about the audit log: search and download."""

import csv
import io
import json
from collections.abc import Iterator, Sequence

from flask import Response, render_template, request, stream_with_context

from bookshop.accounts.repository import UserRepository
from bookshop.admin import bp
from bookshop.admin.forms import AuditForm
from bookshop.admin.views import ViewResponse
from bookshop.audit.models import AuditEntry
from bookshop.audit.repository import AuditRepository, AuditSearch
from bookshop.kit.database import Page
from bookshop.web import services
from bookshop.web.access import fresh_login_required, owner_required
from bookshop.web.navigation import render_list, requested_page

SIZE = 50
COLUMNS = ("id", "time", "user_id", "action", "subject_id", "before", "after", "request_id")


@bp.get("/admin/audit")
@owner_required
def audit() -> ViewResponse:
    form = AuditForm(request.args)
    page = _found(form) if form.validate() else Page([], 0, 1, SIZE)
    emails = services.repository(UserRepository).emails_of({entry.user_id for entry in page.items if entry.user_id})
    return render_list("admin/audit.html", page, search=form, emails=emails)


def _found(form: AuditForm) -> Page[AuditEntry]:
    return services.repository(AuditRepository).search(form.search(), requested_page(), SIZE)


@bp.get("/admin/audit.csv")
@owner_required
@fresh_login_required
def audit_file() -> ViewResponse:
    """Download the entries that a search finds, newest first, as CSV (RFC 4180) in UTF-8."""
    form = AuditForm(request.args)
    if not form.validate():
        return render_template("admin/audit.html", search=form, found=Page([], 0, 1, SIZE), emails={}), 400
    lines = stream_with_context(_csv_lines(form.search()))
    disposition = {"Content-Disposition": "attachment; filename=bookshop-audit.csv"}
    return Response(lines, mimetype="text/csv", headers=disposition)


def _csv_lines(search: AuditSearch) -> Iterator[str]:
    """Yield the file in parts of up to 1,000 lines, so that a log of any length fits into memory.

    The session of the request is closed by then. Each part has its own, so that a slow client holds no connection.
    """
    yield ",".join(COLUMNS) + "\r\n"
    last_id = None
    while rows := _next_entries(search, last_id):
        part = io.StringIO()
        csv.writer(part).writerows(map(_csv_row, rows))
        yield part.getvalue()
        last_id = rows[-1].id


def _next_entries(search: AuditSearch, last_id: int | None) -> Sequence[AuditEntry]:
    with services.reading_session() as session:
        return AuditRepository(session).list_before(search, last_id)


def _csv_row(entry: AuditEntry) -> list[str | int | None]:
    values = [json.dumps(value) if value is not None else None for value in (entry.before, entry.after)]
    time = entry.created_at.isoformat(timespec="seconds")
    return [entry.id, time, entry.user_id, entry.action, entry.subject_id, *values, entry.request_id]
