"""A real browser and a real server: Chromium and gunicorn, on each database.

`page` is a visitor's window. `window("ada@example.com")` opens another empty one, logged in with that address;
`window(java_script_enabled=False)` and other options of new_context() change what the browser can do.
`shop` empties the server's database before the test and fills it. The test fails if any window logged an error or
requested something that does not exist or is not ours; see Watch.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any
from urllib.request import urlopen

import pytest
from flask import Flask
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.chromium import NoBrowser, launch_options
from tests.browser.server import SHOP, environment, served
from tests.browser.watch import Watch
from tests.support.clients import WebClient
from tests.support.databases import empty
from tests.support.factories import Shop
from tests.support.routes import COOKIE
from tests.support.settings import settings_for

TIMEOUT = 30_000  # a loaded machine is slow, not broken; passing tests never wait that long
NewContext = Callable[..., BrowserContext]
Window = Callable[..., Page]
# For tests that do not depend on the database: `pytestmark = ONE_DATABASE`, or as a decorator.
ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")

expect.set_options(timeout=TIMEOUT)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """Use the system's Chromium; Playwright's own is never downloaded."""
    try:
        return {**browser_type_launch_args, **launch_options()}
    except NoBrowser as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI needs a browser: {error}")
        pytest.skip(f"NOT TESTED IN A BROWSER: {error}")


@pytest.fixture(scope="session")
def served_on() -> Iterator[Callable[[str], str]]:
    """Return the address of the server on a database, which is started once."""
    with ExitStack() as servers:
        yield cache(lambda url: servers.enter_context(served(SHOP, environment(settings_for(url)))))


@pytest.fixture(scope="session")
def server_address(shared_app: Flask, database_url: str, served_on: Callable[[str], str]) -> str:
    """The address of a server on the database of `shop`.

    It has seen an account, and does not take a shop without accounts for a new one.
    """
    address = served_on(database_url)
    Shop(shared_app).customer("first@example.com")
    with urlopen(f"{address}/") as home:
        assert home.url == f"{address}/"
    empty(shared_app)
    return address


@pytest.fixture(scope="session")
def base_url(browser_type_launch_args: dict[str, Any], server_address: str) -> str:
    """The address of the server, for Chromium; asked for after Chromium, because without it none is started."""
    return server_address


def carry_cookie(browser: WebClient, context: BrowserContext, address: str) -> None:
    """Copy a web client's session, with login and cart, into windows at this address."""
    cookie = browser.client.get_cookie(COOKIE)
    assert cookie is not None
    context.add_cookies([{"name": COOKIE, "value": cookie.value, "url": address}])


@pytest.fixture
def watch(base_url: str) -> Iterator[Watch]:
    """Watch all windows of the test, and fail it at the end if any had errors."""
    watch = Watch(base_url)
    yield watch
    watch.assert_nothing_wrong()


@pytest.fixture
def new_context(watch: Watch, new_context: NewContext) -> NewContext:
    """Create a watched context; every window of every test is opened in one."""

    def watched(**options: Any) -> BrowserContext:
        context = new_context(**options)
        context.set_default_timeout(TIMEOUT)
        watch.over(context)
        return context

    return watched


@pytest.fixture
def window(new_context: NewContext, base_url: str, shared_app: Flask) -> Window:
    """Open a window with its own cookies, anonymous or logged in as `email`."""

    def opened(email: str | None = None, **options: Any) -> Page:
        context = new_context(**options)
        if email is not None:
            carry_cookie(WebClient(shared_app, email), context, base_url)
        return context.new_page()

    return opened
