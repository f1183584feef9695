"""The catalogue's pages: the list, its pagination, and the book page."""

import html
import json
import re

import pytest

from bookshop.web import services
from tests.support.clients import text_of

pytestmark = pytest.mark.one_postgresql_case

ROW = {"authors": "Jane Austen", "price_cents": 950, "currency": "EUR"}


@pytest.fixture
def fifty_books(shop):
    """50 books: two full pages and two more books."""
    rows = [{**ROW, "title": f"Book {number:02}"} for number in range(1, 51)]
    return shop.commit(lambda: services.catalog().create_all(rows))


def test_the_list_shows_title_author_price_and_availability(shop, web_client):
    shop.book("Emma", price_cents=1290, published_year=1815)
    shop.book("Persuasion", stock=3, published_year=-700)
    words = text_of(web_client().get("/books"))
    assert "Emma Jane Austen €12.90 · 1815 Out of stock Reserve Emma" in words
    assert "Persuasion Jane Austen €9.50 · 700 BC In stock" in words
    assert "Books 2 books" in words


def test_an_empty_list_says_so_and_links_back(shop, web_client):
    shop.book("Emma")
    page = web_client().get("/books?q=zzz")
    assert "No books found for “zzz”." in text_of(page)
    assert '<a href="/books">See all books</a>' in page.text


def test_pagination_keeps_the_search(fifty_books, web_client):
    page = web_client().get("/books?q=book&sort=title&page=2")
    assert "Page 2 of 3" in text_of(page)
    assert 'href="/books?q=book&amp;sort=title&amp;page=1"' in page.text
    assert 'href="/books?q=book&amp;sort=title&amp;page=3"' in page.text


@pytest.mark.parametrize("page", ["4", "99", str(2**31 - 1)])
def test_a_page_beyond_the_end_redirects_to_the_last_one(fifty_books, web_client, page):
    answer = web_client().get(f"/books?q=book&page={page}")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/books?q=book&page=3")


@pytest.mark.parametrize("page", ["0", "-1", "x", "", "9" * 5000, "1.5"])
def test_an_invalid_page_number_means_the_first_page(fifty_books, web_client, page):
    assert "Page 1 of 3" in text_of(web_client().get(f"/books?page={page}"))


@pytest.mark.parametrize(
    "name", ["endpoint", "self", "values", "_scheme", "_external", "_anchor", "_method", "book_id", "app"]
)
@pytest.mark.parametrize("page", [1, 99])
def test_pagination_stays_within_the_shop_with_any_query(fifty_books, web_client, name, page):
    answer = web_client().get(f"/books?{name}=https&page={page}")
    assert answer.status_code in {200, 302}
    assert answer.headers.get("Location", "/").startswith("/")
    assert 'href="https' not in answer.text


@pytest.mark.parametrize("found", ["emma", "zzz"])
def test_the_search_field_keeps_its_text_with_and_without_results(shop, web_client, found):
    shop.book("Emma", language="en")
    page = web_client().get(f'/books?q={found} "><i>&language=en&in_stock=false&sort=price&min_price=9,50')
    assert f'value="{found} &#34;&gt;&lt;i&gt;"' in page.text
    assert [label for label in ("English", "Out of stock", "€9.50 or more") if label not in text_of(page)] == []


def test_the_book_page_shows_all_its_details(shop, web_client):
    book_id = shop.book(
        "Emma",
        isbn="9780141439587",
        publisher="Penguin",
        language="en",
        published_year=1815,
        description="One village.\nNo <b>ball</b>.",
        stock=2,
    )
    page = web_client().get(f"/books/{book_id}")
    known = [
        "Emma",
        "Jane Austen",
        "€9.50",
        "9780141439587",
        "Penguin",
        "1815",
        "Only 2 left.",
        "No &lt;b&gt;ball&lt;/b&gt;.",
    ]
    assert [fact for fact in known if fact not in page.text] == []


def test_a_book_in_stock_cannot_be_reserved_on_its_page(shop, web_client):
    shop.customer("ada@example.com")
    page = web_client("ada@example.com").get(f"/books/{shop.book('Emma', stock=1)}")
    assert "In stock. Only 1 left." in text_of(page)
    assert "/reserve" not in page.text.replace("/reservations", "")


def test_an_invalid_price_is_reported_as_invalid(shop, web_client):
    shop.book("Emma")
    words = text_of(web_client().get("/books?min_price=abc&max_price=20"))
    assert "“abc” is not a price. Enter an amount such as 9.50." in words
    assert "“20” is not a price" not in words


def test_of_many_authors_only_four_are_shown_at_first(shop, web_client):
    page = web_client().get(f"/books/{shop.book(authors='A, B, C, D, E, F')}")
    assert "A , B , C , D and 2 more E , F" in text_of(page)


