"""The JSON contract of orders."""

import re
from typing import Any

import pytest

from tests.support.bad_input import assert_problem
from tests.support.clients import text_of

pytestmark = pytest.mark.one_postgresql_case

URL = "/api/v1/orders"
ADA, BEN = "ada@example.com", "ben@example.com"
UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
MEMBERS = {
    *("id", "number", "status", "payment", "delivery", "name", "phone", "address", "note", "lines", "totals"),
    *("created_at", "ready_at", "collected_at", "cancelled_at", "postage_cents", "postage_currency"),
}


@pytest.fixture
def ada(shop, api_client):
    """Ada's API client."""
    shop.customer(ADA)
    return api_client(ADA)


@pytest.fixture
def emma(shop, ada):
    """A book with three copies, one of them in Ada's cart."""
    book_id = shop.book("Emma", stock=3)
    shop.fill_cart(1, {book_id: 1})
    return book_id


def times(order):
    """Return which times of an order are set, after checking their format."""
    found = {name: value for name, value in order.items() if name.endswith("_at") and value is not None}
    assert all(UTC.fullmatch(value) for value in found.values())
    return set(found)


# ---------------------------------------------------------------- placing an order


def test_an_order_costs_the_expected_total_or_is_refused(shop, ada, emma):
    """The price may change between reading the cart and ordering."""
    sanditon = shop.book("Sanditon", price_cents=1200, currency="GBP", stock=1)
    shop.fill_cart(1, {emma: 1, sanditon: 1})
    euros, pounds = {"amount_cents": 1900, "currency": "EUR"}, {"amount_cents": 1200, "currency": "GBP"}
    for wrong in ([euros], [euros, {**pounds, "amount_cents": 1199}], [euros, pounds, pounds]):
        assert_problem(ada.post(URL, {"expected_totals": wrong}), 409, "ORDER_CHANGED")
    shop.execute("UPDATE books SET price_cents = 960 WHERE id = :emma", emma=emma)
    assert_problem(ada.post(URL, {"expected_totals": [euros, pounds]}), 409, "ORDER_CHANGED")
    shop.execute("UPDATE books SET price_cents = 950 WHERE id = :emma", emma=emma)
    made = ada.post(URL, {"expected_totals": [pounds, euros]})
    assert (made.status_code, made.json["totals"]) == (201, [euros, pounds])


def test_a_created_order_is_returned_as_it_will_be_read_with_its_location(ada, emma):
    made = ada.post(URL, {"name": " Ada Lovelace ", "phone": "030 1234", "note": "Ring\r\ntwice"})
    assert (made.status_code, made.mimetype, set(made.json)) == (201, "application/json", MEMBERS)
    assert made.headers["Location"] == f"{URL}/{made.json['id']}"
    assert ada.get(made.headers["Location"]).json == made.json
    assert (made.json["name"], made.json["note"], times(made.json)) == ("Ada Lovelace", "Ring\ntwice", {"created_at"})
    assert [made.json[name] for name in ("status", "payment", "delivery")] == ["placed", "on_collection", "collect"]


def test_an_order_shows_its_lines_as_sold_and_a_total_per_currency(shop, ada, emma):
    sanditon = shop.book("Sanditon", price_cents=1200, currency="GBP")
    prebook = shop.reserve(1, sanditon)
    shop.set_stock(sanditon, 1)
    shop.fill_cart(1, {emma: 1, sanditon: 1})
    made = ada.post(URL, {}).json
    assert made["lines"] == [
        {"book_id": emma, "title": "Emma", "quantity": 2, "price_cents": 950, "currency": "EUR", "prebooking_id": None},
        {
            **{"book_id": sanditon, "title": "Sanditon", "quantity": 1, "price_cents": 1200, "currency": "GBP"},
            "prebooking_id": prebook,
        },
    ]
    assert made["totals"] == [{"amount_cents": 1900, "currency": "EUR"}, {"amount_cents": 1200, "currency": "GBP"}]


def test_an_order_without_a_name_shows_the_account_address(ada, emma):
    made = ada.post(URL, {"name": " ", "phone": "", "note": None}).json
    assert [made[name] for name in ("name", "phone", "note", "address")] == [ADA, None, None, None]


def test_an_order_takes_the_copies_and_empties_the_cart(shop, ada, emma):
    ada.post(URL, {})
    assert (shop.stock(emma), shop.rows("SELECT * FROM cart_items"), shop.broken()) == (2, [], [])
    assert_problem(ada.post(URL, {}), 409, "ORDER_CART_EMPTY")


