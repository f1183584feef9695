"""What a token may do, for how long, and that its user's role is looked up each time."""

import pytest

from bookshop.accounts.scopes import CATALOG_READ, SCOPES, scopes_of
from tests.clients import Script, text_of
from tests.stand import assert_problem
from tests.world import ROUTES, World, path_of

ADA, STAFF = "ada@example.com", "staff@example.com"
ROLES = {"ada": "customer", "staff": "staff"}
JSON_ROUTES = [route for route in ROUTES if "/api/v1/" in route and "nobody" not in ROUTES[route][0]]


@pytest.fixture
def people(shop):
    """Ada and a member of staff."""
    return shop.customer(ADA), shop.staff(STAFF)


def token(app, runner_args):
    """What `flask tokens create` prints with these arguments."""
    return app.test_cli_runner().invoke(args=["tokens", "create", *runner_args])


def program(app, email, *scopes, days=None):
    """A program with a token of these scopes, made by the command."""
    more = [part for scope in scopes for part in ("--scope", scope)]
    made = token(app, [email, "--name", "test", *more, *(["--days", str(days)] if days else [])])
    assert made.exit_code == 0, made.output
    script = Script(app)
    script.headers = {"Authorization": f"Bearer {made.output.strip()}"}
    return script


def scope_of(app, route):
    """The scope that a route promises to ask for."""
    method, path = route.split()
    with app.test_request_context():
        adapter = app.url_map.bind("localhost")
        endpoint, _arguments = adapter.match(path_of(route).partition("?")[0], method=method)
    return path, app.view_functions[endpoint].operation.scope


@pytest.mark.parametrize("route", JSON_ROUTES)
def test_a_route_opens_to_its_scope_and_to_no_other(app, shop, route):
    world = World(app, shop)
    who = "ada" if "ada" in ROUTES[route][0] else "staff"
    _path, needed = scope_of(app, route)
    others = [name for name in scopes_of(ROLES[who]) if name != needed]
    before = world.tables()
    script = program(app, f"{who}@example.com", *others)
    made = world.tables()
    answer = call(script, route)
    assert_problem(answer, 403, "FORBIDDEN")
    assert answer.headers["WWW-Authenticate"] == f'Bearer error="insufficient_scope", scope="{needed}"'
    assert f"'{needed}'" in answer.json["detail"]
    assert {name: rows for name, rows in world.tables().items() if name != "api_tokens"} == {
        name: rows for name, rows in made.items() if name != "api_tokens"
    }
    assert before["books"] == made["books"]
    assert call(program(app, f"{who}@example.com", needed), route).status_code in {200, 201, 204, 409}


def call(script, route):
    method, body = route.split()[0], ROUTES[route][1]
    return script.client.open(path_of(route), method=method, json=body or None, headers=script.headers)


def test_every_scope_but_that_of_the_open_catalogue_is_asked_for_somewhere(app):
    asked = {scope_of(app, route)[1] for route in JSON_ROUTES}
    assert asked == set(SCOPES) - {CATALOG_READ}


@pytest.mark.parametrize("scope", sorted(set(scopes_of("staff")) - set(scopes_of("customer"))))
def test_a_customer_gets_no_scope_of_staff(app, shop, people, visitor, scope):
    refused = token(app, [ADA, "--name", "x", "--scope", scope])
    assert (refused.exit_code, f"'{scope}' is not for this account" in refused.output) == (1, True)
    forged = visitor(ADA).submit("/account/tokens", name="x", scopes=[scope])
    assert forged.status_code == 400
    assert shop.rows("SELECT id FROM api_tokens") == []


def test_staff_who_are_customers_by_now_lose_what_was_staffs_at_once_and_get_it_back(app, shop, people):
    book_id = shop.book()
    script = program(app, STAFF)
    assert script.set_stock(book_id, 1).status_code == 200
    shop.execute("UPDATE users SET role = 'customer' WHERE email = :email", email=STAFF)
    assert_problem(script.set_stock(book_id, 2), 403, "FORBIDDEN")
    assert "stock_quantity" not in script.get(f"/api/v1/books/{book_id}").json
    shop.execute("UPDATE users SET role = 'staff' WHERE email = :email", email=STAFF)
    assert script.set_stock(book_id, 2).status_code == 200


