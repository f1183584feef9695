"""Files on the delivery page: a wholesaler's delivery note, and the photo of a barcode."""

import html
from io import BytesIO

import pytest
import xlsxwriter
from PIL import Image

from bookshop.admin.delivery_file import delivery_columns
from tests.admin.test_delivery_new_titles import form_of, names, receive, value
from tests.inventory.test_barcodes import photo
from tests.support.clients import text_of
from tests.support.factories import isbn
from tests.support.uploads import PDF, bomb, saved

pytestmark = pytest.mark.one_postgresql_case

EMMA, PERSUASION = "9780141439587", isbn(2)
PAGE = "/admin/delivery"
BOTH = [f"{EMMA} 5", f"{PERSUASION} 2"]


@pytest.fixture
def staff(shop, web_client):
    shop.staff("staff@example.com")
    return web_client("staff@example.com")


def drop(staff, content, lines="", **fields):
    """Choose a file and check the delivery."""
    content = content.encode() if isinstance(content, str) else content
    return staff.submit(PAGE, lines=lines, file=(BytesIO(content), "delivery.csv"), **fields)


def typed_lines(page):
    return html.unescape(form_of(page)["lines"]).splitlines()


def workbook(*rows):
    """Return an Excel file with these rows."""
    file = BytesIO()
    with xlsxwriter.Workbook(file) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        f"ISBN,Qty\n{EMMA},5\n{PERSUASION},2\n",
        f"EAN;Menge\r\n{EMMA};5\r\n{PERSUASION};2\r\n",
        f"\ufeffISBN\tTitel\tStück\n978-0-14-143958-7\tEmma\t5\n{PERSUASION}\tx\t2",
        f"Lieferschein 4711\n\nISBN;Bestellt;Geliefert;Titel\n{EMMA};9;5;Emma\n{PERSUASION};2;2;x\n",
        f"Lieferscheinnummer;EAN;Bezeichnung;Menge\n1;{EMMA};Emma;5\n1;{PERSUASION};x;2\n",
        f'sep=;\n"ISBN";"Quantité"\n"=""{EMMA}""";"5"\n"{PERSUASION}";"2,00"\n',
        f"ISBN,Quantity\n{EMMA},5 pcs\n{PERSUASION},2.0\n",
        f"ISBN|Delivered|Stock\n{EMMA}|5|99\n{PERSUASION}|2|0\n".encode("utf-16"),
        workbook(["ISBN", "Quantity"], [int(EMMA), 5], [PERSUASION, 2.0]),
    ],
    ids=range(9),
)
def test_a_delivery_note_in_any_dialect_becomes_lines_of_the_delivery(shop, staff, content):
    before = shop.everything()
    page = drop(staff, content)
    assert (page.status_code, typed_lines(page)) == (200, BOTH)
    assert "2 lines were added to the list of ISBNs." in text_of(page)
    assert shop.everything() == before


def test_a_list_without_a_header_is_taken_as_typed(staff):
    assert typed_lines(drop(staff, f"{EMMA};5\n{PERSUASION};2\n")) == [f"{EMMA};5", f"{PERSUASION};2"]


def test_a_list_without_copies_has_one_of_each_and_says_so(staff):
    page = drop(staff, f"ISBN,Title,Kpl.\n{EMMA},Emma,3\n")
    assert (page.status_code, typed_lines(page)) == (200, [f"{EMMA} 1"])
    assert "No column of the file is known as the number of copies, so each line counts as one copy." in text_of(page)


@pytest.mark.parametrize("names", ["Ordered", "Qty Ordered,Price", "Bestellmenge,Bestand"])
def test_copies_that_were_only_ordered_are_taken_and_the_page_says_so(staff, names):
    page = drop(staff, f"ISBN,{names}\n{EMMA},5{',9' * names.count(',')}\n")
    assert (page.status_code, typed_lines(page)) == (200, [f"{EMMA} 5"])
    assert "The column of what was ordered was taken, as there is none of what was delivered." in text_of(page)


