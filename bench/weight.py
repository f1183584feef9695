"""The bytes and requests of a first visit, as counted by the browser's network log."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from PIL import Image, ImageFilter
from playwright.sync_api import Browser, FilePayload, Page, sync_playwright

from bench.demo import ACCOUNTS, demo_shop
from tests.browser.chromium import launch_options, log_in
from tests.support.factories import Shop

REQUESTS = 12
PHONE = {"width": 360, "height": 800}
DESKTOP = {"width": 1280, "height": 900}
PAGES = {"catalogue": ("/books", 150), "book": ("/books/1", 90), "home": ("/", 150)}  # path, target in KB


@dataclass
class Visit:
    """The requests of a visit and their bytes: headers and compressed bodies.

    `covers` are the ids of the requests for covers, and `others` counts the rest; `external` went to other hosts.
    """

    home: str
    others: int = 0
    external: int = 0
    bytes: float = 0
    cover_bytes: float = 0
    covers: set[str] = field(default_factory=set)

    def sent(self, event: dict[str, Any]) -> None:
        url = event["request"]["url"]
        if url.startswith("data:"):
            return
        if event["type"] == "Image" and "/static/" not in url:
            self.covers.add(event["requestId"])
        else:
            self.others += 1
        self.external += not url.startswith(f"{self.home}/")
        self.bytes += event.get("redirectResponse", {}).get("encodedDataLength", 0)  # of the redirect that led here

    def finished(self, event: dict[str, Any]) -> None:
        self.bytes += event["encodedDataLength"]
        if event["requestId"] in self.covers:
            self.cover_bytes += event["encodedDataLength"]


def run(_url: str) -> None:
    """Print a line for each page and window size, with drawn covers and again with uploaded ones."""
    print(f"weight: first visits with an empty cache, scrolled to the end; at most {REQUESTS} requests besides covers")
    with demo_shop() as (shop, home), browser() as chromium:
        _measure(chromium, home, "drawn covers")
        _upload(chromium, home, shop)
        _measure(chromium, home, "uploaded covers")


@contextmanager
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(**launch_options())
        yield chromium
        chromium.close()


def _measure(chromium: Browser, home: str, covers: str) -> None:
    print(f"  with {covers}:")
    for name, (path, target) in PAGES.items():
        for size in (PHONE, DESKTOP):
            print(_line(name, size["width"], target, visit(chromium, home, path, size)))


def _line(name: str, width: int, target: int, visited: Visit) -> str:
    missed = visited.bytes > target * 1000 or visited.others > REQUESTS or visited.external
    return (
        f"    {name:9} {width:4} px: {visited.bytes / 1000:5.1f} KB (target {target}), including"
        f" {len(visited.covers)} covers with {visited.cover_bytes / 1000:5.1f} KB;"
        f" {visited.others} other requests, {visited.external} to other hosts{'  MISSED' if missed else ''}"
    )


def visit(chromium: Browser, home: str, path: str, size: Any) -> Visit:
    """Open a page with an empty cache, scroll through all of it, and return its requests and bytes."""
    visited = Visit(home)
    with chromium.new_context(base_url=home, viewport=size) as context:
        page = context.new_page()
        log = context.new_cdp_session(page)
        log.send("Network.enable")
        log.on("Network.requestWillBeSent", visited.sent)
        log.on("Network.loadingFinished", visited.finished)
        page.goto(path, wait_until="networkidle")
        _scroll_through(page)
    return visited


def _scroll_through(page: Page) -> None:
    """Scroll to every image, so that lazy ones are loaded too."""
    for image in page.locator("img").all():
        image.scroll_into_view_if_needed()
    page.wait_for_load_state("networkidle")


def _upload(chromium: Browser, home: str, shop: Shop) -> None:
    """Upload a photograph as the cover of each book on the catalogue's first page, and of book 1."""
    with chromium.new_context(base_url=home) as context:
        page = context.new_page()
        page.goto("/books")
        shown = page.locator("main a[href^='/books/']").evaluate_all("links => links.map(link => link.pathname)")
        log_in(page, *ACCOUNTS["staff"])
        books = sorted({int(path.split("/")[2]) for path in shown if path.split("/")[2].isdecimal()} | {1})
        for book_id in books:
            page.goto(f"/admin/books/{book_id}/cover")
            photograph = FilePayload(name="cover.jpg", mimeType="image/jpeg", buffer=noisy_photograph(book_id))
            page.locator("input[type=file]").set_input_files(photograph)
            page.get_by_role("button", name="Upload").click()
    uploaded = len(shop.rows("SELECT id FROM books WHERE cover IS NOT NULL"))
    if uploaded != len(books):
        raise RuntimeError(f"{uploaded} of {len(books)} covers were uploaded")


def noisy_photograph(seed: int) -> bytes:
    """Return a JPEG with as much detail as a photographed cover: blurred shapes with grain, hard to compress."""
    grain = random.Random(seed)
    shapes = Image.frombytes("RGB", (16, 24), grain.randbytes(16 * 24 * 3)).resize(
        (1200, 1800), Image.Resampling.BICUBIC
    )
    noise = Image.frombytes("RGB", (600, 900), grain.randbytes(600 * 900 * 3)).resize((1200, 1800))
    picture = Image.blend(shapes, noise.filter(ImageFilter.GaussianBlur(1)), 0.35)
    out = BytesIO()
    picture.save(out, "JPEG", quality=92)
    return out.getvalue()
