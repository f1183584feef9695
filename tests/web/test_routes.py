"""Every route: who may call it, its use of cookies, CSRF and tokens, and its refusals."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event
from werkzeug.test import TestResponse

from bookshop import create_app
from bookshop.accounts.models import LOGIN
from bookshop.extensions import db
from bookshop.web import services
from tests.support.bad_input import assert_problem
from tests.support.clients import ApiClient, WebClient, text_of
from tests.support.factories import PASSWORD, Shop
from tests.support.links import LINKS
from tests.support.routes import (
    ANYONE,
    FORM_PAGES,
    FRESH,
    GETS,
    LEADING_TO_LOGIN,
    LOGGED_IN,
    LOGIN_FORM,
    NEW_JSON,
    PAGES,
    PUBLIC,
    ROUTES,
    UNSAFE,
    WITHOUT,
    path_of,
    routes_of,
)
from tests.support.sample_shop import SampleShop
from tests.support.settings import settings_for

pytestmark = pytest.mark.one_postgresql_case


def test_the_table_has_exactly_the_routes_of_the_shop(shared_app):
    assert routes_of(shared_app) == set(ROUTES)


def test_a_route_missing_from_the_table_is_detected(database_url):
    app = create_app(settings_for(database_url))
    app.add_url_rule("/api/v1/secrets/<int:number>", "secrets", methods=["POST"])
    assert routes_of(app) - set(ROUTES) == {"POST /api/v1/secrets/{number}"}


@pytest.mark.every_case  # covers all routes
@pytest.mark.parametrize("route", ROUTES)
def test_a_route_allows_exactly_the_roles_of_the_table(sample_shop, route):
    may, _body = ROUTES[route]
    sample_shop.shop.execute("UPDATE login_sessions SET confirmed_at = NULL")
    before = sample_shop.tables()
    for role in sorted(ANYONE - may):
        for call in sample_shop.ways(route):
            assert_refused(call(role, route), role, route)
    for role in sorted(may if route in FRESH else ()):
        assert_asks_for_password(sample_shop.by_cookie(role, route), route)
    assert sample_shop.tables() == before
    if route in FRESH:
        sample_shop.confirm_logins()
    for role in sorted(may):
        for call in sample_shop.ways(route):
            assert_let_in(call(role, route), route)


def assert_refused(answer: TestResponse, role: str, route: str) -> None:
    """Assert a redirect to the login page or a 403; for JSON a problem with 401 or 403."""
    if route in PAGES and role == "nobody":
        assert (answer.status_code, answer.location.partition("=")[0]) == (303, "/login?next")
    elif route in PAGES:
        assert (answer.status_code, answer.mimetype) == (403, "text/html")
    elif role == "nobody":
        assert_problem(answer, 401, "NOT_AUTHENTICATED")
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    else:
        assert_problem(answer, 403, "FORBIDDEN")


def assert_asks_for_password(answer: TestResponse, route: str) -> None:
    """Assert that a login that is not fresh is asked for the password, or refused with a problem for JSON."""
    if route not in PAGES:
        assert_problem(answer, 403, "FRESH_LOGIN_REQUIRED")
    elif route.startswith("GET"):
        assert (answer.status_code, answer.location.partition("?")[0]) == (303, "/account/confirm-login")
    else:
        assert (answer.status_code, 'name="confirmation"' in answer.text) == (403, True)


GONE = ("This link has been used", "There is no such webhook", "There is no such shelf")


def assert_let_in(answer: TestResponse, route: str) -> None:
    """Assert success or the status in WITHOUT, or a refusal due to the previous call (409, or 404 for what is gone)."""
    gone = answer.is_json and answer.get_json().get("code") in {"CART_ITEM_NOT_FOUND", "WEBHOOK_NOT_FOUND"}
    gone = gone or (answer.status_code == 404 and any(sentence in answer.text for sentence in GONE))
    assert gone or answer.status_code in {WITHOUT.get(route, 200), 200, 201, 202, 204, 301, 303, 409}
    assert route in LEADING_TO_LOGIN or not (answer.location or "").startswith("/login?")


def _first_role(route: str) -> str:
    """Return a role that may call this route: the customer's, else the bookseller's, else the owner's."""
    return next(role for role in ("ada", "staff", "owner") if role in ROUTES[route][0])


