"""Reports in JSON and CSV, for staff."""

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
from bookshop.web.contract import contract, list_response, page_request, with_etag
from bookshop.web.schemas import ListOf

REPORTS = {"tag": "Reports", "scope": REPORTS_READ}


@bp.get("/api/v1/reports/demand")
@staff_required
@contract(**REPORTS, csv=True, HTTP_200=ListOf[DemandOut])
def api_demand(query: DemandQuery) -> Response:
    """List the books with how many customers are waiting, were notified and bought, most wanted first.

    With `format=csv`, the response is a spreadsheet file with all books, and the page parameters are ignored.
    """
    if query.format == "csv":
        return _as_csv([demand_out(row) for row in services.repository(ReportRepository).all_demand()])
    page = services.repository(ReportRepository).list_demand(page_request(query), query.size)
    return list_response(page, [demand_out(row) for row in page.items])


def _as_csv(rows: list[DemandOut]) -> Response:
    """Return a CSV file (RFC 4180) with times as in JSON, and without cells that a spreadsheet takes for formulas."""
    file = StringIO()
    writer = csv.DictWriter(file, list(DemandOut.model_fields))
    writer.writeheader()
    for row in rows:
        cells = row.model_dump(mode="json")
        writer.writerow({name: as_cell(cell) if isinstance(cell, str) else cell for name, cell in cells.items()})
    headers = {"Content-Disposition": "attachment; filename=demand.csv"}
    return with_etag(Response(file.getvalue(), headers=headers, mimetype="text/csv"))
