"""Account pages for visitors: registering, logging in and out, passwords, and ending logins."""

import re
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from bookshop import create_app
from bookshop.extensions import db
from bookshop.kit.database import now
from tests.support.clients import ApiClient, WebClient, text_of
from tests.support.factories import PASSWORD
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


def register(browser: WebClient, email: str = ADA, password: str = PASSWORD, **fields: str) -> TestResponse:
    return browser.submit("/register", email=email, password=password, **fields)


def is_logged_in(browser: WebClient) -> bool:
    return browser.get("/account/password").status_code == 200


def copy_of(browser: WebClient, app: Flask) -> WebClient:
    """Return a browser with a copy of this one's cookie."""
    copied, cookie = WebClient(app), browser.client.get_cookie("bookshop")
    copied.client.set_cookie("bookshop", cookie.value if cookie else "")
    return copied


def change_password(browser: WebClient, current: str, new: str, repeat: str) -> TestResponse:
    return browser.submit("/account/password", current=current, new=new, repeat=repeat)


# ---------------------------------------------------------------- registering


def test_a_registered_customer_can_log_in(shop, web_client):
    browser = web_client()
    assert register(browser).location == "/login"
    assert "Thank you. We've sent a message to ada@example.com" in text_of(browser.get("/login"))
    assert (is_logged_in(browser), browser.log_in(ADA).location, is_logged_in(browser)) == (False, "/", True)
    assert shop.rows("SELECT email, role FROM users") == [(ADA, "customer")]


@pytest.mark.parametrize("address", BAD_ADDRESSES)
def test_a_bad_address_is_refused_and_the_form_shown_again(shop, web_client, address):
    assert register(web_client(), address).status_code == 400
    assert shop.rows("SELECT id FROM users") == []


@pytest.mark.parametrize("address", [ADA, "ADA@example.com", "Ada@EXAMPLE.COM", "  ada@example.com "])
def test_addresses_are_compared_case_insensitively(shop, web_client, address):
    shop.customer(ADA)
    register(web_client(), address)
    assert shop.rows("SELECT email FROM users") == [ADA]


@pytest.mark.parametrize(
    "address", ["ada@xn--bcher-kva.com", "ada@BÜCHER.com", "ada@\uff45xample.com", "ǅada@example.com"]
)
def test_an_address_registered_in_another_spelling_can_log_in_as_typed(web_client, address):
    assert register(web_client(), address).status_code == 303
    assert web_client().log_in(address).status_code == 303


def test_an_address_that_grows_when_case_folded_gets_the_same_answer_on_both_databases(web_client):
    address = "ΐ" * 60 + "@" + ".".join(["a" * 60] * 2) + ".com"
    assert register(web_client(), address).status_code in {303, 400}


@pytest.mark.parametrize(("length", "status"), [(7, 400), (8, 303), (128, 303), (129, 400)])
def test_a_password_has_8_to_128_characters(web_client, length, status):
    password = "pässwörd, or whatever one likes " * 5
    answer = register(web_client(), password=password[:length].replace(" ", "_"))
    assert answer.status_code == status
    assert (f"8 to 128 characters; this one has {length}." in text_of(answer)) is (status == 400)


@pytest.mark.parametrize("password", ODD_PASSWORDS)
def test_a_password_is_stored_with_every_character_as_typed(web_client, password):
    assert register(web_client(), password=password).status_code == 303
    assert web_client().log_in(ADA, password).status_code == 303
    assert web_client().log_in(ADA, password.strip() + "x").status_code == 400
    assert web_client().log_in(ADA, password.strip()[:-1]).status_code == 400


@pytest.mark.parametrize("password", ["password", "PASSWORD", "12345678", "iloveyou", "Password1", "qwertyuiop"])
def test_the_most_common_passwords_are_refused(shop, web_client, password):
    assert "This password is too easy to guess." in text_of(register(web_client(), password=password))
    assert shop.rows("SELECT id FROM users") == []


@pytest.mark.parametrize(("path", "status"), [("/register", 400), ("/login", 400)])
def test_what_was_typed_is_kept_except_the_password(web_client, path, status):
    answer = web_client().submit(path, email="ada@<b>", password="typed secret", next="/reservations")
    assert answer.status_code == status
    assert 'value="ada@&lt;b&gt;"' in answer.text
    assert 'value="/reservations"' in answer.text
    assert "typed secret" not in answer.text