# Mail programs post here, without cookies or token, to unsubscribe (RFC 8058).
ONE_CLICK = "POST /unsubscribe/{token}"


@pytest.mark.parametrize("route", [route for route in UNSAFE if route != ONE_CLICK])
def test_a_cookie_without_the_csrf_token_changes_nothing(sample_shop, route):
    role = _first_role(route)
    role = "nobody" if route == "POST /login" else role
    before = sample_shop.tables()
    answer = sample_shop.by_cookie(role, route, token=False)
    if route not in PAGES:
        assert_problem(answer, 400, "HTTP_400")
    else:
        assert answer.status_code == (400 if route in FORM_PAGES else 303)
    assert sample_shop.tables() == before


KEPT = {
    "/login": {"email": "typed@example.com"},
    "/books/1/reserve": {"email": "typed@example.com"},
    "/admin/books/new": {"title": "A typed title", "description": "A typed text"},
    "/admin/books/1/edit": {"title": "A typed title", "isbn": "978-typed"},
    "/admin/books/1/stock": {"copies": "717", "note": "A typed note"},
    "/admin/delivery": {"lines": "A typed line"},
    "/checkout": {"name": "A typed name", "phone": "030 typed", "note": "A typed note"},
}


@pytest.mark.parametrize("page", KEPT)
@pytest.mark.parametrize("token", ["", "wrong"])
def test_a_form_without_its_token_is_shown_again_with_what_was_typed(sample_shop, page, token):
    browser = sample_shop.web_clients["staff" if "admin" in page else "ada" if page == "/checkout" else "nobody"]
    answer = browser.post(page, csrf_token=token, **KEPT[page])
    assert (answer.status_code, "open for too long" in text_of(answer)) == (400, True)
    assert all(typed in answer.text for typed in KEPT[page].values())


def test_another_logins_csrf_token_is_refused(sample_shop):
    others = sample_shop.web_clients["staff"].csrf_token("/")
    assert sample_shop.web_clients["ada"].post("/books/1/reserve", csrf_token=others).status_code == 303
    assert sample_shop.shop.statuses(1) == []


def test_json_with_a_cookie_needs_the_csrf_token(sample_shop):
    client, token = sample_shop.web_clients["ada"].client, sample_shop.web_clients["ada"].csrf_token("/")
    answer = client.post("/api/v1/prebookings", json={"book_id": 1}, headers={"X-CSRFToken": token})
    assert answer.status_code == 201


def test_a_token_request_ignores_cookies_and_needs_no_csrf_token(sample_shop):
    staffs_cookies, adas_cookies = sample_shop.web_clients["staff"].client, sample_shop.web_clients["ada"].client
    ada, staff = sample_shop.api_clients["ada"].headers, sample_shop.api_clients["staff"].headers
    assert_problem(staffs_cookies.post("/api/v1/books", json=NEW_JSON, headers=ada), 403, "FORBIDDEN")
    made = adas_cookies.post("/api/v1/books", json=NEW_JSON, headers=staff)
    assert (made.status_code, made.headers.getlist("Set-Cookie")) == (201, [])


def test_a_wrong_token_is_refused_even_with_good_cookies(sample_shop):
    answer = sample_shop.web_clients["ada"].get("/api/v1/prebookings", headers={"Authorization": "Bearer wrong"})
    assert_problem(answer, 401, "NOT_AUTHENTICATED")
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'


def test_a_token_does_not_open_pages(sample_shop):
    answer = sample_shop.api_clients["staff"].get("/admin")
    assert (answer.status_code, answer.location) == (303, "/login?next=/admin")


