"""A real browser and a real server: Chromium and gunicorn, on each database.

`page` is a visitor's window. `window("ada@example.com")` opens another, logged in with that address, as often as
needed, and shows nothing yet; `window(java_script_enabled=False)` and other options of new_context() change what the
browser can do.
`shop` fills the database of the server, and empties it before the test. Whatever a window shows, the test fails if it
logged an error or asked for something that is not there or not ours; see Watch.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.chromium import NoBrowser, launch_options
from tests.browser.server import SHOP, environment, served
from tests.browser.watch import Watch
from tests.support.clients import WebClient
from tests.support.settings import settings_for
from tests.support.world import COOKIE

TIMEOUT = 30_000  # a loaded machine is slow, not broken; nothing waits that long where all is well
NewContext = Callable[..., BrowserContext]
Window = Callable[..., Page]
# For what no database can change: `pytestmark = ONE_DATABASE`, or a decorator.
ONE_DATABASE = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True, scope="session")

expect.set_options(timeout=TIMEOUT)


@pytest.fixture(scope="session")
def browser_type_launch_args(browser_type_launch_args: dict[str, Any]) -> dict[str, Any]:
    """The system's Chromium; Playwright's own is never downloaded."""
    try:
        return {**browser_type_launch_args, **launch_options()}
    except NoBrowser as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI needs a browser: {error}")
        pytest.skip(f"NOT TESTED IN A BROWSER: {error}")


@pytest.fixture(scope="session")
def served_on() -> Iterator[Callable[[str], str]]:
    """Starts a server on a database and says its address: once for each, however often it is asked for."""
    with ExitStack() as servers:
        yield cache(lambda url: servers.enter_context(served(SHOP, environment(settings_for(url)))))


@pytest.fixture(scope="session")
def base_url(
    browser_type_launch_args: dict[str, Any],
    shared_app: Flask,
    database_url: str,
    served_on: Callable[[str], str],
) -> str:
    """The address of the shop: a server on the database that `shop` fills. None is started without a browser."""
    return served_on(database_url)


def carry_cookie(browser: WebClient, context: BrowserContext, address: str) -> None:
    """Let windows at this address go on where a browser of the tests has stopped: logged in, with its cart."""
    cookie = browser.client.get_cookie(COOKIE)
    assert cookie is not None
    context.add_cookies([{"name": COOKIE, "value": cookie.value, "url": address}])


@pytest.fixture
def watch(base_url: str) -> Iterator[Watch]:
    """Looks at all windows of the test, and at its end says what was wrong in them."""
    watch = Watch(base_url)
    yield watch
    watch.assert_nothing_wrong()


@pytest.fixture
def new_context(watch: Watch, new_context: NewContext) -> NewContext:
    """Every window of every test comes from here."""

    def watched(**options: Any) -> BrowserContext:
        context = new_context(**options)
        context.set_default_timeout(TIMEOUT)
        watch.over(context)
        return context

    return watched


@pytest.fixture
def window(new_context: NewContext, base_url: str, shared_app: Flask) -> Window:
    """Opens a window with cookies of its own: an anonymous visitor's, or one logged in as `email`."""

    def opened(email: str | None = None, **options: Any) -> Page:
        context = new_context(**options)
        if email is not None:
            carry_cookie(WebClient(shared_app, email), context, base_url)
        return context.new_page()

    return opened
