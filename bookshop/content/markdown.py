"""Content pages as HTML: CommonMark (https://spec.commonmark.org) without raw HTML, and with the shop's details."""

import re
from collections.abc import Mapping
from itertools import pairwise

import nh3
from markdown_it import MarkdownIt

PLACEHOLDER = re.compile(r"\{([a-z]+)\}")
ESCAPED = re.compile(r"([\\`*_{}\[\]()#+.!|<>&~-])")
TAGS = nh3.ALLOWED_TAGS - {"img"}  # the pages show pictures of the shop itself only
parser = MarkdownIt("commonmark", {"html": False}).enable("table")


def to_html(body: str, details: Mapping[str, str]) -> str:
    """Return a text as safe HTML. `{name}` and so on stand for the shop's details; others stay as they are.

    Headings are of level 2 or lower: the title of the page is the first.
    """
    tokens = parser.parse(_filled(body, details))
    for token in tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = max(token.tag, "h2")
    return nh3.clean(parser.renderer.render(tokens, parser.options, {}), tags=TAGS, link_rel="noopener")


def details_in(body: str) -> set[str]:
    """Return the names of the details that a text shows: all that is written as `{name}`, known or not."""
    return set(PLACEHOLDER.findall(body))


def first_paragraph(body: str, details: Mapping[str, str]) -> str:
    """Return the first paragraph of a text without its markup; "" if it has none."""
    tokens = parser.parse(_filled(body, details))
    for before, token in pairwise(tokens):
        if before.type == "paragraph_open" and before.level == 0:
            return " ".join("".join(part.content or " " for part in token.children or ()).split())
    return ""


def _filled(body: str, details: Mapping[str, str]) -> str:
    return PLACEHOLDER.sub(lambda match: _escaped(details[match[1]]) if match[1] in details else match[0], body)


def _escaped(text: str) -> str:
    """Return a text that Markdown shows as it is."""
    return ESCAPED.sub(r"\\\1", text)
