"""Whether a page can be used by everybody: what axe-core finds, and whether anything sticks out of a narrow window."""

from typing import Any, Literal

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import BrowserContext, Page

Look = tuple[Literal["light", "dark"], int]
LOOKS: list[Look] = [("light", 1280), ("light", 360), ("dark", 360), ("dark", 1280)]
NARROWEST = 320
WCAG = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
LOOK_DEPENDENT = ["color-contrast", "target-size"]  # what colours and sizes change; all else is the same in every look
LOADED = "'axe' in window"
RUN = """async rules => {
    await Promise.all(document.getAnimations().map(animation => animation.finished));
    return (await axe.run({runOnly: rules, resultTypes: ['violations']})).violations;
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


def bring_axe(context: BrowserContext) -> None:
    """Have axe-core in every page of this context; it comes through the debugger, which the CSP does not hold up."""
    context.add_init_script(AXE_SCRIPT)


def violations(page: Page, rules: Any = WCAG) -> list[str]:
    """What axe-core finds on the page as it looks now: a line for each element, with rule, selector and reason."""
    if not page.evaluate(LOADED):
        page.evaluate(AXE_SCRIPT)
    return [
        f"{rule['id']} at {' '.join(map(str, node['target']))}: {node['failureSummary']}"
        for rule in page.evaluate(RUN, rules)
        for node in rule["nodes"]
    ]


def assert_accessible(page: Page) -> None:
    """The page breaks no rule of WCAG 2.2 A and AA that axe-core knows, as it first looks: light and wide."""
    assert_nothing_found(page, violations_in(page, LOOKS[0], WCAG))


def assert_accessible_in_other_looks(page: Page) -> None:
    """Nor does it in the dark or in a narrow window, by the rules that depend on the look."""
    found = [line for look in LOOKS[1:] for line in violations_in(page, look, LOOK_DEPENDENT)]
    assert_nothing_found(page, found)


def violations_in(page: Page, look: Look, rules: Any) -> list[str]:
    scheme, width = look
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    return [f"{scheme}, {width} px: {line}" for line in violations(page, rules)]


def assert_nothing_found(page: Page, found: list[str]) -> None:
    assert found == [], f"{page.url}\n" + "\n".join(found)


def assert_fits(page: Page) -> None:
    """Nobody has to scroll sideways, however narrow the window."""
    page.set_viewport_size({"width": NARROWEST, "height": 640})
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= NARROWEST, f"{page.url} is {wide} px wide: " + "\n".join(page.evaluate(STICKING_OUT))