BACK = {
    "POST /reservations/{prebook_id}/cancel": "/reservations",
    "POST /cart/items/{book_id}/reserve": "/cart",
    "POST /orders/{order_id}/cancel": "/orders/1",
    "POST /account/alerts": "/account",
    "POST /admin/books/{book_id}/put-back": "/admin/books",
    "POST /admin/books/{book_id}/cover/remove": "/admin/books/1/cover",
    "POST /admin/settings/look/remove/{picture}": "/admin/settings/look",
    "POST /admin/users/{user_id}/reactivate": "/admin/users",
    **{f"POST /admin/mail/{change}": "/admin/mail" for change in ("retry", "drop", "retry-failed")},
    "POST /admin/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver": "/admin/webhooks/1",
    "POST /admin/webhooks/{webhook_id}/delete": "/admin/webhooks/1",
    **{f"POST /admin/orders/{change}": "/admin/orders" for change in ("ready", "collected", "cancel")},
    **{route: path_of(route) for route in FORM_PAGES if "nobody" not in ROUTES[route][0]},
}


@pytest.mark.parametrize("route", BACK)
def test_a_logged_out_button_press_returns_to_its_page_after_login(sample_shop, route):
    login = sample_shop.by_cookie("nobody", route).location
    assert login == f"/login?next={BACK[route]}"
    role = _first_role(route)
    answer = sample_shop.web_clients["nobody"].submit(login, email=f"{role}@example.com", password=PASSWORD)
    assert answer.location == BACK[route]
    assert sample_shop.web_clients["nobody"].get(answer.location).status_code == 200


def test_a_page_requested_when_logged_out_is_shown_after_the_login_with_its_query(sample_shop):
    wanted = "/reservations?page=1"
    login = sample_shop.web_clients["nobody"].get(wanted).location
    assert sample_shop.web_clients["nobody"].submit(login, **LOGIN_FORM).location == wanted


READS = re.compile(r"\s*(SELECT|WITH|BEGIN$)")


@pytest.mark.parametrize("role", sorted(ANYONE))
def test_get_and_head_change_nothing(sample_shop, role):
    before, wrote = sample_shop.tables(), []
    for route in GETS:
        with statements(sample_shop.app) as sent:
            sample_shop.web_clients[role].get(path_of(route))
            sample_shop.web_clients[role].client.head(path_of(route))
            sample_shop.api_clients[role].get(path_of(route))
        wrote += [(route, statement) for statement in sent if not READS.match(statement)]
    assert (wrote, sample_shop.tables()) == ([], before)


def test_another_customers_reservation_is_not_found(sample_shop):
    sample_shop.shop.customer("ben@example.com")
    ben, browser = ApiClient(sample_shop.app, "ben@example.com"), WebClient(sample_shop.app, "ben@example.com")
    assert_problem(ben.get("/api/v1/prebookings/1"), 404, "PREBOOK_NOT_FOUND")
    assert_problem(ben.delete("/api/v1/prebookings/1"), 404, "PREBOOK_NOT_FOUND")
    assert browser.submit("/reservations/1/cancel", page="/").status_code == 404
    assert sample_shop.shop.statuses(2) == ["waiting"]


def test_personal_pages_are_not_cached(sample_shop):
    for role in LOGGED_IN:
        for route in (route for route in GETS if route not in PUBLIC):
            for answer in (
                sample_shop.by_cookie(role, route),
                *[call(role, route) for call in sample_shop.ways(route)[1:]],
            ):
                assert answer.headers["Cache-Control"] == "no-store", route


def test_a_wrong_method_is_405_with_the_allowed_ones(sample_shop):
    for path in {path_of(route) for route in ROUTES}:
        answer = sample_shop.web_clients["nobody"].client.put(path)
        methods = {route.partition(" ")[0] for route in ROUTES if path_of(route) == path}
        assert (answer.status_code, methods <= set(answer.headers["Allow"].split(", "))) == (405, True), path
        assert answer.mimetype == ("application/problem+json" if path.startswith("/api/") else "text/html")


@pytest.mark.parametrize("path", ["/nothing", "/api/v1/nothing", "/api/nothing", "/static/nothing"])
def test_an_unknown_address_is_404(sample_shop, path):
    answer = sample_shop.web_clients["nobody"].get(path)
    assert answer.status_code == 404
    assert answer.mimetype == ("application/problem+json" if path.startswith("/api/") else "text/html")


@pytest.mark.parametrize("path", ["/bootstrapNone/js/bootstrap.min.js", "/bootstrap/static/icons/bootstrap-icons.svg"])
def test_only_the_used_parts_of_bootstrap_are_served(sample_shop, path):
    assert sample_shop.web_clients["nobody"].get(path).status_code == 404


