"""Pictures of the parts of pages, for docs/design.md: `make screenshots` writes them to docs/img/parts/."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from PIL import Image
from playwright.sync_api import Page

from bookshop.config import ROOT

FOLDER = ROOT / "docs" / "img" / "parts"
HEIGHT = 800
WIDE, PHONE = 1280, 360


class Part(NamedTuple):
    """A part of a page: the name of its picture, the width of the window, and its CSS selector."""

    name: str
    width: int
    selector: str


PARTS = {  # by the name of the scene that shows them
    "home": [
        Part("header", WIDE, ".shop-header"),
        Part("header-phone", PHONE, ".shop-header"),
        Part("welcome", WIDE, ".welcome"),
        Part("picks", WIDE, ".picks"),
        Part("cards", WIDE, ".book-row"),
        Part("wanted", WIDE, ".wanted"),
        Part("footer", WIDE, ".shop-footer"),
    ],
    "filters": [Part("drawer", PHONE, ".filters")],
    "book-out-of-stock": [Part("book-page", WIDE, ".book-page"), Part("book-page-phone", PHONE, ".book-page")],
    "cart": [Part("summary", WIDE, ".with-summary")],
    "return-refused": [Part("error-summary", WIDE, "main form")],
    "dashboard": [Part("staff-menu", WIDE, ".staff-side"), Part("tasks", WIDE, ".tasks")],
    "users": [Part("as-cards", PHONE, "main table")],
    "picks-shelf": [Part("picked", WIDE, ".picked")],
}


def pictures_of_parts(page: Page, scene: str) -> Iterator[str]:
    """Take the pictures of the parts that this scene shows, in light colours; yields their names."""
    page.emulate_media(color_scheme="light")
    for part in PARTS.get(scene, ()):
        page.set_viewport_size({"width": part.width, "height": HEIGHT})
        found = page.locator(part.selector).first
        found.scroll_into_view_if_needed()
        yield write_webp(found.screenshot(), FOLDER / f"{part.name}.webp", at_most=30 * 1024).name


def write_webp(screenshot: bytes, path: Path, at_most: int) -> Path:
    """Write a screenshot, at most as high as a window, at the best quality within these bytes; returns its path."""
    whole = Image.open(BytesIO(screenshot))
    picture = whole.crop((0, 0, whole.width, min(whole.height, HEIGHT)))
    for quality in range(90, 0, -10):
        content = BytesIO()
        picture.save(content, "WEBP", quality=quality, method=6)
        if content.tell() <= at_most:
            break
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.getvalue())
    return path
