"""Hostile values in JSON, on both databases: one for each member and parameter, which would crash the driver.

All other invalid values are in test_json_bodies.py and test_json_queries.py.
"""

from typing import Any

import pytest

from bookshop.web.schemas import PageQuery
from tests.support.bad_input import ISBN, assert_problem
from tests.support.routes import NAMES, NEW_JSON, PATH_PARAMETER, ROUTES
from tests.support.validation import routes_with

NUL, HALF, HUGE = "a\0b", "a\ud800b", 2**63
LINE = {"book_id": 1, "quantity": 3}


def batch(**changes: Any) -> dict[str, Any]:
    return {"lines": [LINE, {**LINE, **changes}]}


# For each route its members, one of them hostile, and the pointer of the error.
BODIES: dict[str, list[tuple[dict[str, Any], str]]] = {
    "POST /api/v1/login-links": [
        ({"email": email}, "#/email")
        for email in (NUL, HALF, f"{NUL}@example.com", "ada@example.com\r\nBcc: b@example.com", "x" * 1016)
    ],
    "POST /api/v1/prebookings": [({"book_id": HUGE}, "#/book_id")],
    "POST /api/v1/books": [
        *[({name: NUL}, f"#/{name}") for name in ("isbn", "title", "authors", "publisher", "language", "description")],
        *[({name: HUGE}, f"#/{name}") for name in ("published_year", "price_cents")],
        ({"currency": NUL}, "#/currency"),
    ],
    "PATCH /api/v1/books/{book_id}": [
        *[({name: HALF}, f"#/{name}") for name in ("isbn", "title", "authors", "publisher", "language", "description")],
        *[({name: -HUGE}, f"#/{name}") for name in ("published_year", "price_cents")],
        ({"currency": HALF}, "#/currency"),
    ],
    "PATCH /api/v1/books/{book_id}/stock": [
        ({"quantity": HUGE}, "#/quantity"),
        ({"quantity": None, "delta": HUGE}, "#/delta"),
        ({"reason": NUL}, "#/reason"),
        ({"note": NUL}, "#/note"),
    ],
    "POST /api/v1/stock/batch": [
        ({"mode": NUL}, "#/mode"),
        (batch(quantity=HUGE), "#/lines/1/quantity"),
        (batch(quantity=None, delta=HUGE), "#/lines/1/delta"),
        (batch(book_id=HUGE), "#/lines/1/book_id"),
        (batch(book_id=None, isbn=NUL), "#/lines/1/isbn"),
        (batch(book_id=None, isbn=HALF), "#/lines/1/isbn"),
        (batch(note=NUL), "#/lines/1/note"),
        (batch(reason=HALF), "#/lines/1/reason"),
    ],
    "POST /api/v1/orders": [
        ({"name": HALF}, "#/name"),
        *[({name: NUL}, f"#/{name}") for name in ("phone", "note", "address", "delivery")],
        ({"expected_totals": [{"amount_cents": HUGE, "currency": "EUR"}]}, "#/expected_totals/0/amount_cents"),
    ],
    "POST /api/v1/cart/items": [({"book_id": HUGE}, "#/book_id"), ({"quantity": HUGE}, "#/quantity")],
    "PATCH /api/v1/cart/items/{book_id}": [({"quantity": HUGE}, "#/quantity")],
    "POST /api/v1/webhooks": [
        ({"url": "https://1.1.1.1/\0"}, "#/url"),
        ({"kinds": [NUL]}, "#/kinds/0"),
        ({"kinds": ["*", "\ud800"]}, "#/kinds/1"),
    ],
}


@pytest.mark.parametrize("route", BODIES)
@pytest.mark.usefixtures("nothing_changes")
def test_a_hostile_member_is_refused_and_stores_nothing(target, route):
    wrong = []
    for changes, pointer in BODIES[route]:
        answer = target.send_json(route, {**ROUTES[route][1], **changes})
        assert_problem(answer, 422, "VALIDATION_ERROR")
        if [error["pointer"] for error in answer.json["errors"]] != [pointer]:
            wrong.append((changes, answer.json["errors"]))
    assert wrong == []


def test_every_member_of_every_route_is_tried():
    tried = {route: {name for changes, _pointer in cases for name in changes} for route, cases in BODIES.items()}
    assert tried == {route: set(schema.model_fields) for route, schema in routes_with("json").items()}


