"""What is one form and what is another, how long that is remembered, and who is told how a form was answered."""

import re
import time

import pytest

from bookshop.web import sent_forms
from tests.idempotency.test_double_clicks import ADA, NAME, STAFF, ago
from tests.support.clients import text_of
from tests.support.factories import PASSWORD
from tests.support.stand import ISBN
from tests.support.world import COOKIE

# ---------------------------------------------------------------- what is another form


def test_a_form_that_was_refused_can_be_sent_again(shop, web_client):
    shop.customer(ADA)
    book_id, browser = shop.book("Emma", stock=1), web_client(ADA)
    form = {"once": NAME, "csrf_token": browser.csrf_token("/")}
    browser.client.post(f"/books/{book_id}/reserve", data=form)
    assert shop.statuses(book_id) == []
    shop.set_stock(book_id, 0)
    assert browser.client.post(f"/books/{book_id}/reserve", data=form).status_code == 303
    assert shop.statuses(book_id) == ["waiting"]


@pytest.mark.parametrize("who", [ADA, None])
def test_two_buttons_of_one_page_are_two_forms_and_another_number_is_another_form(shop, web_client, who):
    shop.customer(ADA)
    emma, persuasion, browser = shop.book("Emma", stock=5), shop.book("Persuasion", stock=5), web_client(who)
    form = {"once": NAME, "csrf_token": browser.csrf_token("/" if who else "/login")}
    for book_id, copies in ((emma, 1), (persuasion, 1), (emma, 2)):
        browser.client.post("/cart/items", data={**form, "book_id": book_id, "quantity": copies})
    assert "4 copies: " in text_of(browser.get("/cart"))


def test_a_form_is_the_same_with_another_token_against_csrf_which_is_no_part_of_it(shop, web_client):
    book_id, browser = shop.book("Emma", stock=5), web_client()
    form = {"book_id": book_id, "once": NAME}
    for moment in (int(time.time()) - 10, int(time.time()) - 5):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("itsdangerous.timed.TimestampSigner.get_timestamp", lambda _signer, at=moment: at)
            token = browser.csrf_token()
        browser.client.post("/cart/items", data={**form, "csrf_token": token})
    assert "1 copy: " in text_of(browser.get("/cart"))


def test_a_form_without_a_name_does_what_it_says_each_time(shop, web_client):
    book_id, browser = shop.book("Emma", stock=5), web_client()
    token = browser.csrf_token()
    for name in ("", "short", "x" * 100, "é" * 22):
        browser.client.post("/cart/items", data={"book_id": book_id, "once": name, "csrf_token": token})
    assert "4 copies: " in text_of(browser.get("/cart"))


def test_a_form_that_is_found_again_much_later_does_nothing_and_says_so(shop, web_client):
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


def test_forms_are_forgotten_after_a_day(shop, web_client):
    shop.customer(ADA)
    browser, books = web_client(ADA), [shop.book(), shop.book()]
    token = browser.csrf_token("/")
    browser.client.post(f"/books/{books[0]}/reserve", data={"once": NAME, "csrf_token": token})
    shop.execute("UPDATE sent_forms SET created_at = :then", then=ago(days=2))
    browser.client.post(f"/books/{books[1]}/reserve", data={"once": NAME, "csrf_token": token})
    assert len(shop.rows("SELECT key FROM sent_forms")) == 1


def test_what_was_answered_is_forgotten_after_minutes_and_that_it_was_done_is_not(shop, web_client):
    shop.customer(ADA)
    browser, books = web_client(ADA), [shop.book(), shop.book()]
    token = browser.csrf_token("/")
    for name in (NAME, "m" * 22):
        browser.client.post(f"/books/{books.pop()}/reserve", data={"once": name, "csrf_token": token})
        shop.execute("UPDATE sent_forms SET created_at = :then", then=ago(minutes=11))
    assert shop.rows("SELECT count(*), count(answer) FROM sent_forms") == [(2, 1)]


