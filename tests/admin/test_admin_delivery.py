"""The delivery page: scan or type, preview, receive once."""

import html
import re

import pytest

from bookshop.kit.exceptions import Conflict
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from tests.support.clients import text_of
from tests.support.factories import isbn

pytestmark = pytest.mark.one_postgresql_case

EMMA, PERSUASION, SANDITON = isbn(1), isbn(2), isbn(3)
UNKNOWN, MISTYPED = isbn(4), isbn(1)[:-1] + str((int(isbn(1)[-1]) + 1) % 10)
PAGE = "/admin/delivery"


@pytest.fixture
def staff(shop, web_client):
    shop.staff("staff@example.com")
    return web_client("staff@example.com")


@pytest.fixture
def emma(shop):
    """A book that is out of stock, with two waiting customers."""
    book_id = shop.book("Emma", isbn=EMMA)
    for user_id in shop.customers(2):
        shop.reserve(user_id, book_id)
    return book_id


@pytest.fixture
def persuasion(shop):
    return shop.book("Persuasion", isbn=PERSUASION, stock=3)


def hidden_value(page, name):
    """Return the value of a hidden field."""
    found = re.search(rf'<input[^>]*name="{name}"[^>]*value="([^"]*)"', page.text)
    return html.unescape(found.group(1)) if found else ""


def typed_isbns(page):
    """Return the text in the field of ISBNs."""
    _start, _tag, text = page.text.partition('name="lines"')
    return html.unescape(text.partition(">")[2].partition("</textarea>")[0]).strip().splitlines()


def check(staff, *lines, **fields):
    """Submit these lines and return the preview."""
    return staff.submit(PAGE, lines="\r\n".join(lines), **fields)


def receive(staff, preview, **changes):
    """Press the button below the preview."""
    fields = {name: hidden_value(preview, name) for name in ("number", "previewed")}
    return staff.submit(PAGE, **{"lines": "\r\n".join(typed_isbns(preview)), "receive": "yes", **fields, **changes})


def movements(shop):
    return shop.rows("SELECT book_id, delta, quantity_after, reason, user_id FROM movements ORDER BY id")


def test_the_scanner_field_has_the_focus(staff):
    assert re.search(r"<textarea[^>]* autofocus", staff.get(PAGE).text)


def test_the_preview_shows_copies_and_waiting_customers_and_writes_nothing(shop, staff, emma, persuasion):
    before = shop.everything()
    words = text_of(check(staff, f"{EMMA} x5", PERSUASION))
    assert f"Emma {EMMA} 0 → 5 5 copies, 2 waiting Persuasion {PERSUASION} 3 → 4 1 copy, 0 waiting" in words
    assert "6 copies of 2 books 2 customers will be notified. Nothing has been saved yet." in words
    assert shop.everything() == before


@pytest.mark.usefixtures("emma", "persuasion")
def test_repeated_lines_of_a_book_become_one_line_of_the_preview_which_says_so(staff):
    words = text_of(check(staff, f"{EMMA} x2", PERSUASION, f"{EMMA[:3]}-{EMMA[3:]}", "", f"{EMMA} 4"))
    assert f"Emma {EMMA} Lines 1, 3 and 5 combined 0 → 7 7 copies, 2 waiting" in words


@pytest.mark.usefixtures("emma")
def test_wrong_lines_are_explained_and_kept_as_typed(shop, staff):
    shop.set_stock(shop.book("Full", isbn=SANDITON), 999_999)
    lines = [f"{EMMA} x2", "Ema <b>", MISTYPED, f"{UNKNOWN} x3", f"{EMMA} x0", f"{SANDITON} x2"]
    page = check(staff, *lines)
    words = text_of(page)
    assert (page.status_code, typed_isbns(page)) == (200, lines)
    assert ("4 lines to fix" in words, "1 new title The shop has no book with this ISBN yet." in words) == (True, True)
    for wrong in (
        "2 Ema <b> This is not an ISBN: it needs 10 or 13 digits",
        f"3 {MISTYPED} This is not an ISBN: the check digit is wrong",
        f"5 {EMMA} x0 The number of copies must be from 1 to 9,999.",
        f"6 {SANDITON} x2 The stock is 999999; it cannot rise above 1,000,000.",
    ):
        assert wrong in words


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("", "at least one ISBN"),
        (" \r\n ", "at least one ISBN"),
        ("Emma", "1 line to fix"),
        ("9780141439587\0", "control characters"),
        ("x" * 50_001, "This text is too long."),
        (f"{EMMA}\r\n" * 501, "There are 501 lines. Enter at most 500 at a time."),
    ],
)
def test_a_preview_without_valid_lines_has_no_receive_button(shop, staff, emma, lines, words):
    before = shop.everything()
    page = staff.submit(PAGE, lines=lines, receive="yes", previewed="")
    assert (page.status_code, words in text_of(page), 'name="receive"' in page.text) == (400, True, False)
    assert shop.everything() == before


