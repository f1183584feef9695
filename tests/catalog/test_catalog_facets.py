"""The home page, the catalogue's facets and their counts, and the pages for search engines."""

import re
from html import unescape

import pytest

from tests.support.clients import text_of


@pytest.fixture
def books(shop):
    """Five books that differ in language, price, year and stock."""
    shop.book("Emma", language="en", price_cents=950, published_year=1815, stock=3)
    shop.book("Persuasion", language="en-GB", price_cents=1200, published_year=1817)
    shop.book("Émile", language="fr", price_cents=1499, published_year=1762, stock=1)
    shop.book("Girl, Woman, Other", language="en", price_cents=1500, published_year=2019)
    shop.book("Untitled", price_cents=0)
    shop.withdraw(shop.book("Sanditon", language="de", price_cents=950, published_year=1925))


def facet_links(page):
    """Return the facet links that the page offers: label -> (count, URL)."""
    links = re.findall(r'<a rel="nofollow" href="([^"]+)">\s*<span>(.*?)</span> <span.*?>(.*?)<', page.text)
    return {unescape(label): (int(count), unescape(address)) for address, label, count in links}


@pytest.mark.usefixtures("books")
def test_every_filter_shows_its_number_of_books(web_client):
    counts = {label: count for label, (count, _address) in facet_links(web_client().get("/books")).items()}
    assert counts == {
        **{"In stock": 2, "Out of stock": 3, "English": 3, "French": 1},
        **{"Up to €9.99": 1, "€10.00 to €14.99": 2, "€15.00 to €19.99": 1},
        **{"2010 to 2019": 1, "1800 to 1899": 2, "Up to 1799": 1},
    }


@pytest.mark.usefixtures("books")
@pytest.mark.parametrize(
    "query", ["", "language=en", "in_stock=false", "q=e&language=en", "max_price=12&in_stock=true"]
)
def test_each_facet_leads_to_as_many_books_as_it_shows(web_client, query):
    choices = facet_links(web_client().get(f"/books?{query}"))
    assert choices
    for label, (count, address) in choices.items():
        found = f" {count} book{'' if count == 1 else 's'} "
        assert found in text_of(web_client().get(address)), (label, address)


@pytest.mark.usefixtures("books")
def test_facet_counts_respect_the_other_filters(web_client):
    choices = facet_links(web_client().get("/books?language=en"))
    assert (choices["In stock"][0], choices["Out of stock"][0], choices["French"][0]) == (1, 2, 1)
    assert "Up to 1799" not in choices


@pytest.mark.usefixtures("books")
def test_a_filter_keeps_the_search_and_other_filters_and_returns_to_page_1(web_client):
    page = web_client().get("/books?q=jane&in_stock=false&page=1&sort=price")
    assert facet_links(page)["English"][1] == "/books?q=jane&in_stock=false&sort=price&language=en"


@pytest.mark.usefixtures("books")
def test_a_chosen_filter_is_named_and_removed_by_its_link(web_client):
    page = web_client().get("/books?language=en&min_price=9,50&max_price=12")
    removals = re.findall(r'<a class="chip" href="([^"]+)">', page.text)
    assert [unescape(address) for address in removals] == ["/books?min_price=9%2C50&max_price=12", "/books?language=en"]
    assert "Remove the filter €9.50 to €12.00" in text_of(page)


@pytest.mark.usefixtures("books")
def test_the_facet_count_follows_every_change_at_once(shop, web_client):
    assert facet_links(web_client().get("/books"))["In stock"][0] == 2
    shop.set_stock(1, 0)
    assert facet_links(web_client().get("/books"))["In stock"][0] == 1
    shop.book("Sense and Sensibility", stock=1)
    assert facet_links(web_client().get("/books"))["In stock"][0] == 2
    shop.withdraw(3)
    assert facet_links(web_client().get("/books"))["In stock"][0] == 1


