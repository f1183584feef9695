"""ONIX messages as XML: the version of a file, and its products one after the other.

The file may be hostile: nothing outside it is read, no entity is expanded, and memory stays constant.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any, cast

from lxml import etree

from bookshop.bookfiles.onix_codes import COMPOSITES, SHORT_TAGS
from bookshop.bookfiles.onix_text import line
from bookshop.kit.exceptions import Invalid

CHUNK = 32 * 1024
HEAD = 64 * 1024  # bytes in which the root element begins
LARGEST = 4 * 1024 * 1024  # bytes of one product; real ones have a few thousand
SAFE: Mapping[str, Any] = {
    **{"resolve_entities": False, "no_network": True, "huge_tree": False, "load_dtd": False, "collect_ids": False},
    **{"remove_comments": True, "remove_pis": True},
}
VERSION = re.compile(r"onix/(\d)\.(\d)", re.IGNORECASE)
RELEASE = re.compile(r"\s*(\d)(?:\.(\d))?")
# What stands before the XML, and a declaration of UTF-16 that is wrong, as it is not itself in UTF-16.
START = re.compile(rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*encoding\s*=\s*[\"']utf-16)?", re.IGNORECASE)
IN_PLAIN_WORDS = {
    etree.ErrorTypes.ERR_NAME_REQUIRED: "there is a “<” or “&” that begins no tag and should be &lt; or &amp;",
    etree.ErrorTypes.I18N_CONV_FAILED: "it is not in the encoding that the file declares",
    etree.ErrorTypes.ERR_INVALID_ENCODING: "it is not in the encoding that the file declares",
}


@dataclass(frozen=True, slots=True)
class Found:
    """A product's element, which is cleared when the next one is asked for, or why there is none.

    `lost` counts the products after it that cannot be read.
    """

    number: int
    element: etree._Element | None = None
    problem: str = ""
    lost: int = 0


@dataclass(frozen=True)
class Composite:
    """An element whose parts are found by their reference names, whichever tags the message uses."""

    element: etree._Element
    tags: Mapping[str, str]

    def all(self, *names: str) -> list["Composite"]:
        """Return the elements on a path of names: `all("SupplyDetail", "Price")`."""
        found = [self.element]
        for name in names:
            tag = self.tags[name]
            found = [child for element in found for child in element.iterchildren(tag)]
        return [Composite(element, self.tags) for element in found]

    def text(self, name: str) -> str:
        """Return the text of the first part with this name on one line; "" if there is none."""
        for element in self.element.iterchildren(self.tags[name]):  # `find` takes twice as long
            return line(element)
        return ""

    def texts(self, name: str) -> list[str]:
        """Return the texts of all parts with this name."""
        return [line(element) for element in self.element.iterchildren(self.tags[name])]


class NothingElse(etree.Resolver):
    """Gives nothing for any file or address that a document names; the parser's own options let some through."""

    def resolve(self, *asked: Any) -> Any:
        return self.resolve_empty(asked[-1])  # type: ignore[attr-defined]  # unknown to the stubs


def message_version(path: Path) -> str | None:
    """Return the ONIX version of a file, such as "3.0" or "2.1", or None if it is not an ONIX message.

    A message that does not say its version is taken for 2.1: since 3.0, messages have to say it.
    """
    root = _root(path)
    return _version(root) if root is not None else None


def tag_names(root: etree._Element) -> dict[str, str]:
    """Return the tag of each element that the shop reads, by its reference name, as this message writes them."""
    name = etree.QName(root)
    short = name.localname == "ONIXmessage"
    names = {**SHORT_TAGS, **{composite: composite.lower() for composite in COMPOSITES}}
    return {
        reference: f"{{{name.namespace}}}{tag}" if name.namespace else tag
        for reference, tag in (names if short else dict(zip(names, names, strict=True))).items()
    }


def found_products(path: Path) -> Iterator[Found]:
    """Yield the products of an ONIX 3 message; one that cannot be read is the last. Raises Invalid if there is none."""
    root = safe_root(path)
    start, encoding = _start(path)
    parser = _parser(("start", "end"), encoding, tag_names(root)["Product"])
    begun = ended = unread = 0
    with path.open("rb") as file:
        file.seek(start)
        chunk, error = b"?", None
        while chunk and error is None:
            chunk = file.read(CHUNK)
            unread += len(chunk)
            error = _feed(parser, chunk) or (_feed(parser, b"") if unread > LARGEST else None)
            for event, element in parser.read_events():
                if event == "start":
                    begun += 1
                    continue
                ended, unread = ended + 1, 0
                yield Found(ended, element)
                _forget(element)
    if error is not None or not begun:
        yield from _damage(path, root, (begun, ended), _Damage(error, at_end=not chunk))


def safe_root(path: Path) -> etree._Element:
    """Return the root element of an ONIX 3 message, without its content; raises Invalid for every other file."""
    root: etree._Element | None = _root(path)
    version = _version(root) if root is not None else None
    if root is None or version is None:
        raise Invalid("This file is not an ONIX message. Choose another file.")
    if not version.startswith("3."):
        raise Invalid(
            f"This is an ONIX {version} message, but the shop reads ONIX 3.0 and 3.1. Ask the sender for those."
        )
    declared = cast(Any, root.getroottree().docinfo).internalDTD
    if declared is not None and any(declared.iterentities()):
        raise Invalid("This ONIX message declares entities, which the shop does not read. Ask for a file without them.")
    return root


