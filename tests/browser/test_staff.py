"""Journeys of staff: a delivery, a new book with its cover, and deactivating and reactivating a customer."""

import re

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.chromium import log_in
from tests.browser.conftest import ONE_DATABASE
from tests.support.factories import isbn

pytestmark = pytest.mark.prove


@pytest.fixture
def staff(shop, window):
    """A staff window."""
    shop.staff("staff@example.com")
    return window("staff@example.com")


@pytest.fixture
def picture(tmp_path):
    """A photograph of a cover, as a file."""
    path = tmp_path / "cover.jpg"
    Image.linear_gradient("L").resize((400, 600)).convert("RGB").save(path)
    return path


@ONE_DATABASE
def test_two_of_20_lines_of_a_delivery_are_wrong(shop, staff):
    ada = shop.customer("ada@example.com")
    isbns = [isbn() for _line in range(18)]
    for number, code in enumerate(isbns):
        shop.reserve(ada, shop.book(f"Book {number:02}", isbn=code))
    wrong = ["9780141439510 x2", "9780141439511"]
    lines = [f"{code} x{number + 1}" for number, code in enumerate(isbns)]

    staff.goto("/")
    staff.get_by_role("link", name="Desk").click()
    staff.get_by_role("link", name="Delivery", exact=True).click()
    expect(staff.get_by_label(re.compile("ISBNs"))).to_be_focused()
    staff.keyboard.insert_text("\n".join([*lines[:9], *wrong, *lines[9:]]))
    staff.get_by_role("button", name="Check the delivery").click()
    expect(staff.get_by_role("heading", name="2 lines to fix")).to_be_visible()
    expect(staff.get_by_role("row", name=re.compile("Book 04"))).to_contain_text("5 copies, 1 waiting")
    assert shop.statuses(1) == ["waiting"]

    staff.get_by_role("button", name=re.compile("^Receive 171 copies")).click()
    expect(staff.get_by_role("main")).to_contain_text("Book 04: 5 copies, now 5 in stock, 1 customer notified")
    expect(staff.get_by_label(re.compile("ISBNs"))).to_have_value("\n".join(wrong))
    assert [shop.stock(book_id) for book_id in (1, 18)] == [1, 18]
    assert shop.broken() == []


def test_a_delivery_confirmed_twice_is_received_once(shop, staff):
    shop.book("Emma", isbn="9780141439587")
    staff.goto("/admin/delivery")
    staff.get_by_label(re.compile("ISBNs")).fill("9780141439587 x3")
    staff.get_by_role("button", name="Check the delivery").click()
    staff.get_by_role("button", name=re.compile("^Receive")).dblclick()
    expect(staff.get_by_role("heading", name="Received", exact=True)).to_be_visible()
    staff.reload()
    expect(staff.get_by_role("heading", name="Received", exact=True)).to_be_visible()
    assert shop.stock(1) == 3


@ONE_DATABASE
def test_a_new_book_gets_a_cover_which_customers_see_until_it_is_removed(shop, staff, page, picture):
    staff.goto("/admin/books/new")
    for label, value in (("Title", "Emma"), ("Authors", "Jane Austen"), ("Price", "9.50")):
        staff.get_by_label(label, exact=True).fill(value)
    staff.get_by_role("button", name="Save").click()
    staff.get_by_role("link", name="Cover", exact=True).click()
    staff.locator("input[type=file]").set_input_files(picture)
    staff.get_by_role("button", name="Upload").click()
    expect(staff.get_by_role("status")).to_be_visible()

    page.goto("/books/1")
    cover = page.get_by_role("img", name="The cover of Emma")
    expect(cover).to_have_attribute("src", re.compile(r"^/covers/[0-9a-f]+-large\.webp$"))
    assert cover.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0

    staff.get_by_role("button", name=re.compile("Remove")).click()
    page.reload()
    expect(cover).to_have_attribute("src", re.compile(r"cover\.svg"))


@ONE_DATABASE
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xd8" + b"x" * 50_000_000, "8 MB"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "JPEG, PNG or WebP"),
        (b"<!doctype html><script>alert(1)</script>", "JPEG, PNG or WebP"),
    ],
    ids=["50 MB", "SVG with a script", "HTML"],
)
def test_an_invalid_cover_is_refused_with_an_explanation(shop, staff, tmp_path, content, words):
    book_id, path = shop.book("Emma"), tmp_path / "cover.jpg"
    path.write_bytes(content)
    staff.goto(f"/admin/books/{book_id}/cover")
    staff.locator("input[type=file]").set_input_files(path)
    staff.get_by_role("button", name="Upload").click()
    expect(staff.get_by_role("main")).to_contain_text(words)
    assert shop.rows("SELECT cover FROM books") == [None]


@ONE_DATABASE
def test_a_customer_is_deactivated_and_reactivated(shop, staff, window):
    ada = shop.customer("ada@example.com")
    shop.reserve(ada, shop.book("Emma"))
    page = window("ada@example.com")
    staff.goto("/admin/users")
    staff.get_by_role("row", name=re.compile("ada@example.com")).get_by_role(
        "link", name=re.compile("Deactivate")
    ).click()
    staff.get_by_role("main").get_by_role("button", name=re.compile("Deactivate")).click()
    page.goto("/reservations")
    expect(page).to_have_url(re.compile("/login"))
    staff.get_by_role("row", name=re.compile("ada@example.com")).get_by_role(
        "button", name=re.compile("Reactivate")
    ).click()
    expect(staff.get_by_role("status")).to_be_visible()
    log_in(page, "ada@example.com")
    assert (shop.statuses(1), shop.broken()) == (["cancelled"], [])


@ONE_DATABASE
def test_no_typed_number_changes(shop, staff):
    """Type key by key, because browsers remove characters from number fields that are not part of a number."""
    book = shop.book("Emma", price_cents=950)
    staff.goto(f"/admin/books/{book}/edit")
    staff.get_by_label("Price").press("ControlOrMeta+a")
    staff.keyboard.type("14,50")
    staff.get_by_role("button", name="Save").click()
    expect(staff.get_by_role("alert").or_(staff.get_by_role("status")).first).to_be_visible()
    assert shop.rows("SELECT price_cents FROM books") == [1450]

    staff.goto(f"/admin/books/{book}/stock")
    copies = staff.get_by_label("Copies", exact=True)
    copies.press("ControlOrMeta+a")
    staff.keyboard.type("2,5")
    staff.keyboard.press("Enter")
    expect(staff.locator(".field-error")).to_contain_text("Enter a whole number in digits, such as 12.")
    expect(copies).to_have_value("2,5")
    assert shop.stock(book) == 0
