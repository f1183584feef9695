"""The stock list of staff: filters, orders and what a row shows; and the search in stock, orders and customers."""

import re

import pytest

from bookshop.web import services
from tests.support.clients import text_of

pytestmark = pytest.mark.one_postgresql_case

ISBN = "9780141439587"


@pytest.fixture
def staff(shop, web_client):
    shop.staff("staff@example.com")
    return web_client("staff@example.com")


@pytest.fixture
def books(shop):
    """One book of each kind: in stock, nearly sold out, wanted twice and once, unwanted, withdrawn, removed."""
    ada, ben = shop.customer("ada@example.com"), shop.customer("ben@example.com")
    titles = {"Plenty": (9, 900), "Few": (3, 1200), "Wanted": (0, 700), "Longed for": (0, 800), "Unwanted": (0, 100)}
    titles |= {"Withdrawn": (2, 500), "Removed": (0, 400)}
    made = {title: shop.book(title, stock=stock, price_cents=price) for title, (stock, price) in titles.items()}
    for user_id, title in ((ada, "Longed for"), (ben, "Longed for"), (ada, "Wanted")):
        shop.reserve(user_id, made[title])
    shop.withdraw(made["Withdrawn"])
    shop.commit(lambda: services.catalog().books.remove([made["Removed"]]))
    return made


def titles(staff, query):
    return re.findall(r'href="/admin/books/\d+/stock"><bdi>([^<]*)', staff.get(f"/admin/books?{query}").text)


@pytest.mark.every_case
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["Few", "Longed for", "Plenty", "Unwanted", "Wanted", "Withdrawn"]),
        ("show=in", ["Few", "Plenty"]),
        ("show=out", ["Longed for", "Unwanted", "Wanted"]),
        ("show=low", ["Few"]),
        ("show=wanted", ["Longed for", "Wanted"]),
        ("show=withdrawn", ["Withdrawn"]),
        ("sort=title&dir=desc", ["Withdrawn", "Wanted", "Unwanted", "Plenty", "Longed for", "Few"]),
        ("sort=stock", ["Longed for", "Unwanted", "Wanted", "Withdrawn", "Few", "Plenty"]),
        ("sort=stock&dir=desc&show=in", ["Plenty", "Few"]),
        ("sort=price", ["Unwanted", "Withdrawn", "Wanted", "Longed for", "Plenty", "Few"]),
        ("show=wanted&sort=waiting&dir=asc", ["Wanted", "Longed for"]),
        ("show=wanted&sort=waiting&dir=desc", ["Longed for", "Wanted"]),
        ("show=wanted&sort=price", ["Wanted", "Longed for"]),
        ("q=wanted", ["Wanted"]),
        ("q=want&show=in", []),
        ("q=austen&show=wanted&sort=waiting&dir=asc", ["Wanted", "Longed for"]),
        (
            "show=nonsense&sort=nonsense&dir=nonsense",
            ["Few", "Longed for", "Plenty", "Unwanted", "Wanted", "Withdrawn"],
        ),
    ],
)
def test_the_list_shows_what_is_asked_for_in_the_order_that_is_asked_for(staff, books, query, found):
    assert titles(staff, query) == found


def test_the_links_of_the_list_keep_the_search_and_turn_the_order_round(staff, books):
    page = staff.get("/admin/books?q=austen&show=out").text
    assert 'href="/admin/books?q=austen&amp;show=out&amp;sort=price&amp;dir=asc"' in page
    assert 'href="/admin/books?q=austen&amp;show=wanted&amp;sort=waiting&amp;dir=desc"' in page
    assert 'href="/admin/books?q=austen&amp;show=low"' in page
    turned = staff.get("/admin/books?q=austen&show=out&sort=price&dir=asc").text
    assert 'aria-current="true" href="/admin/books?q=austen&amp;show=out&amp;sort=price&amp;dir=desc"' in turned


