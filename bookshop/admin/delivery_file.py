"""Reads a wholesaler's file that staff drop onto the delivery page: ISBNs, copies, and what it says of new titles."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from werkzeug.datastructures import FileStorage

from bookshop.bookfiles.columns import fields_of, map_columns
from bookshop.bookfiles.encodings import encoding_of, open_text
from bookshop.bookfiles.reading import BookFile, open_books
from bookshop.bookfiles.tables import REPEATED, TOTAL
from bookshop.bookfiles.values import UnreadableLine, read_values
from bookshop.inventory.delivery_note import LINES_MAX, NoteLine, delivered_copies, read_note
from bookshop.kit.exceptions import Invalid
from bookshop.kit.text import one_line, words
from bookshop.web.uploads import DELIVERY_FILE_MAX

T = TypeVar("T")

SHOWN = 80  # characters of a line that cannot be read
ORDERED = "qty ordered; quantity ordered; ordered; bestellt; bestellmenge"
# Names of the column with the delivered copies, best first: what was delivered counts more than what was ordered.
# A bare "invoiced" may be an amount of money, so it counts less than "quantity".
COLUMNS = f"""delivered; qty delivered; quantity delivered; delivered qty; delivered quantity; shipped; qty shipped;
    quantity shipped; shipped qty; supplied; qty supplied; quantity supplied; supplied qty; despatched; qty despatched;
    quantity despatched; dispatched; qty dispatched; quantity dispatched; geliefert; geliefert stk; gelieferte menge;
    menge geliefert; liefermenge; gel menge; livre; livree; livres; qte livree; quantite livree; qte expediee; quantite
    expediee; entregado; entregada; cantidad entregada; servido; servida; cantidad servida; cant servida; qty invoiced;
    quantity invoiced; invoiced qty; menge berechnet; berechnete menge; copies; number of copies; qty; quantity; menge;
    anzahl; anz; stuck; stueck; stk; stuckzahl; stueckzahl; exemplare; expl; ex; exemplaires; quantite; qte; nombre;
    ejemplares; unidades; uds; cantidad; cant; units; pieces; pcs; invoiced; berechnet; fakturiert; {ORDERED};
    stock quantity; stock; bestand"""
RANKS = {"".join(words(name)): rank for rank, name in enumerate(COLUMNS.split(";"))}
ORDERED_RANKS = {RANKS["".join(words(name))] for name in ORDERED.split(";")}
USED = ("isbn", "sku", "title", "authors", "price", "price_cents", "currency")
TITLE = ("title", "authors", "price_cents", "currency")
TOO_LARGE = "This file is too large: a delivery note may have at most 4 MB. Split it into smaller files."
TOO_MANY = f"This file has more than {LINES_MAX} lines. Split the delivery into smaller files."
ONIX = "This is an ONIX message, which has no numbers of copies. Choose the delivery note as CSV or as a spreadsheet."
NO_ISBN = (
    "No column of this file is known as the ISBN. Name the column ISBN or EAN, and the one of the copies Quantity."
)
NO_COPIES = "No column of the file is known as the number of copies, so each line counts as one copy."
ONLY_ORDERED = (
    "The column of what was ordered was taken, as there is none of what was delivered. "
    "Compare the copies with those in the box."
)


@dataclass
class DeliveryFile:
    """The lines of a file as they are typed into the form, and by ISBN-13 what it says about the titles.

    `problems` are the lines that cannot be taken apart, so that there is nothing to type for them. `notice` is a
    sentence about the number of copies, if no column has those that were delivered.
    """

    lines: list[str] = field(default_factory=list)
    problems: list[NoteLine] = field(default_factory=list)
    titles: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    notice: str = ""


def read_delivery_file(upload: FileStorage, currency: str) -> DeliveryFile:
    """Read an uploaded file, whatever its dialect; a line with a wrong ISBN or wrong copies can be fixed in the form.

    Raises Invalid with the reason if the file cannot be read at all.
    """
    with TemporaryDirectory() as folder:
        path = Path(folder) / "delivery"
        upload.save(path)
        if path.stat().st_size > DELIVERY_FILE_MAX:
            raise Invalid(TOO_LARGE, "file")
        return _read(path, currency)


def _read(path: Path, currency: str) -> DeliveryFile:
    try:
        file = open_books(path, currency, delivery_columns)
        if file.kind == "onix":
            raise Invalid(ONIX, "file")
        if not {"isbn", "sku"} & set(file.mapping):
            raise Invalid(NO_ISBN, "file")
    except Invalid:
        if lines := _without_header(path):
            return DeliveryFile(_limited(lines))
        raise
    found = DeliveryFile(notice=_notice(file))
    for line in _limited(file.table.lines() if file.table else ()):
        if line.problem in {TOTAL, REPEATED}:
            continue
        if line.problem:
            found.problems.append(
                NoteLine(line.number, f"Line {line.number} of the file", problem=f"It {line.problem}.")
            )
        else:
            found.lines.append(_line(file, line.cells, found.titles))
    return found


def delivery_columns(header: Sequence[str]) -> Sequence[str]:
    """Return the mapping of a delivery note's columns: the field of each, or "" if it is not used."""
    mapping = [name if name in USED else "" for name in map_columns(header)]
    ranks = {number: _rank(name) for number, name in enumerate(header)}
    known = {number: rank for number, rank in ranks.items() if rank is not None and not mapping[number]}
    if known:
        mapping[min(known, key=known.__getitem__)] = "stock_quantity"
    return mapping


def _rank(name: str) -> int | None:
    return RANKS.get("".join(words(name)))


def _notice(file: BookFile) -> str:
    if "stock_quantity" not in file.mapping:
        return NO_COPIES
    taken = file.header[file.mapping.index("stock_quantity")]
    return ONLY_ORDERED if _rank(taken) in ORDERED_RANKS else ""


def _line(file: BookFile, cells: Sequence[str], titles: dict[str, Mapping[str, Any]]) -> str:
    """Return a line of the file as it is typed into the form, and keep what it says about the title."""
    fields = fields_of(cells, file.mapping)
    typed = fields.pop("stock_quantity", "1" if "stock_quantity" not in file.mapping else "")
    values = _values(file, fields)
    copies = delivered_copies(typed)
    isbn = values.get("isbn")
    if isbn is None:
        return one_line(" ".join(cell for cell in cells if cell.strip()))[:SHOWN]
    titles[isbn] = {name: values[name] for name in TITLE if name in values}
    return f"{isbn} {copies or one_line(typed)[:SHOWN] or 'copies missing'}"


def _values(file: BookFile, fields: Mapping[str, str]) -> Mapping[str, Any]:
    """Return what can be read of a line: an unreadable price, for example, does not keep its copies out."""
    try:
        return read_values(fields, file.conventions).values
    except UnreadableLine as error:
        return error.values


def _without_header(path: Path) -> list[str]:
    """Return the lines of a text that is a list of ISBNs and copies, without a header; else none."""
    try:
        with open_text(path, encoding_of(path)) as file:
            lines = [line.strip() for line in islice(file, LINES_MAX + 1) if line.strip()]
    except (UnicodeError, Invalid):
        return []
    readable = [line for line in read_note("\n".join(lines)) if not line.problem]
    return [one_line(line)[:SHOWN] for line in lines] if len(readable) * 2 > len(lines) else []


def _limited(lines: Iterable[T]) -> list[T]:
    found = list(islice(lines, LINES_MAX + 1))
    if len(found) > LINES_MAX:
        raise Invalid(TOO_MANY, "file")
    return found
