"""New titles in a delivery: filled in from the reference catalogue or typed, and received with the rest."""

import html
import re

import pytest

from bookshop.web import services
from tests.support.clients import text_of
from tests.support.factories import isbn

pytestmark = pytest.mark.one_postgresql_case

EMMA, PERSUASION, SANDITON = isbn(1), isbn(2), isbn(3)
PAGE = "/admin/delivery"
KNOWN = {
    "isbn": PERSUASION, "title": "Persuasion", "authors": "Jane Austen", "publisher": "Penguin", "language": "en",
    "published_year": 1817, "description": "Anne Elliot.", "price_cents": 950, "currency": "EUR",
}  # fmt: skip


@pytest.fixture
def staff(shop, web_client):
    shop.staff("staff@example.com")
    return web_client("staff@example.com")


@pytest.fixture
def emma(shop):
    return shop.book("Emma", isbn=EMMA)


@pytest.fixture
def persuasion(shop):
    """Persuasion in the reference catalogue, but not in the shop."""
    shop.commit(lambda: services.reference().save([KNOWN]))


def value(page, name):
    """Return the value of an input field."""
    found = re.search(rf'<input[^>]* name="{name}"[^>]*>', page.text)
    typed = re.search(' value="([^"]*)"', found.group(0)) if found else None
    return html.unescape(typed.group(1)) if typed else ""


def names(page):
    """Return the names of the fields of new titles."""
    return re.findall(r'name="(new-[^"]*)"', page.text)


def check(staff, *lines, **fields):
    """Submit these lines and return the preview."""
    return staff.submit(PAGE, lines="\r\n".join(lines), **fields)


def form_of(page):
    """Return what the browser sends from the preview: the lines, and what is filled in."""
    text = page.text.partition('name="lines"')[2].partition(">")[2].partition("</textarea>")[0]
    fields = {name: value(page, name) for name in ("number", "previewed", *names(page)) if not name.endswith("wanted")}
    ticked = re.findall(r'<input[^>]* checked[^>]* name="(new-[^"]*)"', page.text)
    return {"lines": html.unescape(text).strip(), **fields, **dict.fromkeys(ticked, "y")}


def receive(staff, page, **typed):
    """Press the button below the preview, with these fields of new titles changed: "title_<isbn>"; None for no tick."""
    changes = {"new-{1}-{0}".format(*name.split("_")): text for name, text in typed.items()}
    fields = {**form_of(page), "receive": "yes", **changes}
    return staff.submit(PAGE, **{name: text for name, text in fields.items() if text is not None})


def typed(code, title="Sanditon", authors="Jane Austen", price="8.50"):
    return {f"title_{code}": title, f"authors_{code}": authors, f"price_{code}": price}


def books(shop):
    return shop.rows("SELECT isbn, title, price_cents, stock_quantity FROM books ORDER BY isbn")


def test_an_unknown_book_is_filled_in_from_the_reference_catalogue(shop, staff, persuasion):
    before = shop.everything()
    page = check(staff, f"{PERSUASION} x3")
    found = [value(page, f"new-{PERSUASION}-{name}") for name in ("title", "authors", "price")]
    assert (page.status_code, found) == (200, ["Persuasion", "Jane Austen", "9.50"])
    assert f"{PERSUASION}, 3 copies From the reference catalogue: Penguin, 1817, en" in text_of(page)
    assert shop.everything() == before


def test_new_titles_are_received_with_the_rest_in_one_delivery(shop, staff, emma, persuasion):
    ada = shop.customer()
    shop.reserve(ada, emma)
    page = check(staff, f"{EMMA} x2", f"{PERSUASION} x3", f"{SANDITON} x4")
    assert "2 copies of 1 book and 7 copies of 2 new titles" in text_of(page)
    words = text_of(receive(staff, page, **typed(SANDITON), **{f"price_{PERSUASION}": "10,20"}))
    assert "Added 9 copies of 3 books to stock and notified 1 customer. 2 of the books are new in" in words
    assert "Sanditon : 4 copies, now 4 in stock, 0 customers notified; new in the catalogue" in words
    assert books(shop) == [
        (EMMA, "Emma", 950, 2), (PERSUASION, "Persuasion", 1020, 3), (SANDITON, "Sanditon", 850, 4)
    ]  # fmt: skip
    assert len(shop.rows("SELECT DISTINCT note FROM movements")) == 1
    assert (shop.statuses(emma), shop.broken()) == (["notified"], [])


def test_a_book_from_the_reference_catalogue_takes_over_all_its_fields(shop, staff, persuasion):
    receive(staff, check(staff, PERSUASION))
    columns = "isbn, title, authors, publisher, language, published_year, description, price_cents, currency"
    assert shop.rows(f"SELECT {columns} FROM books") == [tuple(KNOWN.values())]


