"""How people use a page: with a mouse, or with a keyboard alone."""

from playwright.sync_api import Locator

MOST_TABS = 150  # more links and fields than any page of the tests has


class Mouse:
    """Points at things."""

    def press(self, target: Locator) -> None:
        target.click()

    def type(self, field: Locator, text: str) -> None:
        field.fill(text)


class Keyboard:
    """Goes from one thing to the next with Tab, as somebody does who has no mouse."""

    def press(self, target: Locator) -> None:
        self._go_to(target)
        target.page.keyboard.press("Enter")

    def type(self, field: Locator, text: str) -> None:
        self._go_to(field)
        field.page.keyboard.press("Control+A")
        field.page.keyboard.type(text)

    def _go_to(self, target: Locator) -> None:
        for _step in range(MOST_TABS):
            if target.evaluate("element => element === document.activeElement"):
                return
            target.page.keyboard.press("Tab")
        raise AssertionError(f"{target} cannot be reached with the keyboard")
