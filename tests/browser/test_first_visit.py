"""The first visit to an empty shop: the code from the log, the first owner, and the list Ready to open."""

import re
from collections.abc import Iterator
from pathlib import Path

import flask_migrate
import pytest
from playwright.sync_api import expect

from bookshop import create_app
from bookshop.extensions import db
from bookshop.web import opening
from tests.browser.accessibility import assert_accessible, assert_accessible_in_other_themes, assert_fits, load_axe
from tests.browser.chromium import log_in
from tests.browser.hands import Mouse, press_in_menu
from tests.browser.server import SHOP, environment, served
from tests.support.factories import PASSWORD
from tests.support.settings import settings_for

pytestmark = pytest.mark.prove

EMAIL = "grace@example.com"


@pytest.fixture
def first_visit(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """The address of a new shop, and the code that is in its log."""
    settings = settings_for(f"sqlite:///{tmp_path}/shop.db")
    app = create_app(settings)
    with app.app_context():
        flask_migrate.upgrade()
        code = opening.service().code()
        db.engine.dispose()
    with served(SHOP, environment(settings)) as address:
        yield address, code


@pytest.mark.parametrize("scripts", [True, False])
def test_an_empty_shop_gets_an_owner_and_a_list_of_what_is_left_to_do(browser, first_visit, scripts):
    address, code = first_visit
    with browser.new_context(base_url=address, java_script_enabled=scripts, reduced_motion="reduce") as context:
        if scripts:
            load_axe(context)
        page = context.new_page()
        page.goto("/books")
        expect(page.get_by_role("heading", name="Set up your shop")).to_be_visible()
        page.get_by_role("button", name="Set up the shop").click()
        if scripts:
            assert_accessible(page)
            assert_accessible_in_other_themes(page)
            assert_fits(page)
        fill_in(page, code)
        expect(page.get_by_role("heading", name="Ready to open")).to_be_visible()
        expect(page.get_by_role("main")).to_contain_text("of 10 done")
        press_in_menu(Mouse(), page.get_by_role("button", name="Log out"))
        log_in(page, EMAIL)
        expect(page.get_by_role("banner")).to_contain_text("Corner Books")


def fill_in(page, code):
    """Fill in the form and send it."""
    page.get_by_label("Code", exact=True).fill(code.lower())
    page.get_by_label("Name of the shop").fill("Corner Books")
    page.get_by_label("Time zone").select_option("Europe/London")
    page.get_by_label("Currency").select_option("GBP")
    page.get_by_label("Your e-mail address").fill(EMAIL)
    for label in ("Choose a password", "Repeat the password"):
        page.get_by_label(label).fill(PASSWORD)
    page.get_by_role("button", name="Set up the shop").click()
    page.wait_for_url(re.compile("/admin/ready"))
