"""The first visit: a code from the log sets up a new shop, once."""

import logging
import re

import pytest

from bookshop.admin import set_up
from bookshop.opening.repository import OpeningRepository
from bookshop.web import opening
from tests.support import races
from tests.support.clients import ApiClient, text_of
from tests.support.factories import PASSWORD
from tests.support.settings import settings_for

pytestmark = pytest.mark.one_postgresql_case

OWNER = "grace@example.com"
FORM = {"name": "Corner Books", "street": "1 High Street", "city": "Oxford", "country": "GB"}
FORM |= {"time_zone": "Europe/London", "currency": "GBP", "email": OWNER, "password": PASSWORD, "repeat": PASSWORD}


@pytest.fixture
def visitor(new_shop, web_client):
    return web_client()


def users(shop):
    return shop.rows("SELECT email, role FROM users")


def test_the_code_in_the_log_sets_up_the_shop_and_logs_the_owner_in(shop, visitor, caplog):
    with caplog.at_level(logging.WARNING):
        assert visitor.get("/books?q=emma").location == visitor.get("/").location == "/setup"
    [line] = [line for line in caplog.messages if "no owner" in line]
    page, code = re.findall(r"open (\S+) and enter the code (\S+)$", line)[0]
    assert page == "http://127.0.0.1:5000/setup"
    done = visitor.submit("/setup", code=f" {code.lower().replace('-', ' ')} ", key="k" * 22, **FORM)
    assert (done.status_code, done.location) == (303, "/admin/ready")
    assert "Ready to open" in text_of(visitor.get("/admin/ready"))
    assert (users(shop), "Corner Books" in text_of(visitor.get("/"))) == ([(OWNER, "owner")], True)
    assert shop.rows("SELECT city, time_zone, currency FROM shop_details") == [("Oxford", "Europe/London", "GBP")]
    assert shop.rows("SELECT action FROM audit_entries ORDER BY id") == ["shop.created", "user.logged_in"]
    assert (shop.broken(), visitor.log_in(OWNER).status_code) == ([], 303)


def test_a_double_click_leads_to_the_list_and_anybody_else_is_told_that_the_shop_has_an_owner(
    shop, visitor, web_client, code
):
    token = visitor.csrf_token("/setup")
    both = [visitor.post("/setup", code=code, key="k" * 22, csrf_token=token, **FORM) for _click in range(2)]
    assert [answer.location for answer in both] == ["/admin/ready"] * 2
    other = web_client()
    late = other.submit("/setup", page="/login", code=code, key="l" * 22, **{**FORM, "email": "eve@example.com"})
    assert (late.location, "This shop has been set up." in text_of(other.get("/login"))) == ("/login", True)
    assert (other.get("/setup").location, users(shop)) == ("/login", [(OWNER, "owner")])


def test_a_wrong_code_keeps_what_was_typed_and_a_stranger_cannot_try_for_long(shop, visitor, code, monkeypatch):
    monkeypatch.setattr(set_up, "FREE_ATTEMPTS", -5)  # as after six more attempts: the wait is a minute, not a second
    token = visitor.csrf_token("/setup")
    wrong = {**FORM, "code": "AAAA-BBBB-CCCC-DDDD", "csrf_token": token}
    refused = [visitor.post("/setup", key=f"{number:022}", **wrong) for number in range(2)]
    assert [page.status_code for page in refused] == [400, 429]
    assert "This is not the code." in text_of(refused[0])
    assert ('value="Corner Books"' in refused[0].text, PASSWORD in refused[0].text) == (True, False)
    right = visitor.post("/setup", key="k" * 22, csrf_token=token, code=code, **FORM)
    assert (right.status_code, "Retry-After" in right.headers, users(shop)) == (429, True, [])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"password": "short", "repeat": "short"}, "A password needs 8 to 128 characters; this one has 5."),
        ({"repeat": "three other words"}, "The two passwords are not the same."),
        ({"email": "grace"}, "This is not a valid e-mail address."),
        ({"csrf_token": "none"}, "This page was open for too long."),
    ],
)
def test_what_is_refused_creates_neither_shop_nor_owner(shop, visitor, code, change, words):
    fields = {"csrf_token": visitor.csrf_token("/setup"), "code": code, **FORM, **change}
    page = visitor.post("/setup", key="k" * 22, **fields)
    assert (page.status_code, words in text_of(page), f'value="{code}"' in page.text) == (400, True, True)
    assert (users(shop), shop.rows("SELECT id FROM shop_details")) == ([], [])


def test_json_health_checks_and_files_do_not_lead_to_the_set_up(visitor):
    paths = "/api/v1/books", "/health/live", "/health/ready", "/nowhere"
    assert [visitor.get(path).status_code for path in paths] == [200, 200, 200, 404]
    files = re.findall(r'href="(/static/[^"]+)"', visitor.get("/setup").text)
    assert {visitor.get(path).status_code for path in files} == {200}