@pytest.mark.parametrize(
    "header",
    [
        "ISBN,Qty Ordered,*Qty Supplied",
        "ISBN,*Supplied,Ordered",
        "ISBN,Qty Ordered,*Quantity Invoiced",
        "ISBN,Qty,*Qty Despatched",
        "ISBN,*Dispatched,Qty",
        "ISBN,*Qty,Invoiced",  # which may be an amount of money
        "ISBN,Ordered,*Invoiced",
        "ISBN,Bestellt,*Berechnet",
        "ISBN,Bestellmenge,*fakturiert",
        "ISBN,Cant.,*Cant. servida",
        "ISBN,Cantidad,*Cantidad servida",
        "ISBN,Qt\xe9,*Qt\xe9 exp\xe9di\xe9e",
        "ISBN,Titel,*Anz.",
        "ISBN,T\xedtulo,*Uds.",
    ],
)
def test_what_was_delivered_counts_more_than_what_was_ordered(header):
    names = header.split(",")
    mapping = delivery_columns([name.strip("*") for name in names])
    assert [name for name, field in zip(names, mapping, strict=True) if field == "stock_quantity"] == [
        name for name in names if name.startswith("*")
    ]


def test_lines_of_a_file_are_added_to_those_that_are_typed(staff):
    assert typed_lines(drop(staff, f"ISBN,Qty\n{EMMA},5\n", lines=PERSUASION)) == [PERSUASION, f"{EMMA} 5"]


def test_lines_that_cannot_be_read_stay_visible_with_their_reason(staff):
    rows = (
        f"ISBN;Titel;Menge\n9,78E+12;Emma;5\n{EMMA};Emma;0\n{EMMA};Emma;viele\n{EMMA};Emma;\n;Summe;17\n{EMMA};Emma;1\n"
    )
    page = drop(staff, rows)
    words = text_of(page)
    assert "4 lines to fix" in words
    for line in (
        "1 9,78E+12 Emma 5 This is not an ISBN",
        f"2 {EMMA} 0 The number of copies must be from 1",
        f"3 {EMMA} viele The number of copies must be from 1",
        f"4 {EMMA} copies missing The number of copies must be from 1",
    ):
        assert line in words


def test_lines_that_cannot_be_taken_apart_are_shown_with_the_real_reason_and_are_not_typed(staff):
    page = drop(staff, f"ISBN;Titel;Menge\n{EMMA};Emma;5\n{PERSUASION};x;2;y;z\n", lines="Emma")
    words = text_of(page)
    assert typed_lines(page) == ["Emma", f"{EMMA} 5"]
    assert "1 line was added to the list of ISBNs." in words
    assert "2 lines to fix" in words
    assert "1 line of the file cannot be read, and is not in the list of ISBNs." in words
    assert "Line 3 of the file It has 5 columns, but the header has 3." in words


def test_a_file_of_which_no_line_can_be_read_says_why(staff):
    page = drop(staff, f"ISBN;Titel;Menge\n{EMMA};x;2;y;z\n")
    assert (page.status_code, typed_lines(page)) == (400, [])
    assert "Line 2 of the file It has 5 columns, but the header has 3." in text_of(page)


def test_what_a_file_says_about_new_titles_is_filled_in(shop, staff):
    page = drop(staff, f"ISBN;Autor;Titel;Preis;Menge\n{EMMA};Austen, Jane;Emma;7,80;5\n")
    found = [value(page, f"new-{EMMA}-{name}") for name in ("title", "authors", "price")]
    assert found == ["Emma", "Jane Austen", "7.80"]
    receive(staff, page)
    assert shop.rows("SELECT title, authors, price_cents, stock_quantity FROM books") == [
        ("Emma", "Jane Austen", 780, 5)
    ]


def test_an_unreadable_price_keeps_no_copies_out(staff):
    page = drop(staff, f"ISBN;Titel;Preis;Menge\n{EMMA};Emma;teuer;5\n")
    assert (typed_lines(page), value(page, f"new-{EMMA}-price")) == ([f"{EMMA} 5"], "")


