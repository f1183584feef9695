"""The JSON contract of books: public reading, and writing by staff."""

import re
from typing import Any

import pytest
from werkzeug.test import TestResponse

pytestmark = pytest.mark.one_postgresql_case

PUBLIC = {
    "id": int,
    "isbn": str,
    "title": str,
    "authors": str,
    "publisher": str,
    "language": str,
    "published_year": int,
    "description": str,
    "price_cents": int,
    "currency": str,
    "in_stock": bool,
    "created_at": str,
    "updated_at": str,
}
STAFF = {**PUBLIC, "stock_quantity": int, "waiting_count": int}
UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
OPTIONAL = {
    "isbn": "9780141439587",
    "publisher": "Penguin",
    "language": "en",
    "published_year": 1815,
    "description": "One village.\nNo ball.",
}
WHOLE = {"title": "Emma", "authors": "Jane Austen", "price_cents": 950, "currency": "GBP", **OPTIONAL}
LEAST = {"title": "Emma", "authors": "Jane Austen", "price_cents": 950}


@pytest.fixture
def staff(shop, api_client):
    shop.staff("staff@example.com")
    return api_client("staff@example.com")


@pytest.fixture
def emma(staff):
    """The id of a book with every field set."""
    return staff.post("/api/v1/books", WHOLE).json["id"]


def shape(body: dict[str, Any]) -> dict[str, type]:
    return {name: type(value) for name, value in body.items()}


def problem(answer: TestResponse) -> Any:
    return answer.json


def refusal(answer: TestResponse) -> tuple[int, str]:
    return answer.status_code, problem(answer)["code"]


def pointers(answer: TestResponse) -> list[str]:
    return [error["pointer"] for error in problem(answer)["errors"]]


def test_anyone_sees_a_book_with_exactly_these_members(emma, api_client):
    book = api_client().get(f"/api/v1/books/{emma}")
    assert (book.status_code, book.mimetype, shape(book.json)) == (200, "application/json", PUBLIC)
    assert UTC.fullmatch(book.json["created_at"])
    assert UTC.fullmatch(book.json["updated_at"])


def test_a_customer_sees_what_anyone_sees_and_staff_also_the_stock_and_waiting_customers(emma, shop, api_client, staff):
    shop.reserve(shop.customer("ada@example.com"), emma)
    assert shape(api_client("ada@example.com").get(f"/api/v1/books/{emma}").json) == PUBLIC
    seen = staff.get(f"/api/v1/books/{emma}").json
    assert shape(seen) == STAFF
    assert (seen["stock_quantity"], seen["waiting_count"], seen["in_stock"]) == (0, 1, False)


@pytest.mark.parametrize(("email", "members"), [(None, PUBLIC), ("staff@example.com", STAFF)])
def test_a_list_wraps_the_same_books_in_an_envelope(emma, shop, api_client, email, members):
    found = api_client(email).get("/api/v1/books").json
    assert shape(found) == {"items": list, "total": int, "page": int, "size": int}
    assert [shape(book) for book in found["items"]] == [members]
    assert (found["total"], found["page"], found["size"]) == (1, 1, 20)


def test_staff_see_the_number_of_waiting_customers_in_the_list(emma, shop, staff):
    shop.reserve(shop.customer(), emma)
    shop.book("Persuasion", stock=4)
    books = staff.get("/api/v1/books", sort="title").json["items"]
    assert [(book["stock_quantity"], book["waiting_count"]) for book in books] == [(0, 1), (4, 0)]


@pytest.mark.parametrize("isbn", ["9780141439587", "978-0-14-143958-7", "0141439580", "0-14-143958-0"])
def test_a_book_is_found_by_its_isbn_in_any_notation(emma, api_client, isbn):
    assert api_client().get(f"/api/v1/books/isbn/{isbn}").json["id"] == emma


@pytest.mark.parametrize("path", ["999", "isbn/9780747532699", "isbn/123", "isbn/9780141439588", "isbn/%00"])
def test_an_unknown_book_is_a_404(emma, api_client, path):
    assert refusal(api_client().get(f"/api/v1/books/{path}")) == (404, "BOOK_NOT_FOUND")


@pytest.mark.parametrize("path", ["{}", "isbn/9780141439587"])
def test_only_staff_see_a_withdrawn_book(emma, shop, api_client, staff, path):
    shop.withdraw(emma)
    assert refusal(api_client().get(f"/api/v1/books/{path.format(emma)}")) == (404, "BOOK_NOT_FOUND")
    assert staff.get(f"/api/v1/books/{path.format(emma)}").json["id"] == emma


def test_a_created_book_is_returned_as_it_will_be_read_with_its_location(staff):
    made = staff.post("/api/v1/books", WHOLE)
    assert (made.status_code, shape(made.json)) == (201, STAFF)
    assert made.headers["Location"].endswith(f"/api/v1/books/{made.json['id']}")
    assert staff.get(made.headers["Location"]).json == made.json
    assert {name: made.json[name] for name in WHOLE} == WHOLE