def test_new_titles_are_audited_like_books_from_the_form(shop, staff):
    receive(staff, check(staff, SANDITON), **typed(SANDITON))
    assert shop.rows("SELECT action FROM audit_entries WHERE action LIKE 'book.%' ORDER BY id") == [
        "book.created", "book.stock_changed"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "reasons"),
    [
        ({"title": ""}, ["Enter a title."]),
        ({"authors": " "}, ["Enter the authors."]),
        ({"price": ""}, ["Enter a price, or 0 for a price on request."]),
        ({"price": "1,000.00"}, ["Write the amount in digits, such as 12.90 or 12,90"]),
        ({"price": "1000000.01"}, ["The price must be from 0 to €1,000,000.00."]),
        ({"title": "a\0b", "authors": "x" * 1001}, ["must not contain control characters", "at most 1,000 characters"]),
        ({"title": "x" * 501}, ["at most 500 characters"]),
        ({"title": "caf\ufffd"}, ["contains a damaged character"]),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_at_the_field_and_nothing_is_received(shop, staff, emma, changes, reasons):
    preview = check(staff, EMMA, f"{SANDITON} x4")
    before = shop.everything()
    page = receive(staff, preview, **typed(SANDITON, **changes))
    assert page.status_code == 400
    assert [reason for reason in reasons if reason not in text_of(page)] == []
    kept = {"title": "Sanditon", "authors": "Jane Austen", "price": "8.50", **changes}
    assert {name: value(page, f"new-{SANDITON}-{name}").strip("\ufffd") for name in kept if "\0" not in kept[name]} == {
        name: text.strip().strip("\ufffd") for name, text in kept.items() if "\0" not in text
    }
    assert shop.everything() == before


@pytest.mark.parametrize("left_out", [typed(SANDITON, "", "", ""), {**typed(SANDITON), f"wanted_{SANDITON}": None}])
def test_a_title_that_is_left_out_stays_in_the_form(shop, staff, emma, left_out):
    page = receive(staff, check(staff, f"{EMMA} x2", f"{SANDITON} x4"), **left_out)
    assert (form_of(page)["lines"], books(shop)) == (f"{SANDITON} x4", [(EMMA, "Emma", 950, 2)])
    assert "1 line to fix" in text_of(page)
    again = receive(staff, check(staff, form_of(page)["lines"]), **typed(SANDITON))
    assert "Added 4 copies of 1 book" in text_of(again)


def test_a_title_that_was_not_on_the_previewed_page_is_not_added(shop, staff, persuasion):
    fields = {"lines": PERSUASION, "previewed": f"{PERSUASION}x1", "receive": "yes"}
    page = staff.submit(PAGE, **fields)
    assert ("Nothing was received" in text_of(page), books(shop)) == (True, [])


def test_checking_again_keeps_what_was_typed(staff):
    page = check(staff, SANDITON)
    fields = {name: text for name, text in form_of(page).items() if name != "lines"}
    again = check(staff, SANDITON, PERSUASION, **{**fields, f"new-{SANDITON}-title": "Sanditon"})
    assert value(again, f"new-{SANDITON}-title") == "Sanditon"
    assert f"new-{PERSUASION}-title" in names(again)


def test_a_repeated_delivery_adds_no_title_and_no_copy_again(shop, staff, persuasion):
    preview = check(staff, f"{PERSUASION} x3", f"{SANDITON} x4")
    receive(staff, preview, **typed(SANDITON))
    before = shop.everything()
    again = receive(staff, preview, **typed(SANDITON, title="Another title"))
    assert (again.status_code, shop.everything() == before) == (200, True)
    assert "This delivery was received earlier, so nothing was added again." in text_of(again)


def test_a_book_that_somebody_has_added_meanwhile_is_received_as_it_is(shop, staff):
    preview = check(staff, f"{SANDITON} x4")
    shop.book("Sanditon and other stories", isbn=SANDITON, price_cents=500)
    receive(staff, preview, **typed(SANDITON))
    assert books(shop) == [(SANDITON, "Sanditon and other stories", 500, 4)]


def test_the_only_edition_without_an_isbn_gets_it_and_its_customers_are_notified(shop, staff):
    sanditon = shop.book("Sanditon", authors="Austen, Jane", price_cents=500)
    shop.reserve(shop.customer(), sanditon)
    words = text_of(receive(staff, check(staff, f"{SANDITON} x4"), **typed(SANDITON)))
    assert f"the shop had this book without an ISBN, and it has now got {SANDITON}" in words
    assert (books(shop), shop.statuses(sanditon)) == ([(SANDITON, "Sanditon", 500, 4)], ["notified"])


def test_of_several_editions_none_gets_the_isbn(shop, staff):
    for _edition in range(2):
        shop.book("Sanditon", authors="Jane Austen")
    receive(staff, check(staff, f"{SANDITON} x4"), **typed(SANDITON))
    assert sorted(shop.rows("SELECT stock_quantity FROM books")) == [0, 0, 4]


def test_a_reference_price_in_another_currency_is_not_taken_for_ours(shop, staff):
    shop.commit(lambda: services.reference().save([{**KNOWN, "currency": "GBP"}]))
    assert value(check(staff, PERSUASION), f"new-{PERSUASION}-price") == ""


def test_more_copies_than_a_book_may_have_get_no_form(staff):
    page = check(staff, *[f"{SANDITON} x9999"] * 101)
    assert (names(page), "The stock cannot rise above 1,000,000." in text_of(page)) == ([], True)


@pytest.mark.prove
def test_a_delivery_of_500_new_titles_is_received(shop, staff):
    isbns = [isbn(number) for number in range(1000, 1500)]
    shop.commit(lambda: services.reference().save([{**KNOWN, "isbn": code} for code in isbns]))
    answer = receive(staff, check(staff, *isbns))
    assert "Added 500 copies of 500 books to stock" in text_of(answer)
    assert shop.rows("SELECT count(*), sum(stock_quantity) FROM books") == [(500, 500)]
