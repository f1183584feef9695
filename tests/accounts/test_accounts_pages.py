"""Account pages for visitors: signing up, logging in and out, passwords, and ending logins."""

import re
from datetime import timedelta

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from bookshop import create_app
from bookshop.extensions import db
from bookshop.kit.database import now
from tests.support.clients import ApiClient, WebClient, text_of
from tests.support.factories import PASSWORD
from tests.support.links import delivered_link, press
from tests.support.settings import settings_for

pytestmark = pytest.mark.one_postgresql_case

ADA = "ada@example.com"
ODD_PASSWORDS = [
    "nul\0inside it",
    "😀😃😄😁😆😅🤣😂",
    "        ",
    "  blanks around  ",
    "пароль длинный",
    "tab\tand'\"<b>&",
]
BAD_ADDRESSES = ["ada", "ada@", "@example.com", "ada@example", "a b@example.com", "ada@exa mple.com", "ada@-a.com",
                 "ada@example.com, ben@example.com", "Ada <ada@example.com>", "ada\0@example.com", "a" * 300 + "@b.com",
                 "ada@localhost", "<script>@example.com", "   "]  # fmt: skip


@pytest.fixture
def ada(shop, web_client):
    """A browser in which Ada is logged in."""
    shop.customer(ADA)
    return web_client(ADA)


def ask(browser: WebClient, email: str = ADA, **fields: str) -> TestResponse:
    """Enter an address and ask for a link."""
    return browser.submit("/login", email=email, link="yes", **fields)


def is_logged_in(browser: WebClient) -> bool:
    return browser.get("/account/password").status_code == 200


def copy_of(browser: WebClient, app: Flask) -> WebClient:
    """Return a browser with a copy of this one's cookie."""
    copied, cookie = WebClient(app), browser.client.get_cookie("bookshop")
    copied.client.set_cookie("bookshop", cookie.value if cookie else "")
    return copied


def change_password(browser: WebClient, current: str, new: str, repeat: str) -> TestResponse:
    return browser.submit("/account/password", current=current, new=new, repeat=repeat)


# ---------------------------------------------------------------- signing up


def test_signing_up_and_logging_in_are_the_same_form_with_one_field(shop, web_client):
    browser = web_client()
    page = text_of(browser.get("/login"))
    assert ("Log in or sign up" in page, "If you're new here, the link creates your account." in page) == (True, True)
    assert ask(browser).location == "/login/sent"
    assert "We've sent a link to ada@example.com" in text_of(browser.get("/login/sent"))
    assert (is_logged_in(browser), shop.rows("SELECT id FROM users")) == (False, [])


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_a_bad_address_is_refused_and_the_form_shown_again(shop, web_client, address):
    assert ask(web_client(), address).status_code == 400
    assert shop.rows("SELECT id FROM messages") == []


@pytest.mark.parametrize("address", [ADA, "ADA@example.com", "Ada@EXAMPLE.COM", "  ada@example.com "])
def test_addresses_are_compared_case_insensitively(shop, web_client, mailbox, address):
    shop.customer(ADA)
    browser = web_client()
    ask(browser, address)
    press(browser, delivered_link(mailbox))
    assert (shop.rows("SELECT email FROM users"), is_logged_in(browser)) == ([ADA], True)


@pytest.mark.parametrize(
    "address", ["ada@xn--bcher-kva.com", "ada@BÜCHER.com", "ada@\uff45xample.com", "ǅada@example.com"]
)
def test_an_address_that_signed_up_in_another_spelling_logs_in_as_typed(shop, web_client, mailbox, address):
    browser = web_client()
    ask(browser, address)
    press(browser, delivered_link(mailbox))
    browser.submit("/account/password", new=PASSWORD, repeat=PASSWORD)
    assert web_client().log_in(address).status_code == 303
    assert len(shop.rows("SELECT id FROM users")) == 1


def test_an_address_that_grows_when_case_folded_gets_the_same_answer_on_both_databases(web_client):
    address = "ΐ" * 60 + "@" + ".".join(["a" * 60] * 2) + ".com"
    assert ask(web_client(), address).status_code in {303, 400}


