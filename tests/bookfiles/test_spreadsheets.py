"""Spreadsheets: what becomes of their cells, which sheet is taken, and that no file takes the machine's memory."""

import datetime
import itertools
import struct
import zipfile

import pytest

from bookshop.bookfiles import spreadsheets
from bookshop.bookfiles.formats import kind_of
from bookshop.bookfiles.spreadsheets import to_csv
from bookshop.bookfiles.tables import open_converted
from bookshop.kit.exceptions import Invalid
from tests.support.bookfiles import EMPTY_ROWS, ods, ods_row, replaced, sheet_xml, xlsx

HEADER = ["ISBN", "Titel", "Autor", "Preis"]
FAUST = ["9783150000014", "Faust", "Goethe", 3.5]
SHEET = "xl/worksheets/sheet1.xml"


@pytest.fixture
def converted(tmp_path):
    """Convert a spreadsheet; return the sheet's name, its table and its lines."""

    def convert(path):
        assert kind_of(path) == "spreadsheet"
        name = to_csv(path, tmp_path / "target.csv")
        table = open_converted(tmp_path / "target.csv")
        return name, table, list(table.lines())

    return convert


@pytest.fixture
def small(tmp_path):
    return xlsx(tmp_path / "small.xlsx", {"Liste": [HEADER, FAUST]})


def test_values_become_text_as_people_see_them(tmp_path, converted):
    values = [
        (9780141439518, "9780141439518"),
        ("0141439580", "0141439580"),
        (7.8, "7.8"),
        (0.1 + 0.2, "0.3"),
        (1e-7, "0.0000001"),
        (9.78e12, "9780000000000"),
        (1e21, "1000000000000000000000"),
        (-3, "-3"),
        (True, "TRUE"),
        (datetime.date(2026, 3, 12), "2026-03-12"),
        (' two\nlines, "quoted" ', ' two\nlines, "quoted" '),
        ("Émile 😀", "Émile 😀"),
    ]
    rows = [["Titel", "Autor"], *([value, "x"] for value, _text in values)]
    _name, _table, lines = converted(xlsx(tmp_path / "books.xlsx", {"Liste": rows}))
    assert [line.cells[0] for line in lines] == [text for _value, text in values]


def test_lines_have_the_numbers_of_the_rows_even_after_empty_ones(tmp_path, converted):
    rows = [[None], ["Lagerliste"], [None], [None, *HEADER], [None, *FAUST], [], [None, *FAUST], [None, None, "x"]]
    _name, table, lines = converted(xlsx(tmp_path / "books.xlsx", {"Liste": rows}))
    assert (table.header, table.header_line) == (("", *HEADER), 4)
    assert [(line.number, line.cells) for line in lines] == [
        (5, ["", "9783150000014", "Faust", "Goethe", "3.5"]),
        (7, ["", "9783150000014", "Faust", "Goethe", "3.5"]),
        (8, ["", "", "x", "", ""]),
    ]


def test_the_visible_sheet_with_the_best_header_is_taken(tmp_path, converted):
    sheets = {
        "Info": [["Buchhandlung X"], ["Titel", "Bestand"]],
        "Bücher": [["Stand 12.3."], HEADER, FAUST],
        "Alt": [[*HEADER, "Verlag", "Bestand"], FAUST],
    }
    name, table, lines = converted(xlsx(tmp_path / "books.xlsx", sheets, hidden=["Alt"]))
    assert (name, table.header, len(lines)) == ("sheet “Bücher”; not read: “Info”", tuple(HEADER), 1)


def test_names_of_columns_in_another_language_give_the_widest_table(tmp_path, converted):
    rows = [["Kirjaluettelo"], ["Nimi", "Kirjoittaja", "Hinta"], ["Sinuhe", "Waltari", 14.9]]
    _name, table, lines = converted(xlsx(tmp_path / "books.xlsx", {"Kirjat": rows}))
    assert (table.header_line, [line.cells for line in lines]) == (2, [["Sinuhe", "Waltari", "14.9"]])


def test_a_sheet_without_a_header_is_read_from_its_first_book(tmp_path, converted):
    rows = [["Lagerliste"], [], ["", "Lesezeichen", "", 1], FAUST, ["9780141439587", "Stock", "Austen"], ["Summe", 7]]
    _name, table, lines = converted(xlsx(tmp_path / "books.xlsx", {"Liste": rows}))
    assert (table.header, table.header_height) == (("",) * 4, 0)
    assert [(line.number, line.cells[1:2], line.problem) for line in lines] == [
        (3, ["Lesezeichen"], ""),
        (4, ["Faust"], ""),
        (5, ["Stock"], ""),
        (6, (), "is a total, not a book"),
    ]


