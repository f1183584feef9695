"""The catalogue's pages: the list, how one turns its pages, and the page of a book."""

import pytest

from bookshop import faces
from tests.clients import text_of

ROW = {"authors": "Jane Austen", "price_cents": 950, "currency": "EUR"}


@pytest.fixture
def many(shop):
    """45 books: two pages and a quarter."""
    rows = [{**ROW, "title": f"Book {number:02}"} for number in range(1, 46)]
    return shop.commit(lambda: faces.catalog().create_all(rows))


@pytest.mark.parametrize("path", ["/", "/books"])
def test_the_list_shows_title_author_price_and_whether_it_can_be_reserved(shop, visitor, path):
    shop.book("Emma", price_cents=1290, published_year=1815)
    shop.book("Persuasion", stock=3, published_year=-700)
    words = text_of(visitor().get(path))
    assert "2 books Emma Jane Austen · 1815 €12.90 · Out of stock, can be reserved" in words
    assert "Persuasion Jane Austen · 700 BC €9.50 · In stock" in words


def test_an_empty_list_says_so_and_leads_back(shop, visitor):
    shop.book("Emma")
    page = visitor().get("/books?q=zzz")
    assert "No book matches." in text_of(page)
    assert 'href="/books"' in page.text or 'href="/"' in page.text


def test_one_turns_the_pages_and_keeps_the_search(many, visitor):
    page = visitor().get("/books?q=book&sort=title&page=2")
    assert "Page 2 of 3" in text_of(page)
    assert 'rel="prev" href="/books?q=book&amp;sort=title&amp;page=1"' in page.text
    assert 'rel="next" href="/books?q=book&amp;sort=title&amp;page=3"' in page.text


@pytest.mark.parametrize("page", ["4", "99", str(2**31 - 1)])
def test_a_page_beyond_the_end_leads_to_the_last_one(many, visitor, page):
    answer = visitor().get(f"/books?q=book&page={page}")
    assert (answer.status_code, answer.headers["Location"]) == (302, "/books?q=book&page=3")


@pytest.mark.parametrize("page", ["0", "-1", "x", "", "9" * 5000, "1.5"])
def test_a_page_that_cannot_be_meant_is_the_first(many, visitor, page):
    assert "Page 1 of 3" in text_of(visitor().get(f"/books?page={page}"))


@pytest.mark.parametrize(
    "name", ["endpoint", "self", "values", "_scheme", "_external", "_anchor", "_method", "book_id", "app"]
)
@pytest.mark.parametrize("page", [1, 99])
def test_whatever_else_stands_in_the_address_the_pages_turn_within_the_shop(many, visitor, name, page):
    answer = visitor().get(f"/books?{name}=https&page={page}")
    assert answer.status_code in {200, 302}
    assert answer.headers.get("Location", "/").startswith("/")
    assert 'href="http' not in answer.text


def test_the_search_form_keeps_what_was_asked(shop, visitor):
    shop.book("Emma", language="en")
    page = visitor().get('/books?q="><i>&language=en&in_stock=false&sort=price&min_price=9,50')
    assert 'name="q" value="&#34;&gt;&lt;i&gt;"' in page.text
    assert 'name="min_price" inputmode="decimal" value="9,50"' in page.text
    chosen = ['value="en" selected', 'value="false" selected', 'value="price" selected']
    assert [mark for mark in chosen if mark not in page.text] == []


def test_only_languages_of_books_on_sale_are_offered(shop, visitor):
    shop.book("Emma", language="en")
    shop.withdraw(shop.book("Émile", language="fr"))
    page = visitor().get("/books").text
    assert 'value="en"' in page
    assert 'value="fr"' not in page


def test_the_page_of_a_book_shows_all_that_is_known_of_it(shop, visitor):
    book_id = shop.book(
        "Emma",
        isbn="9780141439587",
        publisher="Penguin",
        language="en",
        published_year=1815,
        description="One village.\nNo <b>ball</b>.",
        stock=2,
    )
    page = visitor().get(f"/books/{book_id}")
    known = [
        "Emma",
        "Jane Austen",
        "€9.50",
        "9780141439587",
        "Penguin",
        "1815",
        "2 copies",
        "No &lt;b&gt;ball&lt;/b&gt;.",
    ]
    assert [fact for fact in known if fact not in page.text] == []


def test_a_book_in_stock_cannot_be_reserved_on_its_page(shop, visitor):
    shop.customer("ada@example.com")
    page = visitor("ada@example.com").get(f"/books/{shop.book('Emma', stock=1)}")
    assert "In stock. Only 1 copy left" in text_of(page)
    assert "/reserve" not in page.text


@pytest.mark.parametrize("path", ["/books/999", "/books/0", f"/books/{2**31}", "/books/-1", "/books/x"])
def test_a_book_that_is_not_there_is_a_404_page(shop, visitor, path):
    answer = visitor().get(path)
    assert answer.status_code == 404
    assert answer.mimetype == "text/html"


def test_a_withdrawn_book_has_no_page(shop, visitor):
    book_id = shop.book("Emma")
    shop.withdraw(book_id)
    assert visitor().get(f"/books/{book_id}").status_code == 404
