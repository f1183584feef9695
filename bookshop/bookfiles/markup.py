"""Descriptions without the HTML that web shops export."""

import html
import re
from html.parser import HTMLParser

LONGEST = 100_000  # characters that are parsed; what is longer is refused for its length later
TAG = re.compile(
    r"</?(?:p|br|div|b|i|em|strong|ul|ol|li|span|h[1-6]|a|u|table|tbody|tr|td|blockquote|img)\b[^<>]*>", re.I
)
ENTITY = re.compile(r"&(?:amp|quot|lt|gt|nbsp|#[0-9]{1,6}|#x[0-9a-f]{1,5}|[a-z]{3,8});", re.I)
BLOCKS = frozenset(
    ("p", "br", "div", "ul", "ol", "li", "h1", "h2", "h3", "h4", "h5", "h6", "tr", "blockquote", "table")
)
UNSEEN = frozenset(("script", "style", "head", "title"))


def plain_text(text: str) -> str:
    """Return a description without tags and entities, with a line for each of its paragraphs.

    A text without known tags is returned as it is, except for line ends that are written `\\n`.
    """
    unescaped = text.replace("\\r\\n", "\n").replace("\\n", "\n")
    if len(text) > LONGEST:
        return text
    if not TAG.search(unescaped):
        return html.unescape(unescaped) if ENTITY.search(unescaped) else unescaped
    parser = _Text()
    parser.feed(unescaped)
    parser.close()
    lines = (" ".join(line.split()) for line in "".join(parser.parts).split("\n"))
    return "\n".join(filter(None, lines))


class _Text(HTMLParser):
    """Collects the text of HTML, with a line break around each block."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.unseen = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.unseen += tag in UNSEEN
        if tag in BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        self.unseen -= tag in UNSEEN and self.unseen > 0
        if tag in BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self.unseen:
            self.parts.append(data)