@pytest.mark.parametrize("path", ["/books/999", "/books/0", f"/books/{2**31}", "/books/-1", "/books/x"])
def test_an_unknown_book_is_a_404_page(shop, web_client, path):
    answer = web_client().get(path)
    assert answer.status_code == 404
    assert answer.mimetype == "text/html"


def test_a_withdrawn_book_says_so_and_is_not_listed(shop, web_client):
    book_id = shop.book("Emma")
    shop.withdraw(book_id)
    page = web_client().get(f"/books/{book_id}")
    assert "No longer sold." in text_of(page)
    assert ('name="robots" content="noindex"' in page.text, "/reserve" in page.text) == (True, False)
    assert "Emma" not in web_client().get("/books").text


def test_every_other_address_of_a_book_redirects_to_its_canonical_one(shop, web_client):
    book_id = shop.book("Émile, or On Education (Classics, #3)")
    address = f"/books/{book_id}/emile-or-on-education"
    for other in (f"/books/{book_id}", f"/books/{book_id}/emma", f"/books/{book_id}/reserve"):
        answer = web_client().client.get(other)
        assert (answer.status_code, answer.location) == (301, address)
    assert f'<link rel="canonical" href="http://127.0.0.1:5000{address}">' in web_client().get(address).text


@pytest.mark.parametrize("title", ["戦争と平和", "!?", "a" * 300, "/../..", "Reserve", "#1 (?)", "1984"])
def test_every_title_has_a_slug(shop, web_client, title):
    book_id = shop.book(title)
    answer = web_client().client.get(f"/books/{book_id}")
    assert answer.status_code == 301
    assert web_client().client.get(answer.location).status_code == 200


@pytest.mark.parametrize(
    ("stock", "words"),
    [
        (0, "Out of stock. No customers are waiting yet."),
        (1, "Only 1 left."),
        (3, "Only 3 left."),
        (4, "We have 4 copies."),
    ],
)
def test_the_book_page_shows_the_number_of_copies(shop, web_client, stock, words):
    assert words in text_of(web_client().get(f"/books/{shop.book(stock=stock)}"))


def test_the_book_page_shows_how_many_others_wait(shop, web_client):
    book_id, customers = shop.book(), shop.customers(3)
    for number, words in enumerate(("1 customer is waiting for it.", "2 customers are waiting for it.")):
        shop.reserve(customers[number], book_id)
        assert words in text_of(web_client().get(f"/books/{book_id}"))
    shop.reserve(customers[2], book_id)
    assert "2 other customers are waiting too." in text_of(web_client("customer2@example.com").get(f"/books/{book_id}"))


def linked_data(answer):
    """Return the structured data of the page."""
    return json.loads(answer.text.partition('<script type="application/ld+json">')[2].partition("</script>")[0])


def test_structured_data_describe_the_book_and_its_availability(shop, web_client):
    book_id = shop.book("Emma </script><b>", isbn="9780141439587", authors="A, B", published_year=815, price_cents=1290)
    data = linked_data(web_client().get(f"/books/{book_id}"))
    assert (data["name"], data["isbn"], data["datePublished"]) == ("Emma </script><b>", "9780141439587", "0815")
    assert [author["name"] for author in data["author"]] == ["A", "B"]
    assert (data["offers"]["price"], data["offers"]["priceCurrency"]) == ("12.90", "EUR")
    assert data["offers"]["availability"] == "https://schema.org/OutOfStock"
    shop.set_stock(book_id, 1)
    assert linked_data(web_client().get(f"/books/{book_id}"))["offers"]["availability"] == "https://schema.org/InStock"
    shop.withdraw(book_id)
    assert (
        linked_data(web_client().get(f"/books/{book_id}"))["offers"]["availability"]
        == "https://schema.org/Discontinued"
    )


def test_a_book_without_a_price_is_offered_without_one(shop, web_client):
    offer = linked_data(web_client().get(f"/books/{shop.book(price_cents=0)}"))["offers"]
    assert "price" not in offer


def test_a_drawn_cover_is_cached_until_title_or_authors_change(shop, web_client):
    book_id = shop.book("Emma")
    [address] = map(html.unescape, re.findall(r'src="([^"]+cover.svg[^"]*)"', web_client().get("/books").text))
    answer = web_client().get(address)
    assert (answer.mimetype, "Emma" in answer.text) == ("image/svg+xml", True)
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    unchanged = web_client().get(address, headers={"If-None-Match": answer.headers["ETag"]})
    assert (unchanged.status_code, unchanged.text) == (304, "")
    shop.commit(lambda: services.catalog().update(book_id, {"title": "Sanditon"}))
    assert address not in html.unescape(web_client().get("/books").text)
    assert web_client().get(address).headers["Cache-Control"] == "public, no-cache"


def test_a_drawn_cover_is_public_even_for_logged_in_users(shop, web_client):
    shop.customer("ada@example.com")
    address = f"/books/{shop.book('Emma')}/cover.svg"
    assert web_client("ada@example.com").get(address).headers["Cache-Control"] == "public, no-cache"