def test_omitted_fields_of_a_new_book_are_null_and_the_currency_is_the_shops(staff):
    made = staff.post("/api/v1/books", LEAST).json
    assert {name: made[name] for name in OPTIONAL} == dict.fromkeys(OPTIONAL)
    assert (made["currency"], made["stock_quantity"], made["in_stock"]) == ("EUR", 0, False)


def test_an_isbn_10_is_stored_as_isbn_13(staff):
    assert staff.post("/api/v1/books", {**LEAST, "isbn": "0-14-143958-0"}).json["isbn"] == "9780141439587"


@pytest.mark.parametrize("withdrawn", [False, True])
def test_an_isbn_belongs_to_one_book_even_if_withdrawn(emma, shop, staff, withdrawn):
    other = shop.book("Persuasion")
    if withdrawn:
        shop.withdraw(emma)
    before = shop.everything()
    created = staff.post("/api/v1/books", {**LEAST, "isbn": "0141439580"})
    changed = staff.patch(f"/api/v1/books/{other}", {"isbn": "9780141439587", "title": "Other"})
    assert refusal(created) == refusal(changed) == (409, "BOOK_ISBN_CONFLICT")
    assert shop.everything() == before


@pytest.mark.parametrize("missing", LEAST)
def test_a_new_book_needs_title_authors_and_price(staff, shop, missing):
    answer = staff.post("/api/v1/books", {name: value for name, value in LEAST.items() if name != missing})
    assert (refusal(answer), pointers(answer)) == ((422, "VALIDATION_ERROR"), [f"#/{missing}"])
    assert shop.rows("SELECT id FROM books") == []


@pytest.mark.every_case
@pytest.mark.parametrize(("name", "value"), [("title", "Émile"), ("price_cents", 0), ("published_year", -700)])
def test_a_change_affects_only_the_fields_it_names(emma, staff, name, value):
    before = staff.get(f"/api/v1/books/{emma}").json
    changed = staff.patch(f"/api/v1/books/{emma}", {name: value})
    assert changed.status_code == 200
    assert changed.json.pop("updated_at") > before["updated_at"]
    assert {**changed.json, "updated_at": 0} == {**before, name: value, "updated_at": 0}


def test_an_empty_change_changes_nothing(emma, shop, staff):
    before = shop.everything()
    assert staff.patch(f"/api/v1/books/{emma}", {}).status_code == 200
    assert shop.everything() == before


@pytest.mark.every_case
@pytest.mark.parametrize("name", OPTIONAL)
def test_null_clears_optional_fields(emma, staff, name):
    changed = staff.patch(f"/api/v1/books/{emma}", {name: None})
    assert (changed.status_code, changed.json[name]) == (200, None)


@pytest.mark.parametrize("name", ["title", "authors", "price_cents", "currency"])
def test_null_cannot_clear_required_fields(emma, shop, staff, name):
    before = shop.everything()
    answer = staff.patch(f"/api/v1/books/{emma}", {name: None})
    assert (refusal(answer), pointers(answer)) == ((422, "VALIDATION_ERROR"), [f"#/{name}"])
    assert shop.everything() == before


@pytest.mark.parametrize("name", ["stock_quantity", "id", "in_stock", "withdrawn_at", "created_at", "search_title"])
def test_stock_and_unknown_fields_are_refused_when_creating_and_editing(emma, staff, name):
    answers = [staff.post("/api/v1/books", {**LEAST, name: 1}), staff.patch(f"/api/v1/books/{emma}", {name: 1})]
    assert [(refusal(answer), pointers(answer)) for answer in answers] == [
        ((422, "VALIDATION_ERROR"), [f"#/{name}"])
    ] * 2


@pytest.mark.parametrize("isbn", ["9780141439588", "0141439581", "123", "", "978014143958X"])
def test_a_mistyped_isbn_is_refused(emma, staff, isbn):
    answer = staff.patch(f"/api/v1/books/{emma}", {"isbn": isbn})
    assert (refusal(answer), pointers(answer)) == ((422, "VALIDATION_ERROR"), ["#/isbn"])


def test_a_book_can_be_saved_with_its_own_isbn(emma, staff):
    assert staff.patch(f"/api/v1/books/{emma}", {"isbn": "0141439580"}).json["isbn"] == "9780141439587"


@pytest.mark.parametrize(("path", "body"), [("999", {"title": "Other"}), ("999", {}), ("999/stock", {"quantity": 1})])
def test_a_change_of_an_unknown_book_is_a_404(staff, path, body):
    assert refusal(staff.patch(f"/api/v1/books/{path}", body)) == (404, "BOOK_NOT_FOUND")


@pytest.mark.parametrize(
    ("email", "refused"), [(None, (401, "NOT_AUTHENTICATED")), ("ada@example.com", (403, "FORBIDDEN"))]
)
def test_only_staff_can_create_and_edit_books(emma, shop, api_client, email, refused):
    shop.customer("ada@example.com")
    client, before = api_client(email), shop.everything()
    answers = [
        client.post("/api/v1/books", LEAST),
        client.patch(f"/api/v1/books/{emma}", {"title": "Other"}),
        client.set_stock(emma, 5),
        client.get(f"/api/v1/books/{emma}/movements"),
    ]
    assert [refusal(answer) for answer in answers] == [refused] * 4
    assert shop.everything() == before
