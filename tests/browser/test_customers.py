"""Journeys of visitors and customers, in windows of their own."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import log_in
from tests.browser.conftest import ONE_DATABASE
from tests.support.factories import PASSWORD
from tests.support.links import delivered_link

pytestmark = [ONE_DATABASE, pytest.mark.prove]


@pytest.fixture
def ada(shop):
    """Ada's user id."""
    return shop.customer("ada@example.com")


def availability(page):
    return page.get_by_role("region", name="Availability")


@pytest.mark.usefixtures("ada")
def test_reserving_a_book_restocked_meanwhile_says_so(shop, window):
    page, book_id = window("ada@example.com"), shop.book("Emma")
    page.goto(f"/books/{book_id}")
    shop.set_stock(book_id, 2)
    availability(page).get_by_role("button", name="Reserve").click()
    expect(page.get_by_role("status")).to_contain_text("Book is in stock")
    expect(availability(page)).to_contain_text("Only 2 left.")


def click_twice(button):
    """Click, and click again after the shop has acted but before its response arrives."""
    page, box, answers = button.page, button.bounding_box(), []
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def pass_on(route):
        answers.append(route.fetch(max_redirects=0))
        if len(answers) == 1:
            page.mouse.click(*middle)
        else:
            route.fulfill(response=answers[-1])

    page.route(lambda _url: True, lambda route: pass_on(route) if route.request.method == "POST" else route.fallback())
    page.mouse.click(*middle)
    expect(page.get_by_role("status")).to_be_visible()
    page.unroute_all()
    assert [answer.status for answer in answers] == [303, 303]


@pytest.mark.parametrize("email", ["ada@example.com", None])
@pytest.mark.usefixtures("ada")
def test_a_double_click_adds_one_copy_and_shows_so(shop, window, email):
    page, book_id = window(email, java_script_enabled=False), shop.book("Emma", stock=5)
    for start in (f"/books/{book_id}", "/books"):
        page.goto(start)
        click_twice(page.get_by_role("button", name="Add to cart"))
        expect(page.get_by_role("status")).to_contain_text("in your cart")
    page.goto("/cart")
    expect(page.get_by_label("Copies")).to_have_value("2")


@pytest.mark.usefixtures("ada")
def test_a_double_click_on_reserve_shows_the_reservation(shop, window):
    page, book_id = window("ada@example.com"), shop.book("Emma")
    page.goto(f"/books/{book_id}")
    click_twice(availability(page).get_by_role("button", name="Reserve"))
    expect(page.get_by_role("status")).to_have_count(1)
    expect(page.get_by_role("status")).to_contain_text("Reserved.")
    expect(availability(page)).to_contain_text("You are on the waiting list.")
    assert shop.statuses(book_id) == ["waiting"]


def test_a_visitor_adds_and_removes_filters(shop, page):
    for number in range(30):
        shop.book(
            f"Book {number:02}", language="en" if number % 2 else "fr", stock=number % 3, price_cents=900 + number * 30
        )
    page.goto("/books")
    page.get_by_role("link", name=re.compile("^English")).click()
    expect(page.get_by_text("15 books", exact=True)).to_be_visible()
    page.get_by_role("link", name=re.compile("^Out of stock")).click()
    expect(page.get_by_text("5 books", exact=True)).to_be_visible()
    page.get_by_label("Price to").fill("10")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("list", name="Chosen filters")).to_contain_text("Up to €10.00")
    page.get_by_role("link", name="Remove all").click()
    page.get_by_role("link", name="Next page").click()
    expect(page.get_by_text("Page 2 of 2")).to_be_visible()


def test_a_search_without_results_offers_help(shop, page):
    shop.book("Emma")
    page.goto("/")
    page.get_by_label("Title, author or ISBN").fill("emma xyz")
    page.get_by_label("Title, author or ISBN").press("Enter")
    expect(page.get_by_role("heading", name="No books found for “emma xyz”.")).to_be_visible()
    page.get_by_role("link", name="emma 1").click()
    expect(page.get_by_role("link", name="Emma", exact=True)).to_be_visible()


def stops_before(page, button):
    """Press Tab from the top of the page until the button has the focus; return how often."""
    for pressed in range(1, 100):
        page.keyboard.press("Tab")
        if button.evaluate("element => element === document.activeElement"):
            return pressed
    raise AssertionError(f"{button} cannot be reached with Tab")


def test_the_first_book_of_the_catalogue_is_twelve_tab_stops_away_and_buttons_are_on_one_line(shop, page):
    shop.describe(week=["10:00\u201318:30"] * 7, city="Berlin")
    for number, title in enumerate(("A", "B " * 40, "C", "D")):
        shop.book(
            title, authors=f"{title} {title}", stock=3 - number, language="fr", published_year=1900 if number else None
        )
    page.goto("/books")
    assert stops_before(page, page.get_by_role("button", name="Add to cart").first) <= 12
    lines = page.locator(".book-card .btn").evaluate_all("all => all.map(one => one.getBoundingClientRect().bottom)")
    assert (len(lines), max(lines) - min(lines) < 1) == (4, True), lines


