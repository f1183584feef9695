"""Texts of an ONIX message: one line for names and titles, paragraphs for descriptions, without any markup."""

import html
import re

from lxml import etree

from bookshop.bookfiles import markup

ENTITY = re.compile(rb"&(?!(?:amp|lt|gt|quot|apos);)(\w+);")
# Windows-1252 characters in a file that declares ISO-8859-1, where they are control characters; and invisible ones.
REPLACED: dict[int, str] = {
    **{code: text for code in range(0x80, 0xA0) if (text := bytes([code]).decode("cp1252", "ignore"))},
    **{0x200B: "", 0xFEFF: ""},
}


def line(element: etree._Element) -> str:
    """Return the text of an element on one line."""
    text = markup.text_of(element) if len(element) else element.text or ""
    return " ".join((text if text.isascii() else text.translate(REPLACED)).split())


def paragraphs(element: etree._Element) -> str:
    """Return the text of an element that may hold XHTML, or HTML as text, with its paragraphs and line breaks."""
    text = markup.text_of(element) if len(element) else markup.plain_text((element.text or "").strip())
    return markup.tidy_lines(text.translate(REPLACED))


def record(product: etree._Element) -> bytes:
    """Return a product as XML that stands alone: characters in place of HTML's entities, which a DTD would declare."""
    return ENTITY.sub(_as_characters, etree.tostring(product, encoding="utf-8", with_tail=False))


def _as_characters(entity: re.Match[bytes]) -> bytes:
    text = html.unescape(entity[0].decode())
    return html.escape(text, quote=False).encode()
