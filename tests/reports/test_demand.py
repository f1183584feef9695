"""Staff's demand API: demand by book, and the waiting customers of a book."""

import csv
from io import StringIO

import pytest

from bookshop.kit.text import as_cell
from bookshop.web import services
from tests.support.bad_input import assert_problem
from tests.support.factories import PASSWORD

pytestmark = pytest.mark.one_postgresql_case

DEMAND, STAFF, ISBN = "/api/v1/reports/demand", "staff@example.com", "9780141439587"
MEMBERS = ["book_id", "isbn", "title", "authors", "stock_quantity", "waiting", "waiting_since", "notified", "bought"]
FIGURES = ("stock_quantity", "waiting", "notified", "bought")


@pytest.fixture
def staff(shop, api_client):
    shop.staff(STAFF)
    return api_client(STAFF)


@pytest.fixture
def books(shop, staff):
    """Books with every kind of demand; their ids by name."""
    ada, ben, eve, cleo = (shop.customer(f"{name}@example.com") for name in ("ada", "ben", "eve", "cleo"))
    titles = {"wanted": 'A "quoted", title', "both": "\u00c9mile \N{BOOKS}", "back": "=1+1", "gone": "Gone"}
    titles |= {"left": "Left", "nobody": "Nobody", "given up": "Given up"}
    books = {name: shop.book(title, isbn=ISBN if name == "wanted" else None) for name, title in titles.items()}
    for user_id in (ada, ben, eve, cleo):
        shop.reserve(user_id, books["wanted"])
    shop.cancel(cleo, 4)
    one_of_two_notified_buys(shop, books["both"], ada, ben)
    shop.reserve(ada, books["back"])
    shop.set_stock(books["back"], 3)
    shop.order(cleo, {books["back"]: 2})  # without a reservation
    shop.reserve(ada, books["gone"])
    shop.set_stock(books["gone"], 1)
    shop.withdraw(books["gone"])
    shop.reserve(eve, books["left"])
    for stock in (1, 0):
        shop.set_stock(books["left"], stock)
    shop.reserve(eve, books["left"])
    shop.cancel(ada, shop.reserve(ada, books["given up"]))
    shop.commit(lambda: services.people().delete(eve, PASSWORD))
    return books


def one_of_two_notified_buys(shop, book_id, ada, ben):
    """Two notified customers: Ada bought the book; Ben cancelled his order and reserved again."""
    for user_id in (ada, ben):
        shop.reserve(user_id, book_id)
    shop.set_stock(book_id, 2)
    shop.order(ada, {book_id: 1})
    shop.cancel_order(ben, shop.order(ben, {book_id: 1}))
    shop.set_stock(book_id, 0)
    shop.reserve(ben, book_id)


def figures(items):
    return [tuple(item[name] for name in FIGURES) for item in items]


def test_the_demand_report_lists_waiting_notified_and_bought_by_book_most_wanted_first(shop, staff, books):
    found = staff.get(DEMAND)
    assert (found.status_code, found.json["total"]) == (200, 5)
    items = found.json["items"]
    assert [list(item) for item in items] == [MEMBERS] * 5
    assert [item["book_id"] for item in items] == [books[name] for name in ("wanted", "both", "back", "gone", "left")]
    assert figures(items) == [(0, 2, 0, 0), (0, 1, 2, 1), (1, 0, 1, 0), (1, 0, 1, 0), (0, 0, 1, 0)]
    assert (items[0]["isbn"], items[0]["title"], items[0]["authors"]) == (ISBN, 'A "quoted", title', "Jane Austen")
    assert shop.broken() == []


def test_the_oldest_wait_counts_only_waiting_customers(shop, staff, books):
    def since():
        return [item["waiting_since"] for item in staff.get(DEMAND).json["items"]]

    own = waiting(staff, books["wanted"])
    assert since()[0] == own["ada@example.com"] < own["ben@example.com"]
    assert since()[2:] == [None] * 3
    shop.cancel(2, 1)  # Ada no longer waits
    assert own["ben@example.com"] in since()


def waiting(staff, book_id):
    found = staff.get(f"/api/v1/books/{book_id}/prebookings", status="waiting").json["items"]
    return {item["email"]: item["created_at"] for item in found}


