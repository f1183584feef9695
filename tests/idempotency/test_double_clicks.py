"""A form has one effect even if sent repeatedly, and shows what a single click would have shown."""

import gzip
import html
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy.exc import TimeoutError

from bookshop.accounts.authentication import Authentication
from bookshop.idempotency.repository import SentFormRepository
from bookshop.idempotency.service import SentFormService
from bookshop.kit.database import now
from bookshop.kit.exceptions import Busy, OutcomeUnknown
from bookshop.web import sent_forms, services
from bookshop.web.forms import ONCE
from tests.support import races
from tests.support.clients import WebClient, text_of
from tests.support.databases import empty
from tests.support.links import delivered_link, fields_of, press
from tests.support.routes import COOKIE, PAGES, ROUTES, UNSAFE, path_of

ADA, STAFF = "ada@example.com", "staff@example.com"
NAME = "n" * 22  # the key of a page's forms
ONE_CLICK = "POST /unsubscribe/{token}"  # sent by mail programs, without a page
# These have their own key field.
OWN_NAMES = {
    "POST /login": {"key": NAME},
    "POST /login/link/{token}": {"key": NAME},
    "POST /account/tokens": {"key": NAME},
    "POST /checkout": {"key": "0" * 32},
}
SET_UP = "POST /account/second-factor"  # its page has a secret of its own; see test_second_factor_pages.py
FORMS = [route for route in PAGES if route in UNSAFE and route not in {ONE_CLICK, SET_UP}]
NOTICE = re.compile(r'<div class="alert[^>]*role="status">.*?</div>', re.DOTALL)
TEXT = re.compile(r"<[^>]*>")
HIDDEN = re.compile(r'name="(csrf_token|once|key)"[^>]*value="[^"]*"')
FORM = re.compile(r'<form[^>]*method="post".*?</form>', re.DOTALL)


def ago(**past):
    return (now() - timedelta(**past)).strftime("%Y-%m-%d %H:%M:%S.%f")


def notices(page):
    return [" ".join(html.unescape(TEXT.sub(" ", found)).split()) for found in NOTICE.findall(page)]


def outcome(browser, answer):
    """Return where a form redirected and its message, or the page itself, and cookies other than the session's."""
    cookies = [name for cookie in answer.headers.getlist("Set-Cookie") if (name := cookie.partition("=")[0]) != COOKIE]
    if answer.location is not None:
        return answer.status_code, answer.location, notices(browser.follow(answer.location).text), cookies
    page = answer.get_data()
    page = gzip.decompress(page) if "Content-Encoding" in answer.headers else page
    return answer.status_code, HIDDEN.sub("", page.decode()), cookies


def submit(sample_shop, role, route):
    """Submit the form of a route as `who`, with a browser that accepts compressed responses."""
    body = {**ROUTES[route][1], **OWN_NAMES.get(route, {"once": NAME}), "csrf_token": sample_shop.csrf_tokens[role]}
    return sample_shop.web_clients[role].client.post(path_of(route), data=body, headers={"Accept-Encoding": "gzip"})


def restore_old_cookie(sample_shop, role):
    """Restore the cookie that the browser had before the first response."""
    sample_shop.web_clients[role] = WebClient(sample_shop.app)
    if sample_shop.cookies[role] is not None:
        sample_shop.web_clients[role].client.set_cookie(COOKIE, sample_shop.cookies[role].value)


@pytest.mark.one_postgresql_case
@pytest.mark.parametrize("route", FORMS)
@pytest.mark.parametrize("cookie", ["new", "old"])
def test_a_form_sent_twice_has_one_effect_and_one_message(sample_shop, route, cookie):
    may = ROUTES[route][0]
    role = "nobody" if route == "POST /login" else sorted(may)[0]
    single = outcome(sample_shop.web_clients[role], submit(sample_shop, role, route))
    after_one = table_counts(sample_shop)
    empty(sample_shop.app)
    sample_shop.reset()
    first = submit(sample_shop, role, route)
    assert first.status_code == single[0]
    if cookie == "old":
        restore_old_cookie(sample_shop, role)
    *second, cookies = outcome(sample_shop.web_clients[role], submit(sample_shop, role, route))
    assert second == list(single[:-1])
    assert cookies == single[-1] or cookie == "new"  # then there are those of the first
    assert table_counts(sample_shop) == after_one


def table_counts(sample_shop):
    """Count the rows of each table, and the copies of each book in stock and in carts."""
    counts = {name: len(rows) for name, rows in sample_shop.tables().items() if name != "sent_forms"}
    copies = "SELECT id, stock_quantity FROM books UNION ALL SELECT book_id, quantity FROM cart_items ORDER BY 1, 2"
    return counts, sample_shop.shop.rows(copies)


OF_VISITORS = {
    "": {"book_id": "1", "quantity": "2"},
    "/1": {"quantity": "3"},
    "/1/remove": {},
    "/1/take-left": {},
}


