"""Journeys of customers through the links that change an address or confirm a login, at 360 pixels."""

from datetime import timedelta

import pytest
from playwright.sync_api import expect
from sqlalchemy import update

from bookshop.accounts.models import LoginSession
from bookshop.extensions import db
from bookshop.kit.database import now
from bookshop.web import services
from tests.browser.accessibility import assert_accessible, assert_fits
from tests.browser.conftest import ONE_DATABASE
from tests.browser.hands import PHONE
from tests.support.mailbox import path_in

pytestmark = [ONE_DATABASE, pytest.mark.prove]

ADA, NEW = "ada@example.com", "ada.lovelace@example.com"


@pytest.fixture(params=[True, False], ids=["with JavaScript", "without JavaScript"])
def java_script(request):
    return request.param


@pytest.fixture
def ada(java_script, shop, window):
    """A window of a phone on which Ada is logged in; she has no password."""
    shop.commit(lambda: services.accounts().register(ADA))
    return window(ADA, java_script_enabled=java_script, viewport=PHONE)


@pytest.fixture
def check(java_script):
    """A function that checks that the page is accessible and fits the phone; both checks need JavaScript."""

    def check(page):
        if java_script:
            assert_accessible(page)
            assert_fits(page)
            page.set_viewport_size(PHONE)

    return check


def test_an_address_is_changed_and_changed_back_with_links(ada, mailbox, check):
    ada.goto("/account")
    ada.get_by_role("link", name="Change e-mail address").click()
    ada.get_by_label("New e-mail address").fill(NEW)
    ada.get_by_role("button", name="Change e-mail address").click()
    expect(ada.get_by_role("status")).to_contain_text(f"We've sent a link to {NEW}.")

    ada.goto(path_in(mailbox.deliver(), "/address/confirm/"))
    check(ada)
    ada.get_by_role("button", name="Change my address").click()
    expect(ada.get_by_role("status")).to_contain_text(f"Your e-mail address is now {NEW}.")

    ada.goto(path_in(mailbox.deliver(), "/address/undo/"))
    check(ada)
    ada.get_by_role("button", name="Change it back").click()
    expect(ada.get_by_role("status")).to_contain_text(f"Your e-mail address is {ADA} again.")
    expect(ada.get_by_role("button", name="E-mail me a link")).to_be_visible()


def test_a_token_is_created_after_a_link_with_the_name_that_was_typed(shop, ada, mailbox, check):
    ada.goto("/account/tokens")
    ada.get_by_label("What is it for?").fill("till")
    with shop.app.app_context():
        db.session.execute(update(LoginSession).values(confirmed_at=now() - timedelta(minutes=16)))
        db.session.commit()
    ada.get_by_role("button", name="Create token").click()
    check(ada)
    ada.get_by_role("button", name="E-mail me a link").click()
    check(ada)

    tab = ada.context.new_page()
    tab.goto(path_in(mailbox.deliver(), "/login/link/"))
    tab.get_by_role("button", name="Log in").click()
    expect(tab.get_by_role("heading", name="Your API tokens")).to_be_visible()

    ada.get_by_role("button", name="Continue").click()
    expect(ada.get_by_label("Your new token")).to_be_visible()
    expect(ada.get_by_role("listitem").filter(has_text="till")).to_be_visible()
