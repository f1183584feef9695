"""Sensitive actions ask for the password, a code or a link after 15 minutes, and nothing that was typed is lost."""

import re
from datetime import timedelta
from functools import partial
from html import unescape
from typing import Any

import pytest
from sqlalchemy import update
from werkzeug.datastructures import MultiDict

from bookshop.accounts.authentication import Authentication
from bookshop.accounts.models import LoginSession
from bookshop.extensions import db
from bookshop.kit.database import now
from bookshop.web import services
from tests.support import races
from tests.support.clients import ApiClient, WebClient, text_of
from tests.support.factories import PASSWORD
from tests.support.mailbox import path_in
from tests.support.routes import WEBHOOK_URL
from tests.support.second_factors import set_up

pytestmark = pytest.mark.one_postgresql_case

BEA = "staff@example.com"
HIDDEN = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')
ASKED = "Confirm that it's you"


@pytest.fixture
def bea(shop, web_client):
    """A bookseller, user 1, whose login was confirmed too long ago."""
    shop.staff()
    browser = web_client(BEA)
    go_stale(shop)
    return browser


def go_stale(shop, minutes=16):
    """Make it this many minutes since every login was confirmed."""
    with shop.app.app_context():
        db.session.execute(update(LoginSession).values(confirmed_at=now() - timedelta(minutes=minutes)))
        db.session.commit()


def hidden_fields(page):
    """Return the names and values that the page keeps, in order."""
    kept = HIDDEN.findall(page.text.partition("<h1>")[2])
    return [(unescape(name), unescape(value)) for name, value in kept]


def post_kept(browser, page, path=None, **typed):
    """Submit the page that asks for confirmation as a browser would."""
    form = page.text.partition("<h1>")[2]
    (csrf,) = re.findall(r'name="csrf_token"[^>]*value="([^"]+)"', form)
    (action,) = re.findall(r' action="([^"]+)"', form)
    fields = {"csrf_token": [csrf], **{name: [value] for name, value in typed.items()}}
    for name, value in hidden_fields(page):
        fields.setdefault(name, []).append(value)
    return browser.client.post(path or unescape(action), data=fields)


def confirm_by(browser, page, confirmation, path=None):
    """Enter a password or a code on the page that asks for it."""
    return post_kept(browser, page, path, confirmation=confirmation)


def ask_for_link(browser, page):
    """Press the button that e-mails a link."""
    (target,) = re.findall(r'formaction="([^"]+)"', page.text)
    return post_kept(browser, page, unescape(target))


def go_on(browser, page):
    """Press the button that goes on after the link was used."""
    assert 'name="confirmation_link"' in page.text
    empty = {"confirmation": ""} if 'name="confirmation"' in page.text else {}
    return post_kept(browser, page, confirmation_link="used", **empty)


# ---------------------------------------------------------------- pages


def test_a_page_asks_for_the_password_and_comes_back(bea):
    asked = bea.get("/account/data.json?a=1")
    assert (asked.status_code, asked.location) == (303, "/account/confirm-login?next=/account/data.json?a%3D1")
    confirmed = bea.submit("/account/confirm-login", confirmation=PASSWORD, next="/account/data.json?a=1")
    assert (confirmed.status_code, confirmed.location) == (303, "/account/data.json?a=1")
    assert bea.get("/account/data.json").status_code == 200
    assert bea.get("/account/confirm-login?next=/account").location == "/account"


def test_a_login_stays_fresh_for_a_quarter_of_an_hour(shop, web_client):
    shop.staff()
    browser = web_client(BEA)
    go_stale(shop, 14)
    assert browser.get("/account/data.json").status_code == 200
    go_stale(shop, 15)
    assert browser.get("/account/data.json").status_code == 303