def test_a_file_that_is_chosen_late_is_shown_before_anything_is_received(shop, staff):
    shop.book("Emma", isbn=EMMA)
    preview = staff.submit(PAGE, lines=EMMA)
    fields = {**form_of(preview), "receive": "yes"}
    page = staff.submit(PAGE, **fields, file=(BytesIO(f"ISBN,Qty\n{EMMA},5\n".encode()), "more.csv"))
    assert ("Nothing has been saved yet." in text_of(page), shop.stock(1)) == (True, 0)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"ISBN,Qty\n" + b" " * 4 * 1024 * 1024, "at most 4 MB"),
        ("ISBN,Qty\n" + f"{EMMA},1\n" * 501, "more than 500 lines"),
        ("Title,Qty\nEmma,5\n", "No column of this file is known as the ISBN"),
        (PDF, "This is a PDF."),
        (saved(Image.new("L", (10, 10))), "a picture"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "Workbook\0".encode("utf-16-le"), "an old Excel file"),
        (b" ", "The file is empty."),
        (
            b'<ONIXMessage release="3.0" xmlns="http://ns.editeur.org/onix/3.0/reference"><Product/></ONIXMessage>',
            "This is an ONIX message",
        ),
    ],
    ids=lambda content: str(content)[-40:],
)
def test_a_file_that_is_no_delivery_note_is_refused_in_words(shop, staff, content, reason):
    before = shop.everything()
    page = drop(staff, content, lines=EMMA)
    assert (page.status_code, typed_lines(page), names(page)) == (400, [EMMA], [])
    assert reason in text_of(page)
    assert shop.everything() == before


def test_a_form_that_is_far_too_large_is_refused_in_words(staff):
    page = drop(staff, b"x" * 14 * 1024 * 1024)
    assert (page.status_code, "a delivery note may have at most 4 MB" in text_of(page)) == (413, True)


def test_a_photo_of_a_barcode_becomes_a_line(staff):
    upload = (BytesIO(saved(photo(EMMA), "JPEG")), "photo.jpg")
    page = staff.submit(PAGE, lines=PERSUASION, photo=upload)
    assert (page.status_code, typed_lines(page)) == (200, [PERSUASION, EMMA])
    assert "1 line was added to the list of ISBNs." in text_of(page)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (lambda: saved(photo()), "There is no readable barcode of a book in this photo."),
        (lambda: bomb(60_000, 60_000), "at most 40 megapixels"),
        (lambda: b"x" * 9 * 1024 * 1024, "at most 8 MB"),
        (lambda: PDF, "not a JPEG, PNG or WebP picture"),
    ],
)
def test_another_photo_is_refused_in_words_and_keeps_what_is_typed(staff, content, reason):
    page = staff.submit(PAGE, lines=EMMA, photo=(BytesIO(content()), "photo.jpg"))
    assert (page.status_code, typed_lines(page), reason in text_of(page)) == (400, [EMMA], True)


def test_only_this_page_of_staff_has_scripts_and_only_it_may_use_the_camera(staff):
    with_camera = staff.get(PAGE).headers
    assert with_camera["Permissions-Policy"] == "camera=(self)"
    assert "script-src 'self'" in with_camera["Content-Security-Policy"]
    assert "wasm" not in with_camera["Content-Security-Policy"]
    assert "connect-src" not in with_camera["Content-Security-Policy"]
    for page in ("/admin", "/admin/books", "/admin/books/new", "/admin/books/999/edit", "/api/v1/books", "/robots.txt"):
        headers = staff.get(page).headers
        assert (headers["Permissions-Policy"], page) == ("camera=()", page)
        assert "script-src" not in headers["Content-Security-Policy"]


def test_other_pages_load_only_scripts_of_the_shop_and_connect_only_to_it(staff):
    for page in ("/", "/login", "/nowhere", "/api/docs"):
        headers = staff.get(page).headers
        assert (headers["Permissions-Policy"], page) == ("camera=()", page)
        scripts = "; script-src 'self'; connect-src 'self'"
        assert (headers["Content-Security-Policy"].count("-src"), scripts in headers["Content-Security-Policy"]) == (
            6,
            True,
        )
