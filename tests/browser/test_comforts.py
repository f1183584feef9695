"""What the script of the shop adds for customers, and that everything it does works without it."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ONE_DATABASE

pytestmark = [ONE_DATABASE, pytest.mark.prove]

with_and_without = pytest.mark.parametrize("scripts", [True, False], ids=["script", "no script"])
SAID = "body > [aria-live]"


@pytest.fixture
def library(shop):
    """Three books by Austen; returns the ids by title."""
    return {
        title: shop.book(title, stock=copies) for title, copies in (("Emma", 5), ("Emmeline", 0), ("Persuasion", 2))
    }


def search(page):
    return page.get_by_label("Title, author or ISBN")


def hold_first(page, address):
    """Hold the first request to an address back, and let the others pass; returns the list of them."""
    requests = []

    def hold(route):
        requests.append(route)
        if len(requests) > 1:
            route.continue_()

    page.route(address, hold)
    return requests


def marked(page):
    """Mark the page, to see later that it was not loaded again."""
    page.evaluate("document.body.dataset.mark = 'same'")
    return page.locator("body[data-mark=same]")


# ---------------------------------------------------------------- suggestions


@pytest.mark.usefixtures("library")
def test_suggestions_are_a_combobox_for_the_keyboard(page):
    page.goto("/")
    box, options = page.get_by_role("combobox", name="Title, author or ISBN"), page.get_by_role("option")
    expect(box).to_have_attribute("aria-expanded", "false")
    box.press_sequentially("emm")
    expect(options).to_have_text(
        [re.compile(r"Emma.*Jane Austen.*€9\.50.*In stock"), re.compile("Emmeline.*Out of stock")]
    )
    expect(page.locator(SAID)).to_have_text("2 books suggested")
    expect(box).to_have_attribute("aria-expanded", "true")
    for key, chosen in (("ArrowDown", 0), ("ArrowDown", 1), ("ArrowDown", None), ("ArrowUp", 1), ("Home", None)):
        box.press(key)
        assert page.evaluate("document.activeElement.id") == "search"
        for index in range(2):
            expect(options.nth(index)).to_have_attribute("aria-selected", str(index == chosen).lower())
        active = box.get_attribute("aria-activedescendant")
        assert active == (None if chosen is None else options.nth(chosen).get_attribute("id"))
    box.press("Escape")
    expect(page.get_by_role("listbox")).to_be_hidden()
    expect(box).to_have_value("emm")
    box.press("End")
    box.press("e")
    expect(options).to_have_count(1)
    box.press("ArrowUp")
    box.press("Enter")
    expect(page.get_by_role("heading", name="Emmeline", level=1)).to_be_visible()


def test_a_suggestion_is_opened_with_the_mouse_and_leaving_the_field_closes_the_list(library, page):
    page.goto("/")
    search(page).press_sequentially("persu")
    expect(page.get_by_role("option")).to_have_count(1)
    page.get_by_role("contentinfo").click(position={"x": 1, "y": 1})
    expect(page.get_by_role("listbox")).to_be_hidden()
    search(page).fill("persua")
    page.get_by_role("option", name="Persuasion").click()
    expect(page).to_have_url(re.compile(f"/books/{library['Persuasion']}/persuasion$"))


@with_and_without
@pytest.mark.usefixtures("library")
def test_enter_searches_as_long_as_no_suggestion_is_chosen(window, scripts):
    page = window(java_script_enabled=scripts)
    page.goto("/")
    search(page).press_sequentially("emm")
    if scripts:
        expect(page.get_by_role("option")).to_have_count(2)
    search(page).press("Enter")
    expect(page.get_by_role("heading", name="Books for “emm”")).to_be_visible()
    expect(page.get_by_role("combobox")).to_have_count(int(scripts))


@pytest.mark.usefixtures("library")
def test_a_late_answer_to_an_earlier_text_is_never_shown_and_a_broken_one_does_no_harm(page):
    page.goto("/")
    held = hold_first(page, "**/suggest?q=emm")
    with page.expect_request("**/suggest?q=emm"):
        search(page).press_sequentially("emm")
    search(page).fill("persua")
    expect(page.get_by_role("option")).to_have_text(re.compile("Persuasion"))
    held[0].fulfill(json={"items": []})
    page.evaluate("fetch('/api/v1/books/suggest?q=persua').then(answer => answer.text())")  # arrives after it
    expect(page.get_by_role("option")).to_have_text(re.compile("Persuasion"))
    page.route("**/suggest?q=emma", lambda route: route.fulfill(body="<h1>Sorry</h1>"))
    with page.expect_response("**/suggest?q=emma"):
        search(page).fill("emma")
    expect(page.get_by_role("listbox")).to_be_hidden()
    search(page).press("Enter")
    expect(page.get_by_role("heading", name="Books for “emma”")).to_be_visible()


def test_text_is_suggested_for_once_it_is_composed(shop, page):
    shop.book("三体")
    asked = []
    page.on("request", lambda request: asked.append(request.url) if "suggest" in request.url else None)
    page.clock.install()
    page.goto("/")
    search(page).focus()
    keyboard = page.context.new_cdp_session(page)
    for text in ("s", "sa", "san"):
        keyboard.send("Input.imeSetComposition", {"text": text, "selectionStart": len(text), "selectionEnd": len(text)})
        page.clock.run_for(1000)
    keyboard.send("Input.insertText", {"text": "三"})
    page.clock.run_for(1000)
    expect(page.get_by_role("option")).to_have_text(re.compile("三体"))
    assert [url.partition("q=")[2] for url in asked] == ["%E4%B8%89"]


# ---------------------------------------------------------------- adding and reserving from a list


@with_and_without
@pytest.mark.parametrize("email", ["ada@example.com", None])
def test_books_are_added_from_a_list_one_after_the_other(shop, library, window, scripts, email):
    shop.customer("ada@example.com")
    page = window(email, java_script_enabled=scripts)
    page.goto("/books")
    same = marked(page)
    for count, title in enumerate(("Emma", "Persuasion", "Emma"), start=1):
        card = page.locator(f"#book-{library[title]}")
        card.get_by_role("button").click()
        expect(card.locator(".book-card-notice")).to_contain_text(
            f"{title} {'is' if count < 3 else 'are'} in your cart."
        )
        expect(page.get_by_role("link", name=f"Cart {count} cop{'y' if count == 1 else 'ies'}")).to_be_visible()
        if scripts:
            expect(card.get_by_role("button")).to_be_focused()
            expect(page.locator(SAID)).to_contain_text(f"{title} {'is' if count < 3 else 'are'} in your cart.")
    assert same.count() == int(scripts)
    page.goto("/cart")
    expect(page.get_by_label("Copies")).to_have_count(2)
    expect(page.get_by_label("Copies").first).to_have_value("2")


def test_two_clicks_while_the_first_is_sent_add_one_copy_and_two_books_do_not_lose_each_other(library, page):
    page.goto("/books")
    same, sent = marked(page), hold_first(page, "**/cart/items")
    emma, persuasion = (page.locator(f"#book-{library[title]} button") for title in ("Emma", "Persuasion"))
    with page.expect_request("**/cart/items"):
        emma.dblclick()
    persuasion.click()
    assert len(sent) == 1
    sent[0].continue_()
    expect(page.get_by_role("link", name="Cart 2 copies")).to_be_visible()
    assert (len(sent), same.count()) == (2, 1)


@with_and_without
def test_a_customer_reserves_from_a_list(shop, library, window, scripts):
    shop.customer("ada@example.com")
    page = window("ada@example.com", java_script_enabled=scripts)
    page.goto("/books")
    same, card = marked(page), page.locator(f"#book-{library['Emmeline']}")
    card.get_by_role("button", name="Reserve Emmeline").click()
    expect(card.locator(".book-card-reserved")).to_have_text("Reserved")
    expect(card.locator(".book-card-notice")).to_contain_text("We'll e-mail you when the book is back in stock.")
    assert same.count() == int(scripts)
    assert shop.statuses(library["Emmeline"]) == ["waiting"]


@with_and_without
def test_a_book_sold_out_meanwhile_leads_to_its_page(shop, library, window, scripts):
    page = window(java_script_enabled=scripts)
    page.goto("/books")
    shop.set_stock(library["Emma"], 0)
    page.locator(f"#book-{library['Emma']}").get_by_role("button").click()
    expect(page).to_have_url(re.compile(f"/books/{library['Emma']}/emma#availability$"))
    expect(page.get_by_role("status")).to_contain_text("out of stock")


def test_an_answer_that_was_lost_is_asked_for_again_by_the_page_and_adds_nothing_more(library, page):
    page.goto("/books")
    page.route("**/cart/items", lambda route: (route.fetch(max_redirects=0), route.fulfill(body="lost")), times=1)
    page.locator(f"#book-{library['Emma']}").get_by_role("button").click()
    expect(page.get_by_role("status")).to_contain_text("Emma is in your cart.")
    expect(page.get_by_role("link", name="Cart 1 copy")).to_be_visible()


# ---------------------------------------------------------------- the drawer


def test_escape_closes_the_drawer_of_filters_and_returns_the_focus(library, window):
    page = window(viewport={"width": 360, "height": 640})
    page.goto("/books")
    opener, drawer = (
        page.get_by_role("link", name="Filter and sort"),
        page.get_by_role("region", name="Filter and sort"),
    )
    opener.click()
    expect(drawer).to_be_visible()
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()
    expect(opener).to_be_focused()
    assert len(library) == 3
