"""A form has one effect however often it is sent, and says what a single click would have said."""

import html
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from bookshop import faces
from bookshop.accounts.repository import UserRepository
from bookshop.database import now
from bookshop.exceptions import Busy
from bookshop.forms import ONCE
from bookshop.idempotency import views
from bookshop.idempotency.repository import SentFormRepository
from tests import races
from tests.clients import Browser, text_of
from tests.databases import empty
from tests.factories import PASSWORD
from tests.world import COOKIE, PAGES, ROUTES, UNSAFE, path_of

ADA, STAFF = "ada@example.com", "staff@example.com"
NAME = "n" * 22  # of a page and its forms
ONE_CLICK = "POST /unsubscribe/{token}"  # mail programs send it, from no page
# These are known by a name of their own.
OWN_NAMES = {
    "POST /login": {"key": NAME},
    "POST /account/tokens": {"key": NAME},
    "POST /checkout": {"key": "0" * 32},
}
FORMS = [route for route in PAGES if route in UNSAFE and route != ONE_CLICK]
NOTICE = re.compile(r'<div class="alert[^>]*role="status">.*?</div>', re.DOTALL)
TEXT = re.compile(r"<[^>]*>")
HIDDEN = re.compile(r'name="(csrf_token|once|key)"[^>]*value="[^"]*"')
FORM = re.compile(r'<form[^>]*method="post".*?</form>', re.DOTALL)


def notices(page):
    return [" ".join(html.unescape(TEXT.sub(" ", found)).split()) for found in NOTICE.findall(page)]


def told(browser, answer):
    """Where a form led, and what is said there; or the page itself."""
    if answer.location is None:
        return answer.status_code, HIDDEN.sub("", answer.text)
    return answer.status_code, answer.location, notices(browser.follow(answer.location).text)


def sent(world, who, route):
    """Send the form of a route as `who` sees it."""
    body = {**ROUTES[route][1], **OWN_NAMES.get(route, {"once": NAME})}
    return world.browsers[who].client.post(path_of(route), data={**body, "csrf_token": world.csrf_tokens[who]})


def put_out_of_date(world, who):
    """Let the browser have the cookie that it had before the first answer."""
    world.browsers[who] = Browser(world.app)
    if world.cookies[who] is not None:
        world.browsers[who].client.set_cookie(COOKIE, world.cookies[who].value)


@pytest.mark.one_postgresql_case
@pytest.mark.parametrize("route", FORMS)
@pytest.mark.parametrize("cookie", ["new", "old"])
def test_a_form_that_is_sent_twice_has_one_effect_and_says_what_one_click_says(world, route, cookie):
    may = ROUTES[route][0]
    who = "nobody" if route in ("POST /login", "POST /register", "POST /password/forgot") else sorted(may)[0]
    single = told(world.browsers[who], sent(world, who, route))
    after_one = sizes(world)
    empty(world.app)
    world.begin_again()
    first = sent(world, who, route)
    assert first.status_code == single[0]
    if cookie == "old":
        put_out_of_date(world, who)
    assert told(world.browsers[who], sent(world, who, route)) == single
    assert sizes(world) == after_one


def sizes(world):
    """How many rows there are of each table, and how many copies of each book, on the shelf and in carts."""
    counts = {name: len(rows) for name, rows in world.tables().items() if name != "sent_forms"}
    copies = "SELECT id, stock_quantity FROM books UNION ALL SELECT book_id, quantity FROM cart_items ORDER BY 1, 2"
    return counts, world.shop.rows(copies)


OF_VISITORS = {
    "": {"book_id": "1", "quantity": "2"},
    "/1": {"quantity": "3"},
    "/1/remove": {},
    "/1/take-left": {},
}