def test_a_form_goes_through_after_the_password_with_everything_that_was_typed(bea, shop):
    fields = {"url": f"{WEBHOOK_URL}?a=1&b=2", "kinds": ["order.placed", "order.ready"], "once": "o" * 22}
    page = bea.submit("/admin/webhooks", page="/account", **fields)
    assert (page.status_code, ASKED in text_of(page)) == (403, True)
    assert hidden_fields(page) == list(MultiDict(fields).items(multi=True))
    wrong = confirm_by(bea, page, "wrong")
    assert (wrong.status_code, "This is not your current password." in text_of(wrong)) == (400, True)
    assert hidden_fields(wrong) == hidden_fields(page)
    done = [confirm_by(bea, wrong, PASSWORD, "/admin/webhooks") for _click in range(2)]
    assert [answer.location for answer in done] == ["/admin/webhooks/1", "/admin/webhooks/1"]
    assert shop.rows("SELECT url, kinds FROM webhooks") == [(f"{WEBHOOK_URL}?a=1&b=2", "order.placed,order.ready")]


def test_a_form_without_a_csrf_token_is_not_turned_into_one_of_ours(bea, shop):
    refused = bea.post("/admin/webhooks", url=WEBHOOK_URL, kinds="order.placed", confirmation=PASSWORD)
    assert (refused.status_code, refused.location) == (303, "/admin/webhooks")
    assert shop.rows("SELECT count(*) FROM webhooks") == [0]
    assert bea.get("/account/data.json").status_code == 303


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example/", "/\t/evil.example", "/nowhere"])
def test_confirming_never_leaves_the_shop(bea, target):
    assert bea.submit("/account/confirm-login", confirmation=PASSWORD, next=target).location == "/"


def test_wrong_passwords_count_on_every_page_together(bea):
    statuses = [bea.submit("/account/confirm-login", confirmation="wrong").status_code for _guess in range(5)]
    page = bea.submit("/account/tokens", page="/account", name="till", key="k" * 22)
    throttled = confirm_by(bea, page, PASSWORD)
    assert (statuses, throttled.status_code, "Retry-After" in throttled.headers) == ([400] * 5, 429, True)
    assert bea.submit("/account/password", current=PASSWORD, new="a" * 9, repeat="a" * 9).status_code == 429


def test_with_a_second_factor_the_code_is_asked_for_and_the_password_is_not_enough(shop, web_client):
    shop.staff()
    browser = web_client(BEA)
    phone, codes = set_up(browser, shop)
    go_stale(shop)
    page = browser.submit("/account/tokens", page="/account", name="till", key="k" * 22)
    assert "authenticator app" in text_of(page)
    assert confirm_by(browser, page, PASSWORD).status_code == 400
    assert confirm_by(browser, page, phone.code()).status_code == 201
    go_stale(shop)
    assert "already been used" in text_of(confirm_by(browser, page, phone.code()))
    assert browser.submit("/account/confirm-login", confirmation=codes[0], next="/account").location == "/account"


def test_a_double_click_with_a_code_has_one_effect_and_no_error(shop, web_client):
    shop.staff()
    browser = web_client(BEA)
    phone, _codes = set_up(browser, shop)
    go_stale(shop)
    page = browser.submit("/account/tokens", page="/account", name="till", key="k" * 22)
    code, copied = phone.code(), WebClient(shop.app)
    copied.client.set_cookie("bookshop", browser.client.get_cookie("bookshop").value)
    slow, fast = (partial(confirm_by, window, page, code) for window in (browser, copied))
    clicks = races.interleave((Authentication, "by_login"), slow, fast)
    assert ([click.status_code for click in clicks], shop.rows("SELECT count(*) FROM api_tokens")) == ([201, 201], [1])


# ---------------------------------------------------------------- a link instead of a password


ADA, TOKEN_FORM = (
    "ada@example.com",
    {"name": "till", "scopes": ["orders", "prebookings"], "days": "30", "key": "k" * 22},
)


@pytest.fixture
def ada(shop, web_client):
    """A customer without a password, user 1, whose login was confirmed too long ago."""
    shop.commit(lambda: services.accounts().register(ADA))
    browser = web_client(ADA)
    go_stale(shop)
    return browser


