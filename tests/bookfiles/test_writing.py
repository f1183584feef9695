"""Tables written for spreadsheets: what is in the files, and that no cell becomes a formula, a link or a number."""

import csv
import io
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain, repeat
from typing import Any
from zipfile import ZipFile

import pytest
from python_calamine import CalamineWorkbook

from bookshop.bookfiles import writing
from bookshop.bookfiles.writing import csv_rows, write_xlsx
from bookshop.kit.exceptions import Invalid
from bookshop.kit.text import from_cell

# What a spreadsheet or XlsxWriter could take for something else.
TEXTS = [
    *("=1+1", "+1", "-1", "@SUM(A1)", "'=1", "''", "{=1}", "https://example.com/", "mailto:a@b.example"),
    *("9780141439587", "0140446788", "007", "1e5", "TRUE", "#N/A", "2026-01-02", "12,50"),
    *("a,b;c\td|e", 'a "quoted" word', "one\ntwo\n\n three", " in front", "a\u2028b", "\N{NO-BREAK SPACE}"),
    *("<r>not & ready</r>", "<r>", "<r></r>", "&amp;", "_x0041_", "_x005F_", "\x0b\x1f"),
    *("Ü\N{COMBINING DIAERESIS}", "\N{BOOKS}", "حرب وسلام", "\u202eabc", "x" * 32_767),
]
TIME = datetime(2026, 3, 4, 12, 30, 59, 999_000, UTC)


def xlsx_of(header: Sequence[str], rows: writing.Rows) -> io.BytesIO:
    file = io.BytesIO()
    write_xlsx(file, header, rows)
    file.seek(0)
    return file


def cells_in(file: io.BytesIO) -> list[list[Any]]:
    return CalamineWorkbook.from_filelike(file).get_sheet_by_index(0).to_python()


def csv_cells(*rows: Sequence[writing.Cell]) -> list[list[str]]:
    content = b"".join(csv_rows(["text"], rows)).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(content, newline="")))[1:]


def test_csv_is_utf_8_with_a_bom_commas_and_crlf():
    content = b"".join(csv_rows(["a", "b"], [["ü", None], [-3, Decimal("7.80")], [TIME, ""]]))
    assert content == b"\xef\xbb\xbfa,b\r\n\xc3\xbc,\r\n-3,7.80\r\n2026-03-04T12:30:59+00:00,\r\n"


def test_no_text_in_csv_is_a_formula_and_every_text_can_be_read_back():
    cells = [row[0] for row in csv_cells(*([text] for text in TEXTS))]
    assert [cell for cell in cells if cell[0] in "=+-@\t\r\n"] == []
    assert [from_cell(cell) for cell in cells] == TEXTS


def test_csv_is_written_while_the_rows_are_read():
    rows = iter([[number] for number in range(10 * writing.PART)])
    parts = csv_rows(["number"], rows)
    assert (next(parts), next(rows)) == (b"\xef\xbb\xbfnumber\r\n", [0])
    assert (next(parts).count(b"\r\n"), next(rows)) == (writing.PART, [writing.PART + 1])


def test_every_text_in_an_excel_file_is_that_text():
    file = xlsx_of(["text"], [[text] for text in TEXTS])
    assert [row[0] for row in cells_in(file)] == ["text", *TEXTS]
    sheet = ZipFile(file).read("xl/worksheets/sheet1.xml")
    assert [tag for tag in (b"<f>", b"<hyperlink", b"<v>") if tag in sheet] == []


def test_numbers_amounts_and_times_in_an_excel_file_can_be_calculated_with():
    file = xlsx_of(["a", "b", "c", "d", "e"], [[-3, Decimal("7.80"), TIME, None, Decimal(1290)], [], [""]])
    cells = cells_in(file)[1]
    assert (cells[:2], cells[3:]) == ([-3, 7.8], ["", 1290])
    assert abs(cells[2] - TIME.replace(tzinfo=None)).total_seconds() < 1


def test_a_table_without_rows_is_a_header():
    assert b"".join(csv_rows(["a", "b"], [])) == b"\xef\xbb\xbfa,b\r\n"
    assert cells_in(xlsx_of(["a", "b"], [])) == [["a", "b"]]


@pytest.mark.parametrize("text", ["x" * 32_768, "\N{BOOKS}" * 16_384, "<r>" + "x" * 32_768])
@pytest.mark.filterwarnings("ignore:String length")
def test_a_text_that_does_not_fit_into_a_cell_is_refused_and_not_cut(text):
    with pytest.raises(Invalid, match="export it as CSV"):
        xlsx_of(["text"], [[text]])


def test_a_table_that_does_not_fit_into_a_sheet_is_refused_and_not_cut():
    blank: list[writing.Cell] = []
    assert xlsx_of(["last"], chain(repeat(blank, 1_048_574), [["fits"]]))
    with pytest.raises(Invalid, match="1,048,576 rows"):
        xlsx_of(["last"], chain(repeat(blank, 1_048_575), [["too many"]]))