def test_a_customer_who_becomes_staff_gets_no_more_scopes_for_the_token_that_there_is(app, shop, people):
    book_id, script = shop.book(), program(app, ADA)
    shop.execute("UPDATE users SET role = 'staff' WHERE email = :email", email=ADA)
    assert_problem(script.set_stock(book_id, 1), 403, "FORBIDDEN")


def test_without_scopes_named_a_token_may_do_what_its_user_may(app, shop, people):
    for email in (ADA, STAFF):
        program(app, email)
    assert shop.rows("SELECT scopes FROM api_tokens ORDER BY id") == [
        " ".join(scopes_of("customer")),
        " ".join(scopes_of("staff")),
    ]


def test_a_token_for_the_catalogue_reads_that_and_nothing_else(app, shop, people):
    shop.book()
    script = program(app, ADA, CATALOG_READ)
    assert script.get("/api/v1/books").json["total"] == 1
    assert_problem(script.get("/api/v1/prebookings"), 403, "FORBIDDEN")


def test_a_token_ends_when_it_expires_and_not_before(app, shop, people, visitor):
    script = program(app, ADA, days=1)
    assert script.get("/api/v1/prebookings").status_code == 200
    later = shop.rows("SELECT expires_at, created_at FROM api_tokens")[0]
    assert "86400" in str(seconds_between(*later))
    assert "expires on" in text_of(visitor(ADA).get("/account/tokens"))
    shop.execute("UPDATE api_tokens SET expires_at = '2026-01-01 00:00:00.000000'")
    answer = script.get("/api/v1/books")
    assert_problem(answer, 401, "NOT_AUTHENTICATED")
    assert answer.headers["WWW-Authenticate"] == 'Bearer error="invalid_token"'
    assert "expired on" in text_of(visitor(ADA).get("/account/tokens"))


def seconds_between(end, begin):
    from datetime import datetime

    end, begin = (datetime.fromisoformat(time) if isinstance(time, str) else time for time in (end, begin))
    return round((end - begin).total_seconds())


@pytest.mark.parametrize(("chosen", "days"), [("30", 30), ("365", 365), ("0", None)])
def test_the_page_makes_a_token_with_the_scopes_that_are_ticked_for_as_long_as_is_chosen(
    shop, people, visitor, chosen, days
):
    made = visitor(ADA).submit("/account/tokens", name="reader", scopes=["prebookings"], days=chosen)
    assert (made.status_code, "catalog:read, prebookings" in text_of(made)) == (201, True)
    scopes, expires, created = shop.rows("SELECT scopes, expires_at, created_at FROM api_tokens")[0]
    assert scopes == "catalog:read prebookings"
    assert (expires and seconds_between(expires, created)) == (days and days * 86400)


def test_the_page_keeps_what_was_ticked_when_the_name_is_missing(people, visitor):
    page = visitor(STAFF).submit("/account/tokens", name="", scopes=["stock:write"], days="30").text
    ticked = [part for part in page.split("<input") if "checked" in part and 'name="scopes"' in part]
    assert len(ticked) == 1
    assert 'value="stock:write"' in ticked[0]
    assert '<option selected value="30">' in page


def test_what_one_downloads_says_what_each_token_may_do_and_until_when(app, people, visitor):
    program(app, ADA, "orders", days=2)
    [kept] = visitor(ADA).get("/account/data.json").json["tokens"]
    assert (kept["scopes"], bool(kept["expires_at"])) == (["catalog:read", "orders"], True)


@pytest.mark.parametrize("days", ["0", "-1", "3651", "x"])
def test_the_command_takes_days_that_can_be(app, people, days):
    assert token(app, [ADA, "--name", "x", "--days", days]).exit_code == 2