def test_short_stock_is_reported_line_by_line_and_nothing_is_sold(shop, ada, emma):
    sanditon = shop.book("Sanditon", stock=1)
    shop.fill_cart(1, {emma: 2, sanditon: 1, shop.book("Persuasion", stock=1): 1})
    shop.set_stock(emma, 2)
    shop.set_stock(sanditon, 0)
    before = shop.everything()
    answer = ada.post(URL, {"name": "Ada"})
    assert_problem(answer, 409, "ORDER_INSUFFICIENT_STOCK")
    assert answer.json["lines"] == [
        {"book_id": emma, "book_title": "Emma", "quantity": 3, "left": 2, "withdrawn": False},
        {"book_id": sanditon, "book_title": "Sanditon", "quantity": 1, "left": 0, "withdrawn": False},
    ]
    assert shop.everything() == before


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": 5}, "#/name"),
        ({"name": "x" * 201}, "#/name"),
        ({"name": "a\nb"}, "#/name"),
        ({"name": "nul\0"}, "#/name"),
        ({"name": "\ud800"}, "#/name"),
        ({"phone": "0" * 51}, "#/phone"),
        ({"note": "x" * 1001}, "#/note"),
        ({"note": ["x"]}, "#/note"),
        ({"delivery": "drone"}, "#/delivery"),
        ({"delivery": None}, "#/delivery"),
        ({"address": "x" * 1001}, "#/address"),
        ({"shown": "1x1@950EUR"}, "#/shown"),
        ({"quantity": 1}, "#/quantity"),
        ({"delivery": "post", "address": "1 Fen Street"}, "#/delivery"),
    ],
)
def test_a_body_of_the_wrong_shape_is_refused_at_its_member_and_orders_nothing(shop, ada, emma, body, pointer):
    answer = ada.post(URL, body)
    assert_problem(answer, 422, "VALIDATION_ERROR")
    assert pointer in {error["pointer"] for error in answer.json["errors"]}
    assert (shop.stock(emma), shop.rows("SELECT 1 FROM orders")) == (3, [])


def test_an_order_needs_a_body(shop, ada, emma):
    bodies: list[dict[str, Any]] = [{}, {"data": "{", "content_type": "application/json"}, {"json": []}]
    answers = [ada.client.post(URL, headers=ada.headers, **body).status_code for body in bodies]
    assert (answers, shop.stock(emma)) == ([415, 400, 422], 3)


# ---------------------------------------------------------------- reading


def test_a_customers_orders_are_listed_newest_first_by_page_and_status(shop, ada, emma):
    staff = shop.staff()
    shop.execute("DELETE FROM cart_items")
    orders = [shop.order(1, {emma: 1}) for _order in range(3)]
    shop.change_order(orders[0], "ready", staff)
    found = ada.get(URL, page=1, size=2).json
    assert ([order["id"] for order in found["items"]], found["total"], found["size"]) == ([3, 2], 3, 2)
    assert [order["id"] for order in ada.get(URL, status="ready").json["items"]] == [1]
    assert ada.get(f"{URL}/2").json == found["items"][1]


@pytest.mark.parametrize("query", [{"status": "lost"}, {"page": 0}, {"size": 101}, {"user_id": 1}])
def test_an_impossible_list_is_refused(ada, query):
    assert_problem(ada.get(URL, **query), 422, "VALIDATION_ERROR")


def test_other_customers_orders_are_not_found(shop, ada, emma, api_client):
    ada.post(URL, {})
    shop.customer(BEN)
    ben = api_client(BEN)
    assert ben.get(URL).json["items"] == []
    assert_problem(ben.get(f"{URL}/1"), 404, "ORDER_NOT_FOUND")
    assert_problem(ben.post(f"{URL}/1/cancel"), 404, "ORDER_NOT_FOUND")


@pytest.mark.parametrize("order_id", ["0", "99", str(2**31), str(2**63)])
def test_an_unknown_order_is_404(ada, order_id):
    assert_problem(ada.get(f"{URL}/{order_id}"), 404, "ORDER_NOT_FOUND")
    assert_problem(ada.post(f"{URL}/{order_id}/cancel"), 404, "ORDER_NOT_FOUND")


# ---------------------------------------------------------------- cancelling


@pytest.mark.parametrize("body", [None, {}])
def test_a_cancelled_order_has_its_time_and_its_copies_are_back_in_stock(shop, ada, emma, body):
    ada.post(URL, {})
    answer = ada.post(f"{URL}/1/cancel", body)
    assert (answer.status_code, answer.json["status"], times(answer.json)) == (
        200,
        "cancelled",
        {"created_at", "cancelled_at"},
    )
    assert ada.get(f"{URL}/1").json == answer.json
    assert (shop.stock(emma), shop.broken()) == (3, [])


def test_cancelling_an_order_notifies_waiting_customers(shop, ada, web_client):
    book_id, ben = shop.book("Emma", stock=1), shop.customer(BEN)
    shop.fill_cart(1, {book_id: 1})
    ada.post(URL, {})
    shop.reserve(ben, book_id)
    ada.post(f"{URL}/1/cancel")
    assert "Back in stock" in text_of(web_client(BEN).get("/reservations"))


@pytest.mark.parametrize("steps", [["cancelled"], ["ready"], ["ready", "collected"]])
def test_an_order_that_is_no_longer_placed_cannot_be_cancelled(shop, ada, emma, steps):
    staff = shop.staff()
    ada.post(URL, {})
    for step in steps:
        shop.change_order(1, step, staff)
    before = shop.everything()
    assert_problem(ada.post(f"{URL}/1/cancel"), 409, "ORDER_STATE")
    assert shop.everything() == before