@pytest.mark.one_postgresql_case
@pytest.mark.parametrize("path", OF_VISITORS)
@pytest.mark.parametrize("cookie", ["new", "old"])
def test_a_visitors_double_click_changes_the_cart_once(shop, web_client, path, cookie):
    shop.book("Emma", stock=9)

    def clicks(times):
        browser = web_client()
        token = browser.csrf_token()
        browser.client.post("/cart/items", data={"book_id": "1", "quantity": "4", "csrf_token": token})
        browser.follow("/cart")
        shop.set_stock(1, 3)
        before = browser.client.get_cookie(COOKIE).value
        for click in range(times):
            if click and cookie == "old":
                browser.client.set_cookie(COOKIE, before)
            form = {**OF_VISITORS[path], "once": NAME, "csrf_token": token}
            answer = browser.client.post(f"/cart/items{path}", data=form)
        shop.set_stock(1, 9)
        return outcome(browser, answer), text_of(browser.follow("/cart"))

    assert clicks(3) == clicks(1)


def test_a_visitors_old_cart_is_added_to_by_the_next_form(shop, web_client):
    shop.book("Emma", stock=9)
    browser = web_client()
    form = {"book_id": "1", "csrf_token": browser.csrf_token()}
    for name in (NAME, NAME, "m" * 22, "m" * 22):
        browser.client.post("/cart/items", data={**form, "once": name})
    browser.follow("/cart")  # including the messages, which show other numbers
    assert "2 copies: " in text_of(browser.follow("/cart"))


@pytest.mark.parametrize("cookie", ["new", "old"])
def test_a_visitors_double_click_on_reserve_sends_one_link_that_still_knows_the_browser(
    shop, web_client, mailbox, cookie
):
    book_id, browser = shop.book("Emma"), web_client()
    form = fields_of(browser.follow(f"/books/{book_id}").text) | {"email": ADA}
    before = browser.client.get_cookie(COOKIE).value
    browser.post(f"/books/{book_id}/reserve", **form)
    if cookie == "old":
        browser.client.set_cookie(COOKIE, before)
    answer = browser.post(f"/books/{book_id}/reserve", **form)
    assert "Reserve Emma" in text_of(browser.follow(answer.location))
    assert press(browser, delivered_link(mailbox)).status_code == 303
    assert shop.statuses(book_id) == ["waiting"]


# ---------------------------------------------------------------- simultaneous requests


@pytest.fixture
def add_concurrently(shop, web_client):
    """A function that submits Ada's add-to-cart form in this many threads and returns the responses."""
    shop.customer(ADA)
    book_id, browser = shop.book("Emma", stock=5), web_client(ADA)
    token = browser.csrf_token("/")
    cookie = browser.client.get_cookie(COOKIE).value
    form = {"book_id": book_id, "quantity": 1, "once": NAME, "csrf_token": token}

    def add(times):
        start = threading.Barrier(times)

        def click(_time):
            clicking = web_client()
            clicking.client.set_cookie(COOKIE, cookie)
            start.wait()
            return outcome(clicking, clicking.client.post("/cart/items", data=form))

        with ThreadPoolExecutor(times) as pool:
            return list(pool.map(click, range(times)))

    return add


def copies_in_carts(shop):
    return shop.rows("SELECT quantity FROM cart_items")


def test_simultaneous_clicks_add_one_copy_and_show_the_same_message(shop, add_concurrently):
    answers = add_concurrently(6)
    assert copies_in_carts(shop) == [1]
    assert {(answer[0], str(answer[2])) for answer in answers} == {(303, "['Emma is in your cart. View cart']")}


def test_without_claiming_the_form_every_click_adds_a_copy(shop, add_concurrently, monkeypatch):
    monkeypatch.setattr(SentFormRepository, "claim", lambda *_asked: True)
    add_concurrently(6)
    assert copies_in_carts(shop) == [6]


def test_a_second_reservation_waits_for_the_first_and_gets_its_response(shop, web_client):
    shop.customer(ADA)
    book_id, browser, other = shop.book("Emma"), web_client(ADA), web_client(ADA)
    form = {"once": NAME, "csrf_token": "x"}
    tokens = [clicking.csrf_token("/") for clicking in (browser, other)]
    other.client.set_cookie(COOKIE, browser.client.get_cookie(COOKIE).value)
    form["csrf_token"] = tokens[0]

    def click(clicking):
        return outcome(clicking, clicking.client.post(f"/books/{book_id}/reserve", data=form))

    locked = (Authentication, "lock_active")
    first, second = races.interleave(locked, lambda: click(browser), lambda: click(other))
    assert first == second
    assert "Reserved." in str(second)
    assert shop.statuses(book_id) == ["waiting"]


