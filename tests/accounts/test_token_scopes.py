"""What a token may do and until when: its scopes, its user's current rights, and its expiry."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import update

from bookshop.accounts.models import ApiToken
from bookshop.accounts.scopes import scopes_of
from bookshop.extensions import db
from bookshop.kit.database import now
from tests.support.bad_input import assert_problem
from tests.support.clients import ApiClient, WebClient, text_of
from tests.support.routes import ROUTES, path_of
from tests.web.test_routes import assert_let_in

pytestmark = pytest.mark.one_postgresql_case

ADA, STAFF = "ada@example.com", "staff@example.com"
ADMIN_ORDER = "/api/v1/admin/orders/{order_id}"
DELIVERIES = "/api/v1/webhooks/{webhook_id}/deliveries"
NEEDS = {
    "prebookings": {
        *("POST /api/v1/prebookings", "GET /api/v1/prebookings"),
        *("GET /api/v1/prebookings/{prebook_id}", "DELETE /api/v1/prebookings/{prebook_id}"),
    },
    "orders": {
        *("GET /api/v1/cart/items", "POST /api/v1/cart/items"),
        *(f"{method} /api/v1/cart/items/{{book_id}}" for method in ("GET", "PATCH", "DELETE")),
        *("POST /api/v1/orders", "GET /api/v1/orders", "GET /api/v1/orders/{order_id}"),
        *("POST /api/v1/orders/{order_id}/cancel", "GET /api/v1/admin/orders"),
        *(f"POST {ADMIN_ORDER}/{change}" for change in ("ready", "collected", "cancel")),
    },
    "stock:write": {"PATCH /api/v1/books/{book_id}/stock", "POST /api/v1/stock/batch"},
    "catalog:write": {"POST /api/v1/books", "PATCH /api/v1/books/{book_id}"},
    "reports:read": {
        *("GET /api/v1/books/{book_id}/movements", "GET /api/v1/books/{book_id}/prebookings"),
        *("GET /api/v1/reports/demand", "GET /api/v1/events"),
    },
    "webhooks": {
        *("GET /api/v1/webhooks", "POST /api/v1/webhooks"),
        *(f"{method} /api/v1/webhooks/{{webhook_id}}" for method in ("GET", "DELETE")),
        f"GET {DELIVERIES}",
        f"POST {DELIVERIES}/{{delivery_id}}/redeliver",
    },
}
SCOPE_OF = {route: scope for scope, routes in NEEDS.items() for route in routes}
ASK_FOR_LINK = "POST /api/v1/login-links"
OPEN = {
    "GET /api/v1/shop",
    "GET /api/v1/openapi.json",
    "GET /api/v1/books",
    "GET /api/v1/books/{book_id}",
    "GET /api/v1/books/isbn/{isbn}",
    "GET /api/v1/books/suggest",
}
CUSTOMERS, STAFFS = ["catalog:read", "prebookings", "orders"], scopes_of("bookseller")


def call(app, email, scopes, route):
    """Call a JSON route with a new token with these scopes."""
    return ApiClient(app, email, scopes).send(route.split()[0], path_of(route), ROUTES[route][1] or None)


def user_for(route):
    """Return a user who may call a route, and all scopes of such a user."""
    return (ADA, CUSTOMERS) if "ada" in ROUTES[route][0] else (STAFF, STAFFS)


def stored_tokens(shop):
    return shop.rows("SELECT scopes FROM api_tokens ORDER BY id")


# ---------------------------------------------------------------- each scope and its routes


def test_every_json_route_is_public_or_has_a_scope(shared_app):
    json = {route for route in ROUTES if " /api/v1/" in route}
    assert json == set(SCOPE_OF) | OPEN | {ASK_FOR_LINK}
    views, rules = shared_app.view_functions, list(shared_app.url_map.iter_rules())
    for route, scope in SCOPE_OF.items():
        path, method = re.sub(r"{(\w+)}", r"<int:\1>", route.split()[1]), route.split()[0]
        (endpoint,) = [rule.endpoint for rule in rules if rule.rule == path and method in rule.methods]
        assert vars(views[endpoint])["operation"].scope == scope


@pytest.mark.parametrize("route", sorted(SCOPE_OF))
def test_a_token_with_every_other_scope_is_refused_and_does_nothing(app, sample_shop, route):
    (email, all_scopes), scope = user_for(route), SCOPE_OF[route]
    before = sample_shop.shop.everything()
    del before["api_tokens"]
    refused = call(app, email, set(all_scopes) - {scope}, route)
    assert_problem(refused, 403, "FORBIDDEN")
    assert refused.headers["WWW-Authenticate"] == f'Bearer error="insufficient_scope", scope="{scope}"'
    assert f"'{scope}'" in refused.text
    assert {table: rows for table, rows in sample_shop.shop.everything().items() if table in before} == before


@pytest.mark.parametrize("route", sorted(SCOPE_OF))
def test_a_token_with_only_that_scope_is_accepted(app, sample_shop, route):
    assert_let_in(call(app, user_for(route)[0], {SCOPE_OF[route]}, route), route)


@pytest.mark.parametrize("route", sorted(OPEN))
@pytest.mark.parametrize("email", [ADA, STAFF])
def test_a_token_without_any_scope_reads_the_catalogue(app, sample_shop, route, email):
    assert call(app, email, [], route).status_code == 200
    assert stored_tokens(sample_shop.shop)[-1] == "catalog:read"


def test_a_token_without_any_scope_may_ask_for_a_login_link_which_does_not_log_it_in(app, sample_shop):
    assert call(app, ADA, [], ASK_FOR_LINK).status_code == 202
    assert ApiClient(app, ADA, []).get("/api/v1/orders").status_code == 403


def test_a_scope_is_checked_before_the_body_is_read(app, sample_shop):
    reader = ApiClient(app, STAFF, ["catalog:read"])
    refused = reader.client.post("/api/v1/stock/batch", data="{broken", headers=reader.headers)
    assert_problem(refused, 403, "FORBIDDEN")
    assert reader.client.head("/api/v1/reports/demand", headers=reader.headers).status_code == 403


# ---------------------------------------------------------------- who may have which scopes


@pytest.mark.parametrize("scope", sorted(set(STAFFS) - set(CUSTOMERS)))
def test_a_customer_cannot_create_a_token_with_staff_scopes(app, shop, web_client, scope):
    shop.customer(ADA)
    browser = web_client(ADA)
    assert scope not in browser.get("/account/tokens").text
    forged = browser.submit("/account/tokens", name="till", scopes=["orders", scope], days="30")
    result = app.test_cli_runner().invoke(args=["tokens", "create", ADA, "--name", "till", "--scope", scope])
    assert (forged.status_code, result.exit_code, stored_tokens(shop)) == (400, 1, [])
    assert result.output.strip() == (
        f"Error: This account cannot use the scope '{scope}'. Choose from catalog:read, prebookings, orders."
    )


@pytest.mark.parametrize("scopes", [["everything"], ["orders stock:write"], ["ORDERS"], [""], ["orders\0"]])
def test_an_unknown_scope_creates_no_token(app, shop, web_client, scopes):
    shop.staff(STAFF)
    assert web_client(STAFF).submit("/account/tokens", name="till", scopes=scopes, days="0").status_code == 400
    options = ["tokens", "create", STAFF, "--name", "till", "--scope", scopes[0]]
    assert (app.test_cli_runner().invoke(args=options).exit_code, stored_tokens(shop)) == (2, [])


@pytest.mark.parametrize(
    ("chosen", "given"),
    [([], "catalog:read"), (["stock:write", "orders", "orders"], "catalog:read orders stock:write")],
)
def test_form_and_command_grant_the_chosen_scopes_and_the_public_one(app, shop, web_client, chosen, given):
    shop.staff(STAFF)
    assert web_client(STAFF).submit("/account/tokens", name="till", scopes=chosen, days="0").status_code == 201
    options = [part for scope in chosen or ["catalog:read"] for part in ("--scope", scope)]
    app.test_cli_runner().invoke(args=["tokens", "create", STAFF, "--name", "till", *options])
    assert stored_tokens(shop) == [given, given]


def test_without_scopes_the_command_grants_all_that_the_user_has(app, shop):
    shop.customer(ADA), shop.staff(STAFF)
    for email in (ADA, STAFF):
        assert app.test_cli_runner().invoke(args=["tokens", "create", email, "--name", "till"]).exit_code == 0
    assert stored_tokens(shop) == [" ".join(CUSTOMERS), " ".join(STAFFS)]


# ---------------------------------------------------------------- the current rights of its user


def make(shop, email, role):
    shop.execute("UPDATE users SET role = :role WHERE email = :email", role=role, email=email)


@pytest.mark.parametrize("route", sorted(route for route in SCOPE_OF if ROUTES[route][0] == {"staff", "owner"}))
def test_an_old_staff_token_has_only_a_customers_access(app, sample_shop, route):
    api_client = ApiClient(app, STAFF)
    make(sample_shop.shop, STAFF, "customer")
    refused = api_client.send(route.split()[0], path_of(route), ROUTES[route][1] or None)
    assert_problem(refused, 403, "FORBIDDEN")
    assert api_client.get("/api/v1/orders").status_code == 200  # customers and staff both have the scope `orders`
    assert "stock_quantity" not in api_client.get("/api/v1/books/1").text
    assert stored_tokens(sample_shop.shop)[-1] == " ".join(STAFFS)


def test_a_token_gains_no_scopes_when_its_user_becomes_staff(app, sample_shop):
    api_client = ApiClient(app, ADA)
    make(sample_shop.shop, ADA, "bookseller")
    assert api_client.get("/api/v1/admin/orders").status_code == 200
    for route in (*NEEDS["stock:write"], *NEEDS["catalog:write"], *NEEDS["reports:read"], *NEEDS["prebookings"]):
        assert_problem(api_client.send(route.split()[0], path_of(route), ROUTES[route][1] or None), 403, "FORBIDDEN")


def test_a_token_row_with_more_scopes_than_its_user_has_grants_nothing(app, sample_shop):
    api_client = ApiClient(app, ADA)
    sample_shop.shop.execute("UPDATE api_tokens SET scopes = :all", all=" ".join({*STAFFS, *CUSTOMERS}))
    for route in (route for route in SCOPE_OF if ROUTES[route][0] == {"staff", "owner"}):
        assert_problem(api_client.send(route.split()[0], path_of(route), ROUTES[route][1] or None), 403, "FORBIDDEN")


# ---------------------------------------------------------------- expiry


def expire_all(app, seconds):
    """Make all tokens expire in this many seconds; negative for the past."""
    with app.app_context():
        db.session.execute(update(ApiToken).values(expires_at=now() + timedelta(seconds=seconds)))
        db.session.commit()


def test_a_token_is_refused_from_the_second_in_which_it_expires(app, shop, api_client):
    shop.customer(ADA)
    program = api_client(ADA)
    expire_all(app, 60)
    assert program.get("/api/v1/orders").status_code == 200
    expire_all(app, 0)
    for path in ("/api/v1/orders", "/api/v1/books", "/api/v1/nothing"):
        assert_problem(program.get(path), 401, "NOT_AUTHENTICATED")
    refused = program.get("/api/v1/orders")
    assert (refused.headers["WWW-Authenticate"], "expired" in refused.text) == (
        'Bearer error="invalid_token"',
        True,
    )
    expire_all(app, 60)
    assert program.get("/api/v1/orders").status_code == 200


def test_an_expired_token_is_marked_and_can_be_revoked(app, shop, web_client, api_client):
    shop.customer(ADA)
    api_client(ADA), expire_all(app, -3600)
    browser = web_client(ADA)
    assert re.search(r"expired on \d+ \w+ \d{4} · never used", text_of(browser.get("/account/tokens")))
    browser.submit("/account/tokens/1/revoke", page="/account/tokens")
    assert "You have no tokens." in text_of(browser.get("/account/tokens"))


@pytest.mark.parametrize(("days", "words"), [("0", "never expires"), ("30", "expires on"), ("365", "expires on")])
def test_form_and_command_show_when_a_token_expires(app, shop, web_client, days, words):
    shop.customer(ADA)
    assert words in text_of(web_client(ADA).submit("/account/tokens", name="till", scopes="orders", days=days))
    command = ["tokens", "create", ADA, "--name", "till", *(["--days", days] if days != "0" else [])]
    assert app.test_cli_runner().invoke(args=command).exit_code == 0
    with app.app_context():
        ends = [token.expires_at for token in db.session.query(ApiToken)]
    expected = now() + timedelta(days=int(days))
    assert all(abs(end - expected) < timedelta(minutes=1) if end else days == "0" for end in ends)
    assert len(ends) == 2


@pytest.mark.parametrize("days", ["", "-1", "5", "1000000", "NaN", "1e3", "30; DROP TABLE api_tokens"])
def test_an_expiry_that_is_not_offered_creates_no_token(shop, web_client, days):
    shop.customer(ADA)
    assert web_client(ADA).submit("/account/tokens", name="till", scopes="orders", days=days).status_code == 400
    assert stored_tokens(shop) == []


@pytest.mark.parametrize("days", ["0", "-1", "3651", "soon"])
def test_the_command_refuses_invalid_numbers_of_days(app, shop, days):
    shop.customer(ADA)
    command = ["tokens", "create", ADA, "--name", "till", "--days", days]
    assert (app.test_cli_runner().invoke(args=command).exit_code, stored_tokens(shop)) == (2, [])


def test_a_login_by_cookie_has_all_scopes_of_its_user(app, sample_shop):
    browser: WebClient = sample_shop.web_clients["staff"]
    assert all(browser.get(path_of(route)).status_code == 200 for route in NEEDS["reports:read"])
