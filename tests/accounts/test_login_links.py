"""Logging in with a link."""

import pytest

from bookshop.accounts.models import BOOKSELLER
from bookshop.web import services
from tests.support.clients import text_of
from tests.support.factories import PASSWORD
from tests.support.links import delivered_link, fields_of, press, start_to_reserve

ADA, BEN = "ada@example.com", "ben@example.com"
HOUR_AGO = "UPDATE login_links SET sent_at = '2026-01-01 12:00:00', created_at = '2026-01-01 12:00:00'"


@pytest.fixture
def ask(mailbox):
    """Ask for a link in a browser, and return the path of the link that arrives."""

    def send(browser, email=ADA, **fields):
        assert browser.submit("/login", email=email, link="yes", **fields).location == "/login/sent"
        return delivered_link(mailbox)

    return send


def is_logged_in(browser):
    return browser.get("/account").status_code == 200


# -- the link


def test_a_link_creates_a_confirmed_account_without_a_password(shop, web_client, ask):
    browser = web_client()
    press(browser, ask(browser))
    assert is_logged_in(browser)
    account = "SELECT email, role, password_hash FROM users WHERE email_confirmed_at IS NOT NULL"
    assert shop.rows(account) == [(ADA, "customer", None)]


def test_opening_a_link_changes_nothing(shop, web_client, ask):
    path = ask(web_client())
    before = shop.everything()
    scanner = web_client()
    for _again in range(2):
        assert scanner.get(path).status_code == 200
    assert (shop.everything(), is_logged_in(scanner)) == (before, False)


def test_a_link_works_once(shop, web_client, ask):
    browser = web_client()
    path = ask(browser)
    press(browser, path)
    assert web_client().get(path).status_code == 404
    assert shop.rows("SELECT count(*) FROM login_sessions") == [1]


def test_using_a_link_ends_the_other_links_to_the_address(shop, web_client, mailbox, ask):
    first, second = web_client(), web_client()
    path = ask(first)
    shop.execute("DELETE FROM attempts")
    press(second, ask(second))
    assert first.get(path).status_code == 404


def test_a_newer_link_does_not_end_an_older_one(shop, web_client, ask):
    browser = web_client()
    path = ask(browser)
    shop.execute("DELETE FROM attempts")
    ask(web_client())
    assert press(browser, path).status_code == 303


def test_an_expired_link_offers_a_new_one_that_does_what_was_started(shop, web_client, mailbox):
    browser, book_id = web_client(), shop.book("Emma")
    start_to_reserve(browser, book_id)
    path = delivered_link(mailbox)
    shop.execute(HOUR_AGO)
    shop.execute("DELETE FROM attempts")
    expired = browser.get(path)
    assert (expired.status_code, "Send a new link" in expired.text) == (404, True)
    browser.submit(f"{path}/again", page=path)
    press(browser, delivered_link(mailbox))
    assert shop.statuses(book_id) == ["waiting"]


def test_a_link_expires_30_minutes_after_it_was_sent_not_after_it_was_asked_for(shop, web_client, ask):
    browser = web_client()
    path = ask(browser)
    shop.execute("UPDATE login_links SET created_at = '2026-01-01 12:00:00'")
    assert press(browser, path).status_code == 303


def test_only_the_hash_of_a_token_is_stored(shop, web_client, ask):
    token = ask(web_client()).rpartition("/")[2]
    rows = shop.rows("SELECT * FROM login_links") + shop.rows("SELECT * FROM messages")
    assert token not in str(rows)


def test_an_incomplete_link_is_explained(web_client):
    answer = web_client().get("/login/link/abc")
    assert (answer.status_code, "This link does not work any more" in text_of(answer)) == (404, True)


# -- another browser


def test_another_browser_has_to_confirm_once_more(shop, web_client, mailbox):
    asked, other, book_id = web_client(), web_client(), shop.book("Emma")
    start_to_reserve(asked, book_id)
    path = delivered_link(mailbox)
    assert press(other, path).status_code == 400
    assert shop.statuses(book_id) == []
    assert press(other, path, confirmed="y").status_code == 303
    assert (shop.statuses(book_id), is_logged_in(other), is_logged_in(asked)) == (["waiting"], True, False)