@pytest.fixture
def use_link(mailbox):
    """A function that uses the link that was e-mailed; returns where it leads."""

    def use_link(browser, **fields):
        return browser.submit(path_in(mailbox.deliver(), "/login/link/"), key="l" * 22, **fields).location

    return use_link


def test_a_form_goes_through_after_a_link_with_everything_that_was_typed(ada, shop, use_link):
    page = ada.submit("/account/tokens", **TOKEN_FORM)
    assert (page.status_code, 'name="confirmation"' in page.text) == (403, False)
    sent = ask_for_link(ada, page)
    assert (sent.status_code, "We've sent a link to ada@example.com." in text_of(sent)) == (200, True)
    assert use_link(ada) == "/account/tokens"
    assert go_on(ada, sent).status_code == 201
    assert shop.rows("SELECT name, scopes FROM api_tokens") == [("till", "catalog:read prebookings orders")]


def test_going_on_too_early_loses_nothing_either(ada, shop, use_link):
    sent = ask_for_link(ada, ada.submit("/account/tokens", **TOKEN_FORM))
    early = go_on(ada, sent)
    assert (early.status_code, "This browser has not been confirmed yet." in text_of(early)) == (403, True)
    assert hidden_fields(early) == hidden_fields(sent) == list(MultiDict(TOKEN_FORM).items(multi=True))
    use_link(ada)
    assert go_on(ada, early).status_code == 201


def test_a_form_that_goes_through_after_a_link_takes_effect_once(bea, shop, use_link):
    page = bea.submit("/admin/webhooks", page="/account", url=WEBHOOK_URL, kinds=["order.placed"], once="o" * 22)
    sent = ask_for_link(bea, page)
    use_link(bea)
    assert [go_on(bea, sent).location for _click in range(2)] == ["/admin/webhooks/1"] * 2
    assert shop.rows("SELECT count(*) FROM webhooks") == [1]


def test_a_page_asks_for_a_link_and_the_link_leads_to_it(ada, use_link):
    page = ada.follow("/account/data.json")
    sent = ask_for_link(ada, page)
    assert use_link(ada) == "/account/data.json"
    assert go_on(ada, sent).location == "/account/data.json"
    assert ada.get("/account/data.json").status_code == 200


def test_a_link_that_is_used_in_another_browser_confirms_nothing_here(ada, web_client, use_link):
    sent, phone = ask_for_link(ada, ada.submit("/account/tokens", **TOKEN_FORM)), web_client()
    use_link(phone, confirmed="y")
    assert phone.get("/account/data.json").status_code == 200
    assert go_on(ada, sent).status_code == 403


def test_a_user_with_a_password_may_use_a_link_as_well(bea, use_link):
    page = bea.submit("/account/tokens", page="/account", name="till", key="k" * 22)
    assert 'name="confirmation"' in page.text
    sent = ask_for_link(bea, page)
    early = go_on(bea, sent)
    assert (early.status_code, "not your current password" in text_of(early)) == (403, False)
    use_link(bea)
    assert go_on(bea, early).status_code == 201


def test_no_link_replaces_the_code_of_the_second_factor(shop, web_client, mailbox):
    shop.staff()
    browser = web_client(BEA)
    phone, _codes = set_up(browser, shop)
    mailbox.deliver()
    go_stale(shop)
    page = browser.submit("/account/tokens", page="/account", name="till", key="k" * 22)
    assert "formaction" not in page.text
    asked = post_kept(browser, page, "/account/confirm-login/link?action=/account/tokens")
    assert (shop.rows("SELECT count(*) FROM login_links"), confirm_by(browser, asked, phone.code()).status_code) == (
        [0],
        201,
    )


def test_a_password_is_refused_if_the_account_has_none(ada):
    refused = ada.submit("/account/confirm-login", confirmation=PASSWORD)
    assert (refused.status_code, "Your account has no password." in text_of(refused)) == (400, True)


