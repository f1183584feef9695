"""Every problem code that scripts may rely on: its cause, status and headers.

One JSON request for each; the OpenAPI document must describe it there.
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
from bookshop.webhooks.models import MAX_WEBHOOKS
from tests.support.clients import ApiClient, WebClient
from tests.support.factories import Shop
from tests.support.settings import settings_for
from tests.web.test_openapi import codes_of

pytestmark = pytest.mark.one_postgresql_case

ADA, BEN, STAFF = "ada@example.com", "ben@example.com", "staff@example.com"
EMMA, PERSUASION, SANDITON = 1, 2, 3
ISBN = "9780141439587"
JSON = {"Content-Type": "application/json"}
KEY = {"Idempotency-Key": "once"}


class Refusal(NamedTuple):
    """A refused request: who sends what where, after `before`, and the response's headers."""

    email: str | None
    call: str
    sent: Mapping[str, Any] = {}
    before: Callable[["ContractShop"], object] = lambda _shop: None
    headers: Mapping[str, str] = {}


class ContractShop:
    """Ada, Ben and staff; Emma and Sanditon are sold out, Persuasion has 3 copies."""

    def __init__(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        self.shop, self.app, self.monkeypatch = shop, shop.app, monkeypatch
        self.browser: WebClient | None = None  # instead of a script
        self.ada, self.ben, self.staff = shop.customer(ADA), shop.customer(BEN), shop.staff(STAFF)
        for title, stock, isbn in (("Emma", 0, ISBN), ("Persuasion", 3, "9780141439686"), ("Sanditon", 0, None)):
            shop.book(title, stock=stock, isbn=isbn)

    def send(self, email: str | None, call: str, **sent: Any) -> Any:
        method, path = call.split()
        if self.browser is not None:
            return self.browser.client.open(path, method=method, **sent)
        api_client = ApiClient(self.app, email)
        headers = {**api_client.headers, **sent.pop("headers", {})}
        return api_client.client.open(path, method=method, headers=headers, **sent)

    def settings(self, **changed: Any) -> None:
        self.monkeypatch.setitem(self.app.config, "SETTINGS", self.app.config["SETTINGS"].model_copy(update=changed))

    def reserved(self) -> int:
        return self.shop.reserve(self.ada, EMMA)

    def at_limit(self) -> None:
        """Let Ada reserve as many books as allowed."""
        self.settings(max_waiting=1)
        self.reserved()

    def ordered(self) -> int:
        return self.shop.order(self.ada, {PERSUASION: 1})

    def at_order_limit(self) -> None:
        """Let Ada have as many open orders as allowed, and another copy in her cart."""
        self.settings(max_open_orders=1)
        self.ordered()
        self.in_cart()

    def in_cart(self) -> None:
        self.shop.fill_cart(self.ada, {PERSUASION: 1})

    def sold_out(self) -> None:
        """Put Persuasion into Ada's cart, and sell it out."""
        self.shop.fill_cart(self.ada, {PERSUASION: 1})
        self.shop.set_stock(PERSUASION, 0)

    def used_key(self) -> None:
        self.send(STAFF, "POST /api/v1/stock/batch", json={"lines": [{"book_id": EMMA, "delta": 1}]}, headers=KEY)

    def claimed_key(self) -> None:
        """Claim the same keys in a request that is not finished."""
        self.monkeypatch.setattr(IdempotencyRepository, "claim", lambda *_given: False)

    def bug(self) -> None:
        self.monkeypatch.setattr(PreBookRepository, "insert_if_out_of_stock", _fails)

    def lost_after_the_commit(self) -> None:
        """Make the database unreachable when the changed book is read again."""
        lost = OperationalError("SELECT", {}, Exception("the server is away"))
        self.monkeypatch.setattr(CatalogService, "read", lambda *_given, **_named: _raise(lost))

    def spend_all(self) -> None:
        """Limit requests to one per minute, and send it."""
        self.settings(api_limit="1 per minute")
        self.send(None, "GET /api/v1/books")

    def spend_links(self) -> None:
        """Limit logins and links to one per minute, and ask for one."""
        self.settings(login_limit="1 per minute")
        self.send(None, LINK, json={"email": ADA})

    def full_of_webhooks(self) -> None:
        self.settings(webhook_private=True)
        for _webhook in range(MAX_WEBHOOKS):
            self.register()

    def register(self) -> None:
        self.shop.commit(lambda: services.webhooks().register(self.staff, RECEIVER, ["*"]))

    def delivering(self) -> None:
        """Let a worker claim a delivery."""
        self.register()
        self.shop.set_stock(EMMA, 1)
        with self.app.app_context():
            services.assign_positions()
            services.commit(lambda: services.webhooks().fan_out(1, "*"))
        self.shop.execute("UPDATE webhook_deliveries SET state = 'sending', lease = 'x'")

    def purged(self) -> None:
        """Let the first event be a purged one."""
        self.register()
        for quantity in (1, 2):
            self.shop.set_stock(EMMA, quantity)
        with self.app.app_context():
            services.assign_positions()
        self.shop.execute("DELETE FROM events WHERE position = 1")

    def without_second_factor(self) -> None:
        """Require a second factor of staff, whose browser has none."""
        self.settings(staff_second_factor=True)
        self.browser = WebClient(self.app, STAFF)

    def not_fresh(self) -> None:
        """Let staff use a browser in which the password was entered long ago."""
        self.register()
        self.browser = WebClient(self.app, STAFF)
        self.shop.execute("UPDATE login_sessions SET confirmed_at = NULL")

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
LINK = "POST /api/v1/login-links"
BEARER = {"WWW-Authenticate": "Bearer"}
NEW_BOOK = {"title": "Emma", "authors": "Jane Austen", "price_cents": 950}

REFUSALS: dict[str, list[Refusal]] = {
    "NOT_AUTHENTICATED": [
        Refusal(None, "GET /api/v1/prebookings", headers=BEARER),
        Refusal(
            *(None, "GET /api/v1/books", {"headers": {"Authorization": "Bearer wrong"}}),
            headers={"WWW-Authenticate": 'Bearer error="invalid_token"'},
        ),
    ],
    "FORBIDDEN": [
        Refusal(ADA, STOCK, {"json": {"quantity": 1}}),
        Refusal(STAFF, RESERVE, {"json": {"book_id": EMMA}}),
    ],
    "VALIDATION_ERROR": [
        Refusal(ADA, RESERVE, {"json": {"book_id": True}}),
        Refusal(ADA, RESERVE, {"json": {"book_id": EMMA, "more": 1}}),
        Refusal(STAFF, STOCK, {"json": {"delta": -1}}),
        Refusal(STAFF, BATCH, {"json": {"lines": [{"book_id": 999, "delta": 1}]}}),
        Refusal(None, "GET /api/v1/books?size=101"),
        Refusal(None, LINK, {"json": {"email": "ada"}}),
    ],
    "BOOK_NOT_FOUND": [
        Refusal(None, "GET /api/v1/books/999"),
        Refusal(None, "GET /api/v1/books/isbn/9780000000002"),
        Refusal(ADA, RESERVE, {"json": {"book_id": 999}}),
        Refusal(ADA, CART, {"json": {"book_id": 999}}),
        Refusal(STAFF, "PATCH /api/v1/books/999", {"json": {"title": "A"}}),
        Refusal(STAFF, "PATCH /api/v1/books/999/stock", {"json": {"quantity": 1}}),
        Refusal(STAFF, "GET /api/v1/books/999/movements"),
        Refusal(STAFF, "GET /api/v1/books/999/prebookings"),
    ],
    "BOOK_ISBN_CONFLICT": [
        Refusal(STAFF, BOOKS, {"json": {**NEW_BOOK, "isbn": ISBN}}),
        Refusal(STAFF, f"PATCH /api/v1/books/{SANDITON}", {"json": {"isbn": ISBN}}),
    ],
    "PREBOOK_BOOK_IN_STOCK": [Refusal(ADA, RESERVE, {"json": {"book_id": PERSUASION}})],
    "PREBOOK_DUPLICATE": [Refusal(ADA, RESERVE, {"json": {"book_id": EMMA}}, ContractShop.reserved)],
    "PREBOOK_LIMIT_REACHED": [
        Refusal(ADA, RESERVE, {"json": {"book_id": SANDITON}}, ContractShop.at_limit),
    ],
    "PREBOOK_NOT_FOUND": [
        Refusal(ADA, CANCEL),
        Refusal(BEN, CANCEL, before=ContractShop.reserved),
        Refusal(BEN, "GET /api/v1/prebookings/1", before=ContractShop.reserved),
    ],
    "PREBOOK_ALREADY_CANCELLED": [Refusal(ADA, CANCEL, before=lambda w: w.shop.cancel(w.ada, w.reserved()))],
    "PREBOOK_ALREADY_NOTIFIED": [Refusal(ADA, CANCEL, before=lambda w: (w.reserved(), w.shop.set_stock(EMMA, 1)))],
    "CART_BOOK_OUT_OF_STOCK": [Refusal(ADA, CART, {"json": {"book_id": EMMA}})],
    "CART_LIMIT": [Refusal(ADA, CART, {"json": {"book_id": PERSUASION, "quantity": 11}})],
    "CART_ITEM_NOT_FOUND": [
        Refusal(ADA, f"GET /api/v1/cart/items/{EMMA}"),
        Refusal(ADA, f"PATCH /api/v1/cart/items/{EMMA}", {"json": {"quantity": 1}}),
        Refusal(ADA, f"DELETE /api/v1/cart/items/{EMMA}"),
    ],
    "ORDER_CART_EMPTY": [Refusal(ADA, ORDER, {"json": {}})],
    "ORDER_LIMIT": [Refusal(ADA, ORDER, {"json": {}}, ContractShop.at_order_limit)],
    "ORDER_CHANGED": [Refusal(ADA, ORDER, {"json": {"expected_totals": [CENT]}}, ContractShop.in_cart)],
    "ORDER_INSUFFICIENT_STOCK": [Refusal(ADA, ORDER, {"json": {}}, ContractShop.sold_out)],
    "ORDER_NOT_FOUND": [
        Refusal(BEN, "GET /api/v1/orders/1", before=ContractShop.ordered),
        Refusal(BEN, "POST /api/v1/orders/1/cancel", before=ContractShop.ordered),
        Refusal(STAFF, "POST /api/v1/admin/orders/999/ready"),
    ],
    "ORDER_STATE": [
        Refusal(STAFF, "POST /api/v1/admin/orders/1/collected", before=ContractShop.ordered),
        Refusal(
            ADA, "POST /api/v1/orders/1/cancel", before=lambda w: w.shop.change_order(w.ordered(), "ready", w.staff)
        ),
    ],
    "IDEMPOTENCY_MISMATCH": [
        Refusal(
            STAFF, BATCH, {"json": {"lines": [{"book_id": EMMA, "delta": 2}]}, "headers": KEY}, ContractShop.used_key
        )
    ],
    "IDEMPOTENCY_IN_FLIGHT": [
        Refusal(
            STAFF, BATCH, {"json": {"lines": [{"book_id": EMMA, "delta": 2}]}, "headers": KEY}, ContractShop.claimed_key
        )
    ],
    "CURSOR_NOT_FOUND": [
        Refusal(None, "GET /api/v1/books?cursor=wrong"),
        Refusal(ADA, "GET /api/v1/orders?cursor=wrong"),
    ],
    "WEBHOOK_NOT_FOUND": [Refusal(STAFF, f"{call} /api/v1/webhooks/9") for call in ("GET", "DELETE")],
    "WEBHOOK_LIMIT": [
        Refusal(
            STAFF, "POST /api/v1/webhooks", {"json": {"url": RECEIVER, "kinds": ["*"]}}, ContractShop.full_of_webhooks
        )
    ],
    "WEBHOOK_DELIVERY_NOT_FOUND": [Refusal(STAFF, REDELIVER.format(9), before=ContractShop.delivering)],
    "WEBHOOK_DELIVERY_SENDING": [Refusal(STAFF, REDELIVER.format(1), before=ContractShop.delivering)],
    "EVENTS_PURGED": [Refusal(STAFF, "GET /api/v1/events?after=0", before=ContractShop.purged)],
    "SECOND_FACTOR_REQUIRED": [
        Refusal(STAFF, "GET /api/v1/admin/orders", before=ContractShop.without_second_factor),
    ],
    "FRESH_LOGIN_REQUIRED": [Refusal(STAFF, "GET /api/v1/webhooks/1", before=ContractShop.not_fresh)],
    "HTTP_400": [
        Refusal(ADA, RESERVE, {"data": b"{", "headers": JSON}),
        Refusal(STAFF, BOOKS, {"data": b"", "headers": JSON}),
    ],
    "HTTP_404": [Refusal(None, "GET /api/v1/nothing"), Refusal(None, "GET /api/v1/books/emma")],
    "HTTP_405": [Refusal(None, "PUT /api/v1/books", headers={"Allow": "(?=.*GET)(?=.*POST)[A-Z, ]+"})],
    "HTTP_412": [
        Refusal(STAFF, STOCK, {"json": {"quantity": 1}, "headers": {"If-Match": '"999"'}}),
        Refusal(STAFF, f"PATCH /api/v1/books/{EMMA}", {"json": {"title": "A"}, "headers": {"If-Match": '"999"'}}),
    ],
    "HTTP_413": [Refusal(ADA, RESERVE, {"data": b'{"book_id": "' + b"9" * 2**20 + b'"}', "headers": JSON})],
    "HTTP_415": [Refusal(ADA, RESERVE, {"data": b"book_id=1"})],
    "HTTP_429": [
        Refusal(None, "GET /api/v1/books", before=ContractShop.spend_all, headers={"Retry-After": "[1-9][0-9]*"}),
        Refusal(
            *(None, LINK, {"json": {"email": BEN}}, ContractShop.spend_links), headers={"Retry-After": "[1-9][0-9]*"}
        ),
    ],
    "HTTP_500": [Refusal(ADA, RESERVE, {"json": {"book_id": EMMA}}, ContractShop.bug)],
    "OUTCOME_UNKNOWN": [Refusal(STAFF, STOCK, {"json": {"delta": 1}}, ContractShop.lost_after_the_commit)],
    "HTTP_503": [
        Refusal(
            None, "GET /api/v1/books", before=ContractShop.without_database, headers={"Retry-After": "[1-9][0-9]*"}
        ),
    ],
}
STATUSES = {code: problem.status for code, problem in PROBLEMS.items()} | {"HTTP_405": 405}
OF_NO_OPERATION = {"HTTP_404", "HTTP_405"}
MORE_MEMBERS = {"VALIDATION_ERROR": {"errors"}, "ORDER_INSUFFICIENT_STOCK": {"lines"}, "EVENTS_PURGED": {"oldest"}}
CASES = [
    pytest.param(code, refusal, id=f"{code}-{refusal.call}")
    for code, refusals in REFUSALS.items()
    for refusal in refusals
]


@pytest.fixture
def contract_shop(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> ContractShop:
    return ContractShop(shop, monkeypatch)


def test_every_code_has_its_test():
    assert set(REFUSALS) == set(STATUSES)


@pytest.mark.parametrize(("code", "refusal"), CASES)
def test_a_refusal_is_documented_with_its_code_under_its_status(contract_shop, code, refusal):
    refusal.before(contract_shop)
    answer = contract_shop.send(refusal.email, refusal.call, **refusal.sent)
    problem = answer.get_json()
    assert (answer.status_code, problem["code"]) == (STATUSES[code], code)
    assert answer.mimetype == "application/problem+json"
    assert set(problem) == {"type", "title", "status", "detail", "code"} | MORE_MEMBERS.get(code, set())
    assert (problem["type"], problem["status"]) == ("about:blank", STATUSES[code])
    assert problem["title"] == HTTPStatus(STATUSES[code]).phrase
    assert re.search(r"[.!]$|cart instead$", problem["detail"])
    assert all(re.fullmatch(value, answer.headers[name]) for name, value in refusal.headers.items())


@pytest.mark.parametrize(("code", "refusal"), [case for case in CASES if case.values[0] not in OF_NO_OPERATION])
def test_the_document_describes_that_refusal(shared_app, code, refusal):
    method, path = refusal.call.partition("?")[0].split()
    with shared_app.app_context():
        spec = document()
        adapter = shared_app.url_map.bind("")
    rule = adapter.match(path, method=method, return_rule=True)[0].rule
    operation = spec["paths"][re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule)][method.lower()]
    assert code in codes_of(operation, spec)


def test_a_missing_scope_is_named(contract_shop):
    with contract_shop.app.app_context():
        token = services.commit(
            lambda: services.accounts().create_token(contract_shop.staff, "reports", ["reports:read"])
        )
        db.session.remove()
    answer = contract_shop.send(None, STOCK, json={"quantity": 1}, headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json["code"]) == (403, "FORBIDDEN")
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="insufficient_scope", scope="stock:write"'


def test_a_cookie_without_the_csrf_token_is_400(contract_shop, web_client):
    answer = web_client(ADA).client.post("/api/v1/prebookings", json={"book_id": EMMA})
    assert (answer.status_code, answer.json["code"]) == (400, "HTTP_400")
