"""Reads a file of books, whatever wrote it: finds out what it is, and turns each of its lines into a book's values."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from bookshop.bookfiles import onix, spreadsheets, tables
from bookshop.bookfiles.amounts import DecimalSign
from bookshop.bookfiles.columns import (
    FIELD_WORDS,
    OWN_FIELDS,
    currency_of,
    fields_of,
    is_export,
    map_columns,
    unused_columns,
)
from bookshop.bookfiles.encodings import CHOICES, label
from bookshop.bookfiles.formats import Kind, kind_of
from bookshop.bookfiles.lines import FileLine, Product
from bookshop.bookfiles.names import Order
from bookshop.bookfiles.onix_xml import message_version
from bookshop.bookfiles.values import Conventions, Evidence, Reading, UnreadableLine, read_values
from bookshop.catalog.models import AUTHORS_MAX, DESCRIPTION_MAX, TITLE_MAX
from bookshop.catalog.schemas import FileBook
from bookshop.kit.text import LONGEST_TEXT, from_cell

SAMPLE = 2_000  # lines that show by which conventions a file was written
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
SENTENCES = {  # by pydantic's types of errors
    "missing": "is missing",
    "string_too_short": "is missing",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_long": "must have at most {max_length} characters",
    "string_too_long": "must have at most {max_length} characters",
}
IDENTITY = {"isbn": 13, "title": TITLE_MAX, "main_title": TITLE_MAX, "authors": AUTHORS_MAX}
MISSING = {"title": "the title is missing", "authors": "the authors are missing"}


class Chosen(NamedTuple):
    """How staff want a file to be read; None leaves it to what the file seems to be.

    `encoding` is one of `encodings.CHOICES`; others are found out.
    """

    decimal: DecimalSign | None = None
    names: Order | None = None
    encoding: str | None = None


AS_IT_SEEMS = Chosen()


@dataclass(frozen=True, slots=True)
class ReadLine:
    """A line of a file with the values of its book, or the `problem` that refuses it.

    `values` may also have `book_id` and `withdrawn`, from the shop's own export, and `main_title`, without the
    subtitle. A refused line has those that tell which book it is. `guesses` are sentences about what was not certain.
    `swallowed` counts further lines lost with a refused one.
    `record` is the book's ONIX record, if the file is ONIX.
    """

    number: int
    values: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""
    guesses: Sequence[str] = ()
    swallowed: int = 0
    record: bytes = b""


@dataclass(frozen=True)
class BookFile:
    """A file of books, and how it is read. `mapping` has the field of each column of `header`, "" for an unused one."""

    path: Path
    kind: Kind
    format: str
    encoding: str
    header: Sequence[str]
    mapping: Sequence[str]
    conventions: Conventions
    table: tables.Table | None = None

    @property
    def unused(self) -> Sequence[str]:
        """The names of the columns that are not used."""
        return unused_columns(self.header, self.mapping)

    def lines(self) -> Iterator[ReadLine]:
        """Yield the lines of the file, one after another, with the values of their books."""
        return (self._read(line) for line in self._raw_lines())

    def _raw_lines(self) -> Iterator[FileLine | Product]:
        if self.table is not None:
            return self.table.lines()
        return onix.products(self.path, self.conventions.currency)

    def _read(self, line: FileLine | Product) -> ReadLine:
        if line.problem:
            return ReadLine(line.number, problem=line.problem, swallowed=line.swallowed)
        fields = self._fields(line)
        if not fields:
            return ReadLine(line.number, problem="has nothing in the columns that are used")
        try:
            reading = read_values(fields, self.conventions)
        except UnreadableLine as error:
            problem = "; ".join([str(error), *_validated(error.values)[1]])
            return ReadLine(line.number, _identity(error.values), problem)
        reading = _shortened(reading)
        if isinstance(line, Product):
            reading = _with_author(replace(reading, guesses=[*reading.guesses, *line.guesses]))
        stored, problems = _validated(reading.values)
        if problems:
            return ReadLine(line.number, _identity(reading.values), "; ".join(problems))
        record = line.record if isinstance(line, Product) else b""
        return ReadLine(line.number, stored, guesses=reading.guesses, record=record)

    def _fields(self, line: FileLine | Product) -> Mapping[str, str]:
        return line.fields if isinstance(line, Product) else _fields(line, self.kind, self.mapping)


def open_books(
    path: Path,
    currency: str,
    choose: Callable[[Sequence[str]], Sequence[str] | None] = lambda _header: None,
    chosen: Chosen = AS_IT_SEEMS,
) -> BookFile:
    """Find out what a file is and how it is to be read.

    `currency` is the shop's. `choose` returns the mapping that staff have chosen for a header, if any. Raises Invalid
    with a sentence for people if the file cannot be read at all. A spreadsheet is converted to a CSV file beside it,
    which `remove_converted` removes.
    """
    kind = kind_of(path)
    if kind == "onix":
        conventions = Conventions(decimal=".", names="first last", currency=currency, verbatim=True)
        return BookFile(path, kind, f"ONIX {message_version(path)}", "", (), (), conventions)
    table, format_name, encoding = _open_table(path, kind, chosen.encoding)
    header = table.header
    mapping = tuple(choose(header) or map_columns(header, currency))
    evidence = _evidence(table, kind, mapping)
    found = evidence.conventions(currency_of(header, mapping) or currency, verbatim=is_export(header))
    conventions = replace(found, decimal=chosen.decimal or found.decimal, names=chosen.names or found.names)
    return BookFile(path, kind, format_name, encoding, header, mapping, conventions, table)


def remove_converted(path: Path) -> None:
    """Remove what `open_books` has put beside a spreadsheet."""
    _converted(path).unlink(missing_ok=True)


def _open_table(path: Path, kind: Kind, encoding: str | None) -> tuple[tables.Table, str, str]:
    if kind == "table":
        table = tables.open_table(path, CHOICES.get(encoding or ""))
        return table, f"CSV, separated by {SEPARATORS[table.dialect.separator]}", label(table.encoding)
    target = _converted(path)
    sheet = spreadsheets.to_csv(path, target)
    return tables.open_converted(target), f"Spreadsheet, {sheet}", ""


def _converted(path: Path) -> Path:
    return path.with_name(f"{path.name}.sheet.csv")


def _fields(line: FileLine, kind: Kind, mapping: Sequence[str]) -> Mapping[str, str]:
    cells = [from_cell(cell) for cell in line.cells] if kind == "table" else line.cells
    return fields_of(cells, mapping)


def _evidence(table: tables.Table, kind: Kind, mapping: Sequence[str]) -> Evidence:
    evidence = Evidence()
    for line in islice(table.lines(), SAMPLE):
        if not line.problem:
            evidence.add(_fields(line, kind, mapping))
    return evidence


def _with_author(reading: Reading) -> Reading:
    """Name the publisher of an ONIX product without contributors, such as a Bible or a calendar, as its author."""
    values = reading.values
    if "authors" in values or "publisher" not in values:
        return reading
    guess = f"names no author, so its publisher {values['publisher']} is given as the author"
    return Reading(values | {"authors": values["publisher"]}, [*reading.guesses, guess])


def _shortened(reading: Reading) -> Reading:
    """Cut a description that is too long, at the end of a paragraph or else of a word."""
    text = reading.values.get("description", "")
    if not DESCRIPTION_MAX < len(text) <= LONGEST_TEXT:
        return reading
    start = text[:DESCRIPTION_MAX]
    end = start.rfind("\n")
    if end < DESCRIPTION_MAX // 2:
        end = start.rfind(" ")
    kept = start[:end].rstrip() if end > 0 else start
    guess = f"has a description of {len(text):,} characters, of which the first {len(kept):,} are kept"
    return Reading(reading.values | {"description": kept}, [*reading.guesses, guess])


def _identity(values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what tells which book a refused line is about, apart from texts too long to be looked at."""
    return {name: text for name, longest in IDENTITY.items() if (text := values.get(name)) and len(text) <= longest}


def _validated(values: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[str]]:
    """Return the values as the shop stores them, or a sentence about each that it cannot store or do without."""
    problems = [missing for name, missing in MISSING.items() if "isbn" not in values and not values.get(name)]
    own = {name: values[name] for name in ("main_title", *OWN_FIELDS) if name in values}
    try:
        stored = FileBook.model_validate(values).model_dump(exclude_none=True)
    except ValidationError as error:
        return {}, problems + [_sentence(one) for one in error.errors()]
    return stored | own, problems


def _sentence(problem: Any) -> str:
    """Explain one of pydantic's validation errors to somebody who is looking at a spreadsheet."""
    words = SENTENCES.get(problem["type"])
    explanation = words.format(**problem.get("ctx", {})) if words else problem["msg"].removeprefix("Value error, ")
    return f"{FIELD_WORDS[problem['loc'][0]]} {explanation}"
