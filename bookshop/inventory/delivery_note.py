"""Parses the delivery note that staff type or scan: one book per line, an ISBN and a number of copies."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bookshop.catalog.isbn import isbn13

LINES_MAX = 500
LONGEST_LINE = 200
COPIES_MAX = 9_999  # four digits, so that a scanned five-digit price code is never taken for copies

GAP = r"[\s\u2010-\u2015-]*"
LINE = re.compile(
    rf"""
    (?: \][a-z][0-9] )?  (?: ISBN (?:-1[03])? :? \s* )?    # prefixes from scanners and people
    (?P<isbn> 9{GAP}7{GAP}[89] (?: {GAP}[0-9] ){{10}} | [0-9] (?: {GAP}[0-9] ){{8}} {GAP}[0-9x] )
    (?: (?<=[0-9]{{13}}) [0-9]{{5}} )?                       # a price code scanned along with the ISBN
    (?: (?: \s*[x\xd7*,;]\s* | \s+ ) (?P<copies> .*) )?
    """,
    re.IGNORECASE | re.VERBOSE,
)
COPIES = re.compile(r"[0-9]{1,4}")


@dataclass(frozen=True)
class NoteLine:
    """A line as typed, with its ISBN-13 and copies, or the problem with it."""

    number: int
    text: str
    isbn: str = ""
    copies: int = 0
    problem: str = ""


def read_note(text: str) -> list[NoteLine]:
    """Parse the lines that are not blank, numbered by their position in the text."""
    lines = enumerate((line.strip() for line in text.splitlines()), start=1)
    return [_read(number, line) for number, line in lines if line]


def _read(number: int, text: str) -> NoteLine:
    match = LINE.fullmatch(text) if len(text) <= LONGEST_LINE else None
    try:
        isbn = isbn13(match["isbn"] if match else text)
    except ValueError as error:
        return NoteLine(number, text, problem=f"This {error}.")
    copies = "1" if match is None or match["copies"] is None else match["copies"]
    if COPIES.fullmatch(copies) and int(copies) > 0:
        return NoteLine(number, text, isbn, int(copies))
    return NoteLine(number, text, problem=f"The number of copies must be from 1 to {COPIES_MAX:,}.")


def copies_by_isbn(lines: Iterable[NoteLine]) -> dict[str, int]:
    """Return the copies of each book by ISBN; several lines for one book add up."""
    copies: dict[str, int] = {}
    for line in lines:
        if not line.problem:
            copies[line.isbn] = copies.get(line.isbn, 0) + line.copies
    return copies
