"""Accessibility checks: the findings of axe-core, and content that overflows a narrow window."""

from typing import Any, Literal

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import BrowserContext, Page

Theme = tuple[Literal["light", "dark"], int]
THEMES: list[Theme] = [("light", 1280), ("light", 360), ("dark", 360), ("dark", 1280)]
NARROWEST = 320
WCAG = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
THEME_DEPENDENT = ["color-contrast", "target-size"]  # rules that depend on colours and sizes
LOADED = "'axe' in window"
RUN = """async rules => {
    await Promise.all(document.getAnimations().map(animation => animation.finished));
    return (await axe.run({runOnly: rules, resultTypes: ['violations']})).violations;
}"""
# Everything that ends right of the window, except inside scrollable parts of the page.
STICKING_OUT = """() => {
    const scrolled = part => part && part !== document.body
        && (getComputedStyle(part).overflowX !== 'visible' || scrolled(part.parentElement));
    if (document.documentElement.scrollWidth <= innerWidth) return [];
    return [...document.body.querySelectorAll('*')]
        .filter(part => part.getBoundingClientRect().right > innerWidth && !scrolled(part.parentElement))
        .map(part => part.outerHTML.slice(0, 120));
}"""


def load_axe(context: BrowserContext) -> None:
    """Load axe-core into every page of this context, through the debugger, which the CSP does not block."""
    context.add_init_script(AXE_SCRIPT)


def violations(page: Page, rules: Any = WCAG) -> list[str]:
    """Return axe-core's findings on the page as shown: a line per element, with rule, selector and reason."""
    if not page.evaluate(LOADED):
        page.evaluate(AXE_SCRIPT)
    return [
        f"{rule['id']} at {' '.join(map(str, node['target']))}: {node['failureSummary']}"
        for rule in page.evaluate(RUN, rules)
        for node in rule["nodes"]
    ]


def assert_accessible(page: Page) -> None:
    """Assert that the page, light and wide, breaks no WCAG 2.2 A or AA rule known to axe-core."""
    assert_nothing_found(page, violations_in(page, THEMES[0], WCAG))


def assert_accessible_in_other_themes(page: Page) -> None:
    """Assert the same in dark mode and in a narrow window, for the rules that depend on these."""
    found = [line for theme in THEMES[1:] for line in violations_in(page, theme, THEME_DEPENDENT)]
    assert_nothing_found(page, found)


def violations_in(page: Page, theme: Theme, rules: Any) -> list[str]:
    scheme, width = theme
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    return [f"{scheme}, {width} px: {line}" for line in violations(page, rules)]


def assert_nothing_found(page: Page, found: list[str]) -> None:
    assert found == [], f"{page.url}\n" + "\n".join(found)


def assert_fits(page: Page) -> None:
    """Assert that no horizontal scrolling is needed, even in a narrow window."""
    page.set_viewport_size({"width": NARROWEST, "height": 640})
    wide = page.evaluate("document.documentElement.scrollWidth")
    assert wide <= NARROWEST, f"{page.url} is {wide} px wide: " + "\n".join(page.evaluate(STICKING_OUT))
