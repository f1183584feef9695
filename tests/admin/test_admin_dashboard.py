"""The dashboard: what staff should do now."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from bookshop.web import services
from bookshop.web.jinja import day
from tests.support.clients import TAG, text_of

pytestmark = pytest.mark.one_postgresql_case


@pytest.fixture
def staff(shop, web_client):
    shop.staff("staff@example.com")
    return web_client("staff@example.com")


@pytest.fixture
def wanted(shop):
    """Makes a book that is out of stock and for which so many customers wait; returns its id."""

    def make(title, waiting):
        book_id = shop.book(title)
        for number in range(waiting):
            shop.reserve(shop.customer(f"{book_id}-{number}@example.com"), book_id)
        return book_id

    return make


def figures(page):
    """The numbers at the top."""
    return [int(figure.replace(",", "")) for figure in re.findall(r"<li><strong>([\d,]+)</strong>", page.text)]


def section(page, heading):
    """The words under a heading."""
    found = page.text.partition(f"<h2>{heading}</h2>")[2].partition("</section>")[0]
    return " ".join(TAG.sub(" ", found).split())


def test_it_lists_what_is_out_of_stock_most_wanted_first_then_by_title(shop, staff, wanted):
    for title, waiting in (("Zorba", 1), ("Emma", 0), ("Persuasion", 3), ("Ärger", 0), ("Amok", 1)):
        wanted(title, waiting)
    shop.book("On the shelf", stock=1)
    shop.withdraw(shop.book("Withdrawn"))
    rows = re.findall(
        r'<td><bdi>([^<]*)</bdi><br>.*?<td class="number">(?:<a[^>]*>)?(\d+)', staff.get("/admin").text, re.DOTALL
    )
    assert rows == [("Persuasion", "3"), ("Amok", "1"), ("Zorba", "1"), ("Ärger", "0"), ("Emma", "0")]


@pytest.mark.parametrize(("ago", "words"), [(0, "Today"), (1, "1 day"), (12, "12 days"), (1200, "1,200 days")])
def test_it_says_since_when_the_one_who_waits_longest_does(shop, staff, wanted, ago, words):
    wanted("Emma", 3)
    moment = datetime.now(UTC) - timedelta(days=ago, minutes=1)
    shop.execute("UPDATE prebookings SET created_at = :moment WHERE id = 2", moment=str(moment))
    assert f"{words} {day(moment)}" in text_of(staff.get("/admin"))


def test_a_wait_that_was_given_up_does_not_count(shop, staff, wanted):
    wanted("Emma", 2)
    shop.execute("UPDATE prebookings SET created_at = '2020-03-04 12:00:00+00:00' WHERE id = 1")
    shop.cancel(shop.rows("SELECT user_id FROM prebookings WHERE id = 1")[0], 1)
    page = staff.get("/admin")
    assert (figures(page), "2020" in page.text) == ([1, 1, 1], False)


def test_the_figures_count_reservations_the_books_wanted_and_those_out_of_stock(shop, staff, wanted):
    wanted("Emma", 3)
    wanted("Persuasion", 1)
    wanted("Sanditon", 0)
    shop.set_stock(wanted("Lady Susan", 2), 1)
    shop.withdraw(wanted("Withdrawn", 2))
    assert figures(staff.get("/admin")) == [4, 2, 3]


def test_the_chart_draws_the_eight_most_wanted_each_as_long_as_its_part_of_the_first(staff, wanted):
    for waiting in range(10):
        wanted(f"Book {waiting}", waiting)
    page = staff.get("/admin").text
    bars = re.findall(r'<rect class="chart-bar"[^>]*width="([\d.]+)%"', page)
    assert bars == ["100.0", "88.9", "77.8", "66.7", "55.6", "44.4", "33.3", "22.2"]
    assert re.findall(r'<span class="chart-label">(\d) · <bdi>Book \d</bdi>', page) == list("98765432")


def test_the_chart_says_a_long_title_whole(staff, wanted):
    wanted("A title <so long> that it would not fit", 1)
    assert "1 · <bdi>A title &lt;so long&gt; that it would not fit</bdi>" in staff.get("/admin").text


def test_what_nobody_waits_for_is_not_drawn(staff, wanted):
    wanted("Emma", 0)
    page = staff.get("/admin")
    assert ("chart-bar" in page.text, "Nobody is waiting for any of these." in text_of(page)) == (False, True)


def test_the_last_ten_restocks_say_how_many_came_how_many_were_told_and_by_whom(shop, staff, api_client, wanted):
    for number in range(11):
        shop.book(f"Earlier {number}", stock=1)
    api_client("staff@example.com").set_stock(wanted("Emma", 2), 5)
    words = section(staff.get("/admin"), "Last restocks")
    assert f"Emma {day(datetime.now(UTC))}, staff@example.com 5 2 Earlier 10" in words
    assert ("Earlier 2 " in words, "Earlier 1 " in words) == (True, False)


def test_more_copies_of_a_book_that_is_in_stock_are_no_restock(shop, staff):
    shop.set_stock(shop.book("Emma", stock=3), 8)
    assert section(staff.get("/admin"), "Last restocks").count("Emma") == 1


def test_what_is_nearly_sold_out_stands_fewest_first(shop, staff):
    for title, stock in (("Emma", 3), ("Persuasion", 1), ("Sanditon", 4), ("Amok", 3)):
        shop.book(title, stock=stock)
    shop.withdraw(shop.book("Withdrawn", stock=1))
    words = section(staff.get("/admin"), "Nearly sold out")
    assert words == "Book Copies left Persuasion Jane Austen 1 Amok Jane Austen 3 Emma Jane Austen 3"


def test_it_counts_the_orders_to_get_ready_those_that_are_and_those_that_nobody_collects(shop, staff):
    ada, book_id = shop.customer(), shop.book(stock=9)
    orders = [shop.order(ada, {book_id: 1}) for _order in range(6)]
    ready, collected, cancelled = orders[1:4], orders[3:4], orders[4:5]
    for status, changed in (("ready", ready), ("collected", collected), ("cancelled", cancelled)):
        shop.commit(lambda ids=changed, to=status: services.checkout().change_all(ids, to, 1))
    shop.execute("UPDATE orders SET ready_at = '2026-01-02 10:00:00+00:00' WHERE id = :id", id=orders[1])
    page = staff.get("/admin")
    shown = re.findall(r'href="/admin/orders\?status=(\w+)"><strong>(\d+)</strong>', page.text)
    assert shown == [("placed", "2"), ("ready", "2"), ("uncollected", "1")]
    assert ("2 orders to get ready" in text_of(page), "1 order is uncollected" in text_of(page)) == (True, True)


def test_it_says_what_became_of_all_reservations(shop, staff, wanted):
    books = [wanted("Emma", 3), wanted("Persuasion", 2), wanted("Sanditon", 1)]
    assert "What became of reservations" not in text_of(staff.get("/admin"))
    for book_id in books[:2]:
        shop.set_stock(book_id, 5)
    buyers = shop.rows("SELECT user_id FROM prebookings WHERE book_id = :id ORDER BY id", id=books[0])
    orders = [shop.order(user_id, {books[0]: 1}) for user_id in buyers]
    shop.change_order(orders[0], "cancelled", 1)
    words = section(staff.get("/admin"), "What became of reservations")
    assert words == "Waiting 1 Told that it is back 5 Told and bought 2 Told but not bought 3"


def test_with_an_order_to_get_ready_there_is_something_to_do(shop, staff):
    shop.order(shop.customer(), {shop.book(stock=9): 1})
    page = staff.get("/admin")
    assert ("Nothing needs you" in text_of(page), 'href="/admin/orders/pick-list"' in page.text) == (False, True)


def test_when_nothing_is_to_be_done_it_says_so(shop, staff):
    shop.book(stock=9)
    assert "Nothing needs you just now" in text_of(staff.get("/admin"))


def test_a_shop_without_books_asks_for_the_first(staff):
    assert "There is no book in the shop yet. Add the first one" in text_of(staff.get("/admin"))
    assert "There is no book yet." in text_of(staff.get("/admin/books"))
    assert "No book matches “zz”." in text_of(staff.get("/admin/books?q=zz"))
