"""The JSON contract of the cart."""

from typing import Any

import pytest
from werkzeug.test import TestResponse

from bookshop.web import services
from tests.support.clients import ApiClient

pytestmark = pytest.mark.one_postgresql_case

URL = "/api/v1/cart/items"
MEMBERS = [
    *(
        "id",
        "book_id",
        "book_title",
        "book_authors",
        "quantity",
        "price_cents",
        "currency",
        "in_stock",
        "withdrawn",
        "available",
    ),
    *("price_changed", "seen_price_cents", "seen_currency", "stock_changed"),
]


@pytest.fixture
def ada(shop, api_client):
    shop.customer("ada@example.com")
    return api_client("ada@example.com")


def refusal(answer: TestResponse) -> tuple[int, str]:
    problem: Any = answer.json
    return answer.status_code, problem["code"]


def add(ada: ApiClient, book_id: Any, **members: Any) -> Any:
    return ada.post(URL, {"book_id": book_id, **members})


def test_a_new_cart_line_is_returned_with_its_location(shop, ada):
    emma = shop.book("Emma", stock=3)
    made = add(ada, emma)
    assert (made.status_code, list(made.json)) == (201, MEMBERS)
    assert made.headers["Location"].endswith(f"{URL}/{emma}")
    assert ada.get(made.headers["Location"]).json == made.json
    assert (made.json["id"], made.json["quantity"], made.json["book_title"]) == (emma, 1, "Emma")


def test_adding_a_book_again_increases_its_quantity(shop, ada):
    emma = shop.book("Emma", stock=3)
    answers = [add(ada, emma, quantity=quantity) for quantity in (2, 3)]
    assert [(answer.status_code, answer.json["quantity"]) for answer in answers] == [(201, 2), (200, 5)]
    assert [(answer.json["available"], answer.json["in_stock"]) for answer in answers] == [(2, True), (3, True)]


def test_the_quantity_is_changed_and_the_line_removed(shop, ada):
    emma = shop.book("Emma", stock=3)
    add(ada, emma)
    changed = ada.patch(f"{URL}/{emma}", {"quantity": 2})
    assert (changed.status_code, changed.json["quantity"]) == (200, 2)
    removed = ada.delete(f"{URL}/{emma}")
    assert (removed.status_code, removed.data, ada.get(URL).json["items"]) == (204, b"", [])


def test_the_cart_is_a_paginated_list_in_the_order_of_adding(shop, ada):
    books = [shop.book(f"Book {number}", stock=1) for number in range(3)]
    for book_id in reversed(books):
        add(ada, book_id)
    assert [item["id"] for item in ada.get(URL).json["items"]] == books[::-1]
    second = ada.get(URL, page=2, size=2).json
    assert ([item["id"] for item in second.pop("items")], second) == ([books[0]], {"total": 3, "page": 2, "size": 2})
    assert ada.get(URL, page=2**31 - 1, size=100).json["items"] == []


def test_a_line_shows_what_changed_since_it_was_added(shop, ada):
    emma = shop.book("Emma", stock=3)
    before = add(ada, emma, quantity=2).json
    assert (before["price_changed"], before["stock_changed"]) == (False, False)
    shop.commit(lambda: services.catalog().update(emma, {"price_cents": 1050}))
    shop.set_stock(emma, 1)
    now = ada.get(f"{URL}/{emma}").json
    changed = {name: now[name] for name in now if now[name] != before[name]}
    assert changed == {"price_cents": 1050, "price_changed": True, "available": 1, "stock_changed": True}
    assert (now["seen_price_cents"], now["seen_currency"]) == (950, "EUR")


def test_a_withdrawn_book_has_no_available_copies(shop, ada):
    emma = shop.book("Emma", stock=3)
    add(ada, emma)
    shop.withdraw(emma)
    item = ada.get(f"{URL}/{emma}").json
    assert (item["in_stock"], item["available"], item["stock_changed"]) == (False, 0, True)
    assert refusal(ada.patch(f"{URL}/{emma}", {"quantity": 2})) == (404, "BOOK_NOT_FOUND")
    assert ada.delete(f"{URL}/{emma}").status_code == 204


