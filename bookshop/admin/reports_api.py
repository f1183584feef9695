"""Staff's JSON about what customers want."""

import csv
from io import StringIO

from flask import Response

from bookshop.accounts.scopes import REPORTS_READ
from bookshop.admin import bp
from bookshop.admin.schemas import DemandOut, DemandQuery, StaffPreBookOut, demand_out, staff_prebook_out
from bookshop.kit.text import as_cell
from bookshop.prebookings.schemas import PreBookQuery
from bookshop.reports.repository import ReportRepository
from bookshop.web import services
from bookshop.web.access import staff_required
from bookshop.web.contract import contract, list_of, place, tagged
from bookshop.web.schemas import ListOf

REPORTS = {"tag": "Reports", "scope": REPORTS_READ}


@bp.get("/api/v1/reports/demand")
@staff_required
@contract(**REPORTS, csv=True, HTTP_200=ListOf[DemandOut])
def api_demand(query: DemandQuery) -> Response:
    """How many wait, were told and bought, book by book, the most wanted first.

    With `format=csv` all of it as a file for a spreadsheet, whatever the page.
    """
    if query.format == "csv":
        return _as_csv([demand_out(row) for row in services.repository(ReportRepository).all_demand()])
    found = services.repository(ReportRepository).list_demand(place(query), query.size)
    return list_of(found, [demand_out(row) for row in found.items])


def _as_csv(rows: list[DemandOut]) -> Response:
    """A file as of RFC 4180; times as in JSON. No text in it is a formula to a spreadsheet."""
    file = StringIO()
    table = csv.DictWriter(file, list(DemandOut.model_fields))
    table.writeheader()
    for row in rows:
        cells = row.model_dump(mode="json")
        table.writerow({name: as_cell(cell) if isinstance(cell, str) else cell for name, cell in cells.items()})
    headers = {"Content-Disposition": "attachment; filename=demand.csv"}
    return tagged(Response(file.getvalue(), headers=headers, mimetype="text/csv"))


@bp.get("/api/v1/books/<int:book_id>/prebookings")
@staff_required
@contract("BOOK_NOT_FOUND", **REPORTS, HTTP_200=ListOf[StaffPreBookOut])
def api_book_prebookings(book_id: int, query: PreBookQuery) -> Response:
    """The pre-bookings of a book, the oldest first, each with its customer."""
    found = services.prebookings().list_of_book(book_id, query.status, place(query), query.size)
    return list_of(found, [staff_prebook_out(prebook, email) for prebook, email in found.items])
