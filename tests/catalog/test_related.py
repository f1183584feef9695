"""The books that a book's page leads to: other editions, more by its authors, and others in stock."""

import re

import pytest
from sqlalchemy import text

from bookshop.catalog import related
from bookshop.extensions import db
from bookshop.web import services
from tests.support.clients import TAG
from tests.web.test_routes import statements

SHELF = re.compile(r'<h2 id="(editions|by-authors|similar)">.*?</section>', re.DOTALL)
CARD = re.compile(r"<h3[^>]*>(.*?)</h3>")


def shelves(response):
    """Return the titles on each shelf of the page."""
    return {found[1]: CARD.findall(found[0]) for found in SHELF.finditer(response.text)}


def shelves_of(web_client, book_id):
    return shelves(web_client().get(f"/books/{book_id}"))


def test_each_related_book_is_on_one_shelf_with_those_in_stock_first(shop, web_client):
    emma = shop.book("Emma", language="en", published_year=1815)
    shop.book("EMMA", language="en", published_year=2003)
    shop.book("Emma!", language="en", stock=1)  # another title, by the same author
    shop.book("Emma", stock=2, published_year=1990)
    shop.book("Persuasion", language="en", authors="Jane AUSTEN, Ann Editor", published_year=1817)
    shop.book("Frankenstein", language="en", authors="Mary Shelley", stock=3, published_year=1818)
    assert shelves_of(web_client, emma) == {
        "editions": ["Emma", "EMMA"],
        "by-authors": ["Emma!", "Persuasion"],
        "similar": ["Frankenstein"],
    }


def test_withdrawn_books_are_on_no_shelf_but_have_shelves_themselves(shop, web_client):
    emma, other = shop.book("Emma", language="en"), shop.book("Emma", stock=1, language="en")
    for title, authors in (("Persuasion", "Jane Austen"), ("Frankenstein", "Mary Shelley")):
        shop.withdraw(shop.book(title, authors=authors, stock=1, language="en"))
    shop.withdraw(emma)
    assert shelves_of(web_client, emma) == {"editions": ["Emma"]}
    assert shelves_of(web_client, other) == {}


@pytest.mark.parametrize(
    ("authors", "found"),
    [
        ("Jane Austen", True),
        ("Somebody Else, Jane Austen (ed.)", True),
        ("Jane Austenson", False),
        ("Jane Smith, Peter Austen", False),
        ("Austen Jane", False),
    ],
)
def test_the_whole_name_makes_an_author_the_same(shop, web_client, authors, found):
    emma = shop.book("Emma", authors="Ann Editor, Jane Austen")
    shop.book("Persuasion", authors=authors)
    assert ("by-authors" in shelves_of(web_client, emma)) == found


@pytest.mark.parametrize("authors", ["Various", "Anonymous", "VARIOUS AUTHORS", "…", "\"' & | ! : * ( -"])
def test_words_that_are_no_names_have_no_other_books(shop, web_client, authors):
    poems = shop.book("Poems", authors=authors)
    shop.book("Tales", authors=authors)
    assert shelves_of(web_client, poems) == {}


def test_similar_books_are_in_stock_those_in_the_same_language_first_then_by_year(shop, web_client):
    emma = shop.book("Emma", language="en-GB", published_year=1815)
    more = [("No year", "en", None), ("Later", "en-US", 1900), ("Earlier", "EN", 1790), ("Same", "en", 1815)]
    for title, language, year in [*more, ("French", "fr", 1815), ("None", None, 1816), ("Middle English", "enm", 1820)]:
        shop.book(title, authors=title, language=language, published_year=year, stock=1)
    shop.book("Sold out", authors="B", language="en", published_year=1815)
    assert shelves_of(web_client, emma) == {"similar": ["Same", "Earlier", "Later", "No year"]}
    unknown = shop.book("Persuasion", authors="C")
    assert len(shelves_of(web_client, unknown)["similar"]) == related.SHOWN


def test_a_shelf_has_cards_with_buttons_and_the_number_waiting(shop, web_client):
    ada = shop.customer("ada@example.com")
    emma, persuasion = shop.book("Emma", stock=1), shop.book("Persuasion")
    shop.reserve(ada, persuasion)
    shop.book("Sanditon", stock=1)
    page = " ".join(TAG.sub(" ", web_client().get(f"/books/{emma}").text).split())
    assert "By the same author Sanditon Jane Austen €9.50 In stock Add to cart Sanditon Persuasion" in page
    assert "Out of stock · 1 waiting Reserve Persuasion" in page


@pytest.mark.parametrize(("email", "most"), [(None, 6), ("ada@example.com", 12)])
def test_a_book_page_with_all_its_shelves_takes_few_queries(shop, app, web_client, email, most):
    emma, ada = shop.book("Emma", stock=1), shop.customer("ada@example.com")
    shop.reserve(ada, shop.book("Emma"))
    for title, authors in (("Persuasion", "Jane Austen"), ("Frankenstein", "Mary Shelley")):
        shop.book(title, authors=authors, stock=1)
    browser = web_client(email) if email else web_client()
    browser.get(f"/books/{emma}")
    with statements(app) as sent:
        page = browser.client.get(f"/books/{emma}/emma")
    assert list(shelves(page)) == ["editions", "by-authors", "similar"]
    assert len([statement for statement in sent if statement != "BEGIN"]) <= most, sent


def plan_of(book, **options):
    """Return the database's plan for the books related to this one."""
    connection = db.session.connection()
    statement = related._related(connection.dialect.name, by_authors=True, by_language=True, by_year=True)
    values = related.RelatedBooks(db.session()).parameters(book)
    compiled = statement.compile(connection.engine)
    parameters = compiled.construct_params(values)
    if connection.dialect.name == "sqlite":
        explain = f"EXPLAIN QUERY PLAN {compiled.string}"
        ordered = tuple(parameters[name] for name in compiled.positiontup or ())
        return "\n".join(row[3] for row in connection.exec_driver_sql(explain, ordered))
    connection.execute(text("SET LOCAL enable_seqscan = off"))
    return "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {compiled.string}", parameters))


def test_the_shelves_of_a_large_catalogue_come_from_indexes(shop, app):
    book_id = shop.book("Emma", language="en", published_year=1815)
    with app.app_context():
        plan = plan_of(services.catalog().read(book_id))
    assert not re.search(r"Seq Scan on books|SCAN (books|near|edition)\b(?! USING)", plan), plan
    for index in ("work_key", "updated_at", "published_year"):
        assert f"ix_books_{index}" in plan