def test_a_different_login_in_the_browser_ends_first(shop, web_client, ask):
    shop.customer(BEN)
    browser = web_client(BEN)
    path = ask(web_client())
    assert "You are logged in here as ben@example.com." in text_of(browser.get(path))
    press(browser, path, confirmed="y")
    assert ADA in text_of(browser.get("/account"))
    assert shop.rows("SELECT user_id FROM login_sessions") == [2]


def test_the_cart_of_another_browser_is_merged_only_if_asked_for(shop, web_client, ask):
    book_id, carts = shop.book("Emma", stock=3), []
    for fields in ({}, {"take_cart": "y"}):
        browser = web_client()
        browser.submit("/cart/items", page=f"/books/{book_id}", book_id=book_id)
        shop.execute("DELETE FROM attempts")
        press(browser, ask(web_client()), confirmed="y", **fields)
        carts.append(shop.rows("SELECT count(*) FROM cart_items")[0])
    assert carts == [0, 1]


def test_the_cart_of_the_browser_that_asked_is_merged(shop, web_client, ask):
    browser, book_id = web_client(), shop.book("Emma", stock=3)
    browser.submit("/cart/items", page=f"/books/{book_id}", book_id=book_id)
    press(browser, ask(browser))
    assert shop.rows("SELECT quantity FROM cart_items") == [1]


# -- accounts that exist


def test_a_link_leads_to_the_page_that_needed_the_login(web_client, ask):
    browser = web_client()
    assert browser.get("/orders").location == "/login?next=/orders"
    assert press(browser, ask(browser, next="/orders")).location == "/orders"


def test_a_link_to_a_deactivated_account_logs_nobody_in(shop, web_client, ask):
    shop.customer(ADA)
    shop.deactivate(ADA)
    browser = web_client()
    answer = press(browser, ask(browser))
    assert (answer.status_code, is_logged_in(browser)) == (409, False)
    assert "This account has been deactivated." in text_of(answer)


def test_the_first_confirmation_of_an_old_account_ends_its_access_and_says_so(shop, web_client, mailbox, ask):
    shop.customer(ADA)
    shop.token(ADA)
    shop.execute("UPDATE users SET never_confirmed = true, email_confirmed_at = NULL")
    browser = web_client()
    page = text_of(browser.follow(press(browser, ask(browser)).location))
    assert "its password was erased. No devices were logged out, and 1 API token was revoked." in page
    assert shop.rows("SELECT password_hash, never_confirmed FROM users") == [(None, False)]
    assert (shop.rows("SELECT id FROM api_tokens WHERE revoked_at IS NULL"), shop.broken()) == ([], [])


def test_an_old_account_that_was_never_confirmed_cannot_log_in_with_its_password(shop, web_client):
    shop.customer(ADA)
    shop.execute("UPDATE users SET never_confirmed = true, email_confirmed_at = NULL")
    answer = web_client().log_in(ADA)
    assert "The e-mail address or the password is wrong. You can also log in with a link" in text_of(answer)


def test_a_link_does_not_end_the_access_of_a_confirmed_account(shop, web_client, ask):
    shop.customer(ADA)
    shop.token(ADA)
    elsewhere, browser = web_client(ADA), web_client()
    press(browser, ask(browser))
    assert (is_logged_in(elsewhere), web_client().log_in(ADA).status_code) == (True, 303)
    assert shop.rows("SELECT id FROM api_tokens WHERE revoked_at IS NOT NULL") == []


def test_pressing_a_link_to_the_own_account_makes_the_login_fresh(shop, web_client, ask):
    shop.customer(ADA)
    browser = web_client(ADA)
    shop.execute("UPDATE login_sessions SET confirmed_at = '2026-01-01 12:00:00'")
    press(browser, ask(web_client()), confirmed="y")
    assert shop.rows("SELECT count(*) FROM login_sessions") == [1]
    assert browser.get("/account/data.json").status_code == 200