def test_a_large_body_is_413_and_other_content_is_415(sample_shop):
    staff = sample_shop.api_clients["staff"]
    much = {"title": "x" * 2**20, "authors": "y", "price_cents": 1}
    assert_problem(staff.post("/api/v1/books", much), 413, "HTTP_413")
    assert_problem(staff.client.post("/api/v1/books", data="x", headers=staff.headers), 415, "HTTP_415")
    assert sample_shop.web_clients["nobody"].post("/login", email="x" * 2**20).status_code == 413


@pytest.mark.parametrize("page", ["/login", f"/login/link/{LINKS[LOGIN]}", "/books/1/reserve", "/account/password"])
def test_too_many_tries_are_429_with_retry_after(sample_shop, database_url, page):
    browser = WebClient(create_app(settings_for(database_url, login_limit="2 per minute")))
    if page == "/account/password":
        browser.client.set_cookie("bookshop", sample_shop.web_clients["ada"].client.get_cookie("bookshop").value)
    statuses = [browser.submit(page, page="/books/1").status_code for _try in range(2)]
    answer = browser.submit(page, page="/books/1")
    assert (statuses, answer.status_code) == ([400, 400], 429)
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert re.search(r"Please try again in (a second|\d+ seconds)\.", text_of(answer))


@pytest.mark.parametrize("path", ["/broken", "/api/v1/broken"])
def test_a_bug_is_500_without_details(sample_shop, database_url, path):
    app = create_app(settings_for(database_url))
    app.add_url_rule(path, "broken", lambda: str(1 / 0))
    answer = app.test_client().get(path)
    assert ("division" in answer.text, "Traceback" in answer.text) == (False, False)
    assert (answer.status_code, answer.headers["X-Request-Id"] in answer.text) == (500, path == "/broken")
    assert answer.mimetype == ("text/html" if path == "/broken" else "application/problem+json")