@pytest.mark.parametrize("scripts", [True, False])
def test_on_a_phone_the_filters_are_a_drawer_and_the_way_back_is_the_card(shop, window, scripts):
    for number in range(12):
        shop.book(f"Book {number:02}", language="en" if number % 3 else "fr", stock=number % 2)
    page = window(viewport={"width": 360, "height": 640}, java_script_enabled=scripts)
    page.goto("/books")
    drawer = page.get_by_role("region", name="Filter and sort")
    expect(drawer).to_be_hidden()
    page.get_by_role("link", name="Filter and sort").click()
    page.keyboard.press("Tab")
    expect(drawer.get_by_role("link", name="Show 12 books")).to_be_focused()
    drawer.get_by_role("link", name="English").click()
    expect(drawer).to_be_hidden()
    expect(page.get_by_role("list", name="Chosen filters")).to_contain_text("English")
    page.get_by_role("button", name="Add to cart Book 11").click()
    card = page.locator(".book-card").filter(has_text="Book 11")
    expect(card).to_contain_text("Book 11 is in your cart.")
    expect(card.get_by_role("link", name="View cart")).to_be_in_viewport()
    if scripts:
        expect(card.get_by_role("button")).to_be_focused()
    else:
        page.keyboard.press("Tab")
        expect(card.get_by_role("link", name="View cart")).to_be_focused()


@pytest.mark.parametrize("stock", [0, 5])
def test_the_button_of_a_book_is_in_view_on_a_phone(shop, window, stock):
    book_id = shop.book("The Life and Opinions of Tristram Shandy", description="Digressions. " * 50, stock=stock)
    page = window(viewport={"width": 360, "height": 640})
    page.goto(f"/books/{book_id}")
    expect(availability(page).get_by_role("button")).to_be_in_viewport(ratio=1)


def test_availability_stays_in_view_beside_a_long_description(shop, page):
    book_id = shop.book("Emma", description="One village.\n" * 200, stock=1)
    page.goto(f"/books/{book_id}")
    page.get_by_text("Jane Austen").first.hover()
    page.mouse.wheel(0, 2000)
    page.wait_for_function("scrollY > 1500")
    expect(availability(page).get_by_role("button", name="Add to cart")).to_be_in_viewport(ratio=1)


def test_on_a_phone_the_header_is_one_row_with_search_and_menu_that_need_no_script(shop, ada, window):
    shop.describe(name="The Rather Long and Very Well Known Bookshop of Saint Albans", city="Saint Albans")
    emma = shop.book("Emma")
    shop.reserve(ada, emma)
    shop.set_stock(emma, 2)
    page = window("ada@example.com", java_script_enabled=False, viewport={"width": 320, "height": 640})
    page.goto("/")
    banner, menu = page.get_by_role("banner"), page.get_by_role("navigation", name="Main")
    assert banner.bounding_box()["height"] <= 64
    expect(menu).to_be_hidden()
    for keys in (["Tab"], ["Tab"], ["Tab"], [*"emma", "Tab"]):  # past the link to the content and the name
        for key in keys:
            page.keyboard.press(key)
    expect(page.get_by_role("button", name="Search")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Emma", exact=True)).to_be_visible()
    expect(banner.get_by_role("link", name="Account 1 update")).to_be_visible()
    page.get_by_role("button", name="Menu").press("Enter")
    page.keyboard.press("Tab")
    expect(menu.get_by_role("link", name="Books")).to_be_focused()
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    page.get_by_role("button", name="Menu").click()
    menu.get_by_role("link", name="My reservations 1 back in stock").click()
    expect(page.get_by_role("heading", name="My reservations")).to_be_visible()


@pytest.mark.usefixtures("ada")
def test_a_customer_changes_the_address_logs_out_elsewhere_and_creates_a_token(shop, window, mailbox):
    page, phone = window("ada@example.com"), window("ada@example.com")
    page.goto("/")
    page.get_by_role("link", name="Account").click()
    page.get_by_role("link", name="Change e-mail address").click()
    page.get_by_label("New e-mail address").fill("lovelace@example.com")
    page.get_by_label(re.compile("password", re.IGNORECASE)).fill(PASSWORD)
    page.get_by_role("button", name="Change e-mail address").click()
    expect(page.get_by_role("status")).to_contain_text("We've sent a link to lovelace@example.com")
    page.goto(delivered_link(mailbox))
    page.get_by_role("button", name="Change my address").click()
    expect(page.get_by_role("status")).to_contain_text("Your e-mail address is now lovelace@example.com")
    phone.goto("/reservations")
    expect(phone).to_have_url(re.compile("/login"))

    log_in(phone, "lovelace@example.com")
    page.goto("/account/sessions")
    page.get_by_role("button", name="Log out everywhere else").click()
    phone.goto("/reservations")
    expect(phone).to_have_url(re.compile("/login"))

    page.goto("/account/tokens")
    page.get_by_label("What is it for?").fill("till")
    page.get_by_role("button", name="Create token").click()
    headers = {"Authorization": f"Bearer {page.get_by_label('Your new token').input_value()}"}
    assert page.request.get("/api/v1/prebookings", headers=headers).status == 200
    page.goto("/account/tokens")
    page.get_by_role("button", name=re.compile("Revoke")).click()
    assert page.request.get("/api/v1/prebookings", headers=headers).status == 401


def test_a_customer_downloads_the_data_and_deletes_the_account(shop, ada, window):
    shop.reserve(ada, shop.book("Emma"))
    page = window("ada@example.com")
    page.goto("/account")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download my data").click()
    assert '"Emma"' in download.value.path().read_text()
    page.get_by_role("link", name="Delete my account").click()
    page.get_by_label(re.compile("password", re.IGNORECASE)).fill(PASSWORD)
    page.get_by_role("button", name="Delete my account").click()
    expect(page.get_by_role("link", name="Log in")).to_be_visible()
    assert (shop.statuses(1), shop.broken()) == (["cancelled"], [])
