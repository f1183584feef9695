"""Parses the delivery note that staff type or scan: one book per line, an ISBN and a number of copies."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from bookshop.catalog.isbn import isbn13

LINES_MAX = 500
LONGEST_LINE = 200
COPIES_MAX = 9_999  # four digits, so that a scanned five-digit price code is never taken for copies

GAP = r"[\s\u2010-\u2015-]*"
BEFORE_COPIES = r"(?:\s*[x\xd7*,;:|]\s*|\s+)"
LINE = re.compile(
    rf"""
    (?: \][a-z][0-9] )?  (?: ISBN (?:-1[03])? :? \s* )?    # prefixes from scanners and people
    (?P<isbn> 9{GAP}7{GAP}[89] (?: {GAP}[0-9] ){{10}} | [0-9] (?: {GAP}[0-9] ){{8}} {GAP}[0-9x] )
    (?: (?<=[0-9]{{13}}) [0-9]{{5}} )?                       # a price code scanned along with the ISBN
    (?: {BEFORE_COPIES} (?P<copies> .*) )?
    """,
    re.IGNORECASE | re.VERBOSE,
)
UNIT = (
    r"(?:(?:[x\xd7*]|pcs?|pieces?|cop(?:y|ies)|ea|units?|st(?:\xfc|ue)ck|stk|st|exx?|expl|exemplar(?:es?)?"
    r"|exemplaires?|ejemplar(?:es)?|uds?|unidad(?:es)?)\.?)"
)
COPIES_ALONE = re.compile(rf"(?P<copies>[0-9]{{1,4}})(?:[.,]00?)?\s*{UNIT}?", re.IGNORECASE)
COPIES_FIRST = re.compile(rf"(?P<copies>[0-9]{{1,4}}(?:\s*{UNIT}|(?=\s*[,;|\t])))[\s,;|]*(?P<rest>.*)", re.IGNORECASE)
COPIES_LAST = re.compile(rf"(?P<rest>.*\S){BEFORE_COPIES}(?P<copies>[0-9]{{1,4}}\s*{UNIT}?)", re.IGNORECASE)
COPIES_IN_BRACKETS = re.compile(  # not of four digits, which may be a year
    rf"[(\[]\s*([x\xd7*]?\s*[0-9]{{1,3}}\s*{UNIT}?)\s*[)\]]", re.IGNORECASE
)
NUMBER_IN_FRONT = re.compile(r"(?P<number>[1-9][0-9]{0,3})(?:\s*[.):;,|]\s*|\s+)(?P<rest>.*)")


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


def delivered_copies(text: str) -> int | None:
    """Return the number in "5", "5 pcs", "5 Stk.", "5.0" or "5,00"; None unless it is one from 1 to 9,999."""
    match = COPIES_ALONE.fullmatch(text.strip())
    return int(match["copies"]) or None if match else None


def _read(number: int, text: str) -> NoteLine:
    try:
        isbn, copies = _parts(text) if len(text) <= LONGEST_LINE else (isbn13(text), "1")
    except ValueError as error:
        return NoteLine(number, text, problem=f"This {error}.")
    if (read := delivered_copies(copies)) is not None:
        return NoteLine(number, text, isbn, read)
    return NoteLine(number, text, problem=f"The number of copies must be from 1 to {COPIES_MAX:,}.")


def _parts(text: str) -> tuple[str, str]:
    """Return the ISBN-13 and the copies of a line, "1" if there are none; raises ValueError with what is wrong."""
    line = COPIES_IN_BRACKETS.sub(r" \1 ", text.replace('"', "")).strip()  # "978...","5"
    if match := LINE.fullmatch(line):
        return _isbn_first(line, match)
    for order in (COPIES_FIRST, COPIES_LAST):
        match = order.fullmatch(line)
        if match and (isbn := _isbn_or_none(match["rest"])):
            return isbn, match["copies"]
    _refuse_number_in_front(line)
    return isbn13(text), "1"


def _refuse_number_in_front(line: str) -> None:
    """Raise ValueError if there is one: it may be the number of copies or that of the line."""
    if (front := NUMBER_IN_FRONT.fullmatch(line)) and (match := LINE.fullmatch(front["rest"])):
        isbn, copies = isbn13(match["isbn"]), delivered_copies(match["copies"] or "") or front["number"]
        problem = "begins with a number that may be that of the line"
        raise ValueError(f"{problem}. Delete it, or write the copies behind the ISBN: {isbn} x{copies}")


def _isbn_first(line: str, match: re.Match[str]) -> tuple[str, str]:
    copies = match["copies"]
    if copies is None or (delivered_copies(copies) is None and any(map(str.isalnum, copies))):
        if whole := _isbn_or_none(line):  # such as 978... (pbk.)
            return whole, "1"
        if (last := COPIES_LAST.fullmatch(line)) and (isbn := _isbn_or_none(last["rest"])):
            return isbn, last["copies"]
    return isbn13(match["isbn"]), "1" if copies is None else copies


def _isbn_or_none(text: str) -> str | None:
    match = LINE.fullmatch(text)
    try:
        return isbn13(match["isbn"] if match and match["copies"] is None else text)
    except ValueError:
        return None


def copies_by_isbn(lines: Iterable[NoteLine]) -> dict[str, int]:
    """Return the copies of each book by ISBN; several lines for one book add up."""
    copies: dict[str, int] = {}
    for line in lines:
        if not line.problem:
            copies[line.isbn] = copies.get(line.isbn, 0) + line.copies
    return copies
