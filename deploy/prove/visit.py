"""What customers and staff do in the shop: with a browser, with e-mail, and with scripts."""

import email
import email.policy
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any, cast
from urllib.parse import urljoin

import httpx
from aiosmtpd.controller import Controller
from lxml import html

MAIL_PORT = 2525
PATIENCE_SECONDS = 30
SECRET = re.compile(r"/(?:link|waiting|unsubscribe|confirm|undo)/(\S{16,})")
LINK = re.compile(r"https://books\.example\.com\S+")


HOST = "books.example.com"
_looked_up = socket.getaddrinfo


def _look_up(host: Any, *rest: Any, **options: Any) -> Any:
    return _looked_up("127.0.0.1" if host == HOST else host, *rest, **options)


socket.getaddrinfo = _look_up  # what DNS does for customers


class Unexpected(Exception):
    """The shop did something else than it should; the message says what."""


class Mailbox:
    """A mail server for everybody's messages."""

    def __init__(self) -> None:
        self.messages: list[EmailMessage] = []
        self._arrived = threading.Condition()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        with self._arrived:
            self.messages.append(message)
            self._arrived.notify_all()
        return "250 OK"

    def wait_for(self, recipient: str, subject: str) -> str:
        """Return the text of the first message to `recipient` with this in its subject; wait for it."""

        def found() -> EmailMessage | None:
            fits = (found for found in self.messages if found["To"] == recipient and subject in found["Subject"])
            return next(fits, None)

        with self._arrived:
            message = self._arrived.wait_for(found, PATIENCE_SECONDS)
        if not message:
            others = [(other["To"], other["Subject"]) for other in self.messages]
            raise Unexpected(f"{recipient} got no e-mail about '{subject}', only {others} were sent")
        return message.get_body(("plain",)).get_content()  # type: ignore[union-attr, no-any-return]

    def secrets(self) -> set[str]:
        """Return the secret parts of all links in these messages."""
        texts = [message.get_body(("plain",)).get_content() for message in self.messages]  # type: ignore[union-attr]
        return {secret for text in texts for secret in SECRET.findall(text)}


@contextmanager
def mail_server() -> Iterator[Mailbox]:
    mailbox = Mailbox()
    server = Controller(mailbox, hostname="127.0.0.1", port=MAIL_PORT)
    server.start()
    try:
        yield mailbox
    finally:
        server.stop()


class Browser:
    """A browser without JavaScript, or a script with a token, which trusts one certificate authority."""

    def __init__(self, address: str, certificates: str | None = None, token: str | None = None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        context = ssl.create_default_context(cafile=certificates)
        self.client = httpx.Client(base_url=address, verify=context, headers=headers, timeout=15)

    def get(self, path: str, status: int = 200) -> httpx.Response:
        return _expect(self.client.get(path, follow_redirects=True), status)

    def send(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Send JSON as a script does, and return what comes back."""
        response = self.client.request(method, f"/api/v1{path}", json=body)
        return _expect(response, response.status_code if response.is_success else 200).json()  # type: ignore[no-any-return]

    def submit(self, page: httpx.Response, path: str, **typed: str) -> httpx.Response:
        """Fill in and send the form of the page that goes to `path`; follow redirects, as browsers do."""
        forms = [form for form in parsed(page).forms if _target(page, form) == path]
        if not forms:
            raise Unexpected(f"the page {page.url.path} has no form for {path}")
        values = {**dict(forms[0].form_values()), **typed}
        headers = {"Referer": str(page.url), "Origin": str(page.url.copy_with(path="/")).rstrip("/")}
        return _expect(self.client.post(path, data=values, headers=headers, follow_redirects=True), 200)


def parsed(page: httpx.Response) -> html.HtmlElement:
    return cast(html.HtmlElement, html.document_fromstring(page.text or "<p>nothing</p>"))


def _target(page: httpx.Response, form: html.FormElement) -> str:
    return httpx.URL(urljoin(str(page.url), form.action or "")).path


def _expect(response: httpx.Response, status: int) -> httpx.Response:
    if response.status_code != status:
        seen = " ".join(parsed(response).text_content().split())[:600]
        request = response.request
        raise Unexpected(f"{request.method} {request.url} answered {response.status_code}, not {status}: {seen}")
    return response


def expect_text(page: httpx.Response, text: str) -> None:
    seen = " ".join(parsed(page).text_content().split())
    if text not in seen:
        raise Unexpected(f"{page.url} does not say '{text}': {seen[:1500]}")


HEALTH = ("/health/ready", "/health/worker")


def wait_until_ready(address: str, paths: Sequence[str] = HEALTH, certificates: str | None = None) -> None:
    """Wait until these paths answer with 200."""
    browser, deadline = Browser(address, certificates), time.monotonic() + PATIENCE_SECONDS
    answers: list[str] = []
    while time.monotonic() < deadline:
        answers = [_health(browser, path) for path in paths]
        if not any(answers):
            return
        time.sleep(0.2)
    raise Unexpected(f"the shop did not get ready within {PATIENCE_SECONDS} s: {' '.join(answers)}")


def _health(browser: Browser, path: str) -> str:
    try:
        answer = browser.client.get(path)
    except httpx.TransportError as error:
        return str(error)
    return "" if answer.status_code == httpx.codes.OK else f"{path}: {answer.text}"
