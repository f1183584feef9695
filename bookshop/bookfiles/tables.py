"""Tables of books: CSV files as booksellers have them, and spreadsheets that have been converted to CSV."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from bookshop.bookfiles.columns import map_columns
from bookshop.bookfiles.encodings import DAMAGED, encoding_of, label, open_text
from bookshop.bookfiles.headers import SAMPLE_LINES, find_header, find_row, has_isbn
from bookshop.bookfiles.lines import FileLine
from bookshop.bookfiles.records import UNCLOSED, Dialect, Lines, Record, TooLong, records
from bookshop.kit.exceptions import Invalid
from bookshop.kit.text import words

LONGEST_SAMPLE, LONGEST_SAMPLE_LINE = 500_000, 50_000  # characters of the first lines, and of one of them
COLUMNS_MAX = 300
TOTAL, REPEATED = "is a total, not a book", "repeats the header"
LOOKED_AT = 1_000  # lines of a record that may be lines of their own
LONGEST_TOTAL = 40  # characters
TOTALS = set(
    words("total totals totalgeneral grandtotal subtotal soustotal somme summe zwischensumme gesamt gesamtsumme")
)


@dataclass(frozen=True)
class Table:
    """A file whose columns are known. `header_line` counts lines or, if `by_record`, the rows of a spreadsheet.

    A name in the header may be empty: the column has cells, but no name. If the file has no header, all names are
    empty, `header_height` is 0, and `header_line` is the first line of the table.
    """

    path: Path
    encoding: str
    dialect: Dialect
    header: tuple[str, ...]
    header_line: int
    by_record: bool = False
    header_height: int = 1

    def lines(self) -> Iterator[FileLine]:
        """Yield each line below the header that is not blank, with as many cells as the header.

        Each line of the file that has text is in the cells of one of them, or is counted by one with a problem. So is
        a line with an ISBN above the header.
        """
        return self._rows() if self.by_record else self._lines()

    def _lines(self) -> Iterator[FileLine]:
        with open_text(self.path, self.encoding) as file:
            lines = Lines(file)
            for line in _raw(lines, self._skipped):
                if has_isbn(self.dialect.alone(line)):
                    yield self._above(lines.number)
            for record in records(lines, self.dialect):
                if checked := self._checked(record, lines):
                    yield checked

    def _rows(self) -> Iterator[FileLine]:
        with open_text(self.path, self.encoding) as file:
            for number, cells in enumerate(self.dialect.reader(file), 1):
                if number > self._skipped and any(map(str.strip, cells)):
                    problem = self._problem(cells, self._needed)
                    yield FileLine(number, () if problem else self._fitted(cells), problem)
                elif number <= self._skipped and has_isbn(cells):
                    yield self._above(number)

    @property
    def _skipped(self) -> int:
        return self.header_line - 1 + self.header_height

    @cached_property
    def _named(self) -> int:
        """The number of the last column that has a name, or of the last one if none has."""
        return max((index for index, name in enumerate(self.header, 1) if name), default=len(self.header))

    @cached_property
    def _needed(self) -> int:
        """The number of the last column that the shop knows: programs leave out the empty ones after it."""
        known = [index for index, field in enumerate(map_columns(self.header), 1) if field]
        return known[-1] if len(known) > 1 else self._named

    def _above(self, number: int) -> FileLine:
        where = f"stands above the header, which is line {self.header_line}"
        return FileLine(number, problem=f"{where}. Upload each table as a file of its own")

    @property
    def _damaged(self) -> str:
        return f"contains a damaged character, which is not {label(self.encoding)}"

    def _checked(self, record: Record, lines: Lines) -> FileLine | None:
        """Return the line of a record, or its problem; None if it is blank."""
        needed = self._needed if len(record.lines) == 1 else self._named
        problem = record.problem or self._problem(record.cells, needed)
        if not (record.problem or any(map(str.strip, record.cells))):
            return None
        if len(record.lines) > 1:
            return self._checked_lines(record, problem, lines)
        if not problem and not record.lines[0].isascii() and DAMAGED.search(record.lines[0]):
            problem = self._damaged
        return FileLine(record.number, () if problem else self._fitted(record.cells), problem)

    def _checked_lines(self, record: Record, problem: str, lines: Lines) -> FileLine:
        """Check a record of several lines: are they really one, or did a quote swallow lines of their own?"""
        first, *others = record.lines
        others = [line for line in others if not self.dialect.is_blank(line)]
        if self._has_rows(first, others, intact=not record.problem):
            if record.number >= lines.returned_up_to:
                lines.take_back(record.lines[1:])
                return FileLine(record.number, problem=f"{UNCLOSED}. The lines after it have been read on their own")
            problem = UNCLOSED
        return self._refused(record, problem, others) or FileLine(record.number, self._fitted(record.cells))

    def _refused(self, record: Record, problem: str, others: Sequence[str]) -> FileLine | None:
        """Return the refusal of a record that counts all its lines, or None if nothing is wrong with it."""
        if not problem and any(DAMAGED.search(line) for line in record.lines):
            problem = self._damaged
        if others and (record.problem or problem == UNCLOSED):
            problem = f"{UNCLOSED}, or closed too early, so {_not_read(others)}"
        return FileLine(record.number, problem=problem, swallowed=len(others)) if problem else None

    def _has_rows(self, first: str, others: Sequence[str], *, intact: bool) -> bool:
        """Return whether most lines within a record look like records.

        If the quotes of the record are valid, a paragraph may have as many commas as a record. Then the lines must
        have numbers in the same columns, and the first one must be a record, too, if its quote is left out.
        """
        start = self.dialect.alone(first)
        if intact and self._misfit(start, self._named):
            return False
        cells = [self.dialect.alone(line) for line in others[:LOOKED_AT]]
        fitting = [row for row in cells if not self._misfit(row, self._named)]
        rows = [row for row in fitting if not intact or _numbers(row) == _numbers(start)]
        return len(rows) * 2 > len(cells) - (not intact)

    def _problem(self, cells: list[str], needed: int) -> str:
        """Return why a line with these cells cannot be a book; "" if it may be one."""
        if _is_total(cells):
            return TOTAL
        if problem := self._misfit(cells, needed):
            return problem
        repeated = self.header_height and tuple(map(str.strip, self._fitted(cells))) == self.header
        return REPEATED if repeated else ""

    def _misfit(self, cells: Sequence[str], needed: int) -> str:
        """Return what is wrong with the number of cells: empty ones on the right are fine, missing ones are not."""
        width, found = len(self.header), len(cells)
        if found == width or needed <= found < width:
            return ""
        if found > width and not any(map(str.strip, cells[width:])):
            return ""
        others = "the header has" if self.header_height else "most lines have"
        return f"has {found} column{'' if found == 1 else 's'}, but {others} {width}"

    def _fitted(self, cells: list[str]) -> list[str]:
        width = len(self.header)
        return cells if len(cells) == width else (cells + [""] * width)[:width]


def open_table(path: Path, encoding: str | None = None) -> Table:
    """Find out the separator and the header of a CSV file, and its encoding if that is None.

    Raises Invalid with a sentence for people if there is no table.
    """
    encoding = encoding or encoding_of(path)
    lines = _first_lines(path, encoding)
    if not any(map(str.strip, lines)):
        raise Invalid("The file is empty.")
    found = find_header(lines)
    below = _complete(found.dialect, lines[found.line - 1 + found.height :])
    names = _header(found.cells, list(below))
    return Table(path, encoding, found.dialect, names, header_line=found.line, header_height=found.height)


def open_converted(path: Path) -> Table:
    """Find the header of a spreadsheet converted by `spreadsheets.to_csv`; raises Invalid as `open_table` does."""
    with open_text(path, "utf-8") as file:
        rows = list(islice(csv.reader(file), SAMPLE_LINES))
    if not any(any(map(str.strip, row)) for row in rows):
        raise Invalid(f"The spreadsheet is empty: its first {SAMPLE_LINES} rows have no text.")
    index, height = find_row(rows)
    names = _header(rows[index] if height else [""] * len(rows[index]), rows[index + height :])
    return Table(path, "utf-8", Dialect(","), names, header_line=index + 1, by_record=True, header_height=height)


def _header(cells: Sequence[str], below: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the names of the columns. Columns without a name on the right only count if they are used."""
    if len(cells) > COLUMNS_MAX and sum(map(bool, map(str.strip, cells))) > COLUMNS_MAX:
        raise Invalid(f"The file has more than {COLUMNS_MAX} columns. Delete those that are not about books.")
    names = tuple(DAMAGED.sub("\ufffd", name).strip() for name in cells)
    used = [index for row in [names, *below] for index, cell in enumerate(row[: len(names)], 1) if cell.strip()]
    return names[: min(max(used, default=0), COLUMNS_MAX)]


