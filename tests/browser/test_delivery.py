"""Journeys of staff on the delivery page: new titles, a dropped file, and the camera as a scanner."""

import re

import pytest
from playwright.sync_api import expect

from bookshop.web import services
from tests.browser.conftest import ONE_DATABASE
from tests.browser.hands import in_every_way
from tests.support.factories import isbn

pytestmark = pytest.mark.prove

EMMA, PERSUASION, SANDITON = "9780141439587", isbn(2), isbn(3)
LINES = re.compile("ISBNs, one per line")
KNOWN = {"isbn": PERSUASION, "title": "Persuasion", "authors": "Jane Austen", "price_cents": 950, "currency": "EUR"}
DROP = """([text]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([text], 'delivery.csv'));
    const drop = type => document.getElementById('lines')
        .dispatchEvent(new DragEvent(type, {dataTransfer: transfer, bubbles: true, cancelable: true}));
    drop('dragover');
    drop('drop');
}"""
# A camera and a detector, in a browser that has neither: the detector sees what `window.barcode` says.
CAMERA = """
    const canvas = document.createElement('canvas');
    setInterval(() => canvas.getContext('2d').fillRect(0, 0, 100 * Math.random(), 100), 50);
    navigator.mediaDevices.getUserMedia = async () => canvas.captureStream(10);
    window.BarcodeDetector = class {
        static async getSupportedFormats() { return ['ean_13']; }
        async detect() { return window.barcode ? [{rawValue: window.barcode}] : []; }
    };
"""


@pytest.fixture
def emma(shop):
    shop.staff("staff@example.com")
    shop.commit(lambda: services.reference().save([KNOWN]))
    return shop.book("Emma", isbn=EMMA)


@in_every_way
def test_a_delivery_with_two_new_titles_is_received(shop, window, emma, hands, options):
    shop.reserve(shop.customer("ada@example.com"), emma)
    staff = window("staff@example.com", **options)
    staff.goto("/admin/delivery")
    hands.type(staff.get_by_label(LINES), f"5 x {EMMA}\n{PERSUASION} 2 pcs\n{SANDITON};3")
    hands.press(staff.get_by_role("button", name="Check the delivery"))
    expect(staff.get_by_role("heading", name="5 copies of 1 book and 5 copies of 2 new titles")).to_be_visible()

    known = staff.get_by_role("group", name=re.compile(PERSUASION))
    expect(known.get_by_label("Title")).to_have_value("Persuasion")
    unknown = staff.get_by_role("group", name=re.compile(SANDITON))
    hands.type(unknown.get_by_label("Title"), "Sanditon")
    hands.type(unknown.get_by_label("Authors"), "Jane Austen")
    hands.press(staff.get_by_role("button", name="Add the new titles and receive"))
    expect(unknown.get_by_text("Enter a price, or 0 for a price on request.")).to_be_visible()
    expect(unknown.get_by_label("Title")).to_have_value("Sanditon")
    assert shop.stock(emma) == 0

    hands.type(unknown.get_by_label("Price"), "8.50")
    hands.press(staff.get_by_role("button", name="Add the new titles and receive"))
    expect(staff.get_by_role("status")).to_contain_text("Added 10 copies of 3 books to stock and notified 1 customer.")
    assert shop.rows("SELECT title, price_cents, stock_quantity FROM books ORDER BY title") == [
        ("Emma", 950, 5),
        ("Persuasion", 950, 2),
        ("Sanditon", 850, 3),
    ]
    assert (shop.statuses(emma), shop.broken()) == (["notified"], [])


@ONE_DATABASE
def test_a_file_dropped_onto_the_list_is_checked_at_once(shop, window, emma):
    staff = window("staff@example.com")
    staff.goto("/admin/delivery")
    staff.evaluate(DROP, [f"EAN;Titel;Preis;Menge\n{EMMA};Emma;9,50;5\n{SANDITON};Sanditon;8,50;3\n"])
    expect(staff.get_by_label(LINES)).to_have_value(f"{EMMA} 5\n{SANDITON} 3")
    expect(staff.get_by_role("group", name=re.compile(SANDITON)).get_by_label("Price")).to_have_value("8.50")


@ONE_DATABASE
def test_the_camera_counts_each_book_until_it_is_closed_with_the_keyboard(window, emma):
    staff = window("staff@example.com")
    staff.add_init_script(CAMERA)
    staff.goto("/admin/delivery")
    staff.get_by_role("button", name="Scan with the camera").click()
    scanner = staff.get_by_role("dialog", name="Scan with the camera")
    expect(scanner.get_by_role("status")).to_have_text("Hold the barcode of a book in front of the camera.")
    for barcode, shown in ((EMMA, f"{EMMA}: 1 copy"), ("4006381333931", ""), (SANDITON, f"{SANDITON}: 1 copy"),
                           (EMMA, f"{EMMA}: 2 copies")):  # fmt: skip
        staff.evaluate("barcode => { window.barcode = barcode; }", barcode)
        if shown:
            expect(scanner.get_by_role("status")).to_have_text(shown)
    staff.keyboard.press("Escape")
    expect(scanner).to_be_hidden()
    expect(staff.get_by_label(LINES)).to_have_value(f"{EMMA} 2\n{SANDITON} 1\n")


@ONE_DATABASE
def test_without_a_detector_of_barcodes_no_scanner_is_offered(window, emma):
    staff = window("staff@example.com")
    staff.add_init_script("delete window.BarcodeDetector")
    staff.goto("/admin/delivery")
    expect(staff.get_by_text("You can drop the supplier's file onto the list.")).to_be_visible()
    expect(staff.get_by_role("button", name="Scan with the camera")).to_be_hidden()
    expect(staff.get_by_label(re.compile("Take a photo of the barcode"))).to_be_visible()
