"""What no page may do, whatever a test looks at."""

from playwright.sync_api import BrowserContext, ConsoleMessage, Request, Response, WebError

INSIDE = ("data:", "blob:", "about:")
NOT_LOADED = "Failed to load resource: the server responded"  # the response itself says more, see Watch.response


class Watch:
    """Collects the faults of windows: errors in the console (what the CSP blocked is one), requests to other hosts,
    answers that are a server's error, and pictures or styles that are not there."""

    def __init__(self, home: str) -> None:
        self.home = home
        self.faults: list[str] = []

    def over(self, context: BrowserContext) -> None:
        """Watch all pages of this context from now on."""
        context.on("console", self.console)
        context.on("weberror", self.api_client)
        context.on("request", self.request)
        context.on("response", self.response)

    def assert_nothing_wrong(self) -> None:
        """Nothing was wrong since this was last asked."""
        found, self.faults = self.faults, []
        assert found == []

    def console(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not message.text.startswith(NOT_LOADED):
            self.faults.append(f"console: {message.text}")

    def api_client(self, error: WebError) -> None:
        self.faults.append(f"script: {error.error}")

    def request(self, request: Request) -> None:
        if not request.url.startswith((f"{self.home}/", *INSIDE)):
            self.faults.append(f"left the host: {request.url}")

    def response(self, response: Response) -> None:
        """A page itself may be a refusal, which is what its test looks at; anything that belongs to it may not."""
        allowed = 500 if response.request.is_navigation_request() else 400
        if response.status >= allowed:
            self.faults.append(f"{response.status}: {response.url}")
