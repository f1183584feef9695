"""What arrives when a worker sends the shop's e-mail into a folder, read as a mail program reads it."""

import html
import re
from email import message_from_bytes, policy
from email.header import decode_header, make_header
from email.message import EmailMessage
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from flask import Flask

from bookshop.mailer.transport import file_of
from bookshop.mailer.worker import Worker
from tests.support.factories import Shop

DUE_NOW = "UPDATE messages SET next_attempt_at = created_at WHERE state = 'queued'"
LINK = re.compile(r"https?://[^\s>]+")


class Postbox:
    """The folder into which the shop sends, with other settings if they are given."""

    def __init__(self, app: Flask, folder: Path, **changes: Any) -> None:
        self.app, self.shop, self.folder = app, Shop(app), folder
        app.config["SETTINGS"] = app.config["SETTINGS"].model_copy(update={"mail_folder": folder, **changes})
        self.seen: set[str] = set()

    def deliver(self) -> list[EmailMessage]:
        """Let a worker send all that is queued, however long it was to wait; returns what left, oldest first."""
        self.shop.execute(DUE_NOW)
        self.work()
        return [message_from_bytes(raw, policy=policy.default) for raw in self.new()]

    def work(self) -> None:
        """Let a worker send what is due."""
        with self.app.app_context():
            assert Worker().run_once()

    def new(self) -> list[bytes]:
        """The messages that were sent since this was last asked, as they left."""
        ids = self.shop.rows("SELECT message_id FROM messages WHERE state = 'sent' ORDER BY id")
        new = [message_id for message_id in ids if message_id not in self.seen]
        self.seen.update(new)
        return [file_of(self.folder, message_id).read_bytes() for message_id in new]


def part(message: EmailMessage, kind: str) -> str:
    """The `plain` or `html` part of a message."""
    found = message.get_body((kind,))
    assert found is not None
    return str(found.get_content()).replace("\r\n", "\n")


def words(markup: str) -> str:
    """The words of an HTML part, as one reads them."""
    body = re.sub(r"<style>.*?</style>|<title>.*?</title>", " ", markup, flags=re.DOTALL)
    body = re.sub(r"</?(bdi|strong)>", "", body)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def header(raw: bytes, name: str) -> str:
    """A header as mail programs read it; Python's newer reader leaves blanks between encoded words of a name."""
    return str(make_header(decode_header(message_from_bytes(raw)[name].replace("\r\n", ""))))


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in {"href", "src"}]


def links(message: EmailMessage) -> tuple[list[str], list[str]]:
    """All links of the text and of the HTML."""
    parser = _Links()
    parser.feed(part(message, "html"))
    return LINK.findall(part(message, "plain")), parser.found