@pytest.mark.one_postgresql_case
@pytest.mark.parametrize("path", OF_VISITORS)
@pytest.mark.parametrize("cookie", ["new", "old"])
def test_a_visitor_who_clicks_twice_changes_the_cart_in_the_cookie_once(shop, visitor, path, cookie):
    shop.book("Emma", stock=9)

    def clicks(times):
        browser = visitor()
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
        return told(browser, answer), text_of(browser.follow("/cart"))

    assert clicks(3) == clicks(1)


def test_what_a_visitor_put_into_the_cart_much_earlier_is_added_to_by_the_next_form(shop, visitor):
    shop.book("Emma", stock=9)
    browser = visitor()
    form = {"book_id": "1", "csrf_token": browser.csrf_token()}
    for name in (NAME, NAME, "m" * 22, "m" * 22):
        browser.client.post("/cart/items", data={**form, "once": name})
    browser.follow("/cart")  # with the notices, which name other numbers
    assert "2 copies: " in text_of(browser.follow("/cart"))


# ---------------------------------------------------------------- at the same moment


@pytest.fixture
def adding(shop, visitor):
    """Ada, who adds a book to her cart by one form, clicking in many threads: adding(2) returns the answers."""
    shop.customer(ADA)
    book_id, browser = shop.book("Emma", stock=5), visitor(ADA)
    token = browser.csrf_token("/")
    cookie = browser.client.get_cookie(COOKIE).value
    form = {"book_id": book_id, "quantity": 1, "once": NAME, "csrf_token": token}

    def add(times):
        start = threading.Barrier(times)

        def click(_time):
            clicking = visitor()
            clicking.client.set_cookie(COOKIE, cookie)
            start.wait()
            return told(clicking, clicking.client.post("/cart/items", data=form))

        with ThreadPoolExecutor(times) as pool:
            return list(pool.map(click, range(times)))

    return add


def copies_in_carts(shop):
    return shop.rows("SELECT quantity FROM cart_items")


def test_clicks_at_the_same_moment_add_one_copy_and_all_say_so(shop, adding):
    answers = adding(6)
    assert copies_in_carts(shop) == [1]
    assert {(status, str(said)) for status, _to, said in answers} == {(303, "['Emma is in your cart. View cart']")}


def test_twin_in_which_nobody_claims_the_form_adds_one_for_each_click(shop, adding, monkeypatch):
    monkeypatch.setattr(SentFormRepository, "claim", lambda *_asked: True)
    monkeypatch.setattr(views, "repeat", lambda: None)
    adding(6)
    assert copies_in_carts(shop) == [6]


def test_a_second_reservation_waits_for_the_first_and_says_what_it_said(shop, visitor):
    shop.customer(ADA)
    book_id, browser, other = shop.book("Emma"), visitor(ADA), visitor(ADA)
    form = {"once": NAME, "csrf_token": "x"}
    tokens = [clicking.csrf_token("/") for clicking in (browser, other)]
    other.client.set_cookie(COOKIE, browser.client.get_cookie(COOKIE).value)
    form["csrf_token"] = tokens[0]

    def click(clicking):
        return told(clicking, clicking.client.post(f"/books/{book_id}/reserve", data=form))

    locked = (UserRepository, "lock_active")
    first, second = races.overtake(locked, lambda: click(browser), lambda: click(other))
    assert first == second
    assert "Reserved." in str(second)
    assert shop.statuses(book_id) == ["waiting"]


def test_where_the_first_answer_is_not_known_the_second_says_that_it_is_done(shop, visitor, monkeypatch):
    shop.customer(ADA)
    book_id, browser = shop.book("Emma"), visitor(ADA)
    monkeypatch.setattr(faces, "keep_answer", lambda *_answer: None)
    monkeypatch.setattr(views, "PATIENCE", 0)
    form = {"once": NAME, "csrf_token": browser.csrf_token("/")}
    answers = [browser.client.post(f"/books/{book_id}/reserve", data=form) for _click in range(2)]
    assert (answers[1].status_code, answers[1].location) == (303, f"/books/{book_id}")
    assert "This was done already." in text_of(browser.follow(answers[1].location))
    assert shop.statuses(book_id) == ["waiting"]


