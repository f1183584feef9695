"""The e-mails that a worker writes into a folder, parsed as a mail program parses them."""

import html
import re
from collections.abc import Iterable
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from flask import Flask

from bookshop.mailer.transport import message_path
from bookshop.mailer.worker import MailWorker
from tests.support.factories import Shop

DUE_NOW = "UPDATE messages SET next_attempt_at = created_at WHERE state = 'queued'"
LINK = re.compile(r"https?://[^\s>]+")


class Mailbox:
    """The folder into which the shop sends e-mail, with any changed settings."""

    def __init__(self, app: Flask, folder: Path, **changes: Any) -> None:
        self.app, self.shop, self.folder = app, Shop(app), folder
        app.config["SETTINGS"] = app.config["SETTINGS"].model_copy(update={"mail_folder": folder, **changes})
        self.seen: set[str] = set()

    def deliver(self) -> list[EmailMessage]:
        """Let a worker send all that is queued, even if not due; return the sent messages, oldest first."""
        self.shop.execute(DUE_NOW)
        self.run_worker()
        return [message_from_bytes(raw, policy=policy.default) for raw in self.new()]

    def run_worker(self) -> None:
        """Let a worker send what is due."""
        with self.app.app_context():
            assert MailWorker().run_once()

    def new(self) -> list[bytes]:
        """Return the messages sent since the last call, in raw form."""
        ids = self.shop.rows("SELECT message_id FROM messages WHERE state = 'sent' ORDER BY id")
        new = [message_id for message_id in ids if message_id not in self.seen]
        self.seen.update(new)
        return [message_path(self.folder, message_id).read_bytes() for message_id in new]


def part(message: EmailMessage, kind: str) -> str:
    """Return the `plain` or `html` part of a message."""
    body = message.get_body((kind,))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def path_in(messages: Iterable[EmailMessage], start: str) -> str:
    """Return the path of the first link in these messages that begins with `start`, such as /login/link/."""
    paths = [
        re.sub(r"^https?://[^/]+", "", link) for message in messages for link in LINK.findall(part(message, "plain"))
    ]
    return next(path for path in paths if path.startswith(start))


def words(markup: str) -> str:
    """Return the visible text of an HTML part."""
    body = re.sub(r"<style>.*?</style>|<title>.*?</title>", " ", markup, flags=re.DOTALL)
    body = re.sub(r"</?(bdi|strong)>", "", body)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def header(raw: bytes, name: str) -> str:
    """Decode a header as mail programs do; Python's newer parser leaves spaces between encoded words of a name."""
    return str(make_header(decode_header(message_from_bytes(raw)[name].replace("\r\n", ""))))


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in {"href", "src"}]


def links(message: EmailMessage) -> tuple[list[str], list[str]]:
    """Return all links of the plain text and of the HTML."""
    parser = _Links()
    parser.feed(part(message, "html"))
    return LINK.findall(part(message, "plain")), parser.found