@pytest.mark.parametrize("action", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_the_form_that_is_sent_again_never_leaves_the_shop(ada, action):
    page = post_kept(ada, ada.get("/account/confirm-login"), f"/account/confirm-login/link?action={action}")
    assert ("evil" in page.text, ' action="/account/confirm-login' in page.text) == (False, True)


def test_asking_for_a_link_does_not_prolong_a_login_on_somebody_elses_device(ada):
    with ada.client.session_transaction() as cookie:
        cookie.permanent = False
    sent = ask_for_link(ada, ada.get("/account/confirm-login"))
    assert [cookie for cookie in sent.headers.getlist("Set-Cookie") if "Expires" in cookie] == []


# ---------------------------------------------------------------- what is sensitive


@pytest.fixture
def stale_bea(shop, bea):
    """The same bookseller, in a shop with a token, a webhook and two orders."""
    shop.token(BEA)
    shop.commit(lambda: services.webhooks().register(1, WEBHOOK_URL, ["order.placed"]))
    customer, book_id = shop.customer(), shop.book(stock=5)
    for _order in range(2):
        shop.order(customer, {book_id: 1})
    return bea


SENSITIVE: list[tuple[str, dict[str, Any]]] = [
    ("/account/tokens", {"name": "till", "key": "k" * 22}),
    ("/account/tokens/1/revoke", {}),
    ("/account/second-factor", {"code": "123456", "key": "k" * 22}),
    ("/account/second-factor/recovery-codes", {"key": "k" * 22}),
    ("/account/second-factor/turn-off", {}),
    ("/admin/webhooks", {"url": WEBHOOK_URL, "kinds": "order.placed"}),
    ("/admin/webhooks/1/delete", {}),
    ("/admin/orders/ready", {"order": ["1", "2"]}),
    ("/admin/orders/cancel", {"order": ["1", "2"]}),
]


def test_sensitive_forms_and_pages_ask_first(stale_bea, shop):
    before = shop.everything()
    asked = [stale_bea.submit(path, page="/account", **fields).status_code for path, fields in SENSITIVE]
    read = ["/account/data.json", "/account/second-factor", "/admin/webhooks/1"]
    assert (asked, [stale_bea.get(path).status_code for path in read]) == ([403] * len(SENSITIVE), [303] * len(read))
    assert shop.everything() == before


def test_one_order_and_reading_lists_do_not_ask(stale_bea, shop):
    assert stale_bea.submit("/admin/orders/ready", page="/account", order="1").status_code == 303
    assert shop.rows("SELECT status FROM orders ORDER BY id") == ["ready", "placed"]
    assert [stale_bea.get(path).status_code for path in ("/account/tokens", "/admin/webhooks")] == [200, 200]


def test_many_orders_change_after_the_password(stale_bea, shop):
    page = stale_bea.submit("/admin/orders/ready", page="/account", order=["1", "2"], next="/admin/orders?status=all")
    assert confirm_by(stale_bea, page, PASSWORD).location == "/admin/orders?status=all"
    assert shop.rows("SELECT status FROM orders") == ["ready", "ready"]


def test_json_by_cookie_is_refused_and_a_token_is_not_asked(stale_bea, app, shop):
    csrf = {"X-CSRFToken": stale_bea.csrf_token("/account")}
    body = {"url": WEBHOOK_URL, "kinds": ["*"], "confirmation": PASSWORD}
    hook = "/api/v1/webhooks/1"
    refused = [
        stale_bea.client.post("/api/v1/webhooks", json=body, headers=csrf),
        stale_bea.client.get(hook),
        stale_bea.client.delete(hook, headers=csrf),
    ]
    assert [(answer.status_code, answer.json["code"]) for answer in refused] == [(403, "FRESH_LOGIN_REQUIRED")] * 3
    assert "/account/confirm-login" in refused[0].json["detail"]
    script = ApiClient(app, BEA)
    assert (script.get(hook).status_code, script.delete(hook).status_code) == (200, 204)