def test_search_engines_find_nothing_in_a_new_shop_and_come_back_once_it_is_open(shop, new_shop, visitor):
    robots = visitor.get("/robots.txt")
    assert (robots.status_code, robots.text) == (200, "User-agent: *\nDisallow: /\n")
    assert "max-age" not in robots.headers["Cache-Control"]
    maps = "/sitemap.xml", "/sitemaps/1.xml"
    assert [visitor.get(path).status_code for path in maps] == [404, 404]
    shop.owner(OWNER)
    assert "Disallow: /admin" in visitor.get("/robots.txt").text.splitlines()
    assert [visitor.get(path).status_code for path in maps] == [200, 200]


def test_a_script_gets_no_login_link_from_a_new_shop(shop, new_shop):
    script = ApiClient(new_shop)
    for path, body in (("/api/v1/prebookings", {"book_id": 1}), ("/api/v1/login-links", {"email": OWNER})):
        refused = script.post(path, body)
        assert (refused.status_code, refused.get_json()["code"]) == (401, "NOT_AUTHENTICATED")
    assert refused.get_json()["detail"] == "This shop is new and has no accounts. Its owner sets it up at /setup."
    assert shop.rows("SELECT id FROM messages") == []
    shop.owner(OWNER)
    assert script.post("/api/v1/login-links", {"email": OWNER}).status_code == 202


def test_a_shop_with_accounts_is_asked_once(shop, new_shop, web_client):
    shop.customer()
    assert (web_client().get("/").status_code, web_client().get("/setup").location) == (200, "/login")
    assert new_shop.extensions[opening.IS_OPEN] is True


def test_a_demo_is_never_set_up(new_shop, visitor, monkeypatch):
    monkeypatch.setitem(new_shop.config, "SETTINGS", settings_for("sqlite:////demo.db", demo=True))
    assert (visitor.get("/").status_code, visitor.get("/setup").location) == (200, "/login")


# ---------------------------------------------------------------- two at once


def both_create(shop):
    """Let B create a shop after A has looked for an owner, but before A's commit; return the codes of their errors."""

    def create(email):
        details = {"name": "Corner Books"}
        return lambda: races.result_or_code(shop.app, lambda: opening.service().create(details, email, None) and None)

    return races.interleave((OpeningRepository, "has_owner"), create("a@example.com"), create("b@example.com"))


def test_of_two_visitors_with_the_code_at_the_same_time_one_gets_the_shop(shop):
    assert both_create(shop) == (None, "SHOP_HAS_OWNER")
    assert users(shop) == [("a@example.com", "owner")]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_without_the_lock_both_would_become_owners(shop, monkeypatch):
    """On SQLite, every writing transaction is alone."""
    monkeypatch.setattr(OpeningRepository, "lock", lambda _repository: None)
    both_create(shop)
    assert len(users(shop)) == 2


# ---------------------------------------------------------------- by command


NEW = [
    *("shop", "new", "--name", "Corner Books", "--street", "1 High Street", "--postcode", "OX1", "--city", "Oxford"),
    *("--country", "GB", "--time-zone", "Europe/London", "--currency", "GBP", "--email", OWNER),
]


def test_the_command_sets_up_a_shop_and_says_what_to_do_next(app, shop, web_client):
    done = app.test_cli_runner().invoke(args=[*NEW, "--password", PASSWORD])
    assert (done.exit_code, done.stderr) == (0, "")
    assert f"Created the shop Corner Books and its owner {OWNER}." in done.stdout
    assert "go through the list at http://127.0.0.1:5000/admin/ready." in done.stdout
    assert web_client().log_in(OWNER).status_code == 303
    assert shop.rows("SELECT name, postcode, currency FROM shop_details") == [("Corner Books", "OX1", "GBP")]
    again = app.test_cli_runner().invoke(args=[*NEW, "--password", PASSWORD])
    assert (again.exit_code, again.stderr.startswith("Error: This shop has an owner already.")) == (1, True)


def test_the_command_asks_for_what_is_not_given_until_it_can_be_read(app, shop, web_client):
    typed = ["Corner Books", "", "", "", "England", "gb", "Oxford", "europe/london", "pound", " gbp ", "grace", OWNER]
    typed += ["short", "short", "password", "password", PASSWORD, "another", PASSWORD, PASSWORD]
    done = app.test_cli_runner().invoke(args=["shop", "new"], input="\n".join([*typed, ""]))
    assert (done.exit_code, "'Oxford' is unknown. Enter, for example, Europe/London." in done.output) == (0, True)
    for sentence in ("This is not a valid e-mail address.", "A password needs 8 to 128", "This password is too easy"):
        assert done.output.count(f"Error: {sentence}") == 1
    assert done.output.count("Name of the shop") == 1
    assert shop.rows("SELECT country, currency, time_zone FROM shop_details") == [("GB", "GBP", "Europe/London")]
    assert web_client().log_in(OWNER).status_code == 303


def test_the_command_needs_no_password(app, shop):
    done = app.test_cli_runner().invoke(args=NEW, input="\n\n")
    assert (done.exit_code, "You log in with a link in an e-mail" in done.output) == (0, True)
    assert users(shop) == [(OWNER, "owner")]
