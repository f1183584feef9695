"""The main pages before and after a change, one sheet for each: `make sheets BEFORE=folder`.

The folder holds screenshots that `make screenshots` took earlier; those of now are in screenshots/.
"""

import sys
from pathlib import Path

from PIL import Image

from bench.screenshots import FOLDER
from tests.browser.accessibility import THEMES

PAGES = (
    *("home", "catalogue", "book-in-stock", "book-out-of-stock", "cart", "checkout", "orders", "reservations"),
    *("dashboard", "staff-orders", "stock", "users"),
)
HEIGHT, GAP, GREY = 1600, 20, (128, 128, 128)


def row(folder: Path, name: str) -> list[Image.Image]:
    """Return the screenshots of a page in all widths and colours, cut off where two screens end."""
    taken = [Image.open(folder / f"{name}-{width}-{scheme}.png").convert("RGB") for scheme, width in THEMES]
    return [picture.crop((0, 0, picture.width, min(picture.height, HEIGHT))) for picture in taken]


def sheet(rows: list[list[Image.Image]]) -> Image.Image:
    """Put rows of pictures below each other."""
    heights = [max(picture.height for picture in pictures) for pictures in rows]
    width = max(sum(picture.width + GAP for picture in pictures) for pictures in rows)
    paper = Image.new("RGB", (width + GAP, sum(heights) + GAP * (len(rows) + 1)), GREY)
    top = GAP
    for pictures, height in zip(rows, heights, strict=True):
        left = GAP
        for picture in pictures:
            paper.paste(picture, (left, top))
            left += picture.width + GAP
        top += height + GAP
    return paper


def run(before: Path) -> None:
    """Write the sheets to screenshots/sheets/."""
    folder = FOLDER / "sheets"
    folder.mkdir(exist_ok=True)
    for name in PAGES:
        sheet([row(before, name), row(FOLDER, name)]).save(folder / f"{name}.png")
        print(folder / f"{name}.png")


if __name__ == "__main__":
    run(Path(sys.argv[1]))