def test_if_the_first_response_is_unknown_the_second_says_it_is_done(shop, web_client, monkeypatch):
    shop.customer(ADA)
    book_id, browser = shop.book("Emma"), web_client(ADA)
    monkeypatch.setattr(services, "store_form_response", lambda *_answer: None)
    monkeypatch.setattr(sent_forms, "MAX_WAIT", 0)
    form = {"once": NAME, "csrf_token": browser.csrf_token("/")}
    answers = [browser.client.post(f"/books/{book_id}/reserve", data=form) for _click in range(2)]
    assert (answers[1].status_code, answers[1].location) == (303, f"/books/{book_id}")
    assert "This has already been done." in text_of(browser.follow(answers[1].location))
    assert shop.statuses(book_id) == ["waiting"]


@pytest.mark.parametrize("failure", [Busy("Too many others."), OutcomeUnknown(), TimeoutError("no connection is free")])
def test_a_response_that_cannot_be_stored_undoes_nothing(shop, web_client, monkeypatch, caplog, failure):
    shop.customer(ADA)
    book_id, browser = shop.book("Emma"), web_client(ADA)

    def fail():
        raise failure

    form = {"once": NAME, "csrf_token": browser.csrf_token("/")}
    monkeypatch.setattr(services, "separate_session", fail)
    answer = browser.client.post(f"/books/{book_id}/reserve", data=form)
    assert (answer.status_code, shop.statuses(book_id)) == (303, ["waiting"])
    assert "the response to a form was not stored" in caplog.text


def test_a_request_does_not_wait_for_a_response_that_will_not_come(shop, web_client, monkeypatch):
    """Waiting requests are not limited as writers are: they could occupy all threads of the shop."""
    shop.customer(ADA)
    book_id, browser = shop.book("Emma"), web_client(ADA)
    form = {"once": NAME, "csrf_token": browser.csrf_token("/")}
    browser.client.post(f"/books/{book_id}/reserve", data=form)
    shop.execute("UPDATE sent_forms SET answer = NULL")
    shop.execute("UPDATE sent_forms SET created_at = :then", then=ago(seconds=3))
    monkeypatch.setattr(time, "sleep", lambda _seconds: pytest.fail("it waits"))
    answer = browser.client.post(f"/books/{book_id}/reserve", data=form)
    assert "This has already been done." in text_of(browser.follow(answer.location))


def test_no_form_response_keeps_anyone_waiting(shop, web_client, monkeypatch):
    shop.customer(ADA)
    browser = web_client(ADA)
    monkeypatch.setattr(time, "sleep", lambda _seconds: pytest.fail("it waits"))
    form = {"name": "till", "once": NAME, "csrf_token": browser.csrf_token("/account/tokens")}
    answers = [browser.client.post("/account/tokens", data=form).status_code for _click in range(2)]
    assert answers == [201, 303]


def test_a_request_just_after_the_first_gets_its_response(shop, web_client):
    ada, book_id = shop.customer(ADA), shop.book("Emma", stock=3)
    order_id = shop.order(ada, {book_id: 1})
    browser, other = web_client(ADA), web_client()
    form = {"once": NAME, "csrf_token": browser.csrf_token("/")}
    other.client.set_cookie(COOKIE, browser.client.get_cookie(COOKIE).value)

    def click(clicking):
        return outcome(clicking, clicking.client.post(f"/orders/{order_id}/cancel", data=form))

    looked = (SentFormService, "was_sent")
    second, first = races.interleave(looked, lambda: click(browser), lambda: click(other), races.LONG)
    assert first == second
    assert "Your order is cancelled." in str(second)


def test_a_failure_after_the_commit_is_not_reported_as_unchanged(shop, web_client, monkeypatch):
    shop.customer(ADA)
    book_id, browser = shop.book("Emma"), web_client(ADA)
    form = {"once": NAME, "csrf_token": browser.csrf_token("/")}
    monkeypatch.setattr(services, "store_form_response", lambda *_answer: 1 / 0)
    answer = browser.client.post(f"/books/{book_id}/reserve", data=form)
    assert (answer.status_code, "Your change was saved, but" in text_of(answer)) == (500, True)
    assert shop.statuses(book_id) == ["waiting"]


# ---------------------------------------------------------------- all pages


@pytest.mark.one_postgresql_case
@pytest.mark.parametrize("route", [route for route in PAGES if route not in UNSAFE])
def test_every_form_of_a_page_has_an_idempotency_key(sample_shop, route):
    for role in sorted(ROUTES[route][0]):
        page = sample_shop.web_clients[role].follow(path_of(route))
        for form in FORM.findall(page.text) if page.mimetype == "text/html" else ():
            named = re.search(r'name="(once|key|number)"', form)
            asks_for_link = role == "nobody" and 'name="email"' in form  # one is sent however often the form is
            assert named or asks_for_link or 'action="/logout"' in form or "/unsubscribe/" in path_of(route)


def test_two_pages_have_two_titles(shop, web_client):
    shop.book("Emma", stock=5)
    browser = web_client()
    names = [re.findall(r'name="once" value="([^"]*)"', browser.get("/books").text) for _look in range(2)]
    assert [len(found) for found in names] == [1, 1]
    assert names[0] != names[1]
    assert all(ONCE.fullmatch(*found) for found in names)