def test_an_answer_that_cannot_be_kept_undoes_nothing(shop, visitor, monkeypatch, caplog):
    shop.customer(ADA)
    book_id, browser = shop.book("Emma"), visitor(ADA)

    def fail():
        raise Busy("Too many others.")

    form = {"once": NAME, "csrf_token": browser.csrf_token("/")}
    monkeypatch.setattr(faces, "aside", fail)
    answer = browser.client.post(f"/books/{book_id}/reserve", data=form)
    assert (answer.status_code, shop.statuses(book_id)) == (303, ["waiting"])
    assert "the answer to a form is not kept" in caplog.text


# ---------------------------------------------------------------- what is another form


def test_a_form_that_was_refused_can_be_sent_again(shop, visitor):
    shop.customer(ADA)
    book_id, browser = shop.book("Emma", stock=1), visitor(ADA)
    form = {"once": NAME, "csrf_token": browser.csrf_token("/")}
    browser.client.post(f"/books/{book_id}/reserve", data=form)
    assert shop.statuses(book_id) == []
    shop.set_stock(book_id, 0)
    assert browser.client.post(f"/books/{book_id}/reserve", data=form).status_code == 303
    assert shop.statuses(book_id) == ["waiting"]


@pytest.mark.parametrize("who", [ADA, None])
def test_two_buttons_of_one_page_are_two_forms_and_another_number_is_another_form(shop, visitor, who):
    shop.customer(ADA)
    emma, persuasion, browser = shop.book("Emma", stock=5), shop.book("Persuasion", stock=5), visitor(who)
    form = {"once": NAME, "csrf_token": browser.csrf_token("/" if who else "/login")}
    for book_id, copies in ((emma, 1), (persuasion, 1), (emma, 2)):
        browser.client.post("/cart/items", data={**form, "book_id": book_id, "quantity": copies})
    assert "4 copies: " in text_of(browser.get("/cart"))


def test_a_form_without_a_name_does_what_it_says_each_time(shop, visitor):
    book_id, browser = shop.book("Emma", stock=5), visitor()
    token = browser.csrf_token()
    for name in ("", "short", "x" * 100, "é" * 22):
        browser.client.post("/cart/items", data={"book_id": book_id, "once": name, "csrf_token": token})
    assert "4 copies: " in text_of(browser.get("/cart"))


def test_a_form_that_is_found_again_much_later_does_nothing_and_says_so(shop, visitor):
    shop.staff(STAFF)
    book_id, browser = shop.book("Emma", stock=2), visitor(STAFF)
    page = f"/admin/books/{book_id}/stock"
    form = {"once": NAME, "csrf_token": browser.csrf_token(page), "change": "received", "copies": "5", "expected": "2"}
    browser.client.post(page, data=form)
    browser.follow(page)
    an_hour_ago = (now() - timedelta(hours=1)).strftime("%Y-%m-%d %H:%M:%S.%f")
    shop.execute("UPDATE sent_forms SET created_at = :then", then=an_hour_ago)
    answer = browser.client.post(page, data={**form})
    assert (answer.status_code, answer.location) == (303, page)
    assert "It was done then, and not again now." in text_of(browser.follow(page))
    assert shop.stock(book_id) == 7


def test_forms_are_forgotten_after_a_day(shop, visitor):
    shop.customer(ADA)
    browser, books = visitor(ADA), [shop.book(), shop.book()]
    token = browser.csrf_token("/")
    browser.client.post(f"/books/{books[0]}/reserve", data={"once": NAME, "csrf_token": token})
    two_days_ago = (now() - timedelta(days=2)).strftime("%Y-%m-%d %H:%M:%S.%f")
    shop.execute("UPDATE sent_forms SET created_at = :then", then=two_days_ago)
    browser.client.post(f"/books/{books[1]}/reserve", data={"once": NAME, "csrf_token": token})
    assert len(shop.rows("SELECT key FROM sent_forms")) == 1


