"""What a token may do and until when: its scopes, what its user may by now, and its end."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import update

from bookshop.accounts.models import ApiToken
from bookshop.accounts.scopes import scopes_of
from bookshop.extensions import db
from bookshop.kit.database import now
from tests.support.clients import ApiClient, WebClient, text_of
from tests.support.stand import assert_problem
from tests.support.world import ROUTES, path_of
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
OPEN = {"GET /api/v1/openapi.json", "GET /api/v1/books", "GET /api/v1/books/{book_id}", "GET /api/v1/books/isbn/{isbn}"}
CUSTOMERS, STAFFS = ["catalog:read", "prebookings", "orders"], scopes_of("staff")


def call(app, email, scopes, route):
    """Call a JSON route with a new token that has these scopes."""
    return ApiClient(app, email, scopes).send(route.split()[0], path_of(route), ROUTES[route][1] or None)


def who_may(route):
    """One who may call a route, and all that a token of theirs may be good for."""
    return (ADA, CUSTOMERS) if "ada" in ROUTES[route][0] else (STAFF, STAFFS)


def kept(shop):
    return shop.rows("SELECT scopes FROM api_tokens ORDER BY id")


# ---------------------------------------------------------------- each scope and its routes


def test_every_route_for_json_is_open_or_has_its_scope(shared_app):
    json = {route for route in ROUTES if " /api/v1/" in route}
    assert json == set(SCOPE_OF) | OPEN
    views, rules = shared_app.view_functions, list(shared_app.url_map.iter_rules())
    for route, scope in SCOPE_OF.items():
        path, method = re.sub(r"{(\w+)}", r"<int:\1>", route.split()[1]), route.split()[0]
        (endpoint,) = [rule.endpoint for rule in rules if rule.rule == path and method in rule.methods]
        assert vars(views[endpoint])["operation"].scope == scope


@pytest.mark.parametrize("route", sorted(SCOPE_OF))
def test_a_token_with_every_scope_but_that_one_is_refused_and_does_nothing(app, world, route):
    (email, all_scopes), scope = who_may(route), SCOPE_OF[route]
    before = world.shop.everything()
    del before["api_tokens"]
    refused = call(app, email, set(all_scopes) - {scope}, route)
    assert_problem(refused, 403, "FORBIDDEN")
    assert refused.headers["WWW-Authenticate"] == f'Bearer error="insufficient_scope", scope="{scope}"'
    assert f"'{scope}'" in refused.text
    assert {table: rows for table, rows in world.shop.everything().items() if table in before} == before


@pytest.mark.parametrize("route", sorted(SCOPE_OF))
def test_a_token_with_that_scope_alone_is_let_in(app, world, route):
    assert_let_in(call(app, who_may(route)[0], {SCOPE_OF[route]}, route))


@pytest.mark.parametrize("route", sorted(OPEN))
@pytest.mark.parametrize("email", [ADA, STAFF])
def test_a_token_without_any_scope_reads_the_catalogue(app, world, route, email):
    assert call(app, email, [], route).status_code == 200
    assert kept(world.shop)[-1] == "catalog:read"


def test_a_scope_is_asked_for_before_the_body_is_read(app, world):
    reader = ApiClient(app, STAFF, ["catalog:read"])
    refused = reader.client.post("/api/v1/stock/batch", data="{broken", headers=reader.headers)
    assert_problem(refused, 403, "FORBIDDEN")
    assert reader.client.head("/api/v1/reports/demand", headers=reader.headers).status_code == 403


# ---------------------------------------------------------------- who may have which


@pytest.mark.parametrize("scope", sorted(set(STAFFS) - set(CUSTOMERS)))
def test_a_customer_cannot_make_a_token_for_what_staff_do(app, shop, web_client, scope):
    shop.customer(ADA)
    browser = web_client(ADA)
    assert scope not in browser.get("/account/tokens").text
    forged = browser.submit("/account/tokens", name="till", scopes=["orders", scope], days="30")
    told = app.test_cli_runner().invoke(args=["tokens", "create", ADA, "--name", "till", "--scope", scope])
    assert (forged.status_code, told.exit_code, kept(shop)) == (400, 1, [])
    assert told.output.strip() == (
        f"Error: The scope '{scope}' is not for this account; it may have catalog:read, prebookings, orders."
    )


@pytest.mark.parametrize("scopes", [["everything"], ["orders stock:write"], ["ORDERS"], [""], ["orders\0"]])
def test_a_scope_that_there_is_not_makes_no_token(app, shop, web_client, scopes):
    shop.staff(STAFF)
    assert web_client(STAFF).submit("/account/tokens", name="till", scopes=scopes, days="0").status_code == 400
    options = ["tokens", "create", STAFF, "--name", "till", "--scope", scopes[0]]
    assert (app.test_cli_runner().invoke(args=options).exit_code, kept(shop)) == (2, [])


@pytest.mark.parametrize(
    ("chosen", "given"),
    [([], "catalog:read"), (["stock:write", "orders", "orders"], "catalog:read orders stock:write")],
)
def test_the_form_and_the_command_give_the_scopes_that_were_chosen_and_the_open_one(
    app, shop, web_client, chosen, given
):
    shop.staff(STAFF)
    assert web_client(STAFF).submit("/account/tokens", name="till", scopes=chosen, days="0").status_code == 201
    options = [part for scope in chosen or ["catalog:read"] for part in ("--scope", scope)]
    app.test_cli_runner().invoke(args=["tokens", "create", STAFF, "--name", "till", *options])
    assert kept(shop) == [given, given]


def test_a_command_without_scopes_gives_all_that_the_user_may(app, shop):
    shop.customer(ADA), shop.staff(STAFF)
    for email in (ADA, STAFF):
        assert app.test_cli_runner().invoke(args=["tokens", "create", email, "--name", "till"]).exit_code == 0
    assert kept(shop) == [" ".join(CUSTOMERS), " ".join(STAFFS)]


# ---------------------------------------------------------------- what its user may by now


def make(shop, email, role):
    shop.execute("UPDATE users SET role = :role WHERE email = :email", role=role, email=email)


@pytest.mark.parametrize("route", sorted(route for route in SCOPE_OF if ROUTES[route][0] == {"staff"}))
def test_who_is_no_longer_staff_does_with_an_old_token_what_a_customer_does(app, world, route):
    api_client = ApiClient(app, STAFF)
    make(world.shop, STAFF, "customer")
    refused = api_client.send(route.split()[0], path_of(route), ROUTES[route][1] or None)
    assert_problem(refused, 403, "FORBIDDEN")
    assert api_client.get("/api/v1/orders").status_code == 200  # the scope `orders` is for both
    assert "stock_quantity" not in api_client.get("/api/v1/books/1").text
    assert kept(world.shop)[-1] == " ".join(STAFFS)


def test_who_becomes_staff_has_no_more_scopes_than_the_token_was_given(app, world):
    api_client = ApiClient(app, ADA)
    make(world.shop, ADA, "staff")
    assert api_client.get("/api/v1/admin/orders").status_code == 200
    for route in (*NEEDS["stock:write"], *NEEDS["catalog:write"], *NEEDS["reports:read"], *NEEDS["prebookings"]):
        assert_problem(api_client.send(route.split()[0], path_of(route), ROUTES[route][1] or None), 403, "FORBIDDEN")


def test_a_row_that_names_more_scopes_than_its_user_may_have_opens_nothing(app, world):
    api_client = ApiClient(app, ADA)
    world.shop.execute("UPDATE api_tokens SET scopes = :all", all=" ".join({*STAFFS, *CUSTOMERS}))
    for route in (route for route in SCOPE_OF if ROUTES[route][0] == {"staff"}):
        assert_problem(api_client.send(route.split()[0], path_of(route), ROUTES[route][1] or None), 403, "FORBIDDEN")


# ---------------------------------------------------------------- its end


def end_all(app, seconds):
    """Let all tokens expire in so many seconds, or so many seconds ago."""
    with app.app_context():
        db.session.execute(update(ApiToken).values(expires_at=now() + timedelta(seconds=seconds)))
        db.session.commit()


def test_a_token_opens_nothing_from_the_second_on_in_which_it_expires(app, shop, api_client):
    shop.customer(ADA)
    program = api_client(ADA)
    end_all(app, 60)
    assert program.get("/api/v1/orders").status_code == 200
    end_all(app, 0)
    for path in ("/api/v1/orders", "/api/v1/books", "/api/v1/nothing"):
        assert_problem(program.get(path), 401, "NOT_AUTHENTICATED")
    refused = program.get("/api/v1/orders")
    assert (refused.headers["WWW-Authenticate"], "expired" in refused.text) == (
        'Bearer error="invalid_token"',
        True,
    )
    end_all(app, 60)
    assert program.get("/api/v1/orders").status_code == 200


def test_an_expired_token_is_shown_as_such_and_can_be_revoked(app, shop, web_client, api_client):
    shop.customer(ADA)
    api_client(ADA), end_all(app, -3600)
    browser = web_client(ADA)
    assert re.search(r"expired on \d+ \w+ \d{4} · never used", text_of(browser.get("/account/tokens")))
    browser.submit("/account/tokens/1/revoke", page="/account/tokens")
    assert "You have none." in text_of(browser.get("/account/tokens"))


@pytest.mark.parametrize(("days", "words"), [("0", "never expires"), ("30", "expires on"), ("365", "expires on")])
def test_the_form_and_the_command_say_when_a_token_expires(app, shop, web_client, days, words):
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
def test_an_end_that_is_not_offered_makes_no_token(shop, web_client, days):
    shop.customer(ADA)
    assert web_client(ADA).submit("/account/tokens", name="till", scopes="orders", days=days).status_code == 400
    assert kept(shop) == []


@pytest.mark.parametrize("days", ["0", "-1", "3651", "soon"])
def test_the_command_takes_no_number_of_days_that_makes_no_sense(app, shop, days):
    shop.customer(ADA)
    command = ["tokens", "create", ADA, "--name", "till", "--days", days]
    assert (app.test_cli_runner().invoke(args=command).exit_code, kept(shop)) == (2, [])


def test_a_login_by_cookie_may_all_that_its_user_may(app, world):
    browser: WebClient = world.browsers["staff"]
    assert all(browser.get(path_of(route)).status_code == 200 for route in NEEDS["reports:read"])
