"""When forms count as the same, how long that is remembered, and who sees the response."""

import re
import time

import pytest

from bookshop.accounts.login_links import LinkRequest
from bookshop.web import sent_forms, services
from tests.idempotency.test_double_clicks import ADA, NAME, STAFF, ago
from tests.support.bad_input import ISBN
from tests.support.clients import text_of
from tests.support.factories import PASSWORD
from tests.support.links import delivered_link, fields_of
from tests.support.routes import COOKIE

# ---------------------------------------------------------------- different forms


def test_a_refused_form_can_be_sent_again(shop, web_client):
    shop.customer(ADA)
    book_id, browser = shop.book("Emma", stock=1), web_client(ADA)
    form = {"once": NAME, "csrf_token": browser.csrf_token("/")}
    browser.client.post(f"/books/{book_id}/reserve", data=form)
    assert shop.statuses(book_id) == []
    shop.set_stock(book_id, 0)
    assert browser.client.post(f"/books/{book_id}/reserve", data=form).status_code == 303
    assert shop.statuses(book_id) == ["waiting"]


@pytest.mark.parametrize("email", [ADA, None])
def test_two_buttons_or_quantities_on_a_page_are_different_forms(shop, web_client, email):
    shop.customer(ADA)
    emma, persuasion, browser = shop.book("Emma", stock=5), shop.book("Persuasion", stock=5), web_client(email)
    form = {"once": NAME, "csrf_token": browser.csrf_token("/" if email else "/login")}
    for book_id, copies in ((emma, 1), (persuasion, 1), (emma, 2)):
        browser.client.post("/cart/items", data={**form, "book_id": book_id, "quantity": copies})
    assert "4 copies: " in text_of(browser.get("/cart"))


def test_a_new_csrf_token_does_not_make_a_form_a_different_one(shop, web_client):
    book_id, browser = shop.book("Emma", stock=5), web_client()
    form = {"book_id": book_id, "once": NAME}
    for moment in (int(time.time()) - 10, int(time.time()) - 5):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("itsdangerous.timed.TimestampSigner.get_timestamp", lambda _signer, at=moment: at)
            token = browser.csrf_token()
        browser.client.post("/cart/items", data={**form, "csrf_token": token})
    assert "1 copy: " in text_of(browser.get("/cart"))


def test_a_form_without_an_idempotency_key_acts_every_time(shop, web_client):
    book_id, browser = shop.book("Emma", stock=5), web_client()
    token = browser.csrf_token()
    for name in ("", "short", "x" * 100, "é" * 22):
        browser.client.post("/cart/items", data={"book_id": book_id, "once": name, "csrf_token": token})
    assert "4 copies: " in text_of(browser.get("/cart"))


def test_an_old_form_resubmitted_much_later_does_nothing_and_says_so(shop, web_client):
    shop.staff(STAFF)
    book_id, browser = shop.book("Emma", stock=2), web_client(STAFF)
    page = f"/admin/books/{book_id}/stock"
    form = {"once": NAME, "csrf_token": browser.csrf_token(page), "change": "received", "copies": "5", "expected": "2"}
    browser.client.post(page, data=form)
    browser.follow(page)
    shop.execute("UPDATE sent_forms SET created_at = :then", then=ago(hours=1))
    answer = browser.client.post(page, data={**form})
    assert (answer.status_code, answer.location) == (303, page)
    assert "You have already sent this form" in text_of(browser.follow(page))
    assert shop.stock(book_id) == 7


def test_submitted_forms_are_forgotten_after_a_day(shop, web_client):
    shop.customer(ADA)
    browser, books = web_client(ADA), [shop.book(), shop.book()]
    token = browser.csrf_token("/")
    browser.client.post(f"/books/{books[0]}/reserve", data={"once": NAME, "csrf_token": token})
    shop.execute("UPDATE sent_forms SET created_at = :then", then=ago(days=2))
    browser.client.post(f"/books/{books[1]}/reserve", data={"once": NAME, "csrf_token": token})
    assert len(shop.rows("SELECT key FROM sent_forms")) == 1


