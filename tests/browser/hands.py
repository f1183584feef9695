"""How people use a page: with a mouse, or with only a keyboard."""

import pytest
from playwright.sync_api import Locator

MOST_TABS = 150  # more than the links and fields of any page in the tests
# How often to press Tab before checking again; 0 means that the element has the focus. If nothing has it, one step
# shows where it starts; earlier elements are reached by wrapping around the end of the page.
AHEAD = """element => {
    if (element === document.activeElement) return 0;
    const stops = [...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex]')]
        .filter(stop => stop.tabIndex >= 0 && !stop.disabled && stop.checkVisibility({visibilityProperty: true}));
    const here = stops.indexOf(document.activeElement);
    return here < 0 ? 1 : Math.max(1, stops.indexOf(element) - here);
}"""


class Mouse:
    """Uses the mouse."""

    def press(self, target: Locator) -> None:
        target.click()

    def type(self, field: Locator, text: str) -> None:
        field.fill(text)

    def tick(self, box: Locator) -> None:
        box.check()


class Keyboard:
    """Moves from element to element with Tab, without a mouse."""

    def press(self, target: Locator) -> None:
        self._go_to(target)
        target.page.keyboard.press("Enter")

    def type(self, field: Locator, text: str) -> None:
        self._go_to(field)
        field.page.keyboard.press("Control+A")
        field.page.keyboard.type(text)

    def tick(self, box: Locator) -> None:
        self._go_to(box)
        box.page.keyboard.press("Space")

    def _go_to(self, target: Locator) -> None:
        pressed = 0
        while ahead := target.evaluate(AHEAD):
            pressed += ahead
            assert pressed <= MOST_TABS, f"{target} cannot be reached with the keyboard"
            for _step in range(ahead):
                target.page.keyboard.press("Tab")


Hands = Mouse | Keyboard
PHONE = {"width": 360, "height": 740}
TABLET = 768  # pixels, from which all links of the customers' menu are shown


def press_in_menu(hands: Hands, target: Locator) -> None:
    """Press a link or button of the menu, which phones show, to customers and to staff, after its own button only."""
    window = target.page.viewport_size
    if window and window["width"] < TABLET:
        hands.press(target.page.locator("[popovertarget=menu], .staff-fold > summary"))
    hands.press(target.filter(visible=True))


# For journeys that must work for everyone: `(hands, options of the window)`.
in_every_way = pytest.mark.parametrize(
    ("hands", "options"),
    [
        pytest.param(Mouse(), {}, id="mouse"),
        pytest.param(Keyboard(), {}, id="keyboard", marks=pytest.mark.prove),
        pytest.param(Mouse(), {"java_script_enabled": False}, id="no JavaScript", marks=pytest.mark.prove),
        pytest.param(Mouse(), {"viewport": PHONE}, id="phone", marks=pytest.mark.prove),
    ],
)
