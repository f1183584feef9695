"""The system's Chromium for tests, screenshots and benchmarks, and logging in with it."""

import shutil
from typing import Any

from playwright.sync_api import Page

from tests.support.factories import PASSWORD

# The headless shell first: it draws no window frame, which halves the cost of a new window.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
)


class NoBrowser(Exception):
    """No Chromium was found; the message says what was searched for."""


def launch_options() -> dict[str, Any]:
    """Return the options for `playwright.chromium.launch(**launch_options())`. Raise NoBrowser if there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise NoBrowser(f"none of {', '.join(NAMES)} is on the PATH; on Debian: apt-get install chromium")
    return {"executable_path": found, "args": list(FLAGS)}


def log_in(page: Page, email: str, password: str = PASSWORD) -> None:
    """Log in by the form and follow its redirect."""
    page.goto("/login")
    page.get_by_label("E-mail address").fill(email)
    page.get_by_role("button", name="Log in with a password").click()
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("main").get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda address: "/login" not in address)