def test_stored_responses_are_forgotten_after_minutes_but_not_that_the_form_was_sent(shop, web_client):
    shop.customer(ADA)
    browser, books = web_client(ADA), [shop.book(), shop.book()]
    token = browser.csrf_token("/")
    for name in (NAME, "m" * 22):
        browser.client.post(f"/books/{books.pop()}/reserve", data={"once": name, "csrf_token": token})
        shop.execute("UPDATE sent_forms SET created_at = :then", then=ago(minutes=11))
    assert shop.rows("SELECT count(*), count(answer) FROM sent_forms") == [(2, 1)]


def test_stored_form_responses_about_a_deleted_account_are_forgotten_for_every_sender(shop, web_client):
    staff, ada_id = web_client(shop.staff(STAFF) and STAFF), shop.customer(ADA)
    token = staff.csrf_token("/")
    for deed in ("deactivate", "reactivate"):
        staff.client.post(f"/admin/users/{ada_id}/{deed}", data={"once": NAME, "csrf_token": token})
    assert ADA in str(shop.rows("SELECT answer FROM sent_forms"))
    web_client(ADA).submit("/account/delete", current=PASSWORD)
    assert ADA not in str(shop.rows("SELECT answer FROM sent_forms"))


def test_a_response_contains_only_what_its_own_request_sent(shop, web_client):
    shop.customer(ADA)
    browser, books = web_client(ADA), [shop.book("Emma"), shop.book("Persuasion")]
    token = browser.csrf_token("/")
    browser.client.post("/cart/items", data={"book_id": books[0], "csrf_token": token})
    browser.client.post(f"/books/{books[1]}/reserve", data={"once": NAME, "csrf_token": token})
    (answer,) = shop.rows("SELECT answer FROM sent_forms")
    assert ("Reserved." in answer, "out of stock" in answer) == (True, False)


def test_deleting_an_account_removes_its_stored_form_responses(shop, web_client):
    shop.customer(ADA)
    browser, book_id = web_client(ADA), shop.book("Emma")
    token = browser.csrf_token("/")
    browser.client.post(f"/books/{book_id}/reserve", data={"once": NAME, "csrf_token": token})
    form = {"once": NAME, "csrf_token": token, "current": PASSWORD}
    browser.client.post("/account/delete", data=form)
    (left,) = shop.rows("SELECT answer FROM sent_forms WHERE answer IS NOT NULL")
    assert "Your account has been deleted" in left


# ---------------------------------------------------------------- logging in


def test_a_login_sent_twice_is_one_login(shop, web_client):
    shop.customer(ADA)
    browser, other = web_client(), web_client()
    form = {"email": ADA, "password": PASSWORD, "key": NAME, "csrf_token": browser.csrf_token()}
    other.client.set_cookie(COOKIE, browser.client.get_cookie(COOKIE).value)
    answers = [clicking.client.post("/login", data=form) for clicking in (browser, other)]
    assert [answer.location for answer in answers] == ["/", "/"]
    assert [clicking.get("/account").status_code for clicking in (browser, other)] == [200, 200]
    assert len(shop.rows("SELECT id FROM login_sessions")) == 1


@pytest.mark.parametrize("email", [None, ADA])
@pytest.mark.parametrize("book", [None, "Emma"])
def test_a_link_whose_button_is_pressed_twice_logs_in_once(shop, web_client, mailbox, email, book):
    shop.customer(ADA)
    browser, other = web_client(email), web_client()
    link = link_for(shop, mailbox, book)
    form = fields_of(browser.get(link).text) | {"confirmed": "y"}
    other.client.set_cookie(COOKIE, browser.client.get_cookie(COOKIE).value)
    answers = [clicking.post(link, **form) for clicking in (browser, other)]
    assert [answer.status_code for answer in answers] == [303, 303]
    assert "log out" in text_of(other.follow(answers[1].location)).casefold()
    assert (len(shop.rows("SELECT id FROM login_sessions")), shop.broken()) == (1, [])


def link_for(shop, mailbox, book):
    """Return the link of the e-mail to Ada for which a visitor has asked, with or without reserving a book."""
    wanted, links = LinkRequest(ADA, "a browser", next="/account"), services.login_links
    if book:
        book_id = shop.book(book)
        shop.commit(lambda: services.link_actions().start_reservation(wanted, book_id))
    else:
        shop.commit(lambda: links().request(wanted))
    return delivered_link(mailbox)


