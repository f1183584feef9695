"""Descriptions without the HTML that web shops export and that ONIX messages contain."""

import html
import re
from collections.abc import Iterator
from typing import Any

from lxml import etree

TAG = re.compile(
    r"</?(?:p|br|div|b|i|em|strong|ul|ol|li|dl|dt|dd|span|h[1-6]|a|u|sup|sub|table|tbody|tr|td|blockquote|img)\b[^<>]*>",
    re.IGNORECASE,
)
ENTITY = re.compile(r"&(?:amp|quot|lt|gt|nbsp|#[0-9]{1,6}|#x[0-9a-f]{1,5}|[a-z]{3,8});", re.IGNORECASE)
SPACE = re.compile(r"[^\S\xa0]+")
PARAGRAPHS = frozenset(("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "blockquote", "table", "pre"))
LINES = frozenset(("div", "dt", "dd", "tr"))
BEFORE = {**dict.fromkeys(PARAGRAPHS, "\n\n"), **dict.fromkeys(LINES, "\n"), "li": "\n• ", "br": "\n"}
AFTER = {**dict.fromkeys(PARAGRAPHS, "\n\n"), **dict.fromkeys(LINES, "\n")}
BLOCK = re.compile(rf"<(?:{'|'.join(BEFORE)})\b", re.IGNORECASE)
DROPPED = frozenset(("script", "style", "head", "title", "rt", "rp"))  # rt and rp: how to pronounce what is written
NUL = "\0"  # where the parser would stop; such a text is refused later


def plain_text(text: str) -> str:
    """Return a description without tags and entities: a blank line between paragraphs, a bullet before list items.

    A text without known tags keeps its lines as they are, and one whose tags make no paragraphs keeps its line breaks.
    """
    if NUL in text:
        return text
    if not TAG.search(text):
        return html.unescape(text) if ENTITY.search(text) else text
    return text_of(_parsed(text if BLOCK.search(text) else text.replace("\n", "<br>")))


def text_of(element: etree._Element) -> str:
    """Return the text of an element of HTML or XHTML, as `plain_text` does."""
    return tidy_lines("".join(_pieces(element)))


def tidy_lines(text: str) -> str:
    """Strip every line, and leave at most one blank line between two."""
    lines = "\n".join(" ".join(line.split()) for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", re.sub(r"•\n+", "• ", lines)).strip()


def _parsed(text: str) -> etree._Element:
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
    return etree.fromstring(f"<div>{text}</div>".encode("utf-8", "ignore"), parser)


def _pieces(node: Any) -> Iterator[str]:
    if not isinstance(node.tag, str):
        yield html.unescape(node.text or "")  # an entity; unknown ones stay as they are
        return
    name = node.tag.rpartition("}")[2].lower()
    if name in DROPPED:
        return
    yield BEFORE.get(name, "")
    yield SPACE.sub(" ", node.text or "")
    for child in node:
        yield from _pieces(child)
        yield SPACE.sub(" ", child.tail or "")
    yield AFTER.get(name, "")
