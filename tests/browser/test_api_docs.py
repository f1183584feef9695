"""The API documentation: Swagger UI under our Content-Security-Policy, in our layout."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import assert_accessible, assert_accessible_in_other_themes, assert_fits, violations
from tests.browser.conftest import ONE_DATABASE
from tests.browser.hands import Keyboard

RESERVE, STOCK, BOOKS = "Pre-bookings-prebookings_reserve", "Stock-admin_update_stock", "Books-catalog_books"
OUTLINE = {"type": "rule", "values": ["heading-order", "landmark-no-duplicate-main", "landmark-main-is-top-level"]}
NEEDS_JAVASCRIPT = "This page needs JavaScript"

pytestmark = ONE_DATABASE


def open_docs(page: Page) -> None:
    page.goto("/api/docs")
    expect(page.locator(".opblock").first).to_be_visible()


def open_frame(page: Page) -> None:
    """Open the page with only our own parts: Swagger UI takes seconds to draw all operations."""
    nothing = {"body": "const SwaggerUIBundle = () => {}", "content_type": "text/javascript"}
    page.route("**/static/js/swagger-ui-bundle.*", lambda route: route.fulfill(**nothing))
    page.goto("/api/docs")


def authorize(page: Page, token: str) -> None:
    """Paste a newly created token."""
    page.get_by_role("button", name="Authorize").click()
    dialog = page.locator(".auth-container")
    dialog.get_by_role("textbox").fill(token)
    dialog.get_by_role("button", name="Apply credentials").click()
    dialog.get_by_role("button", name="Close").click()


def execute(page: Page, operation: str, body: str | None = None, **values: str) -> tuple[str, str]:
    """Try an operation with a body and parameters; return the displayed status and response body."""
    block = page.locator(f"#operations-{operation}")
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    for name, value in values.items():
        block.locator(f"[data-param-name={name}] input").fill(value)
    if body is not None:
        block.locator("textarea.body-param__text").fill(body)
    block.get_by_role("button", name="Execute").click()
    shown = block.locator(".live-responses-table .response")
    return shown.locator(".response-col_status").inner_text(), shown.locator(".response-col_description").inner_text()


@pytest.mark.prove
def test_every_operation_is_shown(page):
    open_docs(page)
    paths = page.request.get("/api/v1/openapi.json").json()["paths"]
    expect(page.locator(".opblock")).to_have_count(sum(map(len, paths.values())))
    expect(page.locator(".opblock-tag").first).to_have_text("Books")
    expect(page.get_by_role("main")).to_have_count(1)
    expect(page.locator(".opblock-tag").first).to_have_attribute("aria-level", "2")
    assert violations(page, OUTLINE) == []
    expect(page.get_by_text(NEEDS_JAVASCRIPT)).to_be_hidden()


@pytest.mark.prove
def test_searching_sends_no_unset_filters(page, shop):
    shop.book("Sanditon")
    open_docs(page)
    status, answer = execute(page, BOOKS)
    assert "200" in status
    assert '"Sanditon"' in answer


@pytest.mark.prove
def test_a_customer_pastes_a_token_and_reserves(page, shop):
    ada, book = shop.customer(), shop.book("Emma")
    open_docs(page)
    authorize(page, shop.token("ada@example.com"))
    status, answer = execute(page, RESERVE, f'{{"book_id": {book}}}')
    assert "201" in status
    assert '"waiting"' in answer
    assert shop.rows("SELECT user_id, status FROM prebookings") == [(ada, "waiting")]


@pytest.mark.prove
def test_staff_change_a_stock_as_in_the_example(page, shop):
    shop.staff()
    book = shop.book("Emma")
    shop.reserve(shop.customer(), book)
    open_docs(page)
    authorize(page, shop.token("staff@example.com"))
    status, answer = execute(page, STOCK, book_id=str(book))
    assert "200" in status
    assert '"notified_count": 1' in answer
    assert shop.stock(book) == 5


@pytest.mark.prove
def test_a_token_takes_precedence_over_a_cookie(window, watch, shop):
    shop.staff("staff@example.com")
    shop.customer("ada@example.com")
    book = shop.book("Emma")
    page = window("staff@example.com")
    open_docs(page)
    status, answer = execute(page, STOCK, book_id=str(book))
    assert "401" in status
    assert "NOT_AUTHENTICATED" in answer
    assert watch.faults.pop().startswith("401: ")
    authorize(page, shop.token("ada@example.com"))
    assert "201" in execute(page, RESERVE, f'{{"book_id": {book}}}')[0]


@pytest.mark.prove
def test_a_token_created_by_keyboard_works(window, shop):
    shop.customer("ada@example.com")
    book, page, keyboard = shop.book("Emma"), window("ada@example.com"), Keyboard()
    page.goto("/account/tokens")
    keyboard.type(page.get_by_label("What is it for?"), "wishes")
    keyboard.tick(page.get_by_label("Fill the cart"))  # all are ticked: untick this one
    keyboard.press(page.get_by_role("button", name="Create token"))
    token = page.get_by_label("Your new token").input_value()
    page.get_by_role("link", name="API documentation").click()
    authorize(page, token)
    assert "201" in execute(page, RESERVE, f'{{"book_id": {book}}}')[0]
    assert shop.rows("SELECT scopes FROM api_tokens") == ["catalog:read prebookings"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_uses_the_visitors_colour_scheme(window, scheme):
    page = window(color_scheme=scheme)
    open_frame(page)
    dark = page.evaluate("document.documentElement.classList.contains('dark-mode')")
    assert dark is (scheme == "dark")


def test_the_page_links_home_and_to_the_tokens(page, shop):
    shop.book("Emma")
    open_frame(page)
    page.get_by_role("link", name="create one in your account").click()
    page.wait_for_url("**/login?next=/account/tokens")
    open_frame(page)
    page.get_by_role("link", name="The Bookshop").click()
    page.wait_for_url(lambda address: address.endswith("/"))


def test_without_javascript_the_page_links_to_the_document(window):
    page = window(java_script_enabled=False)
    page.goto("/api/docs")
    expect(page.get_by_text(NEEDS_JAVASCRIPT)).to_be_visible()
    page.get_by_role("link", name="OpenAPI document").click()
    page.wait_for_url("**/api/v1/openapi.json")


def test_the_page_layout_is_accessible(page):
    open_frame(page)
    assert_accessible(page)
    assert_accessible_in_other_themes(page)
    assert_fits(page)


@pytest.mark.prove
def test_nothing_overflows_a_narrow_window(page, shop):
    shop.book("Emma")
    open_docs(page)
    assert_fits(page)
    execute(page, BOOKS)
    assert_fits(page)