def test_the_csv_contains_all_the_json_regardless_of_the_page(staff, books):
    for query in ({}, {"page": 2, "size": 1}, {"cursor": "", "size": 1}, {"page": 99}):
        answer = staff.get(DEMAND, format="csv", **query)
        assert (answer.status_code, answer.content_type) == (200, "text/csv; charset=utf-8")
        assert answer.headers["Content-Disposition"] == "attachment; filename=demand.csv"
        rows = list(csv.DictReader(StringIO(answer.text, newline="")))
        items = staff.get(DEMAND, size=100).json["items"]
        assert [list(row) for row in rows] == [MEMBERS] * 5
        for item in items:
            item["title"] = as_cell(item["title"])
        assert rows == [{name: "" if value is None else str(value) for name, value in item.items()} for item in items]
    known = answer.headers["ETag"]
    assert staff.send("GET", f"{DEMAND}?format=csv", If_None_Match=known).status_code == 304


def test_without_any_demand_the_csv_has_only_a_header(staff):
    assert staff.get(DEMAND, format="csv").text == ",".join(MEMBERS) + "\r\n"
    assert staff.get(DEMAND).json["items"] == []


@pytest.mark.parametrize(
    "query", [{"format": "xml"}, {"format": ""}, {"format": "CSV"}, {"q": "emma"}, {"size": "101"}]
)
def test_an_unknown_report_is_refused(staff, query):
    assert_problem(staff.get(DEMAND, **query), 422, "VALIDATION_ERROR")


def test_the_waiting_list_shows_reservations_oldest_first_with_their_outcome(staff, books):
    found = staff.get(f"/api/v1/books/{books['wanted']}/prebookings").json
    assert [(item["email"], item["status"]) for item in found["items"]] == [
        *(("ada@example.com", "waiting"), ("ben@example.com", "waiting")),
        *((None, "cancelled"), ("cleo@example.com", "cancelled")),
    ]
    assert "deleted-" not in str(found)
    own = {
        "id",
        "book_id",
        "book_title",
        "book_authors",
        "status",
        "created_at",
        "notified_at",
        "cancelled_at",
        "email",
    }
    assert [set(item) for item in found["items"]] == [own] * 4


@pytest.mark.parametrize(("status", "number"), [("waiting", 1), ("notified", 2), ("cancelled", 0)])
def test_a_books_reservations_can_be_filtered_by_status(staff, books, status, number):
    found = staff.get(f"/api/v1/books/{books['both']}/prebookings", status=status).json
    assert (found["total"], {item["status"] for item in found["items"]}) == (number, {status} if number else set())


def test_a_withdrawn_book_has_its_list_and_an_unknown_one_is_404(staff, books):
    assert staff.get(f"/api/v1/books/{books['gone']}/prebookings").json["total"] == 1
    assert_problem(staff.get("/api/v1/books/999/prebookings"), 404, "BOOK_NOT_FOUND")
    assert_problem(staff.get(f"/api/v1/books/{2**31}/prebookings"), 404, "BOOK_NOT_FOUND")


@pytest.mark.parametrize("path", [DEMAND, f"{DEMAND}?format=csv", "/api/v1/books/1/prebookings"])
def test_only_staff_see_the_demand(books, api_client, path):
    assert_problem(api_client().send("GET", path), 401, "NOT_AUTHENTICATED")
    assert_problem(api_client("ada@example.com").send("GET", path), 403, "FORBIDDEN")


FORMULAS = ["=1+1", "+2", "-3", "@SUM(A4)", "'=5+1", "''-6", "\uff1d7"]


def test_no_exported_text_is_a_formula_and_our_import_reads_it_back(shop, staff, tmp_path):
    for title in FORMULAS:
        shop.reserve(
            shop.customer(f"c{len(title)}{ord(title[0])}@example.com"), shop.book(title, authors=f"{title} Austen")
        )
    rows = list(csv.DictReader(StringIO(staff.get(DEMAND, format="csv").text, newline="")))
    assert {row["title"] for row in rows} == {f"'{title}" for title in FORMULAS}
    path = tmp_path / "books.csv"
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["title", "authors", "publisher"])
        table.writerows([row["title"], row["authors"], "'Tis Books"] for row in rows)
    output = shop.app.test_cli_runner().invoke(args=["books", "import", str(path)]).output
    assert f"0 added, {len(FORMULAS)} updated, 0 unchanged, 0 refused" in output
    assert set(shop.rows("SELECT publisher FROM books")) == {"'Tis Books"}


def test_a_number_in_a_file_stays_a_number(shop, staff):
    shop.reserve(shop.customer("ada@example.com"), shop.book("Emma"))
    (row,) = csv.DictReader(StringIO(staff.get(DEMAND, format="csv").text, newline=""))
    assert (row["waiting"], row["title"]) == ("1", "Emma")
