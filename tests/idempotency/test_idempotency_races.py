"""The same order sent many times at once, on both databases: one order and one response."""

import re
from contextlib import contextmanager
from functools import partial

import pytest
from sqlalchemy import insert, select

from bookshop.idempotency.repository import IdempotencyRepository, records
from bookshop.kit import database, transactions
from bookshop.web import services
from tests.support import races
from tests.support.factories import PASSWORD

HIDDEN = re.compile(r'name="(key|shown)"[^>]* value="([^"]*)"')
CLAIM = (IdempotencyRepository, "claim")
ADA, SENT = "ada@example.com", 10

on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)


@pytest.fixture
def send(shop, api_client):
    """Send Ada's order of two copies under a key: send("key"), or with another body: send("key", "Grace")."""
    shop.fill_cart(shop.customer(ADA), {shop.book("Emma", stock=5): 2})
    ada = api_client(ADA)

    def send(key, name="Ada"):
        headers = {**ada.headers, "Idempotency-Key": key}
        return ada.client.post("/api/v1/orders", json={"name": name}, headers=headers)

    return send


def send_concurrently(send, keys):
    """Send the order under each of these keys at once; return the visible parts of the responses."""
    found = races.run_concurrently([partial(send, key) for key in keys])
    return [(answer.status_code, answer.data, answer.headers.get("Location")) for answer in found]


def orders_and_copies(shop):
    """Return the number of orders and of copies left."""
    return shop.rows("SELECT (SELECT count(*) FROM orders), stock_quantity FROM books")[0]


def test_ten_requests_with_one_key_place_one_order_and_get_equal_responses(shop, send):
    first, *others = send_concurrently(send, ["key"] * SENT)
    assert (first[0], first[2], others) == (201, "/api/v1/orders/1", [first] * (SENT - 1))
    assert (orders_and_copies(shop), shop.rows("SELECT count(*) FROM idempotency_records"), shop.broken()) == (
        (1, 3),
        [1],
        [],
    )


def test_one_of_ten_requests_with_different_keys_orders_and_the_rest_find_an_empty_cart(shop, send):
    found = send_concurrently(send, [f"key {number}" for number in range(SENT)])
    assert sorted(status for status, _body, _location in found) == [201] + [409] * (SENT - 1)
    assert sum(b"ORDER_CART_EMPTY" in body for _status, body, _location in found) == SENT - 1
    assert (orders_and_copies(shop), shop.rows("SELECT count(*) FROM idempotency_records"), shop.broken()) == (
        (1, 3),
        [1],
        [],
    )


@contextmanager
def naive_keys():
    """Run the shop with naive keys: look for a response, then work, then store it."""

    def look(self, user_id, key, fingerprint, _expired):
        self.session.info["asked"] = {"user_id": user_id, "key": key, "fingerprint": fingerprint}
        return self.session.connection().execute(select(records).where(records.c.key == key)).first() is None

    def write_down(self, _user_id, _key, status, body, location):
        given = {"status": status, "body": body, "location": location, "created_at": database.now()}
        self.session.connection().execute(insert(records).values(self.session.info["asked"] | given))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(IdempotencyRepository, "claim", look)
        patch.setattr(IdempotencyRepository, "store", write_down)
        yield


def test_a_naive_idempotency_check_shows_nine_of_ten_an_empty_cart(app, send):
    with races.without_lock(app, {}), naive_keys(), races.barrier_at(CLAIM, SENT, races.LONG):
        found = send_concurrently(send, ["key"] * SENT)
    assert len({status for status, _body, _location in found}) > 1


def test_the_second_of_two_different_concurrent_requests_with_one_key_is_refused(shop, send):
    first, second = races.interleave(CLAIM, partial(send, "key"), partial(send, "key", "Grace"))
    assert (first.status_code, second.status_code, second.json["code"]) == (201, 422, "IDEMPOTENCY_MISMATCH")
    assert orders_and_copies(shop) == (1, 3)


@on_postgresql
def test_a_duplicate_of_an_unfinished_request_is_told_to_retry(shop, send, monkeypatch):
    """PostgreSQL only: on SQLite it waits like every writer."""
    monkeypatch.setattr(transactions, "LOCK_TIMEOUT", 0.1)
    first, second = races.interleave(CLAIM, partial(send, "key"), partial(send, "key"), races.LONG)
    assert (first.status_code, second.status_code, second.json["code"]) == (201, 409, "IDEMPOTENCY_IN_FLIGHT")
    assert (send("key").data, orders_and_copies(shop)) == (first.data, (1, 3))


def test_a_request_that_waited_for_a_refused_one_is_processed(shop, send):
    """The key of a refused request is released: the second does not get the first one's error."""
    shop.set_stock(1, 1)
    first, second = races.interleave(CLAIM, partial(send, "key"), partial(send, "key"))
    assert (first.json["code"], second.json["code"]) == ("ORDER_INSUFFICIENT_STOCK",) * 2
    shop.set_stock(1, 2)
    assert (send("key").status_code, orders_and_copies(shop)) == (201, (1, 0))


def test_deleting_an_account_during_a_keyed_order_breaks_nothing(app, shop, send):
    """A key locks nothing of the customer, so it cannot block a request that locks the customer."""
    leave = partial(races.result_or_code, app, lambda: services.people().delete(1, PASSWORD))
    order, left_now = races.interleave(CLAIM, partial(send, "key"), leave)
    assert (order.status_code in {201, 401}, left_now) == (True, 0)
    assert (orders_and_copies(shop)[1], shop.rows("SELECT count(*) FROM idempotency_records"), shop.broken()) == (
        5,
        [0],
        [],
    )


def click(app, browser, fields):
    """Press the button of the checkout page in a separate window."""
    window, name = app.test_client(), app.config["SESSION_COOKIE_NAME"]
    window.set_cookie(name, browser.client.get_cookie(name).value)
    return window.post("/checkout", data=fields).location


def test_ten_clicks_at_once_place_one_order(app, shop, send, web_client):
    ada = web_client(ADA)
    hidden = HIDDEN.findall(ada.get("/checkout").text)
    fields = {**dict(hidden), "name": "Ada", "delivery": "collect", "csrf_token": ada.csrf_token("/checkout")}
    where = races.run_concurrently([partial(click, app, ada, fields)] * SENT)
    assert (where, orders_and_copies(shop), shop.broken()) == (["/orders/1"] * SENT, (1, 3), [])
