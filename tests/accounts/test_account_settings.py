"""The account pages: overview, devices and deleting the account; addresses are in test_address_changes.py."""

from datetime import timedelta

import pytest

from bookshop import create_app
from bookshop.accounts.devices import device_name
from bookshop.accounts.models import USER_AGENT_MAX, LoginSession
from bookshop.accounts.service import LoginAttempt
from bookshop.extensions import db
from bookshop.kit.database import now
from bookshop.web import services
from tests.support.clients import WebClient, text_of
from tests.support.factories import PASSWORD
from tests.support.mailbox import path_in
from tests.support.settings import settings_for

pytestmark = pytest.mark.one_postgresql_case

ADA, NEW, STAFF = "ada@example.com", "ada.new@example.com", "staff@example.com"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0"
PHONE = (
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/139.0.0.0 Mobile Safari/537.36"
)


@pytest.fixture
def ada(shop, web_client):
    """A browser in which Ada is logged in."""
    shop.customer(ADA)
    return web_client(ADA)


def delete(browser, current=PASSWORD):
    return browser.submit("/account/delete", current=current)


def is_logged_in(browser):
    return browser.get("/account").status_code == 200


# ---------------------------------------------------------------- overview


def test_the_account_shows_the_user_and_links_to_all_settings(ada):
    page = ada.get("/account")
    assert ADA in text_of(page)
    ways = ["email", "password", "sessions", "tokens", "data.json", "delete"]
    assert [ada.get(f"/account/{way}").status_code for way in ways if f'href="/account/{way}"' in page.text] == [
        200
    ] * 6


def test_staff_have_an_account_too(shop, web_client):
    shop.staff(STAFF)
    assert "Staff since" in text_of(web_client(STAFF).get("/account"))


# ---------------------------------------------------------------- the password


def test_changing_the_password_returns_to_the_account(ada):
    new = "four other random words"
    assert ada.submit("/account/password", current=PASSWORD, new=new, repeat=new).location == "/account"


@pytest.mark.parametrize("page", ["/account/email", "/account/delete"])
def test_confirmation_passwords_are_rate_limited(ada, database_url, page):
    browser = WebClient(create_app(settings_for(database_url, login_limit="2 per minute")))
    browser.client.set_cookie("bookshop", ada.client.get_cookie("bookshop").value)
    token = browser.csrf_token(page)
    tries = [browser.post(page, email=NEW, current="wrong", csrf_token=token).status_code for _try in range(3)]
    assert tries == [400, 400, 429]


# ---------------------------------------------------------------- devices


def log_in_from(browser, user_agent):
    browser.client.environ_base["HTTP_USER_AGENT"] = user_agent
    browser.log_in(ADA)
    return browser


def test_devices_are_listed_in_words_and_the_current_one_is_marked(shop, web_client):
    shop.customer(ADA)
    log_in_from(web_client(), PHONE)
    words = text_of(log_in_from(web_client(), FIREFOX).get("/account/sessions"))
    assert "Firefox on Windows this device" in words
    assert "Chrome on Android" in words
    assert words.count("this device") == 1


def test_logging_out_everywhere_else_ends_the_other_logins_and_shows_how_many(ada, web_client):
    others = [web_client(ADA), web_client(ADA)]
    answer = ada.submit("/account/sessions/end-others", page="/account/sessions")
    assert answer.location == "/account/sessions"
    assert "You have been logged out on 2 other devices." in text_of(ada.get("/account/sessions"))
    assert [is_logged_in(browser) for browser in (ada, *others)] == [True, False, False]


def test_a_user_without_other_logins_is_told_so_and_nobody_else_is_logged_out(shop, ada, web_client):
    shop.customer("ben@example.com")
    ben = web_client("ben@example.com")
    ada.submit("/account/sessions/end-others", page="/account/sessions")
    assert "You were not logged in anywhere else." in text_of(ada.get("/account/sessions"))
    assert is_logged_in(ben)


def test_a_login_that_has_expired_is_neither_listed_nor_counted(shop, ada):
    with shop.app.app_context():
        db.session.add(LoginSession(id="old", user_id=1, user_agent=PHONE, created_at=now() - timedelta(days=31)))
        db.session.commit()
    assert "Android" not in text_of(ada.get("/account/sessions"))
    ada.submit("/account/sessions/end-others", page="/account/sessions")
    assert "You were not logged in anywhere else." in text_of(ada.get("/account"))


@pytest.mark.parametrize(
    ("sent", "kept"),
    [("", None), ("  ", None), ("Fire\0fox\ud800", "Firefox"), ("é" * 1000, "é" * USER_AGENT_MAX), ("\x1b\n", None)],
)
def test_any_user_agent_is_accepted(shop, sent, kept):
    shop.customer(ADA)
    accounts = services.accounts
    shop.commit(lambda: accounts().log_in(accounts().check_password(ADA, PASSWORD), LoginAttempt(user_agent=sent)))
    assert shop.rows("SELECT user_agent FROM login_sessions") == [kept]


MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Safari/605.1.15"
IPHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko)"


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (FIREFOX, "Firefox on Windows"),
        (PHONE, "Chrome on Android"),
        (MAC, "Safari on Mac"),
        (f"{IPHONE} Version/18.5 Mobile/15E148 Safari/604.1", "Safari on iPhone"),
        (f"{IPHONE} CriOS/139.0 Mobile/15E148 Safari/604.1", "Chrome on iPhone"),
        (PHONE.replace("Android 10", "X11; Linux x86_64") + " Edg/139.0", "Edge on Linux"),
        ("curl/8.5.0", "Unknown device"),
        (None, "Unknown device"),
    ],
)
def test_a_device_is_named_by_its_browser_and_system(user_agent, words):
    assert device_name(user_agent) == words


# ---------------------------------------------------------------- deleting the account


def test_deleting_an_account_announces_what_happens(shop, ada):
    shop.reserve(1, shop.book("Emma"))
    shop.reserve(1, shop.book("Sanditon"))
    words = text_of(ada.get("/account/delete"))
    assert "This cannot be undone." in words
    assert "Your 2 waiting reservations will be cancelled." in words


@pytest.mark.parametrize("typed", ["not the password", ""])
def test_an_account_cannot_be_deleted_without_the_password(shop, ada, typed):
    before = shop.everything()
    assert delete(ada, typed).status_code == 400
    assert (shop.everything(), is_logged_in(ada)) == (before, True)


def test_deleting_an_account_logs_out_everywhere_and_shows_a_farewell(ada, web_client, api_client):
    phone, program = web_client(ADA), api_client(ADA)
    answer = delete(ada)
    assert (answer.status_code, answer.location) == (303, "/")
    assert "Your account has been deleted." in text_of(ada.get("/"))
    assert [is_logged_in(browser) for browser in (ada, phone)] == [False, False]
    assert program.get("/api/v1/prebookings").status_code == 401


def test_deleting_an_account_removes_all_personal_data(shop, ada):
    shop.token(ADA)
    delete(ada)
    assert shop.rows("SELECT email, email_key FROM users") == [("deleted-1", "deleted-1")]
    assert shop.rows("SELECT id FROM login_sessions UNION ALL SELECT name FROM api_tokens") == []
    assert "ada@" not in str(shop.everything())


def test_deleting_an_account_cancels_reservations_and_keeps_their_history(shop, ada):
    waits, came = shop.book("Emma"), shop.book("Sanditon")
    shop.reserve(1, came)
    shop.set_stock(came, 1)
    shop.reserve(1, waits)
    delete(ada)
    assert (shop.statuses(waits), shop.statuses(came)) == (["cancelled"], ["notified"])
    assert shop.broken() == []


def log_in_by_link(browser, mailbox):
    """Ask for a link, and press its button."""
    browser.submit("/login", email=ADA)
    return browser.submit(path_in(mailbox.deliver(), "/login/link/"), key="k" * 22)


def test_a_deleted_accounts_address_can_be_used_again_for_an_empty_account(shop, web_client, mailbox):
    ada, again = web_client(), web_client()
    log_in_by_link(ada, mailbox)
    shop.reserve(1, shop.book("Emma"))
    assert ada.submit("/account/delete").location == "/"
    shop.execute("DELETE FROM attempts")  # five minutes later
    assert log_in_by_link(again, mailbox).status_code == 303
    assert (is_logged_in(again), "Emma" in text_of(again.get("/reservations"))) == (True, False)


def test_a_deleted_account_cannot_log_in_or_be_registered_by_its_placeholder(ada, web_client):
    delete(ada)
    ways = [{"password": PASSWORD}, {}]
    assert [web_client().submit("/login", email="deleted-1", **way).status_code for way in ways] == [400, 400]


def test_the_ledger_keeps_entries_of_deleted_staff_accounts(shop, web_client, api_client):
    for email in (STAFF, "grace@example.com"):
        shop.staff(email)
    book_id = shop.book("Emma")
    api_client(STAFF).set_stock(book_id, 3)
    assert delete(web_client(STAFF)).status_code == 303
    assert "deleted-1" in text_of(web_client("grace@example.com").get(f"/admin/books/{book_id}/movements"))


def test_the_last_owner_cannot_leave(shop, web_client):
    for email in (STAFF, "grace@example.com"):
        shop.owner(email)
    shop.customer(ADA)
    shop.deactivate("grace@example.com")
    browser = web_client(STAFF)
    assert delete(browser).location == "/account"
    assert "is the shop's last owner" in text_of(browser.get("/account"))
