"""Errors that no page may have, whatever a test is about."""

from playwright.sync_api import BrowserContext, ConsoleMessage, Request, Response, WebError

INSIDE = ("data:", "blob:", "about:")
NOT_LOADED = "Failed to load resource: the server responded"  # see Watch.response


class Watch:
    """Collects the errors of windows: console errors (including CSP violations), requests to other hosts, server
    errors, and missing pictures or styles."""

    def __init__(self, home: str) -> None:
        self.home = home
        self.faults: list[str] = []

    def over(self, context: BrowserContext) -> None:
        """Watch all pages of this context from now on."""
        context.on("console", self.console)
        context.on("weberror", self.web_error)
        context.on("request", self.request)
        context.on("response", self.response)

    def assert_nothing_wrong(self) -> None:
        """Assert that there were no errors since the last call."""
        found, self.faults = self.faults, []
        assert found == []

    def console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(NOT_LOADED):
            self.faults.append(f"console: {message.text}")

    def web_error(self, error: WebError) -> None:
        self.faults.append(f"script: {error.error}")

    def request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.home}/", *INSIDE)):
            self.faults.append(f"left the host: {request.url}")

    def response(self, response: Response) -> None:
        """A page itself may be an error response, as its test checks that; its resources may not."""
        allowed = 500 if response.request.is_navigation_request() else 400
        if response.status >= allowed:
            self.faults.append(f"{response.status}: {response.url}")