@pytest.mark.usefixtures("books")
@pytest.mark.parametrize(
    ("query", "titles"),
    [
        ("min_year=1815&max_year=1817", ["Emma", "Persuasion"]),
        ("min_year=1900", ["Girl, Woman, Other"]),
        ("max_year=1799", ["Émile"]),
        ("min_year=abc", ["Émile", "Emma", "Girl, Woman, Other", "Persuasion", "Untitled"]),
    ],
)
def test_books_are_found_by_year(web_client, query, titles):
    page = web_client().get(f"/books?{query}&sort=title")
    assert sorted(re.findall(r'<h2 dir="auto"[^>]*>(.*?)</h2>', page.text)) == sorted(titles)


def test_json_has_no_year_filter(api_client):
    assert api_client().get("/api/v1/books", min_year=1815).status_code == 422


@pytest.mark.usefixtures("books")
def test_a_search_without_results_shows_words_that_match_and_a_link_to_search_by_author(web_client):
    page = web_client().get("/books?q=emma zzz&language=fr")
    words = text_of(page)
    assert "No books found for “emma zzz” with these filters." in words
    assert '<a class="chip" href="/books?q=emma">emma <span class="quiet">1</span></a>' in page.text
    assert '<a href="/books?q=emma+zzz">Search without filters</a>' in page.text
    assert re.search(r'name="author"[^>]*value="emma zzz"', page.text)


def test_languages_that_differ_only_in_case_are_one_facet(shop, web_client):
    for tag in ("Klingon", "KLINGON"):
        shop.book(tag, language=tag)
    assert [count for count, _address in facet_links(web_client().get("/books")).values()] == [2, 2, 2]


@pytest.mark.parametrize(
    ("query", "markup"),
    [
        ("", 'rel="canonical" href="http://127.0.0.1:5000/books"'),
        ("?q=emma", 'rel="canonical" href="http://127.0.0.1:5000/books?q=emma"'),
        ("?author=austen", 'rel="canonical" href="http://127.0.0.1:5000/books?author=austen"'),
        ("?in_stock=false", 'content="noindex"'),
        ("?sort=price", 'content="noindex"'),
    ],
)
def test_lists_are_indexed_by_their_search_words_only(shop, web_client, query, markup):
    shop.book("Emma")
    assert markup in web_client().get(f"/books{query}").text


def test_an_empty_shop_says_so_in_its_list_too(shop, web_client):
    assert "There are no books here yet." in text_of(web_client().get("/books"))


def test_a_price_in_a_currency_without_cents_has_none(shop, web_client):
    shop.book("こころ", price_cents=780, currency="JPY")
    assert "¥780" in text_of(web_client().get("/books"))


# ---------------------------------------------------------------- home page


def section(page, name):
    """Return the titles in one section of the home page."""
    found = re.search(rf'<section aria-labelledby="{name}">(.*?)</section>', page.text, re.DOTALL)
    return re.findall(r'<h3 dir="auto">(.*?)</h3>', found[1]) if found else None


def test_the_home_page_shows_new_books_newest_first(shop, web_client):
    for title in ("A", "B", "C", "D", "E", "F", "G"):
        shop.book(title)
    shop.withdraw(6)
    assert section(web_client().get("/"), "new") == ["G", "E", "D", "C", "B", "A"]


def test_the_home_page_shows_books_back_in_stock_but_no_first_deliveries(shop, web_client):
    emma, persuasion, sanditon = (shop.book(title, stock=1) for title in ("Emma", "Persuasion", "Sanditon"))
    assert section(web_client().get("/"), "back") is None
    for book_id in (persuasion, emma, sanditon):
        shop.set_stock(book_id, 0)
        shop.set_stock(book_id, 2)
    shop.set_stock(sanditon, 0)
    shop.set_stock(persuasion, 3)
    assert section(web_client().get("/"), "back") == ["Emma", "Persuasion"]


