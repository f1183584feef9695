"""Every code of a problem that scripts may rely on: what brings it about, under which status, and with which headers.

One request for each, through the JSON face; that the document tells of it there is looked at, too.
"""

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

import pytest
from sqlalchemy.exc import OperationalError

from bookshop import create_app
from bookshop.catalog.service import CatalogService
from bookshop.extensions import db
from bookshop.idempotency.repository import IdempotencyRepository
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from bookshop.web.openapi import document
from bookshop.web.problems import PROBLEMS
from bookshop.webhooks.models import MOST_WEBHOOKS
from tests.support.clients import ApiClient
from tests.support.factories import Shop
from tests.support.settings import settings_for
from tests.web.test_openapi import codes_of

pytestmark = pytest.mark.one_postgresql_case

ADA, BEN, STAFF = "ada@example.com", "ben@example.com", "staff@example.com"
EMMA, PERSUASION, SANDITON = 1, 2, 3
ISBN = "9780141439587"
JSON = {"Content-Type": "application/json"}
KEY = {"Idempotency-Key": "once"}


class Way(NamedTuple):
    """A request that is refused: who sends what where, after `before`, and which headers the answer has."""

    who: str | None
    call: str
    sent: Mapping[str, Any] = {}
    before: Callable[["Scene"], object] = lambda _scene: None
    headers: Mapping[str, str] = {}


