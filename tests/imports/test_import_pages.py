"""The staff pages for imports: uploading a file, its preview in every state, its report, and the undo."""

import csv
import io
import re

import pytest

from bookshop.imports import worker
from bookshop.imports.runner import ImportRunner, upload_path
from bookshop.operations.beats import record_beat
from bookshop.web import services, uploads
from tests.support.bad_input import ISBN, OTHER_ISBN, SCRIPT
from tests.support.clients import WebClient, text_of
from tests.support.factories import isbn
from tests.support.onix import message, product, title
from tests.support.uploads import PDF, Upload

pytestmark = pytest.mark.one_postgresql_case

STAFF = "staff@example.com"
IMPORTS = "/admin/imports"
GERMAN = f"""ISBN;Titel;Autor;VK;Bestand;Farbe
{ISBN};Stolz und Vorurteil;Jane Austen;9,90;3;rot
{OTHER_ISBN};Emma;Jane Austen;9,50;0;blau
9780000000000;Ohne Pruefziffer;Jane Austen;1.234,50;1;
"""
STATES = ["checking", "checked", "importing", "paused", "done", "cancelled", "failed", "undoing", "undone"]
RELOADING = {"checking", "importing", "undoing"}
REFRESH = '<meta http-equiv="refresh"'


class Desk:
    """A member of staff with an import: uploads files, presses buttons, and lets the worker do what is due."""

    def __init__(self, app, shop):
        shop.staff(STAFF)
        self.app, self.shop, self.browser = app, shop, WebClient(app, STAFF)

    def upload(self, content, name="books.csv", **fields):
        """Upload a file; return the path of its import."""
        content = content.encode() if isinstance(content, str) else content
        answer = self.browser.submit(IMPORTS, file=(Upload(content), name), **fields)
        assert answer.status_code == 303, text_of(answer)
        return answer.location

    def work(self):
        with self.app.app_context():
            assert worker.run_due()

    def checked(self, content, name="books.csv", **fields):
        path = self.upload(content, name, **fields)
        self.work()
        return path

    def imported(self, content, name="books.csv", **fields):
        path = self.checked(content, name, **fields)
        self.press(path, "start")
        self.work()
        return path

    def press(self, path, button, **fields):
        """Press a button of an import; return the text of the page that it leads to."""
        answer = self.browser.submit(f"{path}/{button}", page=path, **fields)
        assert answer.location == path
        return self.text(path)

    def text(self, path):
        return text_of(self.browser.get(path))

    def report(self, path):
        """Return the rows of the downloaded report without their header."""
        answer = self.browser.get(f"{path}/report.csv")
        assert answer.content_type == "text/csv; charset=utf-8"
        return list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig"), newline="")))[1:]


@pytest.fixture
def desk(app, shop):
    return Desk(app, shop)


# ---------------------------------------------------------------- from the file to the report


def test_a_file_is_previewed_then_imported_and_every_line_is_accounted_for(shop, desk):
    ada = shop.customer("ada@example.com")
    shop.reserve(ada, shop.book("Stolz", isbn=ISBN))
    shop.book("Emma", isbn=OTHER_ISBN)
    path = desk.checked(GERMAN.encode("cp1252"), price="12,90")
    page = desk.text(path)
    for words in (
        "3 lines read = 0 to add + 1 to update + 1 unchanged + 1 to refuse",
        "1 customer would be notified. Nothing has been changed yet.",
        "CSV, separated by semicolons",
        "Prices 1.234,50 is read as 1234.50",
        "Columns not used Farbe",
        "Title Stolz → Stolz und Vorurteil Price €9.50 → €9.90 Copies 0 → 3",
        "To refuse These lines would not be imported.",
        "4 ISBN 9780000000000 is not an ISBN",
    ):
        assert words in page
    assert (shop.stock(1), shop.statuses(1)) == (0, ["waiting"])

    assert "The import has been started." in desk.press(path, "start")
    desk.work()
    page = desk.text(path)
    assert "3 lines read = 0 added + 1 updated + 1 unchanged + 1 refused" in page
    assert "1 customer was notified." in page
    assert (shop.stock(1), shop.statuses(1)) == (3, ["notified"])
    ((line, outcome, reason),) = desk.report(path)
    assert (line, outcome, "is not an ISBN" in reason) == ("4", "refused", True)
    assert shop.broken() == []


def test_what_new_books_lack_comes_from_the_form(shop, desk):
    desk.imported("isbn,title,authors\n,Emma,Jane Austen\n", price="12,90", stock_quantity="4")
    assert shop.rows("SELECT title, price_cents, stock_quantity FROM books") == [("Emma", 1290, 4)]