def test_a_row_shows_isbn_price_stock_and_who_waits(shop, staff):
    book_id = shop.book("Emma", isbn=ISBN, price_cents=1290)
    shop.reserve(shop.customer(), book_id)
    page = staff.get("/admin/books")
    assert f"Emma Jane Austen {ISBN} €12.90 0 1 waiting for Emma" in text_of(page)
    assert f'href="/admin/books/{book_id}/waiting"' in page.text


# ---------------------------------------------------------------- searching everything


def test_one_search_finds_stock_orders_and_customers(shop, staff):
    ada = shop.customer("ada@example.com")
    emma = shop.book("The Adventures of Ada", stock=9)
    order_id = shop.order(ada, {emma: 1}, name="Ada Lovelace")
    page = staff.get("/admin/search?q=ada")
    for link in (f"/admin/books/{emma}/stock", f"/admin/orders/{order_id}", "/admin/orders?q=ada@example.com"):
        assert f'href="{link}"' in page.text
    for full in ("/admin/books?q=ada", "/admin/orders?q=ada", "/admin/users?q=ada"):
        assert f'href="{full}"' in page.text


def test_a_complete_isbn_or_order_number_leads_to_its_page(shop, staff):
    book_id = shop.book(stock=9, isbn=ISBN)
    order_id = shop.order(shop.customer(), {book_id: 1})
    number = shop.rows("SELECT number FROM orders")[0]
    for q in (ISBN, "978-0-14-143958-7", "0141439580"):
        assert staff.get("/admin/search", query_string={"q": q}).location == f"/admin/books/{book_id}/stock"
    for q in (number, number.replace("-", ""), f"#{number}"):
        assert staff.get("/admin/search", query_string={"q": q}).location == f"/admin/orders/{order_id}"


@pytest.mark.parametrize("q", ["zzz", "9780141439594", "1234-5678", "%", "a\0b", "<b>", "x" * 300])
def test_a_search_without_hits_says_so(shop, staff, q):
    shop.order(shop.customer(), {shop.book(stock=9): 1})
    page = staff.get("/admin/search", query_string={"q": q})
    assert (page.status_code, "Try a shorter part of it." in text_of(page), "<b>" in page.text) == (200, True, False)


def test_an_empty_search_says_what_can_be_found(staff):
    assert "a part of an e-mail address" in text_of(staff.get("/admin/search?q=+"))


def test_the_search_shows_five_of_each_kind_and_the_number_of_all(shop, staff):
    for number in range(7):
        shop.book(f"Emma {number}", stock=1)
    page = staff.get("/admin/search?q=emma")
    assert (len(re.findall(r"/admin/books/\d+/stock", page.text)), "See all 7" in text_of(page)) == (5, True)


# ---------------------------------------------------------------- the frame


def test_the_menu_marks_the_page_or_the_entry_that_it_belongs_to(shop, staff):
    book_id = shop.book(stock=1)
    for path, entry, mark in (
        ("/admin", "/admin", "page"),
        ("/admin/books", "/admin/books", "page"),
        (f"/admin/books/{book_id}/movements", "/admin/books", "true"),
        ("/admin/users", "/admin/users", "page"),
    ):
        marked = re.findall(r'<li><a aria-current="(\w+)" href="([^"]+)"', staff.get(path).text)
        assert marked == [(mark, entry)] * 2  # at the side, and folded on a phone


def test_only_owners_see_the_entries_of_owners(shop, staff, web_client):
    shop.owner()
    for path in ("/admin/staff", "/admin/settings", "/admin/audit", "/admin/pages"):
        link = f'href="{path}"'
        assert (link in staff.get("/admin").text, link in web_client("owner@example.com").get("/admin").text) == (
            False,
            True,
        )


def test_staff_land_on_the_desk_after_logging_in_unless_they_were_on_their_way(shop, web_client):
    shop.staff("staff@example.com")
    shop.customer("ada@example.com")
    assert web_client().log_in("staff@example.com").location == "/admin"
    assert web_client().log_in("staff@example.com", next="/admin/mail").location == "/admin/mail"
    assert web_client().log_in("ada@example.com").location == "/"
