"""Texts of an ONIX message: one line for names and titles, paragraphs for descriptions, without any markup."""

import html
import re
from collections.abc import Iterator
from typing import Any

from lxml import etree

from bookshop.bookfiles.onix_codes import MARKED_UP

TAG = re.compile(r"</?(?:p|br|b|i|u|em|strong|span|div|ul|ol|li|dl|dt|dd|h[1-6]|blockquote|a|sup|sub)\b[^<>]*>", re.I)
SPACE = re.compile(r"[^\S\xa0]+")
PARAGRAPHS = {*("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "blockquote", "table", "pre")}
LINES = {*("div", "dt", "dd", "tr")}
DROPPED = {*("script", "style", "rt", "rp", "head")}  # rt and rp: how to pronounce what is written
ENTITY = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos);)(\w+);")
# Windows-1252 characters in a file that declares ISO-8859-1, where they are control characters; and invisible ones.
REPLACED: dict[int, str] = {
    **{code: text for code in range(0x80, 0xA0) if (text := bytes([code]).decode("cp1252", "ignore"))},
    **{0x200B: "", 0xFEFF: ""},
}


def line(element: etree._Element) -> str:
    """Return the text of an element on one line."""
    text = "".join(_pieces(element)) if len(element) else element.text or ""
    return " ".join((text if text.isascii() else text.translate(REPLACED)).split())


def paragraphs(element: etree._Element) -> str:
    """Return the text of an element that may hold XHTML, or HTML as text, with its paragraphs and line breaks."""
    text = (element.text or "").strip()
    if len(element):
        text = "".join(_pieces(element))
    elif TAG.search(text):
        text = "".join(_pieces(_parsed(text)))
    elif element.get("textformat") in MARKED_UP:
        text = html.unescape(text)
    return _tidy(text.translate(REPLACED))


def record(product: etree._Element) -> bytes:
    """Return a product as XML that stands alone: characters in place of HTML's entities, which a DTD would declare."""
    return ENTITY.sub(_as_characters, etree.tostring(product, encoding="utf-8", with_tail=False))


def _as_characters(entity: re.Match[bytes]) -> bytes:
    text = html.unescape(entity[0].decode())
    return html.escape(text, quote=False).encode()


def _parsed(text: str) -> etree._Element:
    parser = etree.HTMLParser(encoding="utf-8", no_network=True, remove_comments=True, remove_pis=True)
    return etree.fromstring(f"<div>{text}</div>".encode("utf-8", "ignore"), parser)


def _tidy(text: str) -> str:
    """Strip every line, and leave at most one blank line between two."""
    lines = "\n".join(" ".join(line.split()) for line in text.splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines).strip()


def _pieces(node: Any) -> Iterator[str]:
    if not isinstance(node.tag, str):
        yield html.unescape(node.text or "")  # an entity; unknown ones stay as they are
        return
    name = node.tag.rpartition("}")[2].lower()
    if name in DROPPED:
        return
    yield _before(name)
    yield SPACE.sub(" ", node.text or "")
    for child in node:
        yield from _pieces(child)
        yield SPACE.sub(" ", child.tail or "")
    yield "\n\n" if name in PARAGRAPHS else "\n" if name in LINES else ""


def _before(name: str) -> str:
    if name in PARAGRAPHS:
        return "\n\n"
    return {"li": "\n• ", "br": "\n"}.get(name, "\n" if name in LINES else "")