def test_books_of_a_sheet_above_the_header_are_counted_as_refused(tmp_path, converted):
    rows = [["ISBN", "Titel"], ["9780141439587", "Emma"], ["x"], HEADER, FAUST, HEADER]
    _name, _table, lines = converted(xlsx(tmp_path / "books.xlsx", {"Liste": rows}))
    assert [(line.number, line.problem[:20]) for line in lines] == [
        (2, "stands above the hea"),
        (5, ""),
        (6, "repeats the header"),
    ]


def test_an_opendocument_sheet_is_read_without_its_million_empty_rows(tmp_path, converted):
    rows = [EMPTY_ROWS.format(2), ods_row(*HEADER), ods_row("0141439580", "Émile", "R", 7.8), EMPTY_ROWS.format(3)]
    path = ods(
        tmp_path / "books.ods", "".join([*rows, ods_row(9780141439518, "B", "C", 12), EMPTY_ROWS.format(1_000_000)])
    )
    name, table, lines = converted(path)
    assert (name, table.header_line) == ("sheet “Liste”", 3)
    assert [(line.number, line.cells) for line in lines] == [
        (4, ["0141439580", "Émile", "R", "7.8"]),
        (8, ["9780141439518", "B", "C", "12"]),
    ]


# ---------------------------------------------------------------- what is refused


def refused(path, words):
    target = path.with_suffix(".target")
    with pytest.raises(Invalid, match=words):
        to_csv(path, target)
    assert not target.exists()


def test_a_spreadsheet_without_text_is_refused(tmp_path):
    refused(xlsx(tmp_path / "empty.xlsx", {"Leer": []}), "empty")
    refused(xlsx(tmp_path / "hidden.xlsx", {"Leer": [], "Alt": [HEADER]}, hidden=["Alt"]), "empty")


def test_two_cells_that_are_far_from_each_other_are_refused(tmp_path):
    rows = ['<row r="1"><c r="A1"><v>1</v></c></row>', '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>']
    far = replaced(xlsx(tmp_path / "x.xlsx", {"x": []}), tmp_path / "far.xlsx", {SHEET: lambda: sheet_xml(rows)})
    refused(far, "too large")


def test_cells_that_are_repeated_without_end_are_refused(tmp_path):
    repeated = 'table:number-columns-repeated="16384" office:value-type="string"'
    cell = f"<table:table-cell {repeated}><text:p>x</text:p></table:table-cell>"
    row = f'<table:table-row table:number-rows-repeated="1048576">{cell}</table:table-row>'
    refused(ods(tmp_path / "b.ods", row), "too large|damaged")


def test_a_file_that_unpacks_into_more_than_the_limit_is_refused(tmp_path, small, monkeypatch):
    monkeypatch.setattr(spreadsheets, "LARGEST_UNPACKED", 10_000_000)
    bomb = replaced(small, tmp_path / "bomb.xlsx", {SHEET: lambda: itertools.repeat(bytes(1_000_000), 11)})
    assert bomb.stat().st_size < 100_000
    refused(bomb, "too large")


def test_a_size_that_is_declared_wrongly_is_refused(tmp_path, small):
    content = bytearray(small.read_bytes())
    entry = content.rfind(b"PK\x01\x02", 0, content.rfind(SHEET.encode()))
    struct.pack_into("<I", content, entry + 24, 100)
    lying = tmp_path / "lying.xlsx"
    lying.write_bytes(content)
    refused(lying, "damaged")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_packing_that_spreadsheets_do_not_use_is_refused(tmp_path, small, method):
    refused(replaced(small, tmp_path / "packed.xlsx", {}, method), "damaged")


def test_a_damaged_spreadsheet_is_refused(tmp_path, small):
    content = small.read_bytes()
    middle = content.find(SHEET.encode()) + len(SHEET) + 40
    flipped = content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
    for name, damaged in {"cut": content[:-300], "bit": flipped}.items():
        path = tmp_path / f"{name}.xlsx"
        path.write_bytes(damaged)
        refused(path, "damaged")
    refused(replaced(small, tmp_path / "xml.xlsx", {SHEET: lambda: iter([b"<worksheet><sheetData><row"])}), "damaged")


def test_a_password_is_named(tmp_path):
    algorithm = '<manifest:algorithm manifest:algorithm-name="Blowfish CFB" manifest:initialisation-vector="x"/>'
    encrypted = f'<manifest:encryption-data manifest:checksum="x">{algorithm}</manifest:encryption-data>'
    refused(ods(tmp_path / "secret.ods", ods_row("x"), encrypted), "password")


def test_a_limit_on_the_processor_ends_the_process_with_a_sentence(small):
    assert "too large" in spreadsheets._reason(-24)


def test_other_sheets_that_look_like_lists_of_books_are_named(tmp_path, converted):
    path = xlsx(tmp_path / "two.xlsx", {"A-M": [HEADER, FAUST], "N-Z": [HEADER, FAUST], "Notes": [["to do"]]})
    assert converted(path)[0] == "sheet “A-M”; not read: “N-Z”"
