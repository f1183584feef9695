"""The pages that a new shop starts with, until an owner has reviewed them."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent / "starters"
TITLES: Mapping[str, str] = {  # in the order of the links at the foot of each page
    "about": "About us",
    "delivery-and-returns": "Delivery and returns",
    "terms": "Terms",
    "privacy": "Privacy",
    "imprint": "Imprint",
    "accessibility": "Accessibility",
}


class Starter(NamedTuple):
    """A page that nobody has reviewed yet."""

    slug: str
    title: str
    body: str


@cache
def starter(slug: str) -> Starter | None:
    """Return the starter page with this slug, if there is one."""
    if slug not in TITLES:
        return None
    return Starter(slug, TITLES[slug], (FOLDER / f"{slug}.md").read_text(encoding="utf-8"))
