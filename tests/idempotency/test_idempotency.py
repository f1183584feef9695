"""Requests with an `Idempotency-Key`: a repetition has no second effect and gets the same response."""

import json
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import insert

from bookshop.checkout.repository import CheckoutRepository
from bookshop.extensions import db
from bookshop.idempotency.models import IdempotencyRecord
from bookshop.idempotency.repository import IdempotencyRepository
from bookshop.kit import transactions
from bookshop.kit.database import now
from tests.support import races
from tests.support.bad_input import assert_problem

URL = "/api/v1/orders"
ADA, BEN = "ada@example.com", "ben@example.com"
CLAIM = (IdempotencyRepository, "claim")
SOLD = (CheckoutRepository, "insert")
FIELDS = {"name": "Ada Lovelace", "note": "Zoë"}

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def ada(shop, api_client):
    """Ada's API client, with a token already in use."""
    shop.customer(ADA)
    script = api_client(ADA)
    script.get(URL)
    return script


@pytest.fixture
def emma(shop, ada):
    """A book with three copies, one of them in Ada's cart."""
    book_id = shop.book("Emma", stock=3)
    shop.fill_cart(1, {book_id: 1})
    return book_id


def order(script, key="a key", fields=FIELDS, data=None):
    """Order what is in the cart under a key."""
    headers = {**script.headers, "Idempotency-Key": key}
    body = json.dumps(fields) if data is None else data
    return script.client.post(URL, data=body, content_type="application/json", headers=headers)


def answer_of(response):
    """Return all of a response that a script may use."""
    return response.status_code, response.data, response.mimetype, response.headers.get("Location")


def number_of_orders(shop):
    return shop.rows("SELECT count(*) FROM orders")[0]


# ---------------------------------------------------------------- sequential requests


def test_the_same_request_sent_again_places_no_second_order_and_gets_the_same_response(shop, ada, emma):
    first, second, third = (order(ada) for _try in range(3))
    assert (first.status_code, first.headers["Location"]) == (201, f"{URL}/1")
    assert answer_of(first) == answer_of(second) == answer_of(third)
    assert (number_of_orders(shop), shop.stock(emma), shop.broken()) == (1, 2, [])


@pytest.mark.parametrize(
    "body",
    ['{"note":"Zo\\u00eb","name":"Ada Lovelace"}', '\n{ "name" : "Ada Lovelace",\t"note": "Zo\u00eb" }\n'],
)
def test_equivalent_json_in_another_layout_is_the_same_request(shop, ada, emma, body):
    first = order(ada)
    assert answer_of(order(ada, data=body.encode())) == answer_of(first)
    assert number_of_orders(shop) == 1


@pytest.mark.parametrize("fields", [{}, {**FIELDS, "note": "Zoe"}, {"name": "Ada Lovelace"}, {**FIELDS, "phone": "1"}])
def test_a_different_request_with_the_same_key_is_refused_and_has_no_effect(shop, ada, emma, fields):
    order(ada)
    shop.fill_cart(1, {emma: 1})
    before = shop.everything()
    assert_problem(order(ada, fields=fields), 422, "IDEMPOTENCY_MISMATCH")
    assert shop.everything() == before


def test_the_stored_response_does_not_change_with_the_order(shop, ada, emma):
    first = order(ada)
    ada.post(f"{URL}/1/cancel")
    assert answer_of(order(ada)) == answer_of(first)
    assert (first.json["status"], ada.get(f"{URL}/1").json["status"]) == ("placed", "cancelled")


def test_a_different_key_places_another_order(shop, ada, emma):
    order(ada, "one")
    shop.fill_cart(1, {emma: 1})
    assert [order(ada, "two").json["id"], order(ada, "One").status_code] == [2, 409]


def test_without_a_key_every_request_takes_effect(shop, ada, emma):
    assert [ada.post(URL, FIELDS).status_code, ada.post(URL, FIELDS).status_code] == [201, 409]
    assert shop.rows("SELECT * FROM idempotency_records") == []


def test_two_customers_can_use_the_same_key(shop, ada, emma, api_client):
    shop.fill_cart(shop.customer(BEN), {emma: 1})
    ben = api_client(BEN)
    assert [order(script).json["id"] for script in (ada, ben, ada, ben)] == [1, 2, 1, 2]


def test_a_refused_request_can_be_retried_with_its_key(shop, ada, emma):
    shop.set_stock(emma, 0)
    assert_problem(order(ada), 409, "ORDER_INSUFFICIENT_STOCK")
    assert_problem(order(ada, fields={"name": 5}), 422, "VALIDATION_ERROR")
    assert shop.rows("SELECT * FROM idempotency_records") == []
    shop.set_stock(emma, 1)
    assert order(ada).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 201, "Schl\xfcssel", "tab\there", "\x7f"])