@pytest.mark.parametrize("fields", [{"email": ADA}, {"password": PASSWORD}, {}, {"email": "", "password": ""}])
@pytest.mark.parametrize("path", ["/register", "/login"])
def test_an_incomplete_form_is_shown_again(web_client, path, fields):
    assert web_client().submit(path, **fields).status_code == 400


def test_no_form_field_creates_staff(shop, web_client):
    sly = {"role": "staff", "is_staff": "1", "staff": "on", "user.role": "staff", "user_id": "1", "login_id": "x"}
    browser = web_client()
    register(browser, **sly)
    browser.log_in(ADA, **sly)
    change_password(browser, PASSWORD, PASSWORD, PASSWORD)
    browser.submit("/account/password", current=PASSWORD, new=PASSWORD, repeat=PASSWORD, **sly)
    assert (shop.rows("SELECT role FROM users"), browser.get("/admin").status_code) == (["customer"], 403)


# ---------------------------------------------------------------- logging in


def test_a_correct_login_redirects_home(shop, web_client):
    shop.customer(ADA)
    browser = web_client()
    answer = browser.log_in("ADA@Example.com ")
    assert (answer.status_code, answer.location, is_logged_in(browser)) == (303, "/", True)


@pytest.mark.parametrize("path", ["/login", "/register"])
def test_a_redirect_has_no_retry_after(web_client, path):
    register(web_client())
    answer = web_client().submit(path, email=ADA if path == "/login" else "ben@example.com", password=PASSWORD)
    assert (answer.status_code, answer.headers.get("Retry-After")) == (303, None)


@pytest.mark.parametrize("path", ["/login", "/register"])
def test_a_logged_in_user_is_not_asked_to_log_in(ada, path):
    answer = ada.get(f"{path}?next=/reservations")
    assert (answer.status_code, answer.location) == (303, "/reservations")


def refused_login(browser: WebClient, email: str, password: str) -> tuple[int, str, set[tuple[str, str]]]:
    """Return a login response without what may differ: CSRF token, typed address and rate limit headers."""
    answer = browser.log_in(email, password)
    body = re.sub(r'(name="(?:csrf_token|once|key)"[^>]*value=")[^"]*', r"\1", answer.text).replace(email, "")
    may_differ = ("X-Request-Id", "Set-Cookie", "X-RateLimit", "Retry-After", "Content-Length")
    return answer.status_code, body, {header for header in answer.headers if not header[0].startswith(may_differ)}


def test_a_refused_login_does_not_reveal_whether_the_address_is_known(shop, web_client):
    for email in (ADA, "gone@example.com"):
        shop.customer(email)
    shop.deactivate("gone@example.com")
    wrong = refused_login(web_client(), ADA, "not the password")
    assert wrong[0] == 400
    assert refused_login(web_client(), "nobody@example.com", PASSWORD) == wrong
    assert refused_login(web_client(), "gone@example.com", PASSWORD) == wrong
    assert refused_login(web_client(), "gone@example.com", "not the password") == wrong


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
def test_next_accepts_only_pages_of_the_shop(web_client, target, place):
    browser = web_client()
    login = "/login" if place == "/" else f"/login?{urlencode({'next': place}, safe='/?')}"
    assert register(browser, next=target).location == login
    assert browser.log_in(ADA, next=target).location == place


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


@pytest.mark.parametrize("path", ["/login", "/register"])
def test_too_many_tries_are_refused_for_a_while(app, path):
    with app.app_context():
        url = db.engine.url.render_as_string(hide_password=False)
    browser = WebClient(create_app(settings_for(url, login_limit="2 per hour")))
    token = browser.csrf_token()
    tries = [browser.post(path, email="x", password="y", csrf_token=token) for _ in range(3)]
    assert [answer.status_code for answer in tries] == [400, 400, 429]
    assert 0 < int(tries[-1].headers["Retry-After"]) <= 3600
    assert "Too many attempts." in text_of(tries[-1])
    assert browser.get(path).status_code == 200


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