@dataclass(frozen=True, slots=True)
class _Damage:
    """The parser's first fatal error, if there was one, and whether it appeared when the whole file had been fed."""

    error: Any
    at_end: bool

    def reason(self) -> str:
        if self.error is None:
            return "contains no products"
        if self.error.type == etree.ErrorTypes.ERR_TAG_NOT_FINISHED and not self.at_end:
            return f"has a product of more than {LARGEST // 1024**2} MB, which the shop does not read"
        why = IN_PLAIN_WORDS.get(self.error.type, self.error.message.strip().rstrip("."))
        return f"is not well-formed XML: line {self.error.line}, column {self.error.column}: {why}"


def _damage(path: Path, root: etree._Element, counts: tuple[int, int], damage: _Damage) -> Iterator[Found]:
    """Report where reading ended too early; raises Invalid if it was before the first product."""
    begun, ended = counts
    if damage.at_end and not _has_end_tag(path, root):
        place = f"in the middle of product {begun}" if begun > ended else f"after product {ended}, before its end tag"
        if not begun:
            raise Invalid("This ONIX message ends before its first product. Ask the sender for the complete file.")
        yield Found(ended + 1, problem=f"The file ends {place}. Ask the sender for the complete file.")
        return
    if not begun:
        raise Invalid(f"This ONIX message {damage.reason()}. Ask the sender for another file.")
    last = max(_count_products(path, root), begun)
    if last == ended and damage.error.type == etree.ErrorTypes.ERR_DOCUMENT_END:
        return  # what follows the message, such as a Ctrl-Z, holds no products
    lost = f"Products {ended + 1} to {last} are" if last > ended + 1 else f"Product {ended + 1} is"
    rest = f"{lost} not read." if last > ended else "What follows the last product is not read."
    yield Found(ended + 1, problem=f"The file {damage.reason()}. {rest}", lost=max(last - ended - 1, 0))


def _has_end_tag(path: Path, root: etree._Element) -> bool:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - 512, 0))
        tail = file.read().replace(b"\0", b"")
    return re.search(rb"</(\w+:)?%b\s*>" % etree.QName(root).localname.encode(), tail) is not None


def _count_products(path: Path, root: etree._Element) -> int:
    """Count the start tags of products in the whole file, in UTF-16 as well, without parsing it."""
    name = etree.QName(tag_names(root)["Product"]).localname.encode()
    letters = b"\0?".join(bytes([letter]) for letter in name)
    tag = re.compile(rb"<\0?(?:(?:\w\0?)+:\0?)?%b\0?[\s/>]" % letters)
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as content:
        return sum(1 for _tag in tag.finditer(content))


def _feed(parser: Any, chunk: bytes) -> Any:
    """Feed a chunk to the parser, or end it with an empty one; return the first fatal error, or None."""
    try:
        if chunk:
            parser.feed(chunk)
        else:
            parser.close()
    except etree.XMLSyntaxError as error:
        return _fatal(parser) or cast(Any, error.error_log).last_error
    return _fatal(parser)


def _fatal(parser: Any) -> Any:
    """Return the first fatal error: after some, the parser goes on without a word as if with a new document."""
    log = parser.feed_error_log
    return next((entry for entry in log if entry.level >= etree.ErrorLevels.FATAL), None)


def _forget(element: Any) -> None:
    """Free a product that has been read, and all that stands before it."""
    element.clear(keep_tail=True)
    parent = element.getparent()
    while parent is not None and element.getprevious() is not None:
        del parent[0]


def _root(path: Path) -> Any:
    """Return the root element as it begins, or None if the file does not begin as XML."""
    start, encoding = _start(path)
    parser = _parser(("start",), encoding)
    with path.open("rb") as file:
        file.seek(start)
        for _part in range(HEAD // CHUNK):
            error = _feed(parser, file.read(CHUNK))
            for _event, element in parser.read_events():
                return element
            if error is not None:
                break
    return None


def _version(root: etree._Element) -> str | None:
    name = etree.QName(root)
    if name.localname not in {"ONIXMessage", "ONIXmessage"}:
        return None
    places = (VERSION.search(name.namespace or ""), RELEASE.match(root.get("release") or ""))
    said = next((match for match in places if match), None)
    said = said or VERSION.search(cast(Any, root.getroottree().docinfo).system_url or "")
    return f"{said[1]}.{said[2] or 0}" if said else "2.1"


def _start(path: Path) -> tuple[int, str | None]:
    """Return where the XML begins, and its encoding if it must not be read from the declaration."""
    with path.open("rb") as file:
        before = START.match(file.read(1024))
    assert before is not None  # noqa: S101 - it matches an empty text
    mark, declared = before.groups()
    return (before.start(2) if declared else before.end()), "utf-8" if mark or declared else None


def _parser(events: tuple[str, ...], encoding: str | None, tag: str | None = None) -> Any:
    parser = cast(Any, etree.XMLPullParser)(events, tag=tag, encoding=encoding, **SAFE)
    parser.resolvers.add(NothingElse())
    return parser