def test_books_without_a_price_are_announced(desk):
    page = desk.text(desk.checked("title,authors\nEmma,Jane Austen\n"))
    assert "1 new book has no price and is shown with a price on request." in page
    assert "New book Price on request · Copies 0" in page


def test_the_list_shows_the_latest_import_first_with_its_state_counts_and_user(shop, desk):
    desk.imported(GERMAN, "first.csv")
    desk.upload("x", "second.csv")
    shop.execute("UPDATE import_jobs SET user_id = NULL WHERE file_name = 'second.csv'")
    page = desk.text(IMPORTS)
    assert page.index("second.csv") < page.index("first.csv")
    assert re.search(r"second.csv \d+ \w+ \d+, by a command Being checked", page)
    imported = "Imported 3 lines read = 2 added + 0 updated + 0 unchanged + 1 refused"
    assert re.search(rf"first.csv \d+ \w+ \d+, by {STAFF} {re.escape(imported)}", page)


def test_the_import_is_linked_from_the_desk_the_stock_and_an_empty_shop(shop, desk):
    assert "import a file with all of them" in desk.text("/admin")
    shop.book("Emma")
    for path in ("/admin", "/admin/books"):
        assert f'href="{IMPORTS}"' in desk.browser.get(path).text


@pytest.mark.parametrize(
    ("content", "why"),
    [(PDF, "This is a PDF. Ask for the list as CSV, Excel or ONIX 3.0"), (b"", "empty")],
    ids=["PDF", "empty"],
)
def test_a_file_that_cannot_be_read_says_why(shop, desk, content, why):
    page = desk.text(desk.checked(content, "list.pdf"))
    assert ("The import has failed" in page, why in page, "Nothing has been imported." in page) == (True, True, True)
    assert shop.rows("SELECT id FROM books") == []


# ---------------------------------------------------------------- columns

ODD = f'Nummer,Werk,Von,Regal\n{ISBN},Emma,"Austen, Jane",A1\n'


def test_without_the_columns_of_a_book_there_is_no_import_until_they_are_chosen(shop, desk):
    path = desk.checked(ODD)
    page = desk.browser.get(path).text
    assert ("Choose the columns." in page, f"{path}/start" in page) == (True, False)
    assert "Choose the columns." in desk.press(path, "start")
    chosen = {"columns": ["isbn", "title", "authors", ""], "decimal": ".", "names": "last, first"}
    assert "The file is read again with these columns." in desk.press(path, "columns", **chosen)
    desk.work()
    page = desk.text(path)
    assert "1 line read = 1 to add" in page
    assert ("Columns not used Regal" in page, "Jane Austen New book" in page) == (True, True)


def test_chosen_columns_are_remembered_for_the_next_file_with_the_same_header(desk):
    chosen = {"columns": ["isbn", "title", "authors", ""], "decimal": ".", "names": "first last"}
    desk.press(desk.checked(ODD), "columns", **chosen)
    desk.work()
    assert "1 line read = 1 to add" in desk.text(desk.checked(ODD.replace("A1", "B2")))


def test_a_file_without_a_header_loses_no_book(shop, desk):
    first, second = f"{ISBN};Stolz;Jane Austen;9,50\n", f"{OTHER_ISBN};Emma;Jane Austen;7,80\n"
    path = desk.checked(first + second)
    page = desk.text(path)
    assert ("Choose the columns." in page, "Column 4, which has no name" in page) == (True, True)
    chosen = {"columns": ["isbn", "title", "authors", "price"], "decimal": ".", "names": "first last"}
    desk.press(path, "columns", **chosen)
    desk.work()
    assert "2 lines read = 2 to add" in desk.text(path)
    desk.press(path, "start")
    desk.work()
    assert shop.rows("SELECT isbn, price_cents FROM books ORDER BY id") == [(ISBN, 950), (OTHER_ISBN, 780)]


def test_a_field_with_two_columns_names_both_and_keeps_what_was_chosen(desk):
    path = desk.checked(ODD)
    chosen = {"columns": ["isbn", "title", "title", ""], "decimal": ".", "names": "first last"}
    answer = desk.browser.submit(f"{path}/columns", page=path, **chosen)
    assert answer.status_code == 400
    assert "“Werk” and “Von” cannot both be the title. Choose one of them." in text_of(answer)
    assert answer.text.count('<option value="title" selected>') == 2
    assert "The file is read again" in desk.press(
        path, "columns", **{**chosen, "columns": ["isbn", "title", "authors", "authors"]}
    )