@pytest.mark.parametrize("fields", [{"link": "yes"}, {"password": "typed secret"}])
def test_what_was_typed_is_kept_except_the_password(web_client, fields):
    answer = web_client().submit("/login", email="ada@<b>", next="/reservations", **fields)
    assert answer.status_code == 400
    assert 'value="ada@&lt;b&gt;"' in answer.text
    assert 'value="/reservations"' in answer.text
    assert "typed secret" not in answer.text


@pytest.mark.parametrize(
    "fields", [{"email": ADA, "password": ""}, {"password": PASSWORD}, {}, {"email": "", "password": ""}, {"email": ""}]
)
def test_an_incomplete_form_is_shown_again(web_client, fields):
    assert web_client().submit("/login", **fields).status_code == 400


def test_no_form_field_creates_staff(shop, web_client, mailbox):
    sly = {"role": "staff", "is_staff": "1", "staff": "on", "user.role": "staff", "user_id": "1", "login_id": "x"}
    browser = web_client()
    ask(browser, **sly)
    press(browser, delivered_link(mailbox), **sly)
    browser.submit("/account/password", new=PASSWORD, repeat=PASSWORD, **sly)
    assert (shop.rows("SELECT role FROM users"), browser.get("/admin").status_code) == (["customer"], 403)


# ---------------------------------------------------------------- passwords


@pytest.mark.parametrize(("length", "status"), [(7, 400), (8, 303), (128, 303), (129, 400)])
def test_a_password_has_8_to_128_characters(ada, length, status):
    password = ("pässwörd, or whatever one likes " * 5)[:length].replace(" ", "_")
    answer = change_password(ada, PASSWORD, password, password)
    assert answer.status_code == status
    assert (f"8 to 128 characters; this one has {length}." in text_of(answer)) is (status == 400)


@pytest.mark.parametrize("password", ODD_PASSWORDS)
def test_a_password_is_stored_with_every_character_as_typed(ada, web_client, password):
    assert change_password(ada, PASSWORD, password, password).status_code == 303
    assert web_client().log_in(ADA, password).status_code == 303
    assert web_client().log_in(ADA, password.strip() + "x").status_code == 400
    assert web_client().log_in(ADA, password.strip()[:-1]).status_code == 400


@pytest.mark.parametrize("password", ["password", "PASSWORD", "12345678", "iloveyou", "Password1", "qwertyuiop"])
def test_the_most_common_passwords_are_refused(shop, ada, password):
    before = shop.everything()
    assert "This password is too easy to guess." in text_of(change_password(ada, PASSWORD, password, password))
    assert shop.everything() == before


# ---------------------------------------------------------------- logging in


def test_a_correct_login_redirects_home(shop, web_client):
    shop.customer(ADA)
    browser = web_client()
    answer = browser.log_in("ADA@Example.com ")
    assert (answer.status_code, answer.location, is_logged_in(browser)) == (303, "/", True)


def test_a_redirect_has_no_retry_after(shop, web_client):
    shop.customer(ADA)
    for answer in (web_client().log_in(ADA), ask(web_client())):
        assert (answer.status_code, answer.headers.get("Retry-After")) == (303, None)


def test_a_logged_in_user_is_not_asked_to_log_in(ada):
    answer = ada.get("/login?next=/reservations")
    assert (answer.status_code, answer.location) == (303, "/reservations")


def test_the_password_page_offers_a_link_without_losing_the_page_that_was_asked_for(web_client):
    page = web_client().submit("/login", email=ADA, with_password="yes", next="/orders")
    assert (page.status_code, 'href="/login?next=/orders">Log in with a link' in page.text) == (200, True)


@pytest.mark.parametrize("shared", [True, False])
def test_a_login_by_password_on_a_shared_device_ends_with_the_browser(shop, web_client, shared):
    shop.customer(ADA)
    cookies = web_client().log_in(ADA, **({"shared": "y"} if shared else {})).headers.getlist("Set-Cookie")
    lasting = [cookie.partition("=")[0] for cookie in cookies if "Expires" in cookie or "Max-Age" in cookie]
    assert sorted(lasting) == ([] if shared else ["bookshop", "bookshop_device"])


