"""What was typed outlives an expired login, and a browser sees the answer to a form at an address of its own."""

import re

import pytest
from sqlalchemy import delete, update

from bookshop.accounts.models import LoginSession
from bookshop.extensions import db
from bookshop.idempotency.models import SentForm
from bookshop.kit.database import later
from bookshop.web.kept_forms import TYPED
from tests.support.clients import text_of
from tests.support.factories import PASSWORD

pytestmark = pytest.mark.one_postgresql_case

LONG = "Ring twice.\n" + "und läute zweimal " * 50
BROWSER = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}
# Forms with a long text in them: the page, who uses it, and what is typed.
FORMS = {
    "/checkout": ("ada@example.com", {"name": "Ada", "note": LONG}),
    "/admin/pages/new": ("owner@example.com", {"title": "Readings", "body": "# Readings\n\n" + LONG * 40}),
    "/admin/webhooks": ("owner@example.com", {"url": "https://till.example.com/hook?branch=3"}),
}


@pytest.fixture(autouse=True)
def people(shop):
    shop.owner()
    shop.fill_cart(shop.customer("ada@example.com"), {shop.book("Emma", stock=3): 1})


def execute(shop, statement):
    with shop.app.app_context():
        db.session.execute(statement)
        db.session.commit()


def expire_logins(shop):
    execute(shop, delete(LoginSession))


def values_of(page):
    """Return the text of a page with its entities read, in which typed values can be found."""
    return text_of(page) + " ".join(re.findall(r'value="([^"]*)"', page.text)).replace("&#x2F;", "/")


# ---------------------------------------------------------------- an expired login


@pytest.mark.parametrize("page", FORMS)
def test_what_was_typed_is_in_the_form_again_after_the_login(shop, web_client, page):
    email, typed = FORMS[page]
    browser = web_client(email)
    csrf = browser.csrf_token(page)
    expire_logins(shop)
    browser.post(page, csrf_token=csrf, **typed)
    assert browser.log_in(email).status_code == 303
    shown = values_of(browser.get(page))
    for value in typed.values():
        assert " ".join(value.split())[:200] in " ".join(shown.split())


def test_the_login_page_says_that_what_was_typed_is_kept(shop, web_client):
    owner = web_client("owner@example.com")
    csrf = owner.csrf_token("/admin/webhooks")
    expire_logins(shop)
    owner.post("/admin/webhooks", csrf_token=csrf, url="https://till.example.com/hook")
    assert "what you typed is kept" in text_of(owner.get("/login"))


def test_passwords_are_never_kept(shop, web_client):
    ada = web_client("ada@example.com")
    csrf = ada.csrf_token("/account/password")
    expire_logins(shop)
    ada.post("/account/password", csrf_token=csrf, current=PASSWORD, new="hush hush hush", repeat="hush hush hush")
    assert shop.rows("SELECT answer FROM sent_forms WHERE answer LIKE '%hush%'") == []


def test_another_site_cannot_fill_in_a_form(shop, web_client):
    owner = web_client("owner@example.com")
    expire_logins(shop)
    owner.client.post("/admin/webhooks", data={"url": "https://evil.example"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert owner.client.get_cookie(TYPED, path="/admin/webhooks") is None


def test_what_was_typed_is_forgotten_once_the_form_is_sent(shop, web_client):
    browser = web_client("ada@example.com")
    csrf = browser.csrf_token("/checkout")
    expire_logins(shop)
    browser.post("/checkout", csrf_token=csrf, note="Ring twice")
    browser.log_in("ada@example.com")
    browser.submit("/checkout", name="")
    assert browser.client.get_cookie(TYPED, path="/checkout") is None


# ---------------------------------------------------------------- Post/Redirect/Get


def refused(browser, **typed):
    """Send the checkout without a name, as a browser does; returns the answer."""
    fields = {"csrf_token": browser.csrf_token("/checkout"), "name": "", **typed}
    return browser.client.post("/checkout", data=fields, headers=BROWSER)


def test_a_browser_sees_a_refused_form_at_an_address_of_its_own(web_client):
    ada = web_client("ada@example.com")
    answer = refused(ada, note="Ring twice")
    assert (answer.status_code, answer.location.partition("=")[0]) == (303, "/checkout?answer")
    for _time in range(2):
        page = ada.get(answer.location)
        assert (page.status_code, "Ring twice" in page.text) == (400, True)
        assert ("<title>Error: Check out" in page.text, page.headers["Cache-Control"]) == (True, "no-store")


def test_a_program_gets_the_refused_form_at_once(web_client):
    assert web_client("ada@example.com").submit("/checkout", name="").status_code == 400


@pytest.mark.parametrize("other", [None, "ada@example.com", "owner@example.com"])
def test_nobody_else_sees_the_page(web_client, other):
    answer = refused(web_client("ada@example.com"), note="Ring twice")
    page = web_client(other).get(answer.location)
    assert (page.status_code, page.location) == (303, "/checkout")


def test_a_page_that_is_no_longer_kept_leads_to_its_form(shop, web_client):
    ada = web_client("ada@example.com")
    answer = refused(ada, note="Ring twice")
    execute(shop, update(SentForm).values(created_at=later(-601)))
    page = ada.get(answer.location)
    assert (page.status_code, page.location) == (303, "/checkout")


def test_the_page_with_the_secret_of_a_second_factor_is_not_kept(shop, web_client):
    owner = web_client("owner@example.com")
    fields = {"csrf_token": owner.csrf_token("/account/second-factor"), "code": "000000"}
    answer = owner.client.post("/account/second-factor", data=fields, headers=BROWSER)
    assert (answer.status_code, shop.rows("SELECT key FROM sent_forms WHERE answer IS NOT NULL")) == (400, [])
