"""Back and Reload after a form: the page is there again with what was typed, and the browser asks nothing."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ONE_DATABASE
from tests.support.factories import isbn

pytestmark = [pytest.mark.prove, ONE_DATABASE]


def test_a_refused_checkout_survives_reload_and_back(shop, window):
    shop.fill_cart(shop.customer("ada@example.com"), {shop.book("Emma", stock=5): 1})
    page = window("ada@example.com", java_script_enabled=False)
    page.goto("/checkout")
    page.get_by_label("Note to the shop").fill("Ring twice")
    page.get_by_role("button", name="Reserve for collection").click()
    expect(page).to_have_title(re.compile("^Error: Check out"))
    expect(page.get_by_role("alert")).to_be_focused()
    expect(page.get_by_label("Your name")).to_have_accessible_description("Enter your name.")

    page.reload()
    expect(page.get_by_label("Note to the shop")).to_have_value("Ring twice")
    page.get_by_role("alert").get_by_role("link", name="Your name").click()
    expect(page.get_by_label("Your name")).to_be_focused()
    page.get_by_label("Your name").fill("Ada Lovelace")
    page.get_by_role("button", name="Reserve for collection").click()
    expect(page).to_have_url(re.compile("/orders/1$"))
    expect(page.locator(".notices")).to_be_focused()
    page.go_back()
    expect(page.get_by_label("Note to the shop")).to_have_value("Ring twice")


def test_a_checked_delivery_survives_a_look_at_a_book_and_is_received_once(shop, window):
    shop.staff("staff@example.com")
    emma = shop.book("Emma", isbn=isbn(1))
    page = window("staff@example.com")
    page.goto("/admin/delivery")
    page.get_by_label(re.compile("ISBNs, one per line")).fill(f"{isbn(1)} x5")
    page.get_by_role("button", name="Check the delivery").click()
    page.get_by_role("main").get_by_role("link", name="Emma").click()
    expect(page).to_have_url(re.compile("/stock"))
    page.go_back()
    expect(page.get_by_role("heading", name="5 copies of 1 book")).to_be_visible()
    page.get_by_role("button", name="Receive 5 copies").click()
    expect(page.get_by_role("heading", name="Received")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="Received")).to_be_visible()
    assert (shop.stock(emma), shop.broken()) == (5, [])
