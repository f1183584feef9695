"""Finds lines of a file that describe the same book or work, however long the file is."""

import sqlite3
from types import TracebackType

from bookshop.imports.plan import PlanLine

CACHE = -32_768  # kibibytes, as SQLite writes it
SCHEMA = """
    CREATE TABLE isbns (isbn TEXT PRIMARY KEY, line INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE editions (work TEXT, isbn TEXT, line INTEGER NOT NULL, PRIMARY KEY (work, isbn)) WITHOUT ROWID;
    CREATE TABLE books (id INTEGER PRIMARY KEY, line INTEGER NOT NULL);
"""


class FileIndex:
    """An index of the lines of a file, in a temporary database of SQLite that goes away when it is closed.

    A million lines in dictionaries would take hundreds of megabytes.
    """

    def __enter__(self) -> "FileIndex":
        self.database = sqlite3.connect("", isolation_level=None)
        self.database.execute(f"PRAGMA cache_size = {CACHE}")
        self.database.executescript(SCHEMA)
        self.database.execute("BEGIN")
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self.database.close()

    def add(self, line: PlanLine) -> None:
        """Add a line. Of a refused one, only the edition that it names counts."""
        if line.isbn and not line.problem:
            self.database.execute("INSERT OR IGNORE INTO isbns VALUES (?, ?)", (line.isbn, line.number))
        if line.work and (line.isbn or not line.problem):
            edition = (line.work, line.isbn or _own(line), line.number)
            self.database.execute("INSERT OR IGNORE INTO editions VALUES (?, ?, ?)", edition)

    def problem(self, line: PlanLine) -> str:
        """Return why a line clashes with another line of the file; "" if it does not."""
        if line.isbn:
            first = self._number("SELECT line FROM isbns WHERE isbn = ?", line.isbn)
            return "" if first in {None, line.number} else f"describes the same book as line {first}"
        numbers = [row[0] for row in self._editions(line)]
        if numbers in ([], [line.number]) or (_own(line) and line.number in numbers):
            return ""
        others = [number for number in numbers if number != line.number]
        if len(others) == 1:
            return f"describes the same book as line {others[0]}"
        return f"has no ISBN, and lines {others[0]} and {others[1]} are two editions of it"

    def is_only_edition(self, line: PlanLine) -> bool:
        """Whether no other line has another edition of the work, with or without an ISBN."""
        return len(self._editions(line)) == 1

    def first_line(self, book_id: int, number: int) -> int | None:
        """Record that a line changes a book of the shop; returns the line that already does, if any."""
        self.database.execute("INSERT OR IGNORE INTO books VALUES (?, ?)", (book_id, number))
        first = self._number("SELECT line FROM books WHERE id = ?", book_id)
        return None if first == number else first

    def _editions(self, line: PlanLine) -> list[tuple[int]]:
        query = "SELECT line FROM editions WHERE work = ? ORDER BY line LIMIT 3"
        return self.database.execute(query, (line.work,)).fetchall()

    def _number(self, query: str, key: str | int) -> int | None:
        row = self.database.execute(query, (key,)).fetchone()
        return row[0] if row else None


def _own(line: PlanLine) -> str:
    """Tell books without an ISBN apart in our own export, which names their ids."""
    return f"#{line.own_id}" if line.own_id is not None else ""
