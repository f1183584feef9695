"""A visitor at the checkout; a test module may have other books and visitors of these names."""

import pytest

from tests.support.visitors import add_to_cart


@pytest.fixture
def emma(shop):
    return shop.book("Emma", stock=3)


@pytest.fixture
def sanditon(shop):
    return shop.book("Sanditon", stock=3)


@pytest.fixture
def visitor(web_client, emma):
    """A browser that is not logged in, with a book in its cart."""
    browser = web_client()
    add_to_cart(browser, emma)
    return browser