def test_a_link_never_replaces_the_second_factor(shop, web_client, ask):
    user_id = shop.staff("staff@example.com")
    shop.execute("INSERT INTO second_factors (user_id, nonce, last_step, created_at) VALUES (:u, 'n', 0, '2026-01-01')",
                 u=user_id)  # fmt: skip
    browser = web_client()
    answer = press(browser, ask(browser, "staff@example.com"))
    assert (answer.location.partition("?")[0], is_logged_in(browser)) == ("/login/code", False)


def test_users_created_by_command_or_staff_log_in_with_a_link(shop, web_client, ask):
    shop.commit(lambda: services.accounts().register("staff@example.com", role=BOOKSELLER))
    browser = web_client()
    press(browser, ask(browser, "staff@example.com"))
    assert browser.get("/admin").status_code == 200


# -- the login page


def test_the_login_page_offers_a_link_or_a_password(shop, web_client):
    shop.customer(ADA)
    browser = web_client()
    asked = browser.submit("/login", email=ADA, with_password="yes", next="/orders")
    assert ('name="password"' in asked.text, f'value="{ADA}"' in asked.text) == (True, True)
    answer = browser.log_in(ADA, PASSWORD, next="/orders")
    assert answer.location == "/orders"


def test_a_password_sent_with_the_request_for_a_link_is_not_kept(shop, web_client, mailbox):
    """The page has no such field; a made-up request with one is a login with a password, which fails."""
    answer = web_client().submit("/login", email=ADA, password="chosen by a stranger", link="yes")
    assert answer.status_code == 400
    assert (shop.rows("SELECT count(*) FROM users"), mailbox.deliver()) == ([0], [])


@pytest.mark.parametrize("shared", [True, False])
def test_on_a_shared_device_the_login_ends_with_the_browser(web_client, ask, shared):
    browser = web_client()
    answer = press(browser, ask(browser), **({"shared": "y"} if shared else {}))
    cookies = [cookie for cookie in answer.headers.getlist("Set-Cookie") if cookie.startswith("bookshop=")]
    assert ["Expires" in cookie for cookie in cookies] == [not shared]
    known = [cookie for cookie in answer.headers.getlist("Set-Cookie") if cookie.startswith("bookshop_device=")]
    assert bool(known) == (not shared)


def test_a_link_that_a_script_asked_for_needs_the_second_confirmation_everywhere(shop, web_client, api_client, mailbox):
    assert api_client().post("/api/v1/login-links", {"email": ADA}).status_code == 202
    assert press(web_client(), delivered_link(mailbox)).status_code == 400


def test_a_form_that_has_just_logged_in_logs_nobody_in_without_the_token_of_a_session(shop, web_client, ask):
    """Another site could send it, to log its visitors in to an account of its own."""
    browser, victim = web_client(), web_client()
    path = ask(browser)
    fields = fields_of(browser.get(path).text)
    assert browser.post(path, **fields).status_code == 303
    assert victim.csrf_token("/login")  # a session like that of any visitor
    victim.post(path, **{**fields, "csrf_token": "made up"})
    assert not is_logged_in(victim)


def test_addresses_that_only_look_equal_after_case_folding_are_different_accounts(shop, web_client, ask):
    victim = shop.customer("ada@strasse.de")
    thief = web_client()
    press(thief, ask(thief, "ada@straße.de"))
    assert shop.rows("SELECT email FROM users ORDER BY id") == ["ada@strasse.de", "ada@straße.de"]
    assert shop.rows("SELECT user_id FROM login_sessions") == [victim + 1]


def test_links_that_a_failed_mail_server_held_up_do_not_arrive_together(shop, web_client, mailbox):
    browser = web_client()
    for _request in range(3):
        browser.submit("/login", email=ADA, link="yes")
        shop.execute("DELETE FROM attempts")
    assert len(mailbox.deliver()) == 1
    assert shop.rows("SELECT reason FROM messages WHERE reason IS NOT NULL") == ["link_ended", "link_ended"]
