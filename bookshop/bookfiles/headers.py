"""Headers of tables: finds the line that names the columns, and the character that separates them."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from bookshop.bookfiles.columns import recognised
from bookshop.bookfiles.records import Dialect
from bookshop.catalog.isbn import TYPED_MAX, bare_isbn, isbn13
from bookshop.kit.exceptions import Invalid

SEPARATORS = (",", ";", "\t", "|")
SAMPLE_LINES = 200  # lines that are looked at
HEADER_WITHIN = 30  # the header is one of the first lines
CLEVERCSV_LINES, CLEVERCSV_CHARACTERS = 50, 10_000  # its time grows faster than the sample
SHORTEST_ISBN = 10  # characters
ISBN_13 = re.compile("97[89][0-9]{10}")  # even with a wrong digit
SEP_LINE = re.compile(r'"?sep=([,;\t|])"?', re.IGNORECASE)  # by which Excel is told the separator
NO_COLUMNS = (
    "The file is not a table with columns: its lines have nothing that is separated by commas, semicolons, tabs or "
    "vertical bars. Save it as CSV and upload that."
)


class Header(NamedTuple):
    """The record that names the columns: the number of its first line, from 1, its cells, and how many lines it has.

    If the file has no header, the height is 0, the cells are blank, and the line is the first one of the table.
    """

    dialect: Dialect
    line: int
    cells: list[str]
    height: int = 1


def find_header(lines: Sequence[str]) -> Header:
    """Find the header of a CSV file in its first lines, by the names of columns that the shop knows.

    If it knows none of them, the header is the first line with as many columns as most lines have. If that is a book,
    there is no header. Raises Invalid if there are no columns.
    """
    given = SEP_LINE.fullmatch(lines[0].strip(" \r\n")) if lines else None
    separators = (given[1],) if given else SEPARATORS
    dialects = [Dialect(separator) for separator in separators]
    found = [header for dialect in dialects for header in _candidates(lines, dialect) if header.line > bool(given)]
    similar = Counter((header.dialect, len(header.cells)) for header in found)
    named = [header for header in found if not has_isbn(header.cells)]
    best = max(named, key=lambda one: (recognised(one.cells), similar[one.dialect, len(one.cells)]), default=None)
    if best is None or not recognised(best.cells):
        best = _first_of_most(found, given[1] if given else _guessed_separator(lines) if found else "")
    best = _with_spaces(best, lines)
    return _without_names(best, found) if _is_book(best.cells) else best


def find_row(rows: Sequence[Sequence[str]]) -> tuple[int, int]:
    """Return the index of the header among rows of cells, which have to be a table, and its height.

    If there is no header, the index is that of the first row of the table, and the height is 0.
    """
    scores = [(recognised(row), -index) for index, row in enumerate(rows[:HEADER_WITHIN]) if not has_isbn(row)]
    best, index = max(scores, default=(0, 0))
    if best:
        return -index, 1
    widths = Counter(_width(row) for row in rows if _width(row) > 1)
    if not widths:
        raise Invalid("The table has only one column. Upload a list of books with at least a title and an author each.")
    most = widths.most_common(1)[0][0]
    first = next(index for index, row in enumerate(rows) if _width(row) == most)
    if _is_book(rows[first]):
        return next(index for index, row in enumerate(rows) if _width(row) > 1), 0
    return first, 1


def has_isbn(cells: Sequence[str]) -> bool:
    """Return whether one of the cells is an ISBN; a digit of one with 13 may be wrong."""
    return any(_is_isbn(cell) for cell in cells if SHORTEST_ISBN <= len(cell) <= TYPED_MAX)


def _candidates(lines: Sequence[str], dialect: Dialect) -> Iterator[Header]:
    """Yield what begins on each of the first lines. Most of these are no headers, and a quote above it may be open."""
    for number, line in enumerate(lines[:HEADER_WITHIN], 1):
        if dialect.is_blank(line):
            continue
        header = _record_at(lines, number, dialect)
        if header.height > 1 and _is_one(header, lines):
            yield header
        if _width(cells := dialect.alone(line)) > 1:
            yield Header(dialect, number, cells)


def _record_at(lines: Sequence[str], number: int, dialect: Dialect) -> Header:
    reader = dialect.reader(iter(lines[number - 1 :]))
    try:
        return Header(dialect, number, next(reader, []), reader.line_num)
    except csv.Error:
        return Header(dialect, number, [])


def _is_one(header: Header, lines: Sequence[str]) -> bool:
    """Return whether several lines are one header, not a quote that is open above the header.

    Each of the further lines has fewer columns, as only one name has a line break, or the whole names are better known.
    """
    cells = [header.dialect.alone(line) for line in lines[header.line : header.line + header.height - 1]]
    known = recognised(header.cells)
    return all(len(row) < len(header.cells) for row in cells) or all(recognised(row) < known for row in cells)


def _first_of_most(found: Sequence[Header], separator: str) -> Header:
    """Return the first line that has as many columns as most lines."""
    fitting = [header for header in found if header.dialect.separator == separator]
    if not fitting:
        raise Invalid(NO_COLUMNS)
    most = Counter(_width(header.cells) for header in fitting).most_common(1)[0][0]
    return next(header for header in fitting if _width(header.cells) == most)


def _without_names(book: Header, found: Sequence[Header]) -> Header:
    """Return where the table of a file without a header begins, with as many columns as the line `book`."""
    line = next(one.line for one in found if one.dialect.separator == book.dialect.separator)
    return book._replace(line=line, cells=[""] * len(book.cells), height=0)


def _guessed_separator(lines: Sequence[str]) -> str:
    """Return the separator of a table in a language that the shop does not know; "" if there is none."""
    import clevercsv  # noqa: PLC0415  takes a moment, and is seldom needed

    sample = "".join(islice(lines, CLEVERCSV_LINES))[:CLEVERCSV_CHARACTERS]
    dialect = clevercsv.Detector().detect(sample, delimiters=list(SEPARATORS))
    return dialect.delimiter or "" if dialect else ""


def _with_spaces(header: Header, lines: Sequence[str]) -> Header:
    """Return the header with the dialect that skips spaces before quotes, if the file is written so."""
    dialect = Dialect(header.dialect.separator, skip_spaces=True)
    spaced = _record_at(lines, header.line, dialect)
    if header.height == 1:
        spaced = Header(dialect, header.line, dialect.alone(lines[header.line - 1]))
    if all(cell.startswith(" ") for cell in header.cells[1:]):
        return spaced
    return max(header, spaced, key=lambda one: _fitting(one, lines))


def _fitting(header: Header, lines: Sequence[str]) -> int:
    """Count the records that have as many cells as the header."""
    reader = header.dialect.reader(iter(lines[header.line - 1 :]))
    try:
        return sum(len(cells) == len(header.cells) for cells in reader)
    except csv.Error:
        return 0


def _is_book(cells: Sequence[str]) -> bool:
    """Return whether a line is a book, not the names of columns: those that nobody knows are no numbers."""
    return has_isbn(cells) or (not recognised(cells) and any(map(_is_number, cells)))


def _is_number(cell: str) -> bool:
    return any(map(str.isdigit, cell)) and not any(map(str.isalpha, cell))


def _is_isbn(cell: str) -> bool:
    try:
        return bool(isbn13(cell))
    except ValueError:
        return ISBN_13.fullmatch(bare_isbn(cell)) is not None


def _width(cells: Sequence[str]) -> int:
    """Return the number of cells without the empty ones at the end."""
    return max((index for index, cell in enumerate(cells, 1) if cell.strip()), default=0)