def test_logging_in_with_the_same_form_after_a_logout_is_a_new_login(shop, web_client):
    shop.customer(ADA)
    browser = web_client()
    form = {"email": ADA, "password": PASSWORD, "key": NAME, "csrf_token": browser.csrf_token()}
    browser.client.post("/login", data=form)
    (first,) = shop.rows("SELECT id FROM login_sessions")
    browser.submit("/logout", page="/account")
    form["csrf_token"] = browser.csrf_token()
    assert browser.client.post("/login", data=form).status_code == 303
    assert browser.get("/account").status_code == 200
    (second,) = shop.rows("SELECT id FROM login_sessions")
    assert first != second


def test_a_login_form_cannot_be_reused_for_another_user(shop, web_client):
    shop.customer(ADA)
    shop.customer("ben@example.com")
    browser, other = web_client(), web_client()
    form = {"password": PASSWORD, "key": NAME}
    browser.client.post("/login", data={**form, "email": ADA, "csrf_token": browser.csrf_token()})
    other.client.post("/login", data={**form, "email": "ben@example.com", "csrf_token": other.csrf_token()})
    assert "ben@example.com" in text_of(other.get("/account"))


@pytest.mark.parametrize("path", ["/login", "/account/password"])
def test_a_double_click_is_one_attempt_even_at_the_limit(shop, web_client, path):
    shop.customer(ADA)
    browser = web_client(ADA if path != "/login" else None)
    cookie, token = browser.client.get_cookie(COOKIE), browser.csrf_token(path)
    cookie = browser.client.get_cookie(COOKIE).value
    fields = {"email": ADA, "new": "four other random words", "repeat": "four other random words"}
    wrong = {**fields, "csrf_token": token, "password": "wrong", "current": "wrong"}
    for name in "abcd":
        for _click in range(2):
            form = {**wrong, "once": name * 22, "key": name * 22}
            assert browser.client.post(path, data=form).status_code == 400
    right = {**wrong, "password": PASSWORD, "current": PASSWORD, "once": NAME, "key": NAME}
    answers = []
    for _click in range(3):
        browser.client.set_cookie(COOKIE, cookie)
        answers.append(browser.client.post(path, data=right).status_code)
    assert answers == [303] * 3


def test_a_second_token_can_be_created_from_the_page_that_shows_the_first(shop, web_client):
    shop.customer(ADA)
    browser = web_client(ADA)
    page, tokens = browser.follow("/account/tokens").text, []
    for name in ("till", "website"):
        hidden = {field: re.findall(rf'name="{field}"[^>]*value="([^"]*)"', page) for field in ("csrf_token", "key")}
        form = {field: values[-1] for field, values in hidden.items()}
        page = browser.client.post("/account/tokens", data={**form, "name": name}).text
        tokens += re.findall(r"bookshop_[\w-]{43}", page)
    assert len(set(tokens)) == 2
    assert shop.rows("SELECT name FROM api_tokens ORDER BY id") == ["till", "website"]


@pytest.mark.parametrize("other", [{"name": "website"}, {"days": "30"}, {"scopes": "orders"}])
def test_a_different_form_creates_another_token(shop, web_client, other):
    shop.customer(ADA)
    browser = web_client(ADA)
    form = {"name": "till", "days": "90", "key": NAME, "csrf_token": browser.csrf_token("/account/tokens")}
    answers = [browser.client.post("/account/tokens", data=given).status_code for given in (form, {**form, **other})]
    assert answers == [201, 201]
    assert len(shop.rows("SELECT id FROM api_tokens")) == 2


def test_another_users_form_key_creates_no_token(shop, web_client):
    for email in (ADA, "ben@example.com"):
        shop.customer(email)
        browser = web_client(email)
        form = {"name": "till", "key": NAME, "csrf_token": browser.csrf_token("/account/tokens")}
        assert browser.client.post("/account/tokens", data=form).status_code == 201
    assert len(set(shop.rows("SELECT token_hash FROM api_tokens"))) == 2


def test_a_token_is_not_shown_again_a_minute_later(shop, web_client):
    shop.customer(ADA)
    browser = web_client(ADA)
    form = {"name": "till", "key": NAME, "csrf_token": browser.csrf_token("/account/tokens")}
    assert browser.client.post("/account/tokens", data=form).status_code == 201
    shop.execute("UPDATE api_tokens SET created_at = :then", then=ago(minutes=2))
    assert browser.client.post("/account/tokens", data=form).status_code == 409


