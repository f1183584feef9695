"""E-mail as mail programs show it: light and dark, narrow and wide, with a reduced style sheet or none."""

import re

import pytest
from flask import Flask

from tests.browser.accessibility import assert_accessible, assert_accessible_in_other_themes, assert_fits
from tests.browser.conftest import ONE_DATABASE
from tests.support import mailbox
from tests.support.databases import empty
from tests.support.factories import Shop
from tests.support.mailbox import Mailbox
from tests.support.messages import KINDS, by_kind, one_of_each

pytestmark = ONE_DATABASE

STYLE = re.compile(r"<style>.*?</style>", re.DOTALL)


@pytest.fixture(scope="module")
def sent(shared_app: Flask, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The HTML of a message of every kind, about a book whose title cannot be wrapped."""
    empty(shared_app)
    shop = Shop(shared_app)
    shop.customer("ada@example.com")
    shop.reserve(1, shop.book("Donaudampfschifffahrt" * 20, authors="Jane Austen"))
    one_of_each(shop, 1)
    with pytest.MonkeyPatch.context() as settings:
        settings.setitem(shared_app.config, "SETTINGS", shared_app.config["SETTINGS"])
        messages = by_kind(Mailbox(shared_app, tmp_path_factory.mktemp("mail")).deliver())
    assert set(messages) == KINDS
    return {kind: mailbox.part(message, "html") for kind, message in messages.items()}


def test_every_e_mail_is_accessible_and_fits_a_narrow_window(page, sent):
    for markup in sent.values():
        page.set_content(markup)
        assert_accessible(page)
        assert_fits(page)


@pytest.mark.prove
def test_every_e_mail_is_readable_in_every_theme(page, sent):
    for markup in sent.values():
        page.set_content(markup)
        assert_accessible_in_other_themes(page)


@pytest.mark.parametrize("left", [0, 1])
def test_an_e_mail_is_readable_without_style_sheets(page, sent, left):
    """Some programs drop parts of the style sheet, some all of it: then only light mode is certain."""
    for markup in sent.values():
        parts = STYLE.split(markup)
        assert len(parts) == 3
        page.set_content("".join(parts) if left == 0 else markup.partition(parts[1])[0] + parts[2])
        assert page.get_by_role("heading", level=1).is_visible()
        assert all(link.is_visible() for link in page.get_by_role("link").all())
