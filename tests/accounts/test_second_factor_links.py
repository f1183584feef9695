"""A login link replaces the password of staff, never their second factor."""

import pytest

from tests.accounts.test_second_factor_pages import (
    BEA,
    LOGIN_CODE,
    NEW,
    TOO_LATE,
    bea,
    enter_code,
    is_logged_in,
    logins,
    start_again,
    wait_ten_minutes,
)
from tests.support.clients import WebClient, text_of
from tests.support.factories import PASSWORD
from tests.support.links import delivered_link, fields_of, press, start_to_reserve

__all__ = ["bea"]  # a fixture

pytestmark = pytest.mark.one_postgresql_case


@pytest.fixture
def link_in(shop, mailbox, web_client):
    """Ask for a link and press its button in a new browser, or in this one; return the browser and the answer."""

    def pressed(browser=None, **fields):
        browser = browser or web_client()
        shop.execute("DELETE FROM messages")
        web_client().submit("/login", email=BEA, link="yes", **fields)
        return browser, press(browser, delivered_link(mailbox), confirmed="y")

    return pressed


def test_a_link_replaces_the_password_but_never_the_code(bea, shop, link_in):
    browser, asked = link_in(next="/admin/orders")
    assert (asked.status_code, asked.location) == (303, "/login/code?next=/admin/orders")
    assert "your account also needs a code" in text_of(browser.get(asked.location))
    assert (is_logged_in(browser), browser.get("/api/v1/admin/orders").status_code) == (False, 401)
    assert (enter_code(browser, "000000").status_code, is_logged_in(browser)) == (400, False)
    done = enter_code(browser, bea[1].code(), next="/admin/orders")
    assert (done.location, is_logged_in(browser)) == ("/admin/orders", True)
    by_link = "SELECT second_factor, link_id FROM login_sessions WHERE link_id IS NOT NULL"
    assert [(bool(factor), link) for factor, link in shop.rows(by_link)] == [(True, 1)]
    assert shop.broken() == []


def test_a_link_without_the_code_is_used_up_and_gives_access_to_nothing(bea, shop, link_in):
    browser, _asked = link_in()
    wait_ten_minutes(browser)
    assert TOO_LATE in start_again(browser)
    assert (is_logged_in(browser), len(logins(shop))) == (False, 1)
    assert shop.rows("SELECT count(*) FROM login_links WHERE used_at IS NOT NULL") == [1]


def test_a_second_click_on_the_button_leads_to_the_code_too(bea, shop, mailbox, web_client):
    browser = web_client()
    shop.execute("DELETE FROM messages")
    browser.submit("/login", email=BEA, link="yes")
    path = delivered_link(mailbox)
    first, second = press(browser, path), browser.submit(path, page="/", key="k" * 22)
    assert [answer.location.partition("?")[0] for answer in (first, second)] == [LOGIN_CODE] * 2


def test_a_link_does_not_make_a_login_with_a_second_factor_fresh(bea, shop, link_in):
    shop.execute("UPDATE login_sessions SET confirmed_at = NULL")
    _browser, answer = link_in(bea[0])
    assert (answer.status_code, bea[0].get("/account").status_code) == (303, 200)
    assert bea[0].get("/account/data.json").location == "/account/confirm-login?next=/account/data.json"


def test_a_link_gives_no_further_guesses_at_the_code(bea, web_client, link_in):
    guesser = web_client()
    guesser.log_in(BEA)
    assert [enter_code(guesser, "000000").status_code for _guess in range(5)] == [400] * 5
    browser, _asked = link_in()
    assert enter_code(browser, bea[1].code()).status_code == 429


def test_a_pending_login_by_link_ends_with_a_new_password(bea, link_in):
    browser, _asked = link_in()
    bea[0].submit("/account/password", current=PASSWORD, new=NEW, repeat=NEW)
    assert enter_code(browser, bea[1].code()).location == "/login"
    assert not is_logged_in(browser)


def test_a_copied_pending_login_by_link_logs_in_once(bea, shop, link_in):
    browser, _asked = link_in()
    copied = WebClient(shop.app)
    copied.client.set_cookie("bookshop", browser.client.get_cookie("bookshop").value)
    assert enter_code(browser, bea[1].code()).status_code == 303
    assert enter_code(copied, bea[2][0]).location == "/login"
    assert (is_logged_in(copied), len(logins(shop)), shop.broken()) == (False, 2, [])


def test_a_link_that_was_purged_while_the_code_was_awaited_still_logs_in(bea, shop, link_in):
    browser, _asked = link_in()
    shop.execute("UPDATE messages SET link_id = NULL")
    shop.execute("DELETE FROM login_links")
    assert enter_code(browser, bea[1].code()).status_code == 303
    assert (is_logged_in(browser), shop.broken()) == (True, [])


def test_what_staff_started_is_refused_before_the_code_and_a_shared_device_stays_shared(bea, shop, mailbox, web_client):
    browser = web_client()
    shop.execute("DELETE FROM messages")
    start_to_reserve(browser, shop.book("Emma"), BEA)
    answer = press(browser, delivered_link(mailbox), shared="y")
    page = browser.get(answer.location).text
    assert "Staff accounts can neither reserve nor order." in page
    fields = fields_of(page)
    assert "shared" in fields
    done = browser.post(LOGIN_CODE, **{**fields, "code": bea[1].code()})
    cookies = [cookie for cookie in done.headers.getlist("Set-Cookie") if cookie.startswith("bookshop")]
    assert (done.status_code, "Expires" in str(cookies), "bookshop_device" in str(cookies)) == (303, False, False)