def test_the_form_of_a_revoked_token_does_not_create_it_again(shop, web_client):
    shop.customer(ADA)
    browser = web_client(ADA)
    form = {"name": "till", "key": NAME, "csrf_token": browser.csrf_token("/account/tokens")}
    assert browser.client.post("/account/tokens", data=form).status_code == 201
    shop.execute("UPDATE api_tokens SET revoked_at = created_at")
    refused = browser.client.post("/account/tokens", data=form)
    assert (refused.status_code, "cannot be shown again" in text_of(refused)) == (409, True)


# ---------------------------------------------------------------- who sees the response


@pytest.fixture
def delivery(shop, web_client):
    """A function that submits a delivery of two copies, repeatedly: delivery() returns the response."""
    shop.staff(STAFF)
    shop.book("Emma", isbn=ISBN)
    staff = web_client(STAFF)
    form = {"lines": f"{ISBN} x2", "previewed": f"{ISBN}x2", "receive": "yes", "once": NAME, "number": "0" * 8}
    form["csrf_token"] = staff.csrf_token("/admin/delivery")

    def receive(browser=staff):
        return browser.client.post("/admin/delivery", data=form)

    return receive


def test_a_form_response_is_shown_only_to_its_sender(shop, web_client, delivery):
    shop.customer(ADA)
    first = delivery()
    assert "Added 2 copies" in text_of(first)
    for browser in (web_client(), web_client(ADA), web_client(STAFF)):
        browser.csrf_token("/login")
        answer = delivery(browser)
        assert (answer.status_code != 200, "Added" in text_of(answer)) == (True, False)
    assert text_of(delivery()) == text_of(first)


def test_a_very_large_page_is_not_stored(shop, delivery, monkeypatch):
    monkeypatch.setattr(sent_forms, "LARGEST_PAGE", 1_000)
    assert [delivery().status_code, delivery().status_code] == [200, 303]
    assert shop.rows("SELECT length(answer) < 200 FROM sent_forms") == [True]


def test_a_delivery_that_received_nothing_is_not_reported_as_received(shop, delivery):
    shop.set_stock(1, 1_000_000)
    answers = [delivery() for _click in range(2)]
    assert [answer.status_code for answer in answers] == [409, 409]
    assert text_of(answers[1]) == text_of(answers[0])


def test_a_delivery_resubmitted_much_later_is_shown_as_already_received(shop, delivery):
    delivery()
    shop.execute("UPDATE sent_forms SET created_at = :then", then=ago(hours=1))
    assert "This delivery was received earlier" in text_of(delivery())
    assert shop.stock(1) == 2


def test_an_old_page_does_not_claim_that_a_logged_in_user_is_logged_out(shop, web_client):
    shop.customer(ADA)
    browser = web_client(ADA)
    form = {"csrf_token": browser.csrf_token("/account"), "once": NAME}
    browser.client.post("/logout", data=form)
    browser.log_in(ADA, PASSWORD)
    answer = browser.client.post("/logout", data=form)
    assert "You have been logged out." not in text_of(browser.follow(answer.location))
    assert browser.get("/account").status_code == 200


def test_a_cross_site_form_does_not_replace_the_session_cookie(shop, web_client):
    for path in ("/cart/items", "/logout", "/books/1/reserve", "/login"):
        answer = web_client().client.post(path, data={"book_id": "1", "csrf_token": "x"})
        assert answer.headers.getlist("Set-Cookie") == []


def test_a_visitors_old_form_adds_nothing_and_says_so(shop, web_client, monkeypatch):
    shop.book("Emma", stock=9)
    browser = web_client()
    form = {"book_id": "1", "once": NAME, "csrf_token": browser.csrf_token()}
    browser.client.post("/cart/items", data=form)
    browser.follow("/cart")
    monkeypatch.setattr(sent_forms, "DOUBLE_CLICK", -1)
    answer = browser.client.post("/cart/items", data=form)
    assert "You have already sent this form" in text_of(browser.follow(answer.location))
    assert "1 copy: " in text_of(browser.follow("/cart"))
