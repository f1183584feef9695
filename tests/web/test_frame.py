"""The frame of every page: what its header and footer link to, and which of these links is the page itself."""

import re

import pytest

from tests.support.clients import text_of

pytestmark = pytest.mark.one_postgresql_case

ADA, STAFF = "ada@example.com", "staff@example.com"
CURRENT = re.compile(r'<a [^>]*aria-current="page"[^>]*href="([^"]*)"')


def frame(response):
    """Return the header and the footer of a page."""
    return "".join(re.findall(r"<(header|footer)(.*?)</\1>", response.text, re.DOTALL)[part][1] for part in (0, -1))


@pytest.mark.parametrize(
    ("email", "path"),
    [
        (None, "/books"),
        (None, "/books?sort=newest"),
        (None, "/visit"),
        (None, "/cart"),
        (None, "/login"),
        (None, "/pages/privacy"),
        (ADA, "/reservations"),
        (ADA, "/orders"),
        (ADA, "/account"),
        (STAFF, "/account"),
    ],
)
def test_the_header_and_the_footer_mark_the_page_that_is_open(shop, web_client, email, path):
    shop.customer(ADA)
    shop.staff(STAFF)
    shop.describe(city="Oxford")
    assert set(CURRENT.findall(frame(web_client(email).get(path)))) == {path}


def test_a_search_is_not_the_page_of_all_books(shop, web_client):
    shop.book("Emma")
    assert CURRENT.findall(frame(web_client().get("/books?q=emma&sort=newest"))) == []


def test_staff_see_the_way_to_their_desk_instead_of_a_cart(shop, web_client):
    shop.staff(STAFF)
    page = frame(web_client(STAFF).get("/"))
    assert ('href="/admin"' in page, 'href="/cart"' in page) == (True, False)


def test_the_account_counts_what_is_new_in_reservations_and_orders(shop, web_client):
    ada, staff = shop.customer(ADA), shop.staff(STAFF)
    emma, persuasion = shop.book("Emma"), shop.book("Persuasion", stock=2)
    assert "Account Cart" in text_of(web_client(ADA).get("/account"))
    shop.reserve(ada, emma)
    shop.set_stock(emma, 2)
    shop.change_order(shop.order(ada, {persuasion: 1}), "ready", staff)
    assert "Account 2 updates Cart" in text_of(web_client(ADA).get("/account"))
