"""Records of a CSV file with the lines they come from, so that a quote that is never closed costs few lines."""

import csv
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TextIO

LONGEST_LINE = 1_000_000  # characters of a line or of a record of several lines, which are kept in memory
UNCLOSED = "opens a quote that is never closed"
LONGEST_CELL = csv.field_size_limit()  # 131,072 characters, unless somebody has changed it


class TooLong(Exception):
    """A record has more than `LONGEST_LINE` characters."""


class Lines:
    """The lines of a file, for csv.reader: counts them, keeps those of the current record, and can take some back."""

    def __init__(self, file: TextIO) -> None:
        self.number = 0
        self.record: list[str] = []
        self.returned_up_to = 0
        self._file = file
        self._size = 0
        self._returned: deque[str] = deque()

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._returned.popleft() if self._returned else self._read()
        if not line:
            raise StopIteration
        self.number += 1
        self.record.append(line)
        self._size += len(line)
        if self._size > LONGEST_LINE:
            raise TooLong
        return line

    def begin(self) -> None:
        """Begin a new record."""
        self.record, self._size = [], 0

    def take_back(self, lines: list[str]) -> None:
        """Take back the last lines of the record: they are read again."""
        self.returned_up_to = self.number
        self.number -= len(lines)
        self._returned.extendleft(reversed(lines))

    def _read(self) -> str:
        """Read a line. Of one that is too long, return only the beginning and skip the rest."""
        line = rest = self._file.readline(LONGEST_LINE + 1)
        while len(rest) > LONGEST_LINE and rest[-1] not in "\r\n":
            rest = self._file.readline(LONGEST_LINE + 1)
        return line.rstrip("\x1a")  # Ctrl-Z, which DOS programs write at the end of a file


class Record(NamedTuple):
    """A record with its lines and the number of the first; `problem` is the reason why it has no cells."""

    number: int
    lines: list[str]
    cells: list[str]
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the cells of a line are separated; some programs write a space after each separator, before quotes."""

    separator: str
    skip_spaces: bool = False

    def reader(self, lines: Iterator[str], *, strict: bool = False) -> Any:
        return csv.reader(lines, delimiter=self.separator, strict=strict, skipinitialspace=self.skip_spaces)

    def is_blank(self, line: str) -> bool:
        """Return whether a line has nothing but separators, quotes and spaces."""
        return not line.replace(self.separator, "").replace('"', "").strip()

    def alone(self, line: str) -> list[str]:
        """Return the cells of a line as if no other belonged to its record, not even after an open quote."""
        try:
            return next(self.reader(iter([line]), strict=True), [])
        except csv.Error:
            pass
        try:
            *cells, last = next(self.reader(iter([line])), [""])
        except csv.Error:
            return []
        return [*cells, *last.split(self.separator)]


def records(lines: Lines, dialect: Dialect) -> Iterator[Record]:
    """Yield the records of a file. After each, its last lines can be given back to `lines`."""
    reader = dialect.reader(lines, strict=True)
    while True:
        lines.begin()
        number = lines.number + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, TooLong) as error:
            yield Record(number, lines.record, [], _explain(error, lines.record))
        else:
            yield Record(number, lines.record, cells)


def _explain(error: Exception, lines: list[str]) -> str:
    """Say why a record cannot be read, if it has a single line."""
    if isinstance(error, TooLong):
        return f"has more than {LONGEST_LINE:,} characters"
    if "field limit" in str(error):
        return f"has a cell of more than {LONGEST_CELL:,} characters, which is too long for CSV"
    if "expected after" in str(error):
        return 'has text after a closing quote. Write a quote inside a cell as two: ""'
    return UNCLOSED
