"""Drawn covers in a real browser with real fonts: nothing overflows, no words overlap."""

import re
from itertools import combinations
from typing import Any

import pytest
from playwright.sync_api import Browser

from bookshop.catalog.cover_text import width_of
from bookshop.catalog.cover_typesetting import BOLD
from bookshop.catalog.covers import draw_cover
from tests.browser.watch import Watch
from tests.support.titles import ODD, ORDINARY

NOWHERE = "http://nowhere.invalid"  # a cover loads nothing
FONTS = ["", "DejaVu Serif"]  # those that the cover names, and the widest common one
MARGIN = 14
Line = dict[str, Any]
# The position of every line of every cover, and any resources loaded.
MEASURE = """() => [...document.querySelectorAll('svg')].map(svg => [...svg.querySelectorAll('g > text')].map(line => {
    const box = line.getBoundingClientRect(), sheet = svg.getBoundingClientRect(), look = getComputedStyle(line)
    return {words: line.textContent, length: line.getComputedTextLength(), size: parseFloat(look.fontSize),
            bold: look.fontWeight > 400, spacing: parseFloat(look.letterSpacing) || 0,
            left: box.left - sheet.left, right: box.right - sheet.left,
            top: box.top - sheet.top, bottom: box.bottom - sheet.top}
}))"""


@pytest.fixture(scope="module", params=FONTS)
def covers(request: pytest.FixtureRequest, browser: Browser) -> list[list[Line]]:
    """The lines of many covers as the browser renders them in a font."""
    documents = [draw_cover(title, authors) for title, authors in [*ODD, *ORDINARY[::4]]]
    if font := request.param:
        documents = [re.sub(r'font-family="[^"]*"', f'font-family="{font}"', document) for document in documents]
    watch = Watch(NOWHERE)
    with browser.new_context() as context:
        watch.over(context)
        page = context.new_page()
        page.set_content("<!doctype html><title>Covers</title>" + "".join(documents))
        measured: list[list[Line]] = page.evaluate(MEASURE)
    watch.assert_nothing_wrong()
    return measured


def test_no_line_is_longer_than_estimated(covers):
    long = [line for cover in covers for line in cover if line["length"] > estimated(line) + 1]
    assert long == []


def estimated(line: Line) -> float:
    letters: float = width_of(line["words"]) * line["size"] * (BOLD if line["bold"] else 1)
    spaces: float = line["spacing"] * len(line["words"])
    return letters + spaces


def test_all_words_fit_on_the_cover(covers):
    outside = [line for cover in covers for line in cover if not is_inside(line)]
    assert outside == []


def is_inside(line: Line) -> bool:
    return bool(line["left"] >= MARGIN and line["right"] <= 300 - MARGIN and line["top"] >= 0 and line["bottom"] <= 450)


def test_no_words_overlap(covers):
    pairs = [pair for cover in covers for pair in combinations(cover, 2)]
    assert [(one["words"], other["words"]) for one, other in pairs if overlap(one, other)] == []


def overlap(one: Line, other: Line) -> bool:
    """Whether two lines overlap; fonts reserve more height than letters need, so a third may be shared."""
    return all(
        min(one[end], other[end]) - max(one[start], other[start])
        > min(one[end] - one[start], other[end] - other[start]) / 3
        for start, end in (("left", "right"), ("top", "bottom"))
    )
