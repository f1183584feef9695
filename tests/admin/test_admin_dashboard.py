"""The dashboard: what staff should do now."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from bookshop.web import services
from bookshop.web.jinja import format_day
from tests.support.clients import TAG, text_of

pytestmark = pytest.mark.one_postgresql_case


@pytest.fixture
def staff(shop, web_client):
    shop.staff("staff@example.com")
    return web_client("staff@example.com")


@pytest.fixture
def wanted_book(shop):
    """Create an out-of-stock book with this many waiting customers; return its id."""

    def make(title, waiting):
        book_id = shop.book(title)
        for number in range(waiting):
            shop.reserve(shop.customer(f"{book_id}-{number}@example.com"), book_id)
        return book_id

    return make


def section(page, heading):
    """Return the text under a heading."""
    found = re.split(rf"<h2[^>]*>{heading}[^<]*</h2>", page.text, maxsplit=1)[-1].partition("</section>")[0]
    return " ".join(TAG.sub(" ", found).split())


def test_the_dashboard_lists_wanted_books_by_demand_then_title_and_no_others(shop, staff, wanted_book):
    for title, waiting in (("Zorba", 1), ("Emma", 0), ("Persuasion", 3), ("Ärger", 1), ("Amok", 1)):
        wanted_book(title, waiting)
    shop.set_stock(wanted_book("Lady Susan", 2), 1)
    shop.withdraw(wanted_book("Withdrawn", 2))
    words = section(staff.get("/admin"), "Wanted")
    assert "6 reservations waiting for 4 books, most wanted first." in words
    assert re.findall(r"(\w+) Jane Austen (\d)", words) == [
        ("Persuasion", "3"),
        ("Amok", "1"),
        ("Ärger", "1"),
        ("Zorba", "1"),
    ]


def test_the_dashboard_shows_ten_wanted_books_and_leads_to_the_others(shop, staff, wanted_book):
    for number in range(11):
        wanted_book(f"Book {number:02}", 1 if number else 2)
    page = staff.get("/admin")
    assert ("Book 00" in page.text, "Book 09" in page.text, "Book 10" in page.text) == (True, True, False)
    assert '<a href="/admin/books?show=wanted">See all 11 wanted books</a>' in page.text


def test_work_of_today_comes_before_wanted_books_and_those_before_the_rest(shop, staff, wanted_book):
    wanted_book("Emma", 1)
    shop.order(shop.customer(), {shop.book("Amok", stock=2): 1})
    words = text_of(staff.get("/admin"))
    order = [words.index(part) for part in ("1 order to get ready", "Wanted: out of stock", "Nearly sold out")]
    assert (order, "Recent restocks" in words[order[-1] :]) == (sorted(order), True)


@pytest.mark.parametrize(("ago", "words"), [(0, "Today"), (1, "1 day"), (12, "12 days"), (1200, "1,200 days")])
def test_the_dashboard_shows_the_longest_wait(shop, staff, wanted_book, ago, words):
    wanted_book("Emma", 3)
    moment = datetime.now(UTC) - timedelta(days=ago, minutes=1)
    shop.execute("UPDATE prebookings SET created_at = :moment WHERE id = 2", moment=str(moment))
    assert f"{words} {format_day(moment)}" in text_of(staff.get("/admin"))


def test_an_abandoned_wait_does_not_count(shop, staff, wanted_book):
    wanted_book("Emma", 2)
    shop.execute("UPDATE prebookings SET created_at = '2020-03-04 12:00:00+00:00' WHERE id = 1")
    shop.cancel(shop.rows("SELECT user_id FROM prebookings WHERE id = 1")[0], 1)
    page = staff.get("/admin")
    assert ("1 customer waiting for 1 book," in text_of(page), "2020" in page.text) == (True, False)


def test_the_last_ten_restocks_show_copies_notified_customers_and_who_made_them(shop, staff, api_client, wanted_book):
    for number in range(11):
        shop.book(f"Earlier {number}", stock=1)
    api_client("staff@example.com").set_stock(wanted_book("Emma", 2), 5)
    words = section(staff.get("/admin"), "Recent restocks")
    assert f"Emma : ledger {format_day(datetime.now(UTC))}, staff@example.com 5 2 Earlier 10" in words
    assert ("Earlier 2 " in words, "Earlier 1 " in words) == (True, False)


def test_an_increase_of_a_book_in_stock_is_no_restock(shop, staff):
    shop.set_stock(shop.book("Emma", stock=3), 8)
    assert section(staff.get("/admin"), "Recent restocks").count("Emma") == 1


def test_nearly_sold_out_books_are_listed_fewest_first(shop, staff):
    for title, stock in (("Emma", 3), ("Persuasion", 1), ("Sanditon", 4), ("Amok", 3)):
        shop.book(title, stock=stock)
    shop.withdraw(shop.book("Withdrawn", stock=1))
    words = section(staff.get("/admin"), "Nearly sold out")
    assert words == "Book Copies left Persuasion Jane Austen 1 Amok Jane Austen 3 Emma Jane Austen 3"


def test_the_dashboard_counts_orders_to_prepare_ready_and_uncollected(shop, staff):
    ada, book_id = shop.customer(), shop.book(stock=9)
    orders = [shop.order(ada, {book_id: 1}) for _order in range(6)]
    ready, collected, cancelled = orders[1:4], orders[3:4], orders[4:5]
    for status, changed in (("ready", ready), ("collected", collected), ("cancelled", cancelled)):
        shop.commit(lambda ids=changed, to=status: services.checkout().change_all(ids, to, 1))
    shop.execute("UPDATE orders SET ready_at = '2026-01-02 10:00:00+00:00' WHERE id = :id", id=orders[1])
    page = staff.get("/admin")
    shown = re.findall(r'href="/admin/orders\?status=(\w+)"><strong>(\d+)</strong>', page.text)
    assert shown == [("placed", "2"), ("ready", "2"), ("uncollected", "1")]
    assert ("2 orders to get ready" in text_of(page), "1 uncollected order" in text_of(page)) == (True, True)


def test_the_dashboard_shows_the_outcome_of_all_reservations(shop, staff, wanted_book):
    books = [wanted_book("Emma", 3), wanted_book("Persuasion", 2), wanted_book("Sanditon", 1)]
    assert "All reservations" not in text_of(staff.get("/admin"))
    for book_id in books[:2]:
        shop.set_stock(book_id, 5)
    buyers = shop.rows("SELECT user_id FROM prebookings WHERE book_id = :id ORDER BY id", id=books[0])
    orders = [shop.order(user_id, {books[0]: 1}) for user_id in buyers]
    shop.change_order(orders[0], "cancelled", 1)
    words = section(staff.get("/admin"), "All reservations")
    assert words == "Waiting 1 Notified 5 Notified and bought 2 Notified but not bought 3"


def test_an_order_to_prepare_is_something_to_do(shop, staff):
    shop.order(shop.customer(), {shop.book(stock=9): 1})
    page = staff.get("/admin")
    assert ("Nothing to do" in text_of(page), 'href="/admin/orders/pick-list"' in page.text) == (False, True)


def test_the_dashboard_says_when_there_is_nothing_to_do(shop, staff):
    shop.book(stock=9)
    assert "Nothing to do at the moment" in text_of(staff.get("/admin"))


def test_an_empty_shop_asks_for_the_first_book(staff):
    assert "There are no books in the shop yet. Add the first one" in text_of(staff.get("/admin"))
    assert "There are no books yet." in text_of(staff.get("/admin/books"))
    assert "No book matches “zz”." in text_of(staff.get("/admin/books?q=zz"))
