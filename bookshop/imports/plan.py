"""The plan of an import: a file beside the upload with one JSON object for each line, ready to be applied.

It holds what the check has found out, so that applying it needs neither the upload nor the lines before, and can go on
at any line after a worker was killed.
"""

import base64
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any

BATCH = 500  # lines in a transaction


@dataclass(frozen=True, slots=True)
class PlanLine:
    """A line of the file: the values of its book, or the problem that refuses it.

    `work` is the key of its work, "" if it has no title or no authors; `main_work` is that of its title without the
    subtitle, if it has one. `own_id` is the id that our own export gave it, and `is_withdrawn` what it says of it.
    `record` is its ONIX record, compressed and in base64. `is_only_edition` says that no other line has another edition
    of the work. `seen` is the id and the stock of the book that the line changes, as they were when it was checked;
    None if the shop did not have it.
    """

    number: int
    values: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""
    swallowed: int = 0
    guesses: Sequence[str] = ()
    work: str = ""
    main_work: str = ""
    own_id: int | None = None
    is_withdrawn: bool = False
    record: str = ""
    is_only_edition: bool = False
    seen: Sequence[int] | None = None

    @property
    def isbn(self) -> str | None:
        """The ISBN-13 of the line."""
        isbn: str | None = self.values.get("isbn")
        return isbn

    @property
    def lines(self) -> int:
        """How many lines of the file this stands for."""
        return 1 + self.swallowed

    def refuse(self, problem: str) -> "PlanLine":
        """Return the line, refused."""
        return replace(self, problem=problem)

    def with_editions(self, is_only_edition: bool) -> "PlanLine":
        """Return the line, knowing whether another line has another edition of its work."""
        return replace(self, is_only_edition=is_only_edition)

    def as_seen(self, book_id: int, stock: int) -> "PlanLine":
        """Return the line with the book that it changes and its stock."""
        return replace(self, seen=(book_id, stock))


NAMES = [one.name for one in fields(PlanLine)]


def pack(record: bytes) -> str:
    """Compress an ONIX record for the plan."""
    return base64.b64encode(zlib.compress(record)).decode() if record else ""


def unpack(record: str) -> bytes:
    """Return the compressed record, as the database stores it."""
    return base64.b64decode(record)


class PlanWriter:
    """Writes a plan under a temporary name, and gives it its own on success."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.temporary = path.with_suffix(".new")

    def __enter__(self) -> "PlanWriter":
        self.file = self.temporary.open("w", encoding="utf-8")
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self.file.close()
        if kind is None:
            self.temporary.replace(self.path)
        else:
            self.temporary.unlink(missing_ok=True)

    def write(self, line: PlanLine) -> None:
        """Append a line."""
        filled = {name: value for name in NAMES if (value := getattr(line, name))}
        self.file.write(json.dumps(filled) + "\n")


def read_plan(path: Path, position: int = 0) -> Iterator[tuple[list[PlanLine], int]]:
    """Yield the lines of a plan from a position on, in batches, each with the position after it."""
    with path.open("rb") as file:
        file.seek(position)
        while batch := [PlanLine(**json.loads(row)) for row in islice(file, BATCH)]:
            position = file.tell()
            yield batch, position
