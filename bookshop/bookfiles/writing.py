"""Tables written for spreadsheets, as CSV or xlsx, row by row, so that a table of any length fits into memory."""

import csv
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal
from io import StringIO
from itertools import islice
from typing import IO

from xlsxwriter import Workbook
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from bookshop.kit.exceptions import Invalid
from bookshop.kit.text import as_cell

Cell = str | int | Decimal | datetime | None
Rows = Iterable[Sequence[Cell]]

PART = 1000  # rows of CSV yielded at a time
COLUMN_WIDTH = 20
OPTIONS = {
    "constant_memory": True,  # each row is written to a temporary file
    "remove_timezone": True,  # a cell has none
    "use_zip64": True,  # for sheets of more than 4 GB before they are compressed
}


def csv_rows(header: Sequence[str], rows: Rows) -> Iterator[bytes]:
    """Yield a CSV file (RFC 4180) in parts, in UTF-8 with a BOM, without which Excel shows ü as Ã¼.

    Texts are escaped by `as_cell`. Times are ISO 8601.
    """
    yield BOM_UTF8 + _csv_part([header])
    remaining = iter(rows)
    while part := list(islice(remaining, PART)):
        yield _csv_part(part)


def write_csv(file: IO[bytes], header: Sequence[str], rows: Rows) -> None:
    """Write a CSV file as `csv_rows` does."""
    file.writelines(csv_rows(header, rows))


def _csv_part(rows: Rows) -> bytes:
    file = StringIO()
    csv.writer(file).writerows(map(_csv_value, row) for row in rows)
    return file.getvalue().encode()


def _csv_value(cell: Cell) -> Cell:
    if isinstance(cell, datetime):
        return cell.isoformat(timespec="seconds")
    return as_cell(cell) if isinstance(cell, str) else cell


def write_xlsx(file: IO[bytes], header: Sequence[str], rows: Rows) -> None:
    """Write a workbook with one sheet. Texts stay texts, digits and `=...` too; amounts and times are real ones.

    Raises Invalid if the table does not fit into a sheet.
    """
    with Workbook(file, OPTIONS) as book:
        sheet = book.add_worksheet()
        sheet.set_column(0, len(header) - 1, COLUMN_WIDTH)
        sheet.freeze_panes(1, 0)
        sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"})
        writer = _SheetWriter(book, sheet)
        writer.write(0, header)
        for number, row in enumerate(rows, start=1):
            writer.write(number, row)


class _SheetWriter:
    """Writes the rows of one sheet, with the formats of its workbook."""

    def __init__(self, book: Workbook, sheet: Worksheet) -> None:
        self.book, self.sheet = book, sheet
        self.plain = book.add_format()
        self.time = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        self.amounts: dict[int, Format] = {}  # by the number of decimal places

    def write(self, number: int, row: Sequence[Cell]) -> None:
        """Write a row; raises Invalid if it does not fit."""
        for column, cell in enumerate(row):
            if cell not in (None, "") and self._write_cell(number, column, cell) != 0:
                raise Invalid(
                    "A sheet has room for 1,048,576 rows, and for 32,767 characters in a cell. "
                    "This list needs more: export it as CSV."
                )

    def _write_cell(self, row: int, column: int, cell: Cell) -> object:
        """Return 0 if the cell was written."""
        if isinstance(cell, str):
            return self._write_text(row, column, cell)
        if isinstance(cell, datetime):
            return self.sheet.write_datetime(row, column, cell, self.time)
        if isinstance(cell, Decimal):
            return self.sheet.write_number(row, column, float(cell), self._amount_format(cell))
        return self.sheet.write_number(row, column, cell)

    def _write_text(self, row: int, column: int, text: str) -> object:
        if text.startswith("<r>"):  # which XlsxWriter could take for XML that is ready to be written
            return self.sheet.write_rich_string(row, column, self.plain, text[:1], text[1:])
        return self.sheet.write_string(row, column, text)

    def _amount_format(self, amount: Decimal) -> Format:
        places = len(str(amount).partition(".")[2])
        if places not in self.amounts:
            self.amounts[places] = self.book.add_format({"num_format": f"0.{'0' * places}".rstrip(".")})
        return self.amounts[places]
