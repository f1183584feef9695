"""Reports in JSON, for staff: what customers want."""

import csv
from io import StringIO

from flask import Response

from bookshop.accounts.scopes import REPORTS_READ
from bookshop.admin import bp
from bookshop.kit.text import as_cell
from bookshop.reports.repository import ReportRepository
from bookshop.reports.schemas import DemandOut, DemandQuery, demand_out
from bookshop.web import services
from bookshop.web.access import staff_required
from bookshop.web.contract import contract, list_of, page_request, tagged
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
    found = services.repository(ReportRepository).list_demand(page_request(query), query.size)
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