def test_an_invalid_key_is_refused_and_nothing_is_ordered(shop, ada, emma, key):
    assert_problem(order(ada, key), 422, "VALIDATION_ERROR")
    assert number_of_orders(shop) == 0


@pytest.mark.parametrize(
    "key", ["x" * 200, "'; DROP TABLE orders; --", '"8e03978e-40d5-43dd-bc93-6894a57f9324"', "%00"]
)
def test_a_key_may_be_any_200_visible_characters(shop, ada, emma, key):
    assert answer_of(order(ada, key)) == answer_of(order(ada, key))
    assert (shop.rows("SELECT key FROM idempotency_records"), number_of_orders(shop)) == ([key], 1)


@pytest.mark.parametrize(("hours", "orders"), [(23, 1), (25, 2)])
def test_a_key_can_be_reused_after_a_day(shop, ada, emma, hours, orders):
    order(ada)
    with shop.app.app_context():
        db.session.query(IdempotencyRecord).update({"created_at": now() - timedelta(hours=hours)})
        db.session.commit()
    shop.fill_cart(1, {emma: 1})
    assert order(ada).json["id"] == orders
    assert (number_of_orders(shop), shop.rows("SELECT count(*) FROM idempotency_records")) == (orders, [1])


# ---------------------------------------------------------------- simultaneous requests


@pytest.mark.parametrize("point", [CLAIM, SOLD])
def test_a_concurrent_duplicate_request_gets_the_first_response(shop, ada, emma, point):
    first, second = races.interleave(point, partial(order, ada), partial(order, ada))
    assert (answer_of(first), first.status_code) == (answer_of(second), 201)
    assert (number_of_orders(shop), shop.broken()) == (1, [])


def test_a_concurrent_different_request_with_the_same_key_is_refused(shop, ada, emma):
    shop.fill_cart(1, {emma: 1})
    first, second = races.interleave(CLAIM, partial(order, ada), partial(order, ada, fields={}))
    assert (first.status_code, number_of_orders(shop)) == (201, 1)
    assert_problem(second, 422, "IDEMPOTENCY_MISMATCH")


def test_if_the_first_request_is_refused_the_second_is_processed(shop, ada, emma):
    shop.set_stock(emma, 0)
    answers = races.interleave(CLAIM, partial(order, ada), partial(order, ada))
    assert [answer.json["code"] for answer in answers] == ["ORDER_INSUFFICIENT_STOCK"] * 2


def test_ten_simultaneous_requests_place_one_order_and_get_equal_responses(shop, ada, emma):
    shop.fill_cart(1, {emma: 1})
    answers = {answer_of(answer) for answer in races.run_concurrently([partial(order, ada)] * 10)}
    assert ({status for status, *_rest in answers}, len(answers), number_of_orders(shop)) == ({201}, 1, 1)
    assert (shop.stock(emma), shop.broken()) == (1, [])


@on_postgresql
def test_a_duplicate_that_waits_too_long_is_told_to_retry(app, shop, ada, emma, monkeypatch):
    monkeypatch.setattr(transactions, "LOCK_TIMEOUT", 0.05)
    with app.app_context():
        engine = db.engine
    with engine.connect() as holder:
        holder.execute(insert(IdempotencyRecord).values(user_id=1, key="a key", fingerprint="of the first"))
        assert_problem(order(ada), 409, "IDEMPOTENCY_IN_FLIGHT")
        assert number_of_orders(shop) == 0
    assert order(ada).status_code == 201


@on_postgresql
def test_pressing_the_button_during_the_order_says_so_and_loses_nothing(app, shop, emma, web_client, monkeypatch):
    monkeypatch.setattr(transactions, "LOCK_TIMEOUT", 0.05)
    browser, key = web_client(ADA), "0" * 32
    typed = {**FIELDS, "key": key, "shown": f"{emma}x1@950EUR", "csrf_token": browser.csrf_token("/checkout")}
    with app.app_context():
        engine = db.engine
    with engine.connect() as holder:
        holder.execute(insert(IdempotencyRecord).values(user_id=1, key=key, fingerprint="checkout"))
        answer = browser.post("/checkout", **typed)
    assert (answer.status_code, "Your order is being placed." in answer.text, key in answer.text) == (409, True, True)
    assert browser.post("/checkout", **typed).location == "/orders/1"
