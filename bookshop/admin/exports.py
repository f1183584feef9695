"""The staff page with the lists to export, and their files."""

from flask import render_template
from werkzeug.wrappers import Response

from bookshop.admin import bp
from bookshop.admin.views import ViewResponse
from bookshop.reports.exports import EXPORTS, cells_of
from bookshop.web import services
from bookshop.web.access import fresh_login_required, staff_required
from bookshop.web.downloads import csv_download, xlsx_download


@bp.get("/admin/exports")
@staff_required
def exports() -> ViewResponse:
    return render_template("admin/exports.html", exports=EXPORTS)


@bp.get("/admin/exports/<any(books, stock, demand):export>.<any(csv, xlsx):kind>")
@staff_required
def export_file(export: str, kind: str) -> Response:
    return _download(export, kind)


@bp.get("/admin/exports/<any(orders, reservations):personal>.<any(csv, xlsx):kind>")
@staff_required
@fresh_login_required
def personal_export_file(personal: str, kind: str) -> Response:
    """Download a list that names customers."""
    return _download(personal, kind)


def _download(name: str, kind: str) -> Response:
    export = EXPORTS[name]
    download = csv_download if kind == "csv" else xlsx_download
    return download(f"bookshop-{name}.{kind}", export.header, cells_of(export, services.reading_session))
