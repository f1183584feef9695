"""The journey of a bookseller with a phone: set up the second factor, log in with it, confirm a sensitive action."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ONE_DATABASE
from tests.support.factories import PASSWORD
from tests.support.second_factors import recovery_codes_on, scan

pytestmark = [ONE_DATABASE, pytest.mark.prove]

BEA = "staff@example.com"


def test_a_bookseller_sets_up_a_second_factor_logs_in_with_it_and_confirms_that_it_is_her(shop, window):
    shop.staff(BEA)
    page = window(BEA)
    main = page.get_by_role("main")

    page.goto("/account")
    page.get_by_role("link", name="Set up a second factor").click()
    expect(main.get_by_role("img", name=re.compile("QR code"))).to_be_visible()
    phone = scan(page.content())
    page.get_by_label("Code that the app shows now").fill(phone.code())
    page.get_by_role("button", name="Turn on").dblclick()
    expect(main.get_by_role("heading", name="Your recovery codes")).to_be_visible()
    codes = recovery_codes_on(page.content())
    assert len(codes) == 10

    page.get_by_role("button", name="Log out").click()
    page.goto("/admin/orders")
    page.get_by_label("E-mail address").fill(BEA)
    page.get_by_role("button", name="Log in with a password").click()
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    main.get_by_role("button", name="Log in").click()
    expect(page.get_by_label("Code")).to_be_focused()
    page.get_by_label("Code").fill(phone.code(1))  # the code before it was used to turn on the second factor
    main.get_by_role("button", name="Log in").dblclick()
    expect(main.get_by_role("heading", name="Orders")).to_be_visible()

    shop.execute("UPDATE login_sessions SET confirmed_at = '2020-01-01 00:00:00.000000+00:00'")
    page.goto("/account/tokens")
    page.get_by_label("What is it for?").fill("till & scales")
    page.get_by_role("button", name="Create token").click()
    expect(main.get_by_role("heading", name="Confirm that it's you")).to_be_visible()
    page.get_by_label("Code").fill(codes[0].lower())
    page.get_by_role("button", name="Confirm").click()
    expect(main.get_by_role("heading", name="Your token is ready")).to_be_visible()
    expect(main).to_contain_text("till & scales")