class Scene:
    """Ada, Ben and staff; Emma is sold out, of Persuasion there are 3 copies, Sanditon is sold out."""

    def __init__(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shop, self.app, self.monkeypatch = shop, shop.app, monkeypatch
        self.ada, self.ben, self.staff = shop.customer(ADA), shop.customer(BEN), shop.staff(STAFF)
        for title, stock, isbn in (("Emma", 0, ISBN), ("Persuasion", 3, "9780141439686"), ("Sanditon", 0, None)):
            shop.book(title, stock=stock, isbn=isbn)

    def send(self, who: str | None, call: str, **sent: Any) -> Any:
        api_client, (method, path) = ApiClient(self.app, who), call.split()
        headers = {**api_client.headers, **sent.pop("headers", {})}
        return api_client.client.open(path, method=method, headers=headers, **sent)

    def settings(self, **changed: Any) -> None:
        self.monkeypatch.setitem(self.app.config, "SETTINGS", self.app.config["SETTINGS"].model_copy(update=changed))

    def reserved(self) -> int:
        return self.shop.reserve(self.ada, EMMA)

    def at_limit(self) -> None:
        """Ada waits for as many books as one may."""
        self.settings(max_waiting=1)
        self.reserved()

    def ordered(self) -> int:
        return self.shop.order(self.ada, {PERSUASION: 1})

    def in_cart(self) -> None:
        self.shop.fill_cart(self.ada, {PERSUASION: 1})

    def sold_out(self) -> None:
        """Ada has Persuasion in her cart, and others bought all of it."""
        self.shop.fill_cart(self.ada, {PERSUASION: 1})
        self.shop.set_stock(PERSUASION, 0)

    def used_key(self) -> None:
        self.send(STAFF, "POST /api/v1/stock/batch", json={"lines": [{"book_id": EMMA, "delta": 1}]}, headers=KEY)

    def claimed_key(self) -> None:
        """Somebody claims the same keys, and is not done yet."""
        self.monkeypatch.setattr(IdempotencyRepository, "claim", lambda *_given: False)

    def bug(self) -> None:
        self.monkeypatch.setattr(PreBookRepository, "insert_if_out_of_stock", _fails)

    def lost_after_the_commit(self) -> None:
        """The database is away when the book is to be shown whose stock was changed."""
        lost = OperationalError("SELECT", {}, Exception("the server is away"))
        self.monkeypatch.setattr(CatalogService, "read", lambda *_given, **_named: _raise(lost))

    def spend_all(self) -> None:
        """One request a minute may be sent, and it is."""
        self.settings(api_limit="1 per minute")
        self.send(None, "GET /api/v1/books")

    def full_of_webhooks(self) -> None:
        self.settings(webhook_private=True)
        for _webhook in range(MOST_WEBHOOKS):
            self.register()

    def register(self) -> None:
        self.shop.commit(lambda: services.webhooks().register(self.staff, RECEIVER, ["*"]))

    def delivering(self) -> None:
        """A delivery is in the hands of a worker."""
        self.register()
        self.shop.set_stock(EMMA, 1)
        with self.app.app_context():
            services.assign_positions()
            services.commit(lambda: services.webhooks().fan_out(1, "*"))
        self.shop.execute("UPDATE webhook_deliveries SET state = 'sending', lease = 'x'")

    def without_database(self) -> None:
        self.app = create_app(settings_for("sqlite:////nowhere/shop.db"))


def _raise(error: Exception) -> None:
    raise error


def _fails(*_given: Any, **_named: Any) -> None:
    raise RuntimeError("a bug")


RECEIVER = "https://127.0.0.1/hooks"
REDELIVER = "POST /api/v1/webhooks/1/deliveries/{}/redeliver"
RESERVE = "POST /api/v1/prebookings"
CENT = {"amount_cents": 1, "currency": "EUR"}
CANCEL = "DELETE /api/v1/prebookings/1"
CART = "POST /api/v1/cart/items"
ORDER = "POST /api/v1/orders"
STOCK = f"PATCH /api/v1/books/{EMMA}/stock"
BATCH = "POST /api/v1/stock/batch"
BOOKS = "POST /api/v1/books"
BEARER = {"WWW-Authenticate": "Bearer"}
NEW_BOOK = {"title": "Emma", "authors": "Jane Austen", "price_cents": 950}

WAYS: dict[str, list[Way]] = {
    "NOT_AUTHENTICATED": [
        Way(None, "GET /api/v1/prebookings", headers=BEARER),
        Way(
            *(None, "GET /api/v1/books", {"headers": {"Authorization": "Bearer wrong"}}),
            headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
        ),
    ],
    "FORBIDDEN": [
        Way(ADA, STOCK, {"json": {"quantity": 1}}),
        Way(STAFF, RESERVE, {"json": {"book_id": EMMA}}),
    ],
    "VALIDATION_ERROR": [
        Way(ADA, RESERVE, {"json": {"book_id": True}}),
        Way(ADA, RESERVE, {"json": {"book_id": EMMA, "more": 1}}),
        Way(STAFF, STOCK, {"json": {"delta": -1}}),
        Way(STAFF, BATCH, {"json": {"lines": [{"book_id": 999, "delta": 1}]}}),
        Way(None, "GET /api/v1/books?size=101"),
    ],
    "BOOK_NOT_FOUND": [
        Way(None, "GET /api/v1/books/999"),
        Way(None, "GET /api/v1/books/isbn/9780000000002"),
        Way(ADA, RESERVE, {"json": {"book_id": 999}}),
        Way(ADA, CART, {"json": {"book_id": 999}}),
        Way(STAFF, "PATCH /api/v1/books/999", {"json": {"title": "A"}}),
        Way(STAFF, "PATCH /api/v1/books/999/stock", {"json": {"quantity": 1}}),
        Way(STAFF, "GET /api/v1/books/999/movements"),
        Way(STAFF, "GET /api/v1/books/999/prebookings"),
    ],
    "BOOK_ISBN_CONFLICT": [
        Way(STAFF, BOOKS, {"json": {**NEW_BOOK, "isbn": ISBN}}),
        Way(STAFF, f"PATCH /api/v1/books/{SANDITON}", {"json": {"isbn": ISBN}}),
    ],
    "PREBOOK_BOOK_IN_STOCK": [Way(ADA, RESERVE, {"json": {"book_id": PERSUASION}})],
    "PREBOOK_DUPLICATE": [Way(ADA, RESERVE, {"json": {"book_id": EMMA}}, Scene.reserved)],
    "PREBOOK_LIMIT_REACHED": [
        Way(ADA, RESERVE, {"json": {"book_id": SANDITON}}, Scene.at_limit),
    ],
    "PREBOOK_NOT_FOUND": [
        Way(ADA, CANCEL),
        Way(BEN, CANCEL, before=Scene.reserved),
        Way(BEN, "GET /api/v1/prebookings/1", before=Scene.reserved),
    ],
    "PREBOOK_ALREADY_CANCELLED": [Way(ADA, CANCEL, before=lambda w: w.shop.cancel(w.ada, w.reserved()))],
    "PREBOOK_ALREADY_NOTIFIED": [Way(ADA, CANCEL, before=lambda w: (w.reserved(), w.shop.set_stock(EMMA, 1)))],
    "CART_BOOK_OUT_OF_STOCK": [Way(ADA, CART, {"json": {"book_id": EMMA}})],
    "CART_LIMIT": [Way(ADA, CART, {"json": {"book_id": PERSUASION, "quantity": 11}})],
    "CART_ITEM_NOT_FOUND": [
        Way(ADA, f"GET /api/v1/cart/items/{EMMA}"),
        Way(ADA, f"PATCH /api/v1/cart/items/{EMMA}", {"json": {"quantity": 1}}),
        Way(ADA, f"DELETE /api/v1/cart/items/{EMMA}"),
    ],
    "ORDER_CART_EMPTY": [Way(ADA, ORDER, {"json": {}})],
    "ORDER_CHANGED": [Way(ADA, ORDER, {"json": {"expected_totals": [CENT]}}, Scene.in_cart)],
    "ORDER_INSUFFICIENT_STOCK": [Way(ADA, ORDER, {"json": {}}, Scene.sold_out)],
    "ORDER_NOT_FOUND": [
        Way(BEN, "GET /api/v1/orders/1", before=Scene.ordered),
        Way(BEN, "POST /api/v1/orders/1/cancel", before=Scene.ordered),
        Way(STAFF, "POST /api/v1/admin/orders/999/ready"),
    ],
    "ORDER_STATE": [
        Way(STAFF, "POST /api/v1/admin/orders/1/collected", before=Scene.ordered),
        Way(ADA, "POST /api/v1/orders/1/cancel", before=lambda w: w.shop.change_order(w.ordered(), "ready", w.staff)),
    ],
    "IDEMPOTENCY_MISMATCH": [
        Way(STAFF, BATCH, {"json": {"lines": [{"book_id": EMMA, "delta": 2}]}, "headers": KEY}, Scene.used_key)
    ],
    "IDEMPOTENCY_IN_FLIGHT": [
        Way(STAFF, BATCH, {"json": {"lines": [{"book_id": EMMA, "delta": 2}]}, "headers": KEY}, Scene.claimed_key)
    ],
    "CURSOR_NOT_FOUND": [Way(None, "GET /api/v1/books?cursor=wrong"), Way(ADA, "GET /api/v1/orders?cursor=wrong")],
    "WEBHOOK_NOT_FOUND": [Way(STAFF, f"{call} /api/v1/webhooks/9") for call in ("GET", "DELETE")],
    "WEBHOOK_LIMIT": [
        Way(STAFF, "POST /api/v1/webhooks", {"json": {"url": RECEIVER, "kinds": ["*"]}}, Scene.full_of_webhooks)
    ],
    "WEBHOOK_DELIVERY_NOT_FOUND": [Way(STAFF, REDELIVER.format(9), before=Scene.delivering)],
    "WEBHOOK_DELIVERY_SENDING": [Way(STAFF, REDELIVER.format(1), before=Scene.delivering)],
    "HTTP_400": [
        Way(ADA, RESERVE, {"data": b"{", "headers": JSON}),
        Way(STAFF, BOOKS, {"data": b"", "headers": JSON}),
    ],
    "HTTP_404": [Way(None, "GET /api/v1/nothing"), Way(None, "GET /api/v1/books/emma")],
    "HTTP_405": [Way(None, "PUT /api/v1/books", headers={"Allow": "(?=.*GET)(?=.*POST)[A-Z, ]+"})],
    "HTTP_412": [
        Way(STAFF, STOCK, {"json": {"quantity": 1}, "headers": {"If-Match": '"999"'}}),
        Way(STAFF, f"PATCH /api/v1/books/{EMMA}", {"json": {"title": "A"}, "headers": {"If-Match": '"999"'}}),
    ],
    "HTTP_413": [Way(ADA, RESERVE, {"data": b'{"book_id": "' + b"9" * 2**20 + b'"}', "headers": JSON})],
    "HTTP_415": [Way(ADA, RESERVE, {"data": b"book_id=1"})],
    "HTTP_429": [
        Way(None, "GET /api/v1/books", before=Scene.spend_all, headers={"Retry-After": "[1-9][0-9]*"}),
    ],
    "HTTP_500": [Way(ADA, RESERVE, {"json": {"book_id": EMMA}}, Scene.bug)],
    "OUTCOME_UNKNOWN": [Way(STAFF, STOCK, {"json": {"delta": 1}}, Scene.lost_after_the_commit)],
    "HTTP_503": [
        Way(None, "GET /api/v1/books", before=Scene.without_database, headers={"Retry-After": "[1-9][0-9]*"}),
    ],
}
STATUSES = {code: problem.status for code, problem in PROBLEMS.items()} | {"HTTP_405": 405}
OF_NO_OPERATION = {"HTTP_404", "HTTP_405"}
MORE_MEMBERS = {"VALIDATION_ERROR": {"errors"}, "ORDER_INSUFFICIENT_STOCK": {"lines"}}
CASES = [pytest.param(code, way, id=f"{code}-{way.call}") for code, ways in WAYS.items() for way in ways]


@pytest.fixture
def scene(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(shop, monkeypatch)


def test_no_code_is_without_its_test():
    assert set(WAYS) == set(STATUSES)


@pytest.mark.parametrize(("code", "way"), CASES)
def test_a_refusal_says_its_code_under_its_status(scene, code, way):
    way.before(scene)
    answer = scene.send(way.who, way.call, **way.sent)
    problem = answer.get_json()
    assert (answer.status_code, problem["code"]) == (STATUSES[code], code)
    assert answer.mimetype == "application/problem+json"
    assert set(problem) == {"type", "title", "status", "detail", "code"} | MORE_MEMBERS.get(code, set())
    assert (problem["type"], problem["status"]) == ("about:blank", STATUSES[code])
    assert problem["title"] == HTTPStatus(STATUSES[code]).phrase
    assert re.search(r"[.!]$|cart instead$", problem["detail"])
    assert all(re.fullmatch(value, answer.headers[name]) for name, value in way.headers.items())


@pytest.mark.parametrize(("code", "way"), [case for case in CASES if case.values[0] not in OF_NO_OPERATION])
def test_the_document_tells_of_that_refusal(shared_app, code, way):
    method, path = way.call.partition("?")[0].split()
    with shared_app.app_context():
        said = document()
        adapter = shared_app.url_map.bind("")
    rule = adapter.match(path, method=method, return_rule=True)[0].rule
    operation = said["paths"][re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)][method.lower()]
    assert code in codes_of(operation, said)


def test_a_token_that_lacks_a_scope_is_told_which(scene):
    with scene.app.app_context():
        token = services.commit(lambda: services.accounts().create_token(scene.staff, "reports", ["reports:read"]))
        db.session.remove()
    answer = scene.send(None, STOCK, json={"quantity": 1}, headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json["code"]) == (403, "FORBIDDEN")
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="stock:write"'


def test_a_cookie_without_the_csrf_token_is_http_400(scene, web_client):
    answer = web_client(ADA).client.post("/api/v1/prebookings", json={"book_id": EMMA})
    assert (answer.status_code, answer.json["code"]) == (400, "HTTP_400")
