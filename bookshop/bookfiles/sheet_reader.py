"""Reads a spreadsheet in a process of its own, as the memory that it takes is known only afterwards.

Started by `spreadsheets`: `python sheet_reader.py SOURCE TARGET`. Prints JSON: the first rows of each visible sheet,
reads the index of one, writes that sheet as CSV, and ends with a code of `Outcome`. Imports nothing of the shop, which
would take longer than most spreadsheets.
"""

import csv
import datetime
import json
import resource
import sys
from collections.abc import Iterator, Sequence
from decimal import Decimal
from enum import IntEnum
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from python_calamine import CalamineSheet, CalamineWorkbook

# Sheets of 300,000 rows and 8 columns take 230 MB and 4 s: there is room for a million rows.
MEMORY = 1 << 30  # bytes
SECONDS = 60  # of the processor
LARGEST_TARGET = 500_000_000  # bytes: more than twice as many as an upload has
FIRST_ROWS = 200
FIRST_COLUMNS, LONGEST_NAME = 200, 200  # of what is printed
LONGEST_CELL = 100_000  # characters; csv.reader refuses 131,073, and no field takes more than 20,000


class Outcome(IntEnum):
    """How the process ends; a negative code means that a limit has ended it."""

    DONE = 0
    DAMAGED = 3
    PASSWORD = 4
    TOO_LARGE = 5


def main(source: str, target: str) -> Outcome:
    """Read a spreadsheet within the limits."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_TARGET, LARGEST_TARGET))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from python_calamine import CalamineError, CalamineWorkbook, PasswordError  # noqa: PLC0415  within the limits

    try:
        with CalamineWorkbook.from_path(source) as workbook:
            convert(workbook, target)
    except PasswordError:
        return Outcome.PASSWORD
    except CalamineError:
        return Outcome.DAMAGED
    except (MemoryError, OSError):
        return Outcome.TOO_LARGE
    return Outcome.DONE


def convert(workbook: "CalamineWorkbook", target: str) -> None:
    """Print the first rows of each visible sheet, and write the one that is chosen."""
    names = [sheet.name for sheet in workbook.sheets_metadata if _is_visible_table(sheet)]
    first, sheet = [], None
    for name in names:
        sheet = None  # so that no more than one is in memory
        sheet = workbook.get_sheet_by_name(name)
        first.append([name, _first_rows(sheet)])
    print(json.dumps(first), flush=True)
    chosen = sys.stdin.readline().strip()
    if chosen and sheet is not None:
        if names[int(chosen)] != sheet.name:
            sheet = workbook.get_sheet_by_name(names[int(chosen)])
        with open(target, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows(sheet))


def rows(sheet: "CalamineSheet") -> Iterator[list[str]]:
    """Yield the rows of a sheet as text, from the first of the sheet, even if that is empty."""
    for row in sheet.iter_rows():
        yield [as_text(cell)[:LONGEST_CELL] for cell in row]


def as_text(cell: Any) -> str:
    """Return the value of a cell as text: 9780141439518.0 as 9780141439518, and a date by ISO 8601."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float):
        return _number(cell)
    if isinstance(cell, datetime.datetime) and cell.time() == datetime.time():
        return cell.date().isoformat()
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    return str(cell)


def _number(value: float) -> str:
    """Return a number with the 15 digits that spreadsheets have, without an exponent."""
    if value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return format(Decimal(f"{value:.15g}"), "f")


def _is_visible_table(sheet: Any) -> bool:
    return bool(str(sheet.visible).endswith(".Visible") and str(sheet.typ).endswith(".WorkSheet"))


def _first_rows(sheet: "CalamineSheet") -> Sequence[Sequence[str]]:
    first = islice(sheet.iter_rows(), FIRST_ROWS)
    return [[as_text(cell)[:LONGEST_NAME] for cell in row[:FIRST_COLUMNS]] for row in first]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
