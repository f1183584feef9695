"""The cards of books in lists: their buttons, who is waiting, and the way back to the card."""

import html
import re

import pytest

from tests.support.clients import TAG, text_of

pytestmark = pytest.mark.one_postgresql_case


@pytest.fixture
def emma(shop):
    """A sold-out book that two customers are waiting for: Ben and Cleo."""
    book_id = shop.book("Emma")
    for name in ("ben", "cleo"):
        shop.reserve(shop.customer(f"{name}@example.com"), book_id)
    return book_id


def card(response, book_id):
    """Return the HTML of the book's card."""
    [found] = re.findall(rf'<li class="book-card" id="book-{book_id}">.*?</li>', response.text, re.DOTALL)
    return found


def words(markup):
    return " ".join(html.unescape(TAG.sub(" ", markup)).split())


def test_a_visitors_reserve_button_leads_to_the_form_that_asks_for_an_address(shop, emma, web_client):
    browser = web_client()
    page = browser.get("/books")
    assert words(card(page, emma)) == "Emma Jane Austen €9.50 Out of stock · 2 waiting Reserve Emma"
    assert 'href="/books/1/emma#availability"' in card(page, emma)
    assert ("<form id=" in page.text, "Set-Cookie" in page.headers) == (False, False)
    assert "Your e-mail address" in text_of(browser.get("/books/1/emma"))


def test_a_customer_reserves_from_the_list_and_is_led_back_to_the_card(shop, emma, web_client):
    shop.customer("ada@example.com")
    ada, path = web_client("ada@example.com"), "/books?in_stock=false&page=1"
    [address] = re.findall('formaction="([^"]+)"', card(ada.get(path), emma))
    reserved = ada.submit(address, page=path, next=f"{path}#book")
    assert (reserved.status_code, reserved.location) == (303, f"{path}#book-{emma}")
    seen = words(card(ada.get(path), emma))
    assert seen.startswith("Reserved. We'll e-mail you when the book is back in stock. Emma")
    assert seen.endswith("Out of stock · 3 waiting Reserved")
    assert "e-mail you" not in words(card(ada.get(path), emma))


def test_adding_from_a_list_leads_back_to_the_card_which_says_so(shop, emma, web_client):
    other, browser = shop.book("Persuasion", stock=1), web_client()
    added = browser.submit("/cart/items", page="/books", book_id=other, next="/books?sort=price#book")
    assert added.location == f"/books?sort=price#book-{other}"
    page = browser.get("/books?sort=price")
    assert 'role="status"' in page.text
    assert words(card(page, other)).startswith("Persuasion is in your cart. View cart Persuasion")
    assert "cart" not in words(card(page, emma))


def test_a_reservation_of_a_book_that_came_back_meanwhile_leads_to_its_page(shop, emma, web_client):
    shop.customer("ada@example.com")
    ada = web_client("ada@example.com")
    token = ada.csrf_token("/books")
    shop.set_stock(emma, 1)
    refused = ada.post(f"/books/{emma}/reserve", csrf_token=token, next="/books#book")
    assert refused.location == f"/books/{emma}"
    assert "Book is in stock — add to cart instead" in text_of(ada.get("/books/1/emma"))


def test_staff_see_who_is_waiting_but_no_buttons(shop, emma, web_client):
    shop.staff("staff@example.com")
    page = web_client("staff@example.com").get("/books")
    assert words(card(page, emma)).endswith("Out of stock · 2 waiting")
    assert "to-cart" not in page.text


@pytest.mark.parametrize(
    ("title", "language", "lang"),
    [
        ("Emma", "en-GB", ""),
        ("Emma", None, ""),
        ("Die Verwandlung", "de", ' lang="de"'),
        ("Горе от ума", "ru", ' lang="ru"'),
        ("Gore ot uma", "ru", ""),
        ("雪国", "ja", ' lang="ja"'),
        ("紅樓夢", None, ' lang="zh"'),
        ("بوف کور", "fa", ' lang="fa"'),
        ("أولاد حارتنا", "en", ' lang="ar"'),
        ("Blubber", "Blubber", ""),
        ("Ein Band", "mul", ""),
    ],
)
def test_titles_and_descriptions_name_their_language(shop, web_client, title, language, lang):
    book_id = shop.book(title, language=language, description=title)
    page, listed = web_client().get(f"/books/{book_id}").text, web_client().get("/books").text
    assert f'<h1 dir="auto"{lang}>{title}</h1>' in page
    assert f'<p class="book-description" dir="auto"{lang}>{title}</p>' in page
    assert f'<h2 dir="auto"{lang}>{title}</h2>' in listed