def test_receiving_adds_copies_notifies_customers_and_reports_each_line(shop, staff, emma, persuasion):
    answer = receive(staff, check(staff, f"{EMMA} x5", f"{PERSUASION} x2"))
    words = text_of(answer)
    assert (
        answer.status_code,
        "Added 7 copies of 2 books to stock and notified 2 customers. The e-mails will be sent in 60" in words,
    ) == (200, True)
    assert "Emma : 5 copies, now 5 in stock, 2 customers notified" in words
    assert "Persuasion : 2 copies, now 5 in stock, 0 customers notified" in words
    assert (shop.stock(emma), shop.stock(persuasion), shop.statuses(emma)) == (5, 5, ["notified"] * 2)
    assert shop.broken() == []


def test_the_ledger_names_the_delivery_and_who_received_it(shop, staff, emma, persuasion):
    receive(staff, check(staff, PERSUASION, EMMA))
    staff_id = shop.rows("SELECT id FROM users WHERE role = 'bookseller'")[0]
    notes = shop.rows("SELECT DISTINCT note FROM movements WHERE note IS NOT NULL")
    assert movements(shop)[1:] == [(persuasion, 1, 4, "received", staff_id), (emma, 1, 1, "received", staff_id)]
    assert (len(notes), bool(re.fullmatch("Delivery [0-9a-f]{8}", notes[0]))) == (1, True)


def test_wrong_lines_are_not_received_but_kept_to_be_fixed(shop, staff, emma):
    answer = receive(staff, check(staff, "Ema", f"{EMMA} x5", f"{UNKNOWN} x3"))
    assert (shop.stock(emma), typed_isbns(answer)) == (5, ["Ema", f"{UNKNOWN} x3"])
    assert f"2 {UNKNOWN} x3 There is no book" in text_of(answer)

    shop.book("Sanditon", isbn=UNKNOWN)
    fixed = receive(staff, check(staff, *typed_isbns(answer)))
    assert "Sanditon : 3 copies, now 3" in text_of(fixed)


def test_a_book_whose_stock_became_full_after_the_preview_does_not_stop_the_others(shop, staff, emma, persuasion):
    preview = check(staff, f"{PERSUASION} x2", f"{EMMA} x5")
    shop.set_stock(persuasion, 999_999)
    answer = receive(staff, preview)
    assert (answer.status_code, typed_isbns(answer)) == (200, [f"{PERSUASION} x2"])
    assert "The stock is 999999; it cannot rise above 1,000,000." in text_of(answer)
    assert (shop.stock(emma), shop.stock(persuasion), shop.statuses(emma)) == (5, 999_999, ["notified"] * 2)
    assert shop.broken() == []


def test_a_book_that_fails_half_way_is_rolled_back_alone(shop, staff, emma, persuasion, monkeypatch):
    notify = PreBookRepository.notify_waiting_by_book

    def fail(self, restocks):
        notify(self, restocks)
        raise Conflict("Emma stays out.")

    monkeypatch.setattr(PreBookRepository, "notify_waiting_by_book", fail)
    answer = receive(staff, check(staff, f"{PERSUASION} x2", f"{EMMA} x5"))
    assert (shop.stock(emma), shop.stock(persuasion), shop.statuses(emma)) == (0, 5, ["waiting"] * 2)
    assert ("Emma stays out." in text_of(answer), shop.broken()) == (True, [])