IGNORED = {"q", "author"}  # search words: no text is an error
QUERIES = routes_with("query")
Responses = dict[str, tuple[int, list[str]]]  # for each parameter the status, and the pointer of the error
HOSTILE = {"page": HUGE, "size": HUGE, "after": HUGE, "min_price_cents": HUGE, "max_price_cents": HUGE}


@pytest.mark.parametrize("route", QUERIES)
def test_a_hostile_parameter_is_refused_or_finds_nothing(target, route):
    responses: Responses = {}
    for name in QUERIES[route].model_fields:
        path = f"{PATH_PARAMETER.sub('1', route.partition(' ')[2])}?{name}={HOSTILE.get(name, '%00')}"
        answer = target.send_json(route, path=path)
        responses[name] = (answer.status_code, [error["pointer"] for error in answer.json.get("errors", [])])
    ignored: Responses = {name: (200, []) for name in IGNORED & responses.keys()}
    no_cursor: Responses = {"cursor": (404, [])} if issubclass(QUERIES[route], PageQuery) else {}
    assert responses == {**{name: (422, [f"#/{name}"]) for name in responses}, **ignored, **no_cursor}


BY_ID = [route for route in ROUTES if "/api/v1/" in route and set(PATH_PARAMETER.findall(route)) - set(NAMES)]
CODES = {
    "/api/v1/books/": "BOOK_NOT_FOUND", "/api/v1/prebookings/": "PREBOOK_NOT_FOUND",
    "/api/v1/orders/": "ORDER_NOT_FOUND", "/api/v1/admin/orders/": "ORDER_NOT_FOUND",
    "/api/v1/webhooks/": "WEBHOOK_NOT_FOUND", "/api/v1/cart/items/": "CART_ITEM_NOT_FOUND",
}  # fmt: skip


@pytest.mark.usefixtures("nothing_changes")
def test_an_unknown_id_is_not_found(target):
    for route in BY_ID:
        path = route.partition(" ")[2]
        code = next(code for start, code in CODES.items() if path.startswith(start))
        for unknown in ("0", "2147483647"):
            answer = target.send_json(route, ROUTES[route][1] or None, PATH_PARAMETER.sub(unknown, path))
            assert_problem(answer, 404, code)


def test_an_unknown_delivery_of_a_webhook_is_not_found(target):
    route = "POST /api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver"
    answer = target.send_json(route, path="/api/v1/webhooks/1/deliveries/2147483647/redeliver")
    assert_problem(answer, 404, "WEBHOOK_DELIVERY_NOT_FOUND")


ODD_ISBNS = ["0", "abc", "9780141439519", "97801414395", "%00", "%FF", "978\u0660141439518", "9" * 5000, "' OR 1=1 --"]


def test_an_invalid_isbn_is_not_found(target):
    for isbn in [*ODD_ISBNS, "%25"]:
        answer = target.send_json("GET /api/v1/books/isbn/{isbn}", path=f"/api/v1/books/isbn/{isbn}")
        assert_problem(answer, 404, "BOOK_NOT_FOUND")


@pytest.mark.usefixtures("nothing_changes")
def test_another_books_isbn_is_a_conflict_in_any_notation(target):
    for isbn in (ISBN, "978-0-14-143951-8", " 0141439513 ", "0-14-143951-3"):
        assert_problem(target.send_json("POST /api/v1/books", {**NEW_JSON, "isbn": isbn}), 409, "BOOK_ISBN_CONFLICT")
        changed = target.send_json("PATCH /api/v1/books/{book_id}", {"isbn": isbn}, "/api/v1/books/2")
        assert_problem(changed, 409, "BOOK_ISBN_CONFLICT")


# A token that reaches the database, which must neither accept it nor fail on it.
TOKENS = ["x", "\xe4\xf6", "'; DROP TABLE users; --", "x" * 50_000, "null"]


@pytest.mark.usefixtures("nothing_changes")
def test_an_unknown_token_is_unauthorized(target):
    client = target.api_clients["nobody"].client
    for token in TOKENS:
        headers = {"Authorization": f"Bearer {token}"}
        for call in (client.get("/api/v1/books", headers=headers), client.get("/api/v1/prebookings", headers=headers)):
            assert_problem(call, 401, "NOT_AUTHENTICATED")
        assert client.get("/", headers=headers).status_code == 200  # pages do not use tokens