def test_the_number_of_spare_copies_is_not_revealed(shop, ada):
    assert add(ada, shop.book("Emma", stock=717)).json["available"] == 1
    assert "717" not in ada.get(URL).text


def test_every_refusal_is_a_problem_with_its_code(shop, ada):
    emma, sold_out = shop.book("Emma", stock=3), shop.book("Sanditon")
    add(ada, emma, quantity=10)
    answers = [add(ada, sold_out), add(ada, emma), add(ada, 999), ada.patch(f"{URL}/{emma}", {"quantity": 11})]
    assert [refusal(answer) for answer in answers] == [
        (409, "CART_BOOK_OUT_OF_STOCK"),
        (409, "CART_LIMIT"),
        (404, "BOOK_NOT_FOUND"),
        (409, "CART_LIMIT"),
    ]
    assert {answer.mimetype for answer in answers} == {"application/problem+json"}


def test_a_21st_book_is_refused(shop, ada):
    for number in range(20):
        add(ada, shop.book(f"Book {number}", stock=1))
    assert refusal(add(ada, shop.book("One more", stock=1))) == (409, "CART_LIMIT")
    assert ada.get(URL).json["total"] == 20


@pytest.mark.parametrize("path", ["999", "0", "2147483648", "9223372036854775808"])
def test_a_book_outside_the_cart_is_not_found(shop, ada, path):
    add(ada, shop.book("Emma", stock=3))
    calls = (ada.get, ada.delete, lambda url: ada.patch(url, {"quantity": 1}))
    assert {refusal(call(f"{URL}/{path}")) for call in calls} == {(404, "CART_ITEM_NOT_FOUND")}


def test_another_customers_cart_is_out_of_reach(shop, ada, api_client):
    emma = shop.book("Emma", stock=3)
    add(ada, emma)
    shop.customer("ben@example.com")
    ben = api_client("ben@example.com")
    calls = (ben.get, ben.delete, lambda url: ben.patch(url, {"quantity": 1}))
    assert {refusal(call(f"{URL}/{emma}")) for call in calls} == {(404, "CART_ITEM_NOT_FOUND")}
    assert (ben.get(URL).json["total"], ada.get(URL).json["total"]) == (0, 1)


@pytest.mark.parametrize("number", ["1", 1.0, True, None, 0, -1, 2**31, 2**63, [1], {}])
@pytest.mark.parametrize("member", ["book_id", "quantity"])
def test_a_number_is_a_whole_number(shop, ada, member, number):
    answer = ada.post(URL, {"book_id": shop.book("Emma", stock=3), member: number})
    assert refusal(answer) == (422, "VALIDATION_ERROR")
    assert [error["pointer"] for error in answer.json["errors"]] == [f"#/{member}"]
    assert shop.rows("SELECT book_id FROM cart_items") == []


@pytest.mark.parametrize("body", [{}, {"quantity": 0}, {"quantity": 1, "book_id": 1}, {"quantity": "2"}, []])
def test_an_invalid_change_is_refused(shop, ada, body):
    emma = shop.book("Emma", stock=3)
    add(ada, emma)
    assert refusal(ada.patch(f"{URL}/{emma}", body)) == (422, "VALIDATION_ERROR")
    assert ada.get(f"{URL}/{emma}").json["quantity"] == 1


@pytest.mark.parametrize("query", [{"page": 0}, {"size": 101}, {"page": "x"}, {"other": 1}])
def test_invalid_list_parameters_are_refused(ada, query):
    assert refusal(ada.get(URL, **query)) == (422, "VALIDATION_ERROR")


@pytest.mark.parametrize(
    ("email", "refused"), [(None, (401, "NOT_AUTHENTICATED")), ("staff@example.com", (403, "FORBIDDEN"))]
)
def test_only_customers_have_a_json_cart(shop, api_client, email, refused):
    shop.staff("staff@example.com")
    client, emma = api_client(email), shop.book("Emma", stock=3)
    calls = [add(client, emma), client.get(URL), client.get(f"{URL}/{emma}"), client.delete(f"{URL}/{emma}")]
    assert [refusal(answer) for answer in calls] == [refused] * 4
    assert refusal(client.patch(f"{URL}/{emma}", {"quantity": 1})) == refused
