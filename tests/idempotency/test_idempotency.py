"""Requests with an `Idempotency-Key`: the same sent again has no second effect, and gets the same answer."""

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
from tests.support.stand import assert_problem

URL = "/api/v1/orders"
ADA, BEN = "ada@example.com", "ben@example.com"
CLAIM = (IdempotencyRepository, "claim")
SOLD = (CheckoutRepository, "insert")
SAID = {"name": "Ada Lovelace", "note": "Zoë"}

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def ada(shop, api_client):
    """A program of Ada's, that has called before."""
    shop.customer(ADA)
    program = api_client(ADA)
    program.get(URL)
    return program


@pytest.fixture
def emma(shop, ada):
    """A book of which there are three copies, one of them in Ada's cart."""
    book_id = shop.book("Emma", stock=3)
    shop.fill_cart(1, {book_id: 1})
    return book_id


def order(program, key="a key", said=SAID, data=None):
    """Order what is in the cart under a key."""
    headers = {**program.headers, "Idempotency-Key": key}
    body = json.dumps(said) if data is None else data
    return program.client.post(URL, data=body, content_type="application/json", headers=headers)


def answer_of(response):
    """All of an answer that a program may look at."""
    return response.status_code, response.data, response.mimetype, response.headers.get("Location")


def number_of_orders(shop):
    return shop.rows("SELECT count(*) FROM orders")[0]


# ---------------------------------------------------------------- one after the other


def test_the_same_request_sent_again_is_one_order_and_the_same_answer(shop, ada, emma):
    first, second, third = (order(ada) for _try in range(3))
    assert (first.status_code, first.headers["Location"]) == (201, f"{URL}/1")
    assert answer_of(first) == answer_of(second) == answer_of(third)
    assert (number_of_orders(shop), shop.stock(emma), shop.broken()) == (1, 2, [])


@pytest.mark.parametrize(
    "body",
    ['{"note":"Zo\\u00eb","name":"Ada Lovelace"}', '\n{ "name" : "Ada Lovelace",\t"note": "Zo\u00eb" }\n'],
)
def test_the_same_json_laid_out_otherwise_is_the_same_request(shop, ada, emma, body):
    first = order(ada)
    assert answer_of(order(ada, data=body.encode())) == answer_of(first)
    assert number_of_orders(shop) == 1


@pytest.mark.parametrize("said", [{}, {**SAID, "note": "Zoe"}, {"name": "Ada Lovelace"}, {**SAID, "phone": "1"}])
def test_another_request_with_the_same_key_is_refused_and_has_no_effect(shop, ada, emma, said):
    order(ada)
    shop.fill_cart(1, {emma: 1})
    before = shop.everything()
    assert_problem(order(ada, said=said), 422, "IDEMPOTENCY_MISMATCH")
    assert shop.everything() == before


def test_the_answer_stays_what_it_was_when_the_order_goes_on(shop, ada, emma):
    first = order(ada)
    ada.post(f"{URL}/1/cancel")
    assert answer_of(order(ada)) == answer_of(first)
    assert (first.json["status"], ada.get(f"{URL}/1").json["status"]) == ("placed", "cancelled")


def test_another_key_is_another_order(shop, ada, emma):
    order(ada, "one")
    shop.fill_cart(1, {emma: 1})
    assert [order(ada, "two").json["id"], order(ada, "One").status_code] == [2, 409]


def test_without_a_key_every_request_counts(shop, ada, emma):
    assert [ada.post(URL, SAID).status_code, ada.post(URL, SAID).status_code] == [201, 409]
    assert shop.rows("SELECT * FROM idempotency_records") == []


def test_the_keys_of_two_customers_are_apart(shop, ada, emma, api_client):
    shop.fill_cart(shop.customer(BEN), {emma: 1})
    ben = api_client(BEN)
    assert [order(program).json["id"] for program in (ada, ben, ada, ben)] == [1, 2, 1, 2]


def test_what_was_refused_may_be_sent_again_with_its_key(shop, ada, emma):
    shop.set_stock(emma, 0)
    assert_problem(order(ada), 409, "ORDER_INSUFFICIENT_STOCK")
    assert_problem(order(ada, said={"name": 5}), 422, "VALIDATION_ERROR")
    assert shop.rows("SELECT * FROM idempotency_records") == []
    shop.set_stock(emma, 1)
    assert order(ada).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 201, "Schl\xfcssel", "tab\there", "\x7f"])