def _first_lines(path: Path, encoding: str) -> list[str]:
    found: list[str] = []
    with open_text(path, encoding) as file:
        for line in _raw(Lines(file), SAMPLE_LINES):
            found.append(line[:LONGEST_SAMPLE_LINE])
            if not line or sum(map(len, found)) >= LONGEST_SAMPLE:
                break
    return found


def _complete(dialect: Dialect, lines: Sequence[str]) -> Iterator[list[str]]:
    reader = dialect.reader(iter(lines))
    try:
        yield from reader
    except csv.Error:
        return


def _raw(lines: Lines, count: int) -> Iterator[str]:
    """Yield the next lines, "" at the end of the file; of one that is too long, only the beginning."""
    for _line in range(count):
        lines.begin()
        try:
            yield next(lines, "")
        except TooLong:
            yield lines.record[0]


def _is_total(cells: Sequence[str]) -> bool:
    """Return whether the first cell with text is a word for a total, and all others are numbers, but not of a book."""
    first, *others = [cell for cell in cells if cell.strip()] or [""]
    if first[:1].isdigit():  # as in most lines: the rest takes a while
        return False
    if "".join(words(first[:LONGEST_TOTAL])) not in TOTALS:
        return False
    return not (has_isbn(others) or any(map(str.isalpha, "".join(others))))


def _numbers(cells: Sequence[str]) -> list[bool]:
    """Return which cells begin with a digit."""
    return [cell.strip()[:1].isdigit() for cell in cells]


def _not_read(lines: Sequence[str]) -> str:
    return "1 line after it was not read" if len(lines) == 1 else f"{len(lines):,} lines after it were not read"
