"""Whether a page can be used by everybody: what axe-core finds, and whether anything sticks out of a narrow window."""

from typing import Literal

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page

WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
OPTIONS = {"runOnly": {"type": "tag", "values": WCAG}, "resultTypes": ["violations"]}
RUN = """async options => {
    await Promise.all(document.getAnimations().map(animation => animation.finished));
    return (await axe.run(options)).violations;
}"""
# All that ends right of the window, but for what can be scrolled to inside a part of the page.
STICKING_OUT = """() => {
    const scrolled = part => part && part !== document.body
        && (getComputedStyle(part).overflowX !== 'visible' || scrolled(part.parentElement));
    if (document.documentElement.scrollWidth <= innerWidth) return [];
    return [...document.body.querySelectorAll('*')]
        .filter(part => part.getBoundingClientRect().right > innerWidth && !scrolled(part.parentElement))
        .map(part => part.outerHTML.slice(0, 120));
}"""
NARROWEST = 320
LOOKS: list[tuple[Literal["light", "dark"], int]] = [("light", 360), ("light", 1280), ("dark", 360), ("dark", 1280)]


def violations(page: Page) -> list[str]:
    """What axe-core finds on the page as it looks now: a line for each element, with rule, selector and reason.

    Call load_axe() first, once for each page that was loaded.
    """
    return [
        f"{rule['id']} at {' '.join(map(str, node['target']))}: {node['failureSummary']}"
        for rule in page.evaluate(RUN, OPTIONS)
        for node in rule["nodes"]
    ]


def load_axe(page: Page) -> None:
    """Put axe-core into the page; it comes through the debugger, which the CSP does not hold up."""
    page.evaluate(AXE_SCRIPT)


def assert_accessible(page: Page) -> None:
    """The page breaks no rule of WCAG 2.2 A and AA that axe-core knows, in light and dark, narrow and wide."""
    load_axe(page)
    found = []
    for scheme, width in LOOKS:
        page.emulate_media(color_scheme=scheme)
        page.set_viewport_size({"width": width, "height": 800})
        found += [f"{scheme}, {width} px: {line}" for line in violations(page)]
    assert found == [], f"{page.url}\n" + "\n".join(found)


def assert_fits(page: Page) -> None:
    """Nobody has to scroll sideways, however narrow the window."""
    page.set_viewport_size({"width": NARROWEST, "height": 640})
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= NARROWEST, f"{page.url} is {wide} px wide: " + "\n".join(page.evaluate(STICKING_OUT))