def test_what_forms_say_of_somebody_is_forgotten_with_the_account_whoever_sent_them(shop, web_client):
    staff, nobody = web_client(shop.staff(STAFF) and STAFF), web_client()
    form = {"email": ADA, "password": PASSWORD, "once": NAME, "csrf_token": nobody.csrf_token()}
    nobody.client.post("/register", data=form)
    ada_id = shop.rows("SELECT id FROM users WHERE email = :ada", ada=ADA)[0]
    token = staff.csrf_token("/")
    for deed in ("deactivate", "reactivate"):
        staff.client.post(f"/admin/users/{ada_id}/{deed}", data={"once": NAME, "csrf_token": token})
    assert ADA in str(shop.rows("SELECT answer FROM sent_forms"))
    web_client(ADA).submit("/account/delete", current=PASSWORD)
    assert ADA not in str(shop.rows("SELECT answer FROM sent_forms"))


def test_an_answer_holds_what_its_own_request_said(shop, web_client):
    shop.customer(ADA)
    browser, books = web_client(ADA), [shop.book("Emma"), shop.book("Persuasion")]
    token = browser.csrf_token("/")
    browser.client.post("/cart/items", data={"book_id": books[0], "csrf_token": token})
    browser.client.post(f"/books/{books[1]}/reserve", data={"once": NAME, "csrf_token": token})
    (answer,) = shop.rows("SELECT answer FROM sent_forms")
    assert ("Reserved." in answer, "out of stock" in answer) == (True, False)


def test_who_deletes_the_account_leaves_no_forms_behind_that_say_what_was_done(shop, web_client):
    shop.customer(ADA)
    browser, book_id = web_client(ADA), shop.book("Emma")
    token = browser.csrf_token("/")
    browser.client.post(f"/books/{book_id}/reserve", data={"once": NAME, "csrf_token": token})
    form = {"once": NAME, "csrf_token": token, "current": PASSWORD}
    browser.client.post("/account/delete", data=form)
    (left,) = shop.rows("SELECT answer FROM sent_forms WHERE answer IS NOT NULL")
    assert "Your account is deleted" in left


# ---------------------------------------------------------------- logging in


def test_a_login_that_is_sent_twice_is_one(shop, web_client):
    shop.customer(ADA)
    browser, other = web_client(), web_client()
    form = {"email": ADA, "password": PASSWORD, "key": NAME, "csrf_token": browser.csrf_token()}
    other.client.set_cookie(COOKIE, browser.client.get_cookie(COOKIE).value)
    answers = [clicking.client.post("/login", data=form) for clicking in (browser, other)]
    assert [answer.location for answer in answers] == ["/", "/"]
    assert [clicking.get("/account").status_code for clicking in (browser, other)] == [200, 200]
    assert len(shop.rows("SELECT id FROM login_sessions")) == 1


def test_a_login_after_a_logout_by_the_same_form_is_a_new_one(shop, web_client):
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


def test_the_form_of_one_user_opens_no_login_of_another(shop, web_client):
    shop.customer(ADA)
    shop.customer("ben@example.com")
    browser, other = web_client(), web_client()
    form = {"password": PASSWORD, "key": NAME}
    browser.client.post("/login", data={**form, "email": ADA, "csrf_token": browser.csrf_token()})
    other.client.post("/login", data={**form, "email": "ben@example.com", "csrf_token": other.csrf_token()})
    assert "ben@example.com" in text_of(other.get("/account"))


@pytest.mark.parametrize("path", ["/login", "/account/password"])
def test_a_double_click_is_one_attempt_also_where_the_next_would_have_to_wait(shop, web_client, path):
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


def test_a_second_token_is_made_from_the_page_that_shows_the_first(shop, web_client):
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
def test_a_form_with_something_else_filled_in_makes_another_token(shop, web_client, other):
    shop.customer(ADA)
    browser = web_client(ADA)
    form = {"name": "till", "days": "90", "key": NAME, "csrf_token": browser.csrf_token("/account/tokens")}
    answers = [browser.client.post("/account/tokens", data=given).status_code for given in (form, {**form, **other})]
    assert answers == [201, 201]
    assert len(shop.rows("SELECT id FROM api_tokens")) == 2


def test_the_name_of_a_form_makes_no_token_of_another_user(shop, web_client):
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