def test_a_key_that_is_none_is_refused_and_nothing_is_ordered(shop, ada, emma, key):
    assert_problem(order(ada, key), 422, "VALIDATION_ERROR")
    assert number_of_orders(shop) == 0


@pytest.mark.parametrize(
    "key", ["x" * 200, "'; DROP TABLE orders; --", '"8e03978e-40d5-43dd-bc93-6894a57f9324"', "%00"]
)
def test_any_visible_text_of_200_characters_is_a_key(shop, ada, emma, key):
    assert answer_of(order(ada, key)) == answer_of(order(ada, key))
    assert (shop.rows("SELECT key FROM idempotency_records"), number_of_orders(shop)) == ([key], 1)


@pytest.mark.parametrize(("hours", "orders"), [(23, 1), (25, 2)])
def test_a_key_is_kept_for_a_day_and_then_free(shop, ada, emma, hours, orders):
    order(ada)
    with shop.app.app_context():
        db.session.query(IdempotencyRecord).update({"created_at": now() - timedelta(hours=hours)})
        db.session.commit()
    shop.fill_cart(1, {emma: 1})
    assert order(ada).json["id"] == orders
    assert (number_of_orders(shop), shop.rows("SELECT count(*) FROM idempotency_records")) == (orders, [1])


# ---------------------------------------------------------------- at the same moment


@pytest.mark.parametrize("point", [CLAIM, SOLD])
def test_a_request_that_comes_while_the_first_is_worked_on_gets_its_answer(shop, ada, emma, point):
    first, second = races.overtake(point, partial(order, ada), partial(order, ada))
    assert (answer_of(first), first.status_code) == (answer_of(second), 201)
    assert (number_of_orders(shop), shop.broken()) == (1, [])


def test_another_request_that_comes_with_the_key_of_the_first_is_refused(shop, ada, emma):
    shop.fill_cart(1, {emma: 1})
    first, second = races.overtake(CLAIM, partial(order, ada), partial(order, ada, said={}))
    assert (first.status_code, number_of_orders(shop)) == (201, 1)
    assert_problem(second, 422, "IDEMPOTENCY_MISMATCH")


def test_where_the_first_is_refused_the_second_is_worked_on(shop, ada, emma):
    shop.set_stock(emma, 0)
    answers = races.overtake(CLAIM, partial(order, ada), partial(order, ada))
    assert [answer.json["code"] for answer in answers] == ["ORDER_INSUFFICIENT_STOCK"] * 2


def test_ten_at_once_are_one_order_and_ten_equal_answers(shop, ada, emma):
    shop.fill_cart(1, {emma: 1})
    answers = {answer_of(answer) for answer in races.together([partial(order, ada)] * 10)}
    assert ({status for status, *_rest in answers}, len(answers), number_of_orders(shop)) == ({201}, 1, 1)
    assert (shop.stock(emma), shop.broken()) == (1, [])


@on_postgresql
def test_who_waits_too_long_for_the_first_is_told_to_ask_again(app, shop, ada, emma, monkeypatch):
    monkeypatch.setattr(transactions, "LOCK_TIMEOUT", 0.05)
    with app.app_context():
        engine = db.engine
    with engine.connect() as holder:
        holder.execute(insert(IdempotencyRecord).values(user_id=1, key="a key", fingerprint="of the first"))
        assert_problem(order(ada), 409, "IDEMPOTENCY_IN_FLIGHT")
        assert number_of_orders(shop) == 0
    assert order(ada).status_code == 201


@on_postgresql
def test_who_presses_the_button_while_the_order_is_placed_is_told_so_and_loses_nothing(
    app, shop, emma, web_client, monkeypatch
):
    monkeypatch.setattr(transactions, "LOCK_TIMEOUT", 0.05)
    browser, key = web_client(ADA), "0" * 32
    typed = {**SAID, "key": key, "shown": f"{emma}x1@950EUR", "csrf_token": browser.csrf_token("/checkout")}
    with app.app_context():
        engine = db.engine
    with engine.connect() as holder:
        holder.execute(insert(IdempotencyRecord).values(user_id=1, key=key, fingerprint="checkout"))
        answer = browser.post("/checkout", **typed)
    assert (answer.status_code, "being placed at this moment" in answer.text, key in answer.text) == (409, True, True)
    assert browser.post("/checkout", **typed).location == "/orders/1"
