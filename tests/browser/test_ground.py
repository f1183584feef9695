"""Tests of the browser tests: they must detect errors."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.accessibility import assert_accessible, assert_accessible_in_other_themes, assert_fits
from tests.browser.conftest import ONE_DATABASE

SOUND = "<!doctype html><html lang=en><title>A page</title><main><h1>Sound</h1>{}</main>"
DIM = '<p style="color: #999; background: #fff">Too dim to read</p>'
RIGHT = "a { display: block; height: 40px; width: 40px }"
FAINT = "p { color: #222; background: #111 }"
SMALL = "a { height: 8px; width: 8px; overflow: hidden }"
LINKS = "<p>Dim</p><nav><a href=#a>A</a><a href=#b>B</a></nav>"
WIDE = '<p style="width: 400px">Wide</p>'


def show(page: Page, body: str, **headers: str) -> None:
    """Show this HTML in the browser, as if the shop had sent it."""
    answer = {"body": SOUND.format(body), "content_type": "text/html", "headers": headers}
    page.route("**/shown", lambda route: route.fulfill(**answer))
    page.goto("/shown")


def test_the_browser_sees_what_the_test_put_into_the_shop(page, shop):
    shop.book("Emma", stock=1)
    page.goto("/books")
    expect(page.get_by_role("link", name="Emma").first).to_be_visible()


def test_two_people_have_separate_windows(shop, window):
    shop.staff("staff@example.com")
    shop.customer("ada@example.com")
    staff, ada = window("staff@example.com"), window("ada@example.com", java_script_enabled=False)
    assert staff.goto("/admin").status == 200
    assert ada.goto("/admin").status == 403


@ONE_DATABASE
@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<img src="https://elsewhere.example.com/x.png" alt="">', "left the host: https://elsewhere"),
        ('<img src="/static/nowhere.png" alt="">', "404: "),
        ("<script>nobody()</script>", "script: "),
        ("<script>console.error('oh')</script>", "console: oh"),
    ],
)
def test_page_errors_are_detected(page, watch, body, fault):
    show(page, body)
    assert any(found.startswith(fault) for found in watch.faults)
    watch.faults.clear()


@ONE_DATABASE
def test_content_blocked_by_the_security_policy_is_detected(page, watch):
    show(page, DIM, **{"Content-Security-Policy": "default-src 'self'"})
    assert "Content Security Policy" in watch.faults.pop()


@ONE_DATABASE
def test_an_accessible_page_has_no_violations(page, watch):
    show(page, "<p>Good</p>", **{"Content-Security-Policy": "default-src 'self'"})
    assert_accessible(page)
    assert_accessible_in_other_themes(page)
    assert_fits(page)
    assert watch.faults == []


@ONE_DATABASE
def test_low_contrast_text_is_detected(page):
    show(page, DIM)
    with pytest.raises(AssertionError, match=r"/shown\nlight, 1280 px: color-contrast at p: "):
        assert_accessible(page)


@ONE_DATABASE
@pytest.mark.parametrize(
    ("condition", "rule", "fault"),
    [
        (
            "prefers-color-scheme: dark",
            FAINT,
            r"dark, 360 px: color-contrast at p: .*\ndark, 1280 px: color-contrast at p: ",
        ),
        ("max-width: 400px", FAINT, r"light, 360 px: color-contrast at p: .*\ndark, 360 px: color-contrast at p: "),
        ("max-width: 400px", SMALL, r"light, 360 px: target-size at a"),
    ],
)
def test_faults_only_in_dark_mode_or_narrow_windows_are_detected(page, condition, rule, fault):
    show(page, f"<style>{RIGHT} @media ({condition}) {{ {rule} }}</style>{LINKS}")
    assert_accessible(page)
    with pytest.raises(AssertionError, match=rf"(?s)/shown\n{fault}"):
        assert_accessible_in_other_themes(page)


@ONE_DATABASE
def test_a_page_that_is_too_wide_is_detected(page):
    show(page, WIDE)
    with pytest.raises(AssertionError, match=r"is 4\d\d px wide: <p"):
        assert_fits(page)
