"""The page with the exports, and its files: who may download them, and that a slow download holds nothing."""

import csv
import io
from typing import Any

import pytest
from python_calamine import CalamineWorkbook

from bookshop.catalog.repository import BookRepository
from bookshop.extensions import db
from bookshop.kit.database import truncate_wal
from bookshop.reports.exports import EXPORTS
from bookshop.web import services
from bookshop.web.downloads import xlsx_download
from tests.support.clients import text_of

pytestmark = pytest.mark.one_postgresql_case

STAFF = "staff@example.com"
PERSONAL = ["orders", "reservations"]
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


@pytest.fixture
def staff(shop, web_client):
    shop.staff(STAFF)
    return web_client(STAFF)


def path_of(name, kind):
    return f"/admin/exports/{name}.{kind}"


def test_the_page_offers_every_list_in_both_formats_and_is_linked_from_desk_and_stock(staff):
    page = staff.get("/admin/exports")
    paths = [path_of(name, kind) for name in EXPORTS for kind in ("xlsx", "csv")]
    assert [path for path in paths if f'href="{path}"' not in page.text] == []
    assert text_of(page).count("Delete the file when you no longer need it") == len(PERSONAL)
    for path in ("/admin", "/admin/books"):
        assert 'href="/admin/exports"' in staff.get(path).text


@pytest.mark.parametrize("name", EXPORTS)
def test_staff_download_each_list_as_csv_and_for_excel(shop, staff, name):
    ada, emma = shop.customer("ada@example.com"), shop.book("Émma", stock=1)
    shop.order(ada, {emma: 1})
    shop.reserve(ada, emma)
    plain, excel = (staff.get(path_of(name, kind)) for kind in ("csv", "xlsx"))
    assert (plain.status_code, plain.content_type) == (200, "text/csv; charset=utf-8")
    assert plain.headers["Content-Disposition"] == f"attachment; filename=bookshop-{name}.csv"
    header, row = csv.reader(io.StringIO(plain.data.decode("utf-8-sig"), newline=""))
    assert (header, "Émma" in row) == (list(EXPORTS[name].header), True)
    assert (excel.status_code, excel.content_type, excel.content_length) == (200, XLSX, len(excel.data))
    assert excel.headers["Content-Disposition"] == f"attachment; filename=bookshop-{name}.xlsx"
    sheet = CalamineWorkbook.from_filelike(io.BytesIO(excel.data)).get_sheet_by_index(0).to_python()
    assert (sheet[0], "Émma" in sheet[1]) == (header, True)


@pytest.mark.parametrize("name", EXPORTS)
def test_only_lists_that_name_customers_ask_again_who_it_is(shop, staff, name):
    shop.execute("UPDATE login_sessions SET confirmed_at = NULL")
    answers = [staff.get(path_of(name, kind)) for kind in ("csv", "xlsx")]
    if name in PERSONAL:
        asked = [f"/account/confirm-login?next={path_of(name, kind)}" for kind in ("csv", "xlsx")]
        assert [(answer.status_code, answer.location) for answer in answers] == [(303, path) for path in asked]
    else:
        assert [answer.status_code for answer in answers] == [200, 200]


@pytest.mark.parametrize("path", ["covers.csv", "books.pdf", "books", "books.csv.xlsx", "BOOKS.csv", "../books.csv"])
def test_an_unknown_list_or_format_is_404(staff, path):
    assert staff.get(f"/admin/exports/{path}").status_code == 404


def test_a_slow_download_holds_no_connection_and_no_transaction(app, shop, staff):
    shop.book("Emma")
    with staff.client.get(path_of("books", "csv"), buffered=False) as answer:
        parts = iter(answer.response)
        assert b"book_id" in next(parts)
        assert_nothing_is_held(app)
        assert b"Emma" in next(parts)
        assert_nothing_is_held(app)
    assert staff.get(path_of("books", "xlsx")).status_code == 200
    assert_nothing_is_held(app)


def test_an_excel_file_is_written_while_the_request_holds_nothing(app, shop):
    def rows():
        assert_nothing_is_held(app)
        yield ["Emma"]

    shop.book("Emma")
    with app.test_request_context("/admin/exports/books.xlsx"):
        assert services.repository(BookRepository).list_newest(1)
        with xlsx_download("books.xlsx", ["title"], rows()) as answer:
            assert answer.status_code == 200


def assert_nothing_is_held(app):
    """Assert that no connection is in use and, on SQLite, that no transaction keeps the log from being emptied."""
    with app.app_context():
        pool: Any = db.engine.pool
        assert (pool.checkedout(), truncate_wal(db.engine)) == (0, True)