def test_a_delivery_that_adds_nothing_says_so(shop, staff, persuasion):
    preview = check(staff, f"{PERSUASION} x2")
    shop.set_stock(persuasion, 999_999)
    answer = receive(staff, preview)
    assert (answer.status_code, "Nothing was received" in text_of(answer)) == (409, True)


def test_a_double_click_or_reload_adds_nothing_and_shows_the_same_page(shop, staff, emma, persuasion):
    preview = check(staff, f"{EMMA} x5", f"{PERSUASION} x2", "Ema")
    receive(staff, preview)
    before = shop.everything()
    again = receive(staff, preview)
    assert (again.status_code, typed_isbns(again), shop.everything()) == (200, ["Ema"], before)
    words = text_of(again)
    assert ("nothing was added again" in words, "e-mails will be sent" in words) == (True, False)
    assert "Emma : 5 copies, now 5 in stock, 2 customers notified" in words
    assert "Persuasion : 2 copies, now 5 in stock, 0 customers notified" in words


def test_going_back_and_adding_a_line_receives_only_that_line(shop, staff, emma, persuasion):
    first = check(staff, f"{EMMA} x5")
    receive(staff, first)
    second = check(staff, f"{EMMA} x5", f"{PERSUASION} x2", number=hidden_value(first, "number"))
    assert "5 copies already received" in text_of(second)
    assert "2 copies of 1 book 0 customers will be notified" in text_of(second)
    answer = receive(staff, second)
    assert "Emma : 5 copies, now 5 in stock, 2 customers notified (received earlier)" in text_of(answer)
    assert (shop.stock(emma), shop.stock(persuasion)) == (5, 5)


def test_the_same_books_can_come_in_another_delivery(shop, staff, emma):
    for _delivery in range(2):
        receive(staff, check(staff, f"{EMMA} x5"))
    assert shop.stock(emma) == 10


@pytest.mark.parametrize("lines", [f"{EMMA} x50", f"{EMMA} x5\r\n{PERSUASION}", PERSUASION])
def test_lines_that_changed_since_the_preview_are_shown_before_they_are_received(shop, staff, emma, persuasion, lines):
    preview = check(staff, f"{EMMA} x5")
    before = shop.everything()
    answer = receive(staff, preview, lines=lines)
    assert ("Nothing has been saved yet." in text_of(answer), shop.everything()) == (True, before)
    receive(staff, answer)
    assert (shop.stock(emma), shop.stock(persuasion)) != (0, 3)


def test_copies_sold_since_the_preview_stay_sold(shop, staff, persuasion):
    preview = check(staff, f"{PERSUASION} x5")
    shop.set_stock(persuasion, 1)
    assert "Persuasion : 5 copies, now 6" in text_of(receive(staff, preview))


def test_a_withdrawn_book_is_counted_but_not_on_sale(shop, staff, persuasion):
    shop.withdraw(persuasion)
    preview = check(staff, f"{PERSUASION} x2")
    assert "Withdrawn: its copies are added to stock" in text_of(preview)
    assert "now 5 in stock, 0 customers notified; withdrawn, so not on sale" in text_of(receive(staff, preview))
    assert shop.stock(persuasion) == 5


@pytest.mark.parametrize("number", ["", "x", "Delivery", "1234567", "0000000g", "1" * 600, "1234567\n", "<b>"])
def test_an_invalid_delivery_number_is_replaced(shop, staff, emma, number):
    receive(staff, check(staff, EMMA, number=number))
    [note] = shop.rows("SELECT note FROM movements")
    assert re.fullmatch("Delivery [0-9a-f]{8}", note)


def test_five_hundred_lines_can_be_received_as_one_delivery(shop, staff):
    isbns = [isbn(number) for number in range(100, 600)]
    rows = [{"title": code, "authors": "A", "price_cents": 1, "currency": "EUR", "isbn": code} for code in isbns]
    shop.commit(lambda: services.catalog().create_all(rows))
    answer = receive(staff, check(staff, *[f"{code} x2" for code in isbns]))
    assert "Added 1,000 copies of 500 books to stock" in text_of(answer)
    assert shop.rows("SELECT count(*), sum(stock_quantity) FROM books") == [(500, 1000)]
