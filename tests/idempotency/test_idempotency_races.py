"""The same order sent many times at once, on both databases: one order and one answer."""

import re
from contextlib import contextmanager
from functools import partial

import pytest
from sqlalchemy import insert, select

from bookshop.idempotency.repository import IdempotencyRepository, answers
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
    """Sends Ada's order of two copies under a key: send("key"), or with another body: send("key", "Grace")."""
    shop.fill_cart(shop.customer(ADA), {shop.book("Emma", stock=5): 2})
    ada = api_client(ADA)

    def send(key, name="Ada"):
        headers = {**ada.headers, "Idempotency-Key": key}
        return ada.client.post("/api/v1/orders", json={"name": name}, headers=headers)

    return send


def at_once(send, keys):
    """Send the order under each of these keys at once; returns what is seen of the answers."""
    found = races.together([partial(send, key) for key in keys])
    return [(answer.status_code, answer.data, answer.headers.get("Location")) for answer in found]


def left(shop):
    """How many orders there are, and how many copies are left."""
    return shop.rows("SELECT (SELECT count(*) FROM orders), stock_quantity FROM books")[0]


def test_ten_requests_with_one_key_make_one_order_and_get_ten_equal_answers(shop, send):
    first, *others = at_once(send, ["key"] * SENT)
    assert (first[0], first[2], others) == (201, "/api/v1/orders/1", [first] * (SENT - 1))
    assert (left(shop), shop.rows("SELECT count(*) FROM idempotency_records"), shop.broken()) == ((1, 3), [1], [])


def test_of_ten_requests_with_keys_of_their_own_nine_find_an_empty_cart(shop, send):
    found = at_once(send, [f"key {number}" for number in range(SENT)])
    assert sorted(status for status, _body, _location in found) == [201] + [409] * (SENT - 1)
    assert sum(b"ORDER_CART_EMPTY" in body for _status, body, _location in found) == SENT - 1
    assert (left(shop), shop.rows("SELECT count(*) FROM idempotency_records"), shop.broken()) == ((1, 3), [1], [])


@contextmanager
def plain_keys():
    """The shop with keys as one would write them at first: look for an answer, then work, then write it down."""

    def look(self, user_id, key, fingerprint, _expired):
        self.session.info["asked"] = {"user_id": user_id, "key": key, "fingerprint": fingerprint}
        return self.session.connection().execute(select(answers).where(answers.c.key == key)).first() is None

    def write_down(self, _user_id, _key, status, body, location):
        given = {"status": status, "body": body, "location": location, "created_at": database.now()}
        self.session.connection().execute(insert(answers).values(self.session.info["asked"] | given))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(IdempotencyRepository, "claim", look)
        patch.setattr(IdempotencyRepository, "keep", write_down)
        yield


def test_twin_a_plain_look_for_an_answer_tells_nine_of_ten_that_their_cart_is_empty(app, send):
    with races.unlocked(app, {}), plain_keys(), races.meeting(CLAIM, SENT, races.LONG):
        found = at_once(send, ["key"] * SENT)
    assert len({status for status, _body, _location in found}) > 1


def test_of_two_different_requests_with_one_key_at_once_the_second_is_refused(shop, send):
    first, second = races.overtake(CLAIM, partial(send, "key"), partial(send, "key", "Grace"))
    assert (first.status_code, second.status_code, second.json["code"]) == (201, 422, "IDEMPOTENCY_MISMATCH")
    assert left(shop) == (1, 3)


@on_postgresql
def test_a_request_whose_twin_is_not_done_yet_is_told_so(shop, send, monkeypatch):
    """PostgreSQL only: on SQLite it waits for its turn, as all who write do."""
    monkeypatch.setattr(transactions, "LOCK_TIMEOUT", 0.1)
    first, second = races.overtake(CLAIM, partial(send, "key"), partial(send, "key"), races.LONG)
    assert (first.status_code, second.status_code, second.json["code"]) == (201, 409, "IDEMPOTENCY_IN_FLIGHT")
    assert (send("key").data, left(shop)) == (first.data, (1, 3))


def test_a_request_that_waits_for_one_that_is_refused_is_worked_on(shop, send):
    """The key of what was refused is free again: the second is not given the first one's refusal."""
    shop.set_stock(1, 1)
    first, second = races.overtake(CLAIM, partial(send, "key"), partial(send, "key"))
    assert (first.json["code"], second.json["code"]) == ("ORDER_INSUFFICIENT_STOCK",) * 2
    shop.set_stock(1, 2)
    assert (send("key").status_code, left(shop)) == (201, (1, 0))


def test_who_leaves_while_an_order_with_a_key_is_placed_is_gone_and_nothing_is_broken(app, shop, send):
    """A key holds nothing of the customer, so it cannot stand in the way of who holds the customer."""
    leave = partial(races.attempt, app, lambda: services.people().delete(1, PASSWORD))
    order, left_now = races.overtake(CLAIM, partial(send, "key"), leave)
    assert (order.status_code in {201, 401}, left_now) == (True, 0)
    assert (left(shop)[1], shop.rows("SELECT count(*) FROM idempotency_records"), shop.broken()) == (5, [0], [])


def click(app, browser, fields):
    """Press the button of the checkout page in a window of its own."""
    window, name = app.test_client(), app.config["SESSION_COOKIE_NAME"]
    window.set_cookie(name, browser.client.get_cookie(name).value)
    return window.post("/checkout", data=fields).location


def test_a_button_that_is_pressed_ten_times_at_once_places_one_order(app, shop, send, web_client):
    ada = web_client(ADA)
    hidden = HIDDEN.findall(ada.get("/checkout").text)
    fields = {**dict(hidden), "name": "Ada", "delivery": "collect", "csrf_token": ada.csrf_token("/checkout")}
    where = races.together([partial(click, app, ada, fields)] * SENT)
    assert (where, left(shop), shop.broken()) == (["/orders/1"] * SENT, (1, 3), [])