def test_the_session_is_new_after_a_login(shop, web_client):
    shop.customer(ADA)
    browser = web_client()
    with browser.client.session_transaction() as session:
        session["planted"] = "by somebody else"
    token = browser.csrf_token()
    browser.post("/login", email=ADA, password=PASSWORD, csrf_token=token)
    with browser.client.session_transaction() as session:
        assert "planted" not in session
    assert browser.post("/logout", csrf_token=token).status_code == 303
    assert is_logged_in(browser)


def test_a_cookie_from_before_the_login_stays_logged_out(app, shop, web_client):
    shop.customer(ADA)
    browser = web_client()
    browser.get("/login")
    attacker = copy_of(browser, app)
    browser.log_in(ADA)
    assert (is_logged_in(browser), is_logged_in(attacker)) == (True, False)


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("/reservations", "/reservations"),
        ("/books/1?q=a", "/books/1?q=a"),
        ("//evil.example", "/"),
        ("https://evil.example/", "/"),
        ("/\t/evil.example", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/api/v1/books", "/"),
    ],
)
def test_next_accepts_only_pages_of_the_shop(shop, web_client, mailbox, target, place):
    shop.customer(ADA)
    browser = web_client()
    assert browser.log_in(ADA, next=target).location == place
    ask(web_client(), next=target)
    other = web_client()
    assert press(other, delivered_link(mailbox), confirmed="y").location == place


def test_login_returns_to_the_requested_page(shop, web_client):
    shop.customer(ADA)
    browser = web_client()
    asked = browser.get("/reservations?page=1")
    assert asked.status_code == 303
    page = browser.get(asked.location)
    assert 'name="next" type="hidden" value="/reservations?page=1"' in page.text
    assert browser.log_in(ADA, next="/reservations?page=1").location == "/reservations?page=1"


# ---------------------------------------------------------------- ending a login


def test_logging_out_ends_only_this_devices_login_and_any_copied_cookie(app, ada, web_client):
    other, copied = web_client(ADA), copy_of(ada, app)
    assert is_logged_in(copied)
    assert ada.submit("/logout", page="/").status_code == 303
    assert [is_logged_in(browser) for browser in (ada, copied, other)] == [False, False, True]


def test_logging_in_on_another_device_leaves_the_first_logged_in(ada, web_client):
    assert is_logged_in(web_client(ADA))
    assert is_logged_in(ada)


def test_changing_the_password_ends_all_other_logins_at_once(shop, ada, web_client):
    shop.customer("ben@example.com")
    other, ben = web_client(ADA), web_client("ben@example.com")
    assert change_password(ada, PASSWORD, "another three words", "another three words").status_code == 303
    assert [is_logged_in(browser) for browser in (ada, other, ben)] == [True, False, True]
    assert web_client().log_in(ADA, PASSWORD).status_code == 400
    assert web_client().log_in(ADA, "another three words").status_code == 303


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (("wrong words", "another three words", "another three words"), "This is not your current password."),
        ((PASSWORD, "another three words", "another two words"), "The two new passwords are not the same."),
        ((PASSWORD, "short", "short"), "8 to 128 characters; this one has 5."),
        ((PASSWORD, "password", "password"), "This password is too easy to guess."),
        (("", "another three words", "another three words"), "Enter your current password."),
    ],
)
def test_an_invalid_form_does_not_change_the_password(shop, ada, web_client, typed, sentence):
    other, before = web_client(ADA), shop.everything()
    answer = change_password(ada, *typed)
    assert (answer.status_code, sentence in text_of(answer)) == (400, True)
    assert (shop.everything(), is_logged_in(other)) == (before, True)


def test_deactivating_ends_logins_and_tokens_at_once_and_cancels_waiting_reservations(app, shop, ada, web_client):
    user_id, book_id = shop.rows("SELECT id FROM users")[0], shop.book()
    shop.reserve(user_id, book_id)
    phone, token = web_client(ADA), ApiClient(app, ADA)
    assert token.get("/api/v1/prebookings").status_code == 200
    shop.deactivate(ADA)
    assert (is_logged_in(ada), is_logged_in(phone)) == (False, False)
    assert token.get("/api/v1/prebookings").status_code == 401
    assert shop.rows("SELECT id FROM api_tokens WHERE revoked_at IS NULL") == []
    assert (shop.statuses(book_id), shop.broken()) == (["cancelled"], [])
    assert web_client().log_in(ADA).status_code == 400