def test_who_deletes_the_account_leaves_no_forms_behind_that_say_what_was_done(shop, visitor):
    shop.customer(ADA)
    browser, book_id = visitor(ADA), shop.book("Emma")
    token = browser.csrf_token("/")
    browser.client.post(f"/books/{book_id}/reserve", data={"once": NAME, "csrf_token": token})
    form = {"once": NAME, "csrf_token": token, "current": PASSWORD}
    browser.client.post("/account/delete", data=form)
    (left,) = shop.rows("SELECT answer FROM sent_forms")
    assert "Your account is deleted" in left


# ---------------------------------------------------------------- logging in


def test_a_login_that_is_sent_twice_is_one(shop, visitor):
    shop.customer(ADA)
    browser, other = visitor(), visitor()
    form = {"email": ADA, "password": PASSWORD, "key": NAME, "csrf_token": browser.csrf_token()}
    other.client.set_cookie(COOKIE, browser.client.get_cookie(COOKIE).value)
    answers = [clicking.client.post("/login", data=form) for clicking in (browser, other)]
    assert [answer.location for answer in answers] == ["/", "/"]
    assert [clicking.get("/account").status_code for clicking in (browser, other)] == [200, 200]
    assert len(shop.rows("SELECT id FROM login_sessions")) == 1


def test_a_login_after_a_logout_by_the_same_form_is_a_new_one(shop, visitor):
    shop.customer(ADA)
    browser = visitor()
    form = {"email": ADA, "password": PASSWORD, "key": NAME, "csrf_token": browser.csrf_token()}
    browser.client.post("/login", data=form)
    (first,) = shop.rows("SELECT id FROM login_sessions")
    browser.submit("/logout", page="/account")
    form["csrf_token"] = browser.csrf_token()
    assert browser.client.post("/login", data=form).status_code == 303
    assert browser.get("/account").status_code == 200
    (second,) = shop.rows("SELECT id FROM login_sessions")
    assert first != second


def test_the_form_of_one_user_opens_no_login_of_another(shop, visitor):
    shop.customer(ADA)
    shop.customer("ben@example.com")
    browser, other = visitor(), visitor()
    form = {"password": PASSWORD, "key": NAME}
    browser.client.post("/login", data={**form, "email": ADA, "csrf_token": browser.csrf_token()})
    other.client.post("/login", data={**form, "email": "ben@example.com", "csrf_token": other.csrf_token()})
    assert "ben@example.com" in text_of(other.get("/account"))


def test_a_token_that_was_revoked_is_not_made_again_by_its_form(shop, visitor):
    shop.customer(ADA)
    browser = visitor(ADA)
    form = {"name": "till", "key": NAME, "csrf_token": browser.csrf_token("/account/tokens")}
    assert browser.client.post("/account/tokens", data=form).status_code == 201
    shop.execute("UPDATE api_tokens SET revoked_at = created_at")
    refused = browser.client.post("/account/tokens", data=form)
    assert (refused.status_code, "is revoked by now" in text_of(refused)) == (409, True)


# ---------------------------------------------------------------- all pages


@pytest.mark.one_postgresql_case
@pytest.mark.parametrize("route", [route for route in PAGES if route not in UNSAFE])
def test_every_form_of_a_page_has_a_name(world, route):
    for who in sorted(ROUTES[route][0]):
        for form in FORM.findall(world.browsers[who].follow(path_of(route)).text):
            named = re.search(r'name="(once|key|number)"', form)
            assert named or "/unsubscribe/" in path_of(route)


def test_two_pages_have_two_names(shop, visitor):
    shop.book("Emma", stock=5)
    browser = visitor()
    names = [re.findall(r'name="once" value="([^"]*)"', browser.get("/books").text) for _look in range(2)]
    assert [len(found) for found in names] == [1, 1]
    assert names[0] != names[1]
    assert all(ONCE.fullmatch(*found) for found in names)
