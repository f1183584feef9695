"""Tables of books: CSV files as booksellers have them, and spreadsheets that have been converted to CSV."""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path

from bookshop.bookfiles.encodings import DAMAGED, encoding_of, label, open_text
from bookshop.bookfiles.headers import SAMPLE_LINES, find_header, find_row
from bookshop.bookfiles.lines import FileLine
from bookshop.bookfiles.records import UNCLOSED, Dialect, Lines, Record, TooLong, records
from bookshop.kit.exceptions import Invalid

LONGEST_SAMPLE, LONGEST_SAMPLE_LINE = 500_000, 50_000  # characters of the first lines, and of one of them
COLUMNS_MAX = 300
LOOKED_AT = 1_000  # lines of a record that may be lines of their own


@dataclass(frozen=True)
class Table:
    """A file whose columns are known. `header_line` counts lines or, if `by_record`, the rows of a spreadsheet.

    A name in the header may be empty: the column has cells, but no name.
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

        Each line of the file that has text is in the cells of one of them, or is counted by one with a problem.
        """
        return self._rows() if self.by_record else self._lines()

    def _lines(self) -> Iterator[FileLine]:
        with open_text(self.path, self.encoding) as file:
            lines = Lines(file)
            _skip(lines, self.header_line - 1 + self.header_height)
            for record in records(lines, self.dialect):
                if line := self._checked(record, lines):
                    yield line

    def _rows(self) -> Iterator[FileLine]:
        with open_text(self.path, self.encoding) as file:
            rows = enumerate(self.dialect.reader(file), 1)
            for number, cells in islice(rows, self.header_line, None):
                if any(map(str.strip, cells)):
                    problem = self._misfit(cells)
                    yield FileLine(number, () if problem else self._fitted(cells), problem)

    @cached_property
    def _named(self) -> int:
        return max((index for index, name in enumerate(self.header, 1) if name), default=0)

    @property
    def _damaged(self) -> str:
        return f"contains a damaged character, which is not {label(self.encoding)}"

    def _checked(self, record: Record, lines: Lines) -> FileLine | None:
        """Return the line of a record, or its problem; None if it is blank."""
        problem = record.problem or self._misfit(record.cells)
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
        if intact and self._misfit(start):
            return False
        cells = [self.dialect.alone(line) for line in others[:LOOKED_AT]]
        rows = [row for row in cells if not self._misfit(row) and (not intact or _numbers(row) == _numbers(start))]
        return len(rows) * 2 > len(cells) - (not intact)

    def _misfit(self, cells: Sequence[str]) -> str:
        """Return what is wrong with the number of cells: empty ones on the right are fine, missing ones are not."""
        width, found = len(self.header), len(cells)
        if found == width or self._named <= found < width:
            return ""
        if found > width and not any(map(str.strip, cells[width:])):
            return ""
        return f"has {found} column{'' if found == 1 else 's'}, but the header has {width}"

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
    index = find_row(rows)
    names = _header(rows[index], rows[index + 1 :])
    return Table(path, "utf-8", Dialect(","), names, header_line=index + 1, by_record=True)


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
        lines = Lines(file)
        while len(found) < SAMPLE_LINES and sum(len(line) for line in found) < LONGEST_SAMPLE:
            lines.begin()
            try:
                found.append(next(lines, "")[:LONGEST_SAMPLE_LINE])
            except TooLong:
                found.append(lines.record[0][:LONGEST_SAMPLE_LINE])
            if not found[-1]:
                break
    return found


def _complete(dialect: Dialect, lines: Sequence[str]) -> Iterator[list[str]]:
    reader = dialect.reader(iter(lines))
    try:
        yield from reader
    except csv.Error:
        return


def _skip(lines: Lines, count: int) -> None:
    for _line in range(count):
        lines.begin()
        try:
            next(lines)
        except TooLong:
            continue


def _numbers(cells: Sequence[str]) -> list[bool]:
    """Return which cells begin with a digit."""
    return [cell.strip()[:1].isdigit() for cell in cells]


def _not_read(lines: Sequence[str]) -> str:
    return "1 line after it was not read" if len(lines) == 1 else f"{len(lines):,} lines after it were not read"