@pytest.mark.parametrize(("days", "alive"), [(29, True), (31, False)])
def test_a_login_lasts_as_long_as_the_setting_says(shop, ada, web_client, days, alive):
    with shop.app.app_context():
        table = db.metadata.tables["login_sessions"]
        db.session.execute(table.update().values(created_at=now() - timedelta(days=days)))
        db.session.commit()
    assert is_logged_in(ada) is alive
    web_client().log_in(ADA)
    assert len(shop.rows("SELECT id FROM login_sessions")) == 1 + alive


@pytest.mark.parametrize("cookie", ["", "x", "a.b.c", ".", "é", "eyJfdXNlcl9pZCI6IjEifQ.aaaa.bbbb", "\x7f" * 50])
@pytest.mark.parametrize("name", ["bookshop", "remember_token", "session"])
def test_a_forged_cookie_is_not_logged_in(app, web_client, name, cookie):
    headers = {"Cookie": f"{name}={cookie}".encode().decode("latin-1")}
    assert web_client().get("/account/password", headers=headers).status_code == 303
    assert web_client().get("/", headers=headers).status_code == 200


# ---------------------------------------------------------------- cookies and limits


@pytest.mark.parametrize(("origin", "secure"), [("http://localhost", False), ("https://localhost", True)])
def test_the_cookie_is_httponly_samesite_and_secure_over_https(web_client, origin, secure):
    [cookie] = web_client().get("/login", base_url=origin).headers.getlist("Set-Cookie")
    assert cookie.startswith("bookshop=")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert ("Secure" in cookie.split("; ")) is secure


def test_account_pages_are_never_cached(ada):
    assert ada.get("/account/password").headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("fields", [{"password": "y"}, {"link": "yes"}])
def test_too_many_tries_are_refused_for_a_while(app, fields):
    with app.app_context():
        url = db.engine.url.render_as_string(hide_password=False)
    browser = WebClient(create_app(settings_for(url, login_limit="2 per hour")))
    token = browser.csrf_token()
    tries = [browser.post("/login", email="x", csrf_token=token, **fields) for _ in range(3)]
    assert [answer.status_code for answer in tries] == [400, 400, 429]
    assert 0 < int(tries[-1].headers["Retry-After"]) <= 3600
    assert "Too many attempts." in text_of(tries[-1])
    assert browser.get("/login").status_code == 200


# ---------------------------------------------------------------- the badge


@pytest.fixture
def restock_reserved_book(shop, ada):
    """Return a function that lets Ada reserve a book and restocks it, repeatedly."""
    user_id, book_id = shop.rows("SELECT id FROM users")[0], shop.book()

    def again():
        shop.set_stock(book_id, 0)
        shop.reserve(user_id, book_id)
        shop.set_stock(book_id, 1)

    return again


def badge(browser: WebClient) -> int:
    found = re.search(r"(\d+) back in stock", text_of(browser.get("/")))
    return int(found.group(1)) if found else 0


def test_the_badge_counts_each_book_back_in_stock_once_until_the_reservations_are_viewed(ada, restock_reserved_book):
    counts = [badge(ada)]
    restock_reserved_book()
    counts.append(badge(ada))
    restock_reserved_book()
    counts.append(badge(ada))
    ada.get("/reservations")
    assert [*counts, badge(ada)] == [0, 1, 1, 0]


def test_the_badge_stays_away_after_a_new_login_until_the_next_restock(ada, restock_reserved_book):
    restock_reserved_book()
    ada.get("/reservations")
    ada.submit("/logout", page="/")
    ada.log_in(ADA)
    assert badge(ada) == 0
    restock_reserved_book()
    assert badge(ada) == 1


def test_logging_out_on_another_device_does_not_bring_the_badge_back(ada, web_client, restock_reserved_book):
    phone = web_client(ADA)
    phone.get("/reservations")
    restock_reserved_book()
    ada.get("/reservations")
    for browser in (ada, phone):
        browser.submit("/logout", page="/")
    assert badge(web_client(ADA)) == 0


def test_staff_and_visitors_have_no_badge(shop, web_client, restock_reserved_book):
    shop.staff()
    restock_reserved_book()
    assert (badge(web_client()), badge(web_client("staff@example.com"))) == (0, 0)