def test_the_home_page_of_an_empty_shop_says_so_and_asks_staff_for_the_first_book(shop, web_client):
    shop.staff("staff@example.com")
    assert "There are no books here yet." in text_of(web_client().get("/"))
    assert 'href="/admin/books/new"' in web_client("staff@example.com").get("/").text


# ---------------------------------------------------------------- search engines


def test_search_engines_get_the_sitemap_and_are_excluded_from_private_pages(shop, web_client):
    words = web_client().get("/robots.txt").text.splitlines()
    assert {"Disallow: /admin", "Disallow: /account", "Disallow: /api/", "Disallow: /reservations"} <= set(words)
    assert "Sitemap: http://127.0.0.1:5000/sitemap.xml" in words


def test_every_page_that_search_engines_list_has_a_description_of_its_own(shop, web_client):
    shop.describe(tagline="Books for curious people", street="High Street 1", city="London")
    emma, untold = shop.book("Emma", description="A match is made. " * 20), shop.book("E" * 500)
    texts = []
    for path in ("/", "/books", "/books?author=Jane+Austen", f"/books/{emma}", f"/books/{untold}", "/visit"):
        found = re.findall('<meta name="description" content="([^"]+)">', web_client().get(path).text)
        texts.append(unescape(found[0]))
        assert (len(found), len(found[0]) <= 200) == (1, True), path
    assert texts[0] == texts[-1] == "The Bookshop: Books for curious people. High Street 1, London."
    assert texts[1:3] == [f"Books {by}to buy or reserve at {texts[0]}" for by in ("", "by Jane Austen ")]
    assert texts[3].startswith("A match is made.")
    assert texts[4].startswith("EEE")


LAST_BOOK = """
    INSERT INTO books (id, title, authors, price_cents, currency, stock_quantity, created_at, updated_at, title_key,
        main_title, search_title, search_authors, search_isbn)
    SELECT 50001, 'Last', authors, price_cents, currency, 0, created_at, updated_at, '', '', '', '', ''
    FROM books WHERE id = 1"""


def test_the_sitemap_lists_every_book_on_sale_in_files_of_50000_ids(shop, web_client):
    first, gone = shop.book("Emma & <Co>"), shop.book("Sanditon")
    shop.withdraw(gone)
    shop.execute(LAST_BOOK)
    index = re.findall("<loc>(.*?)</loc>", web_client().get("/sitemap.xml").text)
    assert index == [f"http://127.0.0.1:5000/sitemaps/{number}.xml" for number in (1, 2, 3)]
    found = [re.findall("<loc>http://127.0.0.1:5000(.*?)</loc>", web_client().get(address).text) for address in index]
    assert found == [["/", "/books", "/visit"], [f"/books/{first}/emma-co"], ["/books/50001/last"]]


@pytest.mark.parametrize("number", ["0", "3", "2147483647", "99999999999999999999"])
def test_an_unknown_sitemap_is_404(shop, web_client, number):
    shop.book()
    assert web_client().get(f"/sitemaps/{number}.xml").status_code == 404


READ_BY_OTHERS = [
    "/robots.txt",
    "/sitemap.xml",
    "/sitemaps/1.xml",
    "/sitemaps/2.xml",
    "/books/1/emma",
    "/",
    "/books",
    "/visit",
]


@pytest.mark.parametrize("path", READ_BY_OTHERS)
def test_no_host_header_appears_in_what_others_read(shop, web_client, path):
    shop.book("Emma")
    for headers in ({"Host": "evil.example"}, {"X-Forwarded-Host": "evil.example"}):
        answer = web_client().get(path, headers=headers)
        assert (answer.status_code, "evil.example" in answer.text) == (200, False)
        assert "http://127.0.0.1:5000/" in answer.text


@pytest.mark.parametrize("path", ["/books//1", "/books/1"])
def test_a_redirect_ignores_the_host_header(shop, web_client, path):
    shop.book("Emma")
    answer = web_client().client.get(path, headers={"Host": "evil.example"})
    assert (answer.status_code // 100, answer.headers["Location"].startswith("/books")) == (3, True)