def test_an_encoding_can_be_chosen_where_names_look_wrong(desk):
    path = desk.checked("Titel;Autor\nEmma;Łukasz Dębski\n".encode("cp1250"))
    chosen = {"columns": ["title", "authors"], "decimal": ".", "names": "first last"}
    desk.press(path, "columns", **chosen, encoding="Windows-1252")
    desk.work()
    assert ("Encoding Windows-1252" in desk.text(path), "£ukasz Dêbski" in desk.text(path)) == (True, True)
    desk.press(path, "columns", **chosen, encoding="Windows-1250")
    desk.work()
    assert ("Encoding Windows-1250" in desk.text(path), "Łukasz Dębski" in desk.text(path)) == (True, True)


def test_an_onix_message_has_no_columns_to_choose(desk):
    page = desk.text(desk.checked("".join(message([product(titles=title("Emma"))])), "feed.xml"))
    assert ("Format ONIX 3." in page, "Choose what each column contains." in page) == (True, False)
    assert "1 line read = 1 to add" in page
    assert "Product Book What changes 1 Emma" in page


# ---------------------------------------------------------------- states and buttons

ALLOWED = {
    "start": {"checked": "importing"},
    "pause": {"importing": "paused"},
    "continue": {"paused": "importing"},
    "cancel": dict.fromkeys(["checking", "checked", "importing", "paused"], "cancelled"),
    "undo": dict.fromkeys(["done", "cancelled", "failed"], "undoing"),
    "columns": {"checked": "checking"},
}
COLUMNS = {
    "columns": ["isbn", "title", "authors", "price", "stock_quantity", ""],
    "decimal": ",",
    "names": "first last",
}


def test_a_button_works_in_its_states_only_and_says_so_in_others(shop, desk):
    path = desk.imported(GERMAN)
    token, found, expected = desk.browser.csrf_token(path), {}, {}
    for button, allowed in ALLOWED.items():
        for state in STATES:
            shop.execute("UPDATE import_jobs SET state = :state", state=state)
            answer = desk.browser.post(f"{path}/{button}", csrf_token=token, **(COLUMNS if button == "columns" else {}))
            with desk.browser.client.session_transaction() as session:
                ((kind, _sentence),) = session.pop("_flashes")
            found[button, state] = answer.location, kind, *shop.rows("SELECT state FROM import_jobs")
            expected[button, state] = path, "success" if state in allowed else "warning", allowed.get(state, state)
    assert found == expected


def test_a_button_that_is_too_late_says_so(desk):
    path = desk.imported(GERMAN)
    assert "The import has gone on meanwhile. Look at it again." in desk.press(path, "pause")


def test_only_a_page_whose_import_is_in_progress_reloads_itself_and_that_can_be_stopped(shop, desk):
    path = desk.upload("x")
    for state in STATES:
        shop.execute("UPDATE import_jobs SET state = :state", state=state)
        assert (REFRESH in desk.browser.get(path).text) == (state in RELOADING), state
        assert REFRESH not in desk.browser.get(f"{path}?reload=off").text


def test_without_a_living_worker_the_page_says_that_nothing_is_happening(app, desk):
    path, words = desk.upload("x"), "the program that imports files (the worker) may not be running"
    assert words in desk.text(path)
    with app.app_context():
        record_beat("a worker", "mail")
    assert words not in desk.text(path)


def test_an_import_is_paused_in_the_middle_and_continued_to_the_end(app, shop, desk):
    lines = [f"{isbn()},Volume {number},Jane Austen" for number in range(700)]
    path = desk.checked("\n".join(["isbn,title,authors", *lines]))
    desk.press(path, "start")
    with app.app_context():
        claim = services.commit(lambda: services.imports().claim("a worker", 60))
        assert claim
        ImportRunner(claim, stopping=lambda: True).run()
    page = desk.browser.get(path)
    assert "500 lines read = 500 added + 0 updated + 0 unchanged + 0 refused so far." in text_of(page)
    assert re.search(r'<progress [^>]*value="[1-9]\d+" max="\d+"', page.text)
    page = desk.press(path, "pause")
    assert ("500 lines read = 500 added" in page, "have not been imported yet" in page) == (True, True)
    desk.press(path, "continue")
    desk.work()
    assert "700 lines read = 700 added + 0 updated + 0 unchanged + 0 refused" in desk.text(path)
    assert shop.rows("SELECT count(*) FROM books") == [700]


def test_a_cancelled_preview_says_that_nothing_has_been_imported(shop, desk):
    page = desk.press(desk.checked(GERMAN), "cancel")
    assert ("Nothing has been imported." in page, "added" in page, "Undo" in page) == (True, False, False)
    assert shop.rows("SELECT id FROM books") == []


# ---------------------------------------------------------------- report and undo