def test_a_token_that_was_revoked_is_not_made_again_by_its_form(shop, web_client):
    shop.customer(ADA)
    browser = web_client(ADA)
    form = {"name": "till", "key": NAME, "csrf_token": browser.csrf_token("/account/tokens")}
    assert browser.client.post("/account/tokens", data=form).status_code == 201
    shop.execute("UPDATE api_tokens SET revoked_at = created_at")
    refused = browser.client.post("/account/tokens", data=form)
    assert (refused.status_code, "is shown only once" in text_of(refused)) == (409, True)


# ---------------------------------------------------------------- who is told


@pytest.fixture
def delivery(shop, web_client):
    """Staff who receive a delivery of two copies, as often as they like: delivery() returns the answer."""
    shop.staff(STAFF)
    shop.book("Emma", isbn=ISBN)
    staff = web_client(STAFF)
    form = {"lines": f"{ISBN} x2", "previewed": f"{ISBN}x2", "receive": "yes", "once": NAME, "number": "0" * 8}
    form["csrf_token"] = staff.csrf_token("/admin/delivery")

    def receive(browser=staff):
        return browser.client.post("/admin/delivery", data=form)

    return receive


def test_nobody_else_is_shown_the_answer_to_a_form_that_they_send(shop, web_client, delivery):
    shop.customer(ADA)
    first = delivery()
    assert "came in" in text_of(first)
    for browser in (web_client(), web_client(ADA), web_client(STAFF)):
        browser.csrf_token("/login")
        answer = delivery(browser)
        assert (answer.status_code != 200, "came in" in text_of(answer)) == (True, False)
    assert text_of(delivery()) == text_of(first)


def test_a_page_that_is_very_large_is_not_kept(shop, delivery, monkeypatch):
    monkeypatch.setattr(sent_forms, "LARGEST_PAGE", 1_000)
    assert [delivery().status_code, delivery().status_code] == [200, 303]
    assert shop.rows("SELECT length(answer) < 200 FROM sent_forms") == [True]


def test_a_delivery_of_which_nothing_came_in_is_not_said_to_be_done(shop, delivery):
    shop.set_stock(1, 1_000_000)
    answers = [delivery() for _click in range(2)]
    assert [answer.status_code for answer in answers] == [409, 409]
    assert text_of(answers[1]) == text_of(answers[0])


def test_a_delivery_that_is_sent_again_much_later_is_shown_as_received_before(shop, delivery):
    delivery()
    shop.execute("UPDATE sent_forms SET created_at = :then", then=ago(hours=1))
    assert "This delivery had come in already" in text_of(delivery())
    assert shop.stock(1) == 2


def test_an_old_page_does_not_say_that_somebody_is_logged_out_who_is_not(shop, web_client):
    shop.customer(ADA)
    browser = web_client(ADA)
    form = {"csrf_token": browser.csrf_token("/account"), "once": NAME}
    browser.client.post("/logout", data=form)
    browser.log_in(ADA, PASSWORD)
    answer = browser.client.post("/logout", data=form)
    assert "You are logged out." not in text_of(browser.follow(answer.location))
    assert browser.get("/account").status_code == 200


def test_a_form_of_another_site_sets_no_cookie_in_the_place_of_that_which_it_does_not_bring(shop, web_client):
    for path in ("/cart/items", "/logout", "/books/1/reserve", "/login"):
        answer = web_client().client.post(path, data={"book_id": "1", "csrf_token": "x"})
        assert answer.headers.getlist("Set-Cookie") == []


def test_a_visitors_form_that_is_found_again_later_adds_nothing_and_says_so(shop, web_client, monkeypatch):
    shop.book("Emma", stock=9)
    browser = web_client()
    form = {"book_id": "1", "once": NAME, "csrf_token": browser.csrf_token()}
    browser.client.post("/cart/items", data=form)
    browser.follow("/cart")
    monkeypatch.setattr(sent_forms, "DOUBLE_CLICK", -1)
    answer = browser.client.post("/cart/items", data=form)
    assert "You have already sent this form" in text_of(browser.follow(answer.location))
    assert "1 copy: " in text_of(browser.follow("/cart"))
