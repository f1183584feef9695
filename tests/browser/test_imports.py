"""The journey of an import: an Excel file, a corrected column, the preview, the import, its report, and the undo."""

import re

import pytest
from playwright.sync_api import expect
from xlsxwriter import Workbook

from bookshop.imports.worker import import_thread
from bookshop.web.uploads import BOOK_FILE_MAX
from tests.browser.conftest import ONE_DATABASE
from tests.support.bad_input import ISBN, OTHER_ISBN

pytestmark = pytest.mark.prove

ROWS = [
    ["Lagerliste Mai"],
    [],
    ["ISBN", "Titel", "Verfasser", "Vorhanden", "Regal"],
    [int(ISBN), "Stolz und Vorurteil", "Austen, Jane", 3, "A 1"],
    [int(OTHER_ISBN), "Emma", "Austen, Jane", 2, "A 2"],
    ["123", "Verstand und Gefühl", "Austen, Jane", 1, "A 3"],
]


@pytest.fixture
def stock_list(tmp_path):
    """A bookseller's list in Excel, whose column of copies has a name that the shop does not know."""
    path = tmp_path / "Lagerliste.xlsx"
    with Workbook(str(path)) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(ROWS):
            sheet.write_row(number, 0, row)
    return path


@pytest.fixture
def _worker(shared_app):
    """The part of the worker that imports files, in a thread of its own."""
    with shared_app.app_context(), import_thread(lambda: False, once=False):
        yield


@ONE_DATABASE
@pytest.mark.usefixtures("_worker")
def test_an_excel_file_is_previewed_corrected_imported_and_undone_without_javascript(shop, window, stock_list):
    shop.staff("staff@example.com")
    shop.reserve(shop.customer("ada@example.com"), shop.book("Pride and Prejudice", isbn=ISBN))
    staff = window("staff@example.com", java_script_enabled=False)
    main = staff.get_by_role("main")
    staff.goto("/admin")
    staff.get_by_role("link", name="Import", exact=True).click()
    staff.get_by_label("File", exact=True).set_input_files(stock_list)
    staff.get_by_role("button", name="Check the file").click()

    expect(staff.get_by_role("heading", name="What the import would do")).to_be_visible()
    expect(main).to_contain_text("3 lines read = 1 to add + 1 to update + 0 unchanged + 1 to refuse")
    expect(main).to_contain_text("No customers would be notified.")
    staff.get_by_label("Vorhanden").select_option("copies")
    staff.get_by_role("button", name="Check again with these columns").click()

    expect(main).to_contain_text("1 customer would be notified.")
    expect(staff.get_by_role("row", name=re.compile("Stolz und Vorurteil"))).to_contain_text("Copies 0 → 3")
    expect(staff.get_by_role("row", name=re.compile("^6 "))).to_contain_text("123 is not an ISBN")
    assert (shop.stock(1), shop.statuses(1)) == (0, ["waiting"])
    staff.get_by_role("button", name="Import", exact=True).click()

    expect(staff.get_by_role("heading", name="Imported", exact=True)).to_be_visible()
    expect(main).to_contain_text("3 lines read = 1 added + 1 updated + 0 unchanged + 1 refused")
    assert (shop.stock(1), shop.stock(2), shop.statuses(1)) == (3, 2, ["notified"])
    with staff.expect_download() as report:
        staff.get_by_role("link", name="Download the report").click()
    assert "6,refused" in report.value.path().read_text("utf-8-sig")

    staff.locator("summary", has_text="Undo this import").click()
    staff.get_by_role("button", name="Undo").click()
    expect(staff.get_by_role("heading", name="Undone")).to_be_visible()
    expect(main).to_contain_text("1 book of 1 that the import added has been removed.")
    assert shop.stock(1) == 3
    assert shop.broken() == []


@ONE_DATABASE
def test_a_file_of_more_than_200_mb_is_refused_with_a_sentence(shop, window, tmp_path):
    shop.staff("staff@example.com")
    staff, path = window("staff@example.com"), tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(BOOK_FILE_MAX + 10_000_000)
    staff.goto("/admin/imports")
    staff.get_by_label("File", exact=True).set_input_files(path)
    staff.get_by_role("button", name="Check the file").click()
    expect(staff.get_by_role("main")).to_contain_text("a file to import may have at most 200 MB")
    assert shop.rows("SELECT id FROM import_jobs") == []