def test_an_import_is_undone_except_for_books_in_use(shop, desk):
    path = desk.imported(GERMAN)
    shop.reserve(shop.customer("ada@example.com"), 2)
    assert "Undo this import" in desk.text(path)
    assert "are being removed" in desk.press(path, "undo")
    desk.work()
    page = desk.text(path)
    assert "1 book of 2 that the import added has been removed." in page
    assert "“Emma”: it has been reserved" in page
    assert ["", "kept", "“Emma”: it has been reserved"] in desk.report(path)
    assert "Undo this import" not in page
    assert "There are no books" not in desk.text("/admin/books")


def test_an_import_whose_books_have_been_sold_cannot_be_undone(shop, desk):
    path = desk.imported(GERMAN)
    desk.browser.submit("/admin/books/1/stock", change="sale", copies="1", expected="3")
    page = desk.text(path)
    assert ("Undo this import" in page, "1 book that it added has been sold" in page) == (False, True)
    assert "the import cannot be undone any more" in desk.press(path, "undo")


def test_titles_that_are_waited_for_beside_another_edition_are_listed(shop, desk):
    shop.reserve(shop.customer("ada@example.com"), shop.book("Emma", isbn=OTHER_ISBN))
    page = desk.text(desk.imported(f"isbn,title,authors,stock\n{ISBN},Emma,Jane Austen,5\n"))
    assert "Customers waiting while another edition is in stock" in page
    assert f"“Emma” (ISBN {OTHER_ISBN}): 1 customer is waiting" in page


def test_the_page_lists_the_first_hundred_refused_lines_and_the_report_all_of_them(desk):
    path = desk.checked("isbn,title,authors\n" + "123,Emma,Jane Austen\n" * 150)
    page = desk.text(path)
    assert "150 lines read = 0 to add + 0 to update + 0 unchanged + 150 to refuse" in page
    assert ("These are the first 100 of 150." in page, page.count("123 is not an ISBN")) == (True, 100)
    assert [line for line, *_reason in desk.report(path)] == [str(number) for number in range(2, 152)]


def test_scripts_and_formulas_in_names_headers_and_cells_do_no_harm(desk):
    formula = '=HYPERLINK("http://evil.example")'
    cells = (
        [SCRIPT, "isbn", "title", "authors", formula],
        [formula, "x", SCRIPT, formula, SCRIPT],
        ["", "", SCRIPT, formula, ""],
    )
    text = io.StringIO()
    csv.writer(text).writerows(cells)
    path = desk.checked(text.getvalue(), "=1+1<script>alert(1)<script>.csv")
    pages = [desk.browser.get(page).text for page in (path, IMPORTS)]
    desk.press(path, "start")
    desk.work()
    pages.append(desk.browser.get(path).text)
    assert [("<script" in page, "&lt;script&gt;" in page) for page in pages] == [(False, True)] * 3
    assert [cell for row in desk.report(path) for cell in row if cell.startswith(("=", "+", "-", "@"))] == []


# ---------------------------------------------------------------- uploads


def test_a_file_of_others_than_staff_is_not_kept(shop, app, desk, web_client):
    shop.customer("ada@example.com")
    for email, status in ((None, 303), ("ada@example.com", 403)):
        browser = web_client(email)
        answer = browser.submit(IMPORTS, page="/login", file=(Upload(GERMAN.encode()), "books.csv"))
        assert answer.status_code == status
    assert shop.rows("SELECT id FROM import_jobs") == []


def test_a_double_click_creates_one_import(shop, desk):
    token = desk.browser.csrf_token(IMPORTS)
    file = (Upload(GERMAN.encode()), "books.csv")
    answers = [desk.browser.post(IMPORTS, csrf_token=token, once="n" * 22, file=file) for _click in range(2)]
    assert {answer.location for answer in answers} == {f"{IMPORTS}/1"}
    assert shop.rows("SELECT id FROM import_jobs") == [1]


def test_a_file_that_is_larger_than_any_other_form_arrives_complete(app, desk):
    content = b"isbn,title\n" + b"x" * 3_000_000
    desk.upload(content)
    with app.app_context():
        assert upload_path(1).read_bytes() == content
        assert [path.suffix for path in upload_path(1).parent.iterdir() if path.suffix == ".received"] == []


def test_a_file_above_the_limit_is_refused_with_a_sentence(shop, desk, monkeypatch):
    small = uploads.UPLOADS["admin.imports"]._replace(bytes_max=1000)
    monkeypatch.setitem(uploads.UPLOADS, "admin.imports", small)
    answer = desk.browser.submit(IMPORTS, file=(Upload(b"x" * 20_000), "books.csv"))
    assert (answer.status_code, "may have at most 200 MB" in text_of(answer)) == (413, True)
    assert shop.rows("SELECT id FROM import_jobs") == []