@contextmanager
def statements(app: Flask) -> Iterator[list[str]]:
    """Record the statements sent to the database."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        sent.append(statement)

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize("route", ["POST /api/v1/prebookings", "POST /books/{book_id}/reserve"])
def test_reserving_takes_at_most_6_queries(sample_shop, route):
    token = sample_shop.web_clients["ada"].csrf_token("/")
    with statements(sample_shop.app) as sent:
        if route in PAGES:
            sample_shop.web_clients["ada"].post(path_of(route), csrf_token=token)
        else:
            sample_shop.by_token("ada", route)
    assert sample_shop.shop.statuses(1) == ["waiting"]
    assert len([statement for statement in sent if not statement.startswith("BEGIN")]) <= 6, sent  # local on SQLite


LISTS = [
    *[("nobody", path) for path in ("/", "/books", "/books?q=book&sort=price", "/api/v1/books?size=100")],
    ("nobody", path_of("GET /waiting/{token}")),
    *[("nobody", "/picks"), ("nobody", "/picks/1"), ("staff", "/admin/picks/1")],
    *[("ada", path) for path in ("/reservations", "/api/v1/prebookings?size=100")],
    *[("ada", path) for path in ("/books", "/books/1/emma", "/cart", "/api/v1/cart/items?size=100")],
    *[("ada", path) for path in ("/checkout", "/orders", "/api/v1/orders?size=100")],
    *[("staff", path) for path in ("/admin", "/admin/books", "/admin/books/1/waiting", "/admin/books/1/movements")],
    *[("staff", path) for path in ("/admin/users", "/admin/orders", "/admin/orders/pick-list", "/admin/orders/1")],
    *[("staff", path) for path in ("/api/v1/books?size=100", "/api/v1/books/1/movements?size=100")],
    ("staff", "/api/v1/admin/orders?size=100"),
    *[("staff", path) for path in ("/api/v1/events?size=100", "/admin/webhooks/1", "/api/v1/webhooks/1/deliveries")],
    *[("staff", path) for path in ("/admin/mail", "/admin/mail?status=sent", "/admin/mail/1")],
]
# A customer for each book, who reserved the first one and wrote a line of its ledger; Ada reserved every book,
# and has each in her cart and in her order. Each customer has ordered the first book.
ROWS = (
    """INSERT INTO prebookings (user_id, book_id, status, created_at)
       SELECT id, 1, 'waiting', created_at FROM users WHERE true ON CONFLICT DO NOTHING""",
    """INSERT INTO prebookings (user_id, book_id, status, created_at)
       SELECT 1, id, 'waiting', created_at FROM books WHERE true ON CONFLICT DO NOTHING""",
    """INSERT INTO cart_items (user_id, book_id, quantity, price_cents, currency, stock_quantity, created_at)
       SELECT 1, id, 1, 1, 'EUR', 1, created_at FROM books WHERE true ON CONFLICT DO NOTHING""",
    """INSERT INTO movements (book_id, delta, quantity_after, reason, user_id, created_at)
       SELECT 1, 1, 1, 'sale', id, created_at FROM users""",
    """INSERT INTO orders (number, user_id, status, payment, delivery, name, name_key, created_at)
       SELECT 'no. ' || id, id, 'placed', 'on_collection', 'collect', email, email, created_at FROM users WHERE true
       ON CONFLICT DO NOTHING""",
    """INSERT INTO orders (number, user_id, status, payment, delivery, name, name_key, created_at)
       SELECT 'ada ' || id, 1, 'placed', 'on_collection', 'collect', email, email, created_at FROM users WHERE true
       ON CONFLICT DO NOTHING""",
    """INSERT INTO order_lines (order_id, book_id, title, price_cents, currency, quantity)
       SELECT id, 1, 'Book', 1, 'EUR', 1 FROM orders WHERE true ON CONFLICT DO NOTHING""",
    """INSERT INTO order_lines (order_id, book_id, title, price_cents, currency, quantity)
       SELECT 1, id, title, 1, 'EUR', 1 FROM books WHERE true ON CONFLICT DO NOTHING""",
    """INSERT INTO picks (shelf_id, book_id, sentence, position, version)
       SELECT 1, id, 'Read it.', id, 1 FROM books WHERE true ON CONFLICT DO NOTHING""",
    """INSERT INTO messages (kind, bulk, user_id, order_id, recipient, dedupe_key, message_id, state, attempts,
       next_attempt_at, created_at) SELECT 'order_ready', false, user_id, id, number || '@example.com', number, number,
       'failed', 1, created_at, created_at FROM orders WHERE true ON CONFLICT DO NOTHING""",
    """INSERT INTO events (position, kind, order_id, created_at)
       SELECT (SELECT max(position) FROM events) + row_number() OVER (), 'order.ready', id, created_at FROM orders""",
    """INSERT INTO webhook_deliveries (webhook_id, event_id, state, attempts, next_attempt_at, queued_at)
       SELECT 1, id, 'failed', 1, created_at, created_at FROM events WHERE true ON CONFLICT DO NOTHING""",
)


def fill(shop: Shop, number: int) -> None:
    """Add books, and rows to every list."""
    book = {"authors": "An author", "price_cents": 1, "currency": "EUR"}
    ids = shop.commit(lambda: services.catalog().create_all([{**book, "title": f"Book {n}"} for n in range(number)]))
    shop.commit(lambda: [services.accounts().register(f"c{book_id}@example.com", PASSWORD) for book_id in ids])
    for sql in ROWS:
        shop.execute(sql)


def count(sample_shop: SampleShop, role: str, path: str) -> int:
    """Return the number of statements that this list takes."""
    caller = sample_shop.api_clients[role] if path.startswith("/api/") else sample_shop.web_clients[role]
    with statements(sample_shop.app) as sent:
        assert caller.client.get(path, headers=getattr(caller, "headers", {})).status_code == 200
    return len(sent)


def test_lists_take_as_many_queries_for_30_rows_as_for_3(sample_shop):
    fill(sample_shop.shop, 3)
    few = [count(sample_shop, *call) for call in LISTS]
    fill(sample_shop.shop, 30)
    assert [count(sample_shop, *call) for call in LISTS] == few


def test_a_read_only_request_cannot_start_a_write(app):
    with app.test_request_context("/books", method="GET"), pytest.raises(RuntimeError, match="must not write"):
        services.commit(lambda: None)
