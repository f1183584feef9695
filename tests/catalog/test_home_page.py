"""The opening of the home page, the books that readers are waiting for, and what a view costs."""

import re

import pytest
from sqlalchemy import event

from bookshop.extensions import db
from bookshop.kit.database import now
from bookshop.web import services
from tests.support.clients import text_of

ABOUT = "{name} is run by *three* booksellers, who [read](https://example.com)\nbefore they recommend.\n\nAnd more."
SENTENCE = "Corner Books is run by three booksellers, who read before they recommend."
# Of a view with warm caches: the shop, its pages, the last change of the books, twice, two rows, and who is waiting.
STATEMENTS = 9


@pytest.fixture
def wanted(shop):
    """Three sold-out books, for which Ada and two others are waiting: the ids by title."""
    ada, others = shop.customer("ada@example.com"), shop.customers(2)
    ids = {title: shop.book(title) for title in ("Emma", "Persuasion", "Sanditon", "The Watsons")}
    for title, users in (("Emma", others[:1]), ("Persuasion", [ada, *others]), ("Sanditon", others)):
        for user in users:
            shop.reserve(user, ids[title])
    return ids


def write_about(shop, body=ABOUT, state="published"):
    values = {"title": "About us", "body": body, "state": state}
    shop.commit(lambda: services.content().change("about", values, 0))


def waited_for(page):
    """Return the titles of the row of wanted books."""
    found = re.search(r'<section aria-labelledby="wanted">(.*?)</section>', page.text, re.DOTALL)
    return re.findall(r"<bdi>(.*?)</bdi></a></h3>", found[1]) if found else None


# ---------------------------------------------------------------- opening


def test_the_opening_says_what_makes_the_shop_and_where_and_when_to_visit_it(shop, web_client):
    shop.describe(name="Corner Books", tagline="New and old", street="12 High Street", city="Oxford")
    shop.describe(week=["all day"] * 7, exceptions={now().date().isoformat(): ["0:00-23:59", ""]})
    shop.book("Emma", stock=1)
    write_about(shop)
    page = text_of(web_client().get("/"))
    assert f"Corner Books in Oxford New and old {SENTENCE} 12 High Street, Oxford Open " in page


@pytest.mark.parametrize(
    "about",
    [
        None,
        {"body": "", "state": "published"},
        {"body": "- One\n- Two", "state": "published"},
        {"body": "Call {phone}.", "state": "published"},
        {"body": "A draft.", "state": "draft"},
    ],
)
def test_without_a_confirmed_text_about_the_shop_the_opening_says_how_to_buy(shop, web_client, about):
    shop.book("Emma", stock=1)
    if about:
        write_about(shop, **about)
    page = text_of(web_client().get("/"))
    assert "The Bookshop Order what is on our shelves today, and collect it in the shop. Browse our books" in page


def test_a_long_text_about_the_shop_is_shortened_and_shown_as_text(shop, web_client):
    write_about(shop, body="Read <b>me</b> &amp; " * 100)
    page = web_client().get("/").text
    (shown,) = re.findall(r'<p class="lead" dir="auto">(.*?)</p>', page)
    assert shown.startswith("Read &lt;b&gt;me&lt;/b&gt; &amp; Read")
    assert (shown.endswith(" \u2026"), len(shown) < 800) == (True, True)


# ---------------------------------------------------------------- wanted books


def test_the_books_that_most_readers_are_waiting_for_come_first_and_in_no_other_row(shop, web_client, wanted):
    page = web_client().get("/")
    assert waited_for(page) == ["Persuasion", "Sanditon", "Emma"]
    assert "3 readers are waiting Reserve" in text_of(page)
    assert "1 reader is waiting Reserve" in text_of(page)
    assert [page.text.count(f">{title}<") for title in ("Persuasion", "The Watsons")] == [1, 1]


def test_a_book_that_is_back_in_stock_leaves_the_row_at_once(shop, web_client, wanted):
    assert waited_for(web_client().get("/")) == ["Persuasion", "Sanditon", "Emma"]
    shop.set_stock(wanted["Persuasion"], 1)
    assert waited_for(web_client().get("/")) == ["Sanditon", "Emma"]
    for title in ("Sanditon", "Emma"):
        shop.set_stock(wanted[title], 1)
    assert waited_for(web_client().get("/")) is None


def test_a_visitor_reserves_on_the_page_of_the_book_and_staff_do_not(shop, web_client, wanted):
    shop.staff("staff@example.com")
    assert re.search(rf'href="/books/{wanted["Emma"]}/emma#availability">Reserve', web_client().get("/").text)
    assert "waiting Reserve" not in text_of(web_client("staff@example.com").get("/"))


def test_a_customer_reserves_from_the_home_page_and_sees_what_they_are_waiting_for(shop, web_client, wanted):
    ada = web_client("ada@example.com")
    page = ada.get("/")
    assert page.text.count("You are on the list") == 1
    assert f'form="to-cart" formaction="/books/{wanted["Emma"]}/reserve">Reserve<' in page.text
    reserved = ada.submit(f"/books/{wanted['Emma']}/reserve", page="/", next="/")
    assert reserved.status_code == 303
    page = ada.get(reserved.location)
    assert ("Reserved." in text_of(page), page.text.count("You are on the list")) == (True, 2)


# ---------------------------------------------------------------- cost


@pytest.mark.usefixtures("wanted")
def test_a_view_takes_few_statements_and_none_for_each_book(app, web_client):
    visitor, sent = web_client(), []
    visitor.get("/")

    def note(_connection, _cursor, statement, *_rest):
        sent.append(statement)

    with app.app_context():
        engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        visitor.get("/")
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert len(sent) <= STATEMENTS, sent
