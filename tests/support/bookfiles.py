"""Small files as booksellers have them: tables, spreadsheets and zip files, made where they are needed."""

import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import xlsxwriter

from bookshop.bookfiles.lines import FileLine
from bookshop.bookfiles.tables import Table, open_table

ODS = "application/vnd.oasis.opendocument.spreadsheet"
ODF = "urn:oasis:names:tc:opendocument:xmlns:"
NAMESPACES = " ".join(f'xmlns:{name}="{ODF}{name}:1.0"' for name in ("office", "table", "text", "manifest"))
SPREADSHEETML = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
EMPTY_ROWS = '<table:table-row table:number-rows-repeated="{}"><table:table-cell/></table:table-row>'


def write(folder: Path, content: str | bytes, name: str = "books.csv") -> Path:
    """Write a file, text as UTF-8, and return its path."""
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(folder: Path, content: str | bytes) -> tuple[Table, list[FileLine]]:
    """Write a file and read it as a table."""
    table = open_table(write(folder, content))
    return table, list(table.lines())


def xlsx(path: Path, sheets: Mapping[str, Any], hidden: Iterable[str] = ()) -> Path:
    """Write a workbook from the rows of its sheets; None leaves a cell empty."""
    with xlsxwriter.Workbook(path, {"default_date_format": "dd.mm.yyyy", "strings_to_numbers": False}) as workbook:
        for name, rows in sheets.items():
            sheet = workbook.add_worksheet(name)
            if name in hidden:
                sheet.hide()
            for number, row in enumerate(rows):
                sheet.write_row(number, 0, row)
    return path


def ods(path: Path, rows: str, manifest: str = "") -> Path:
    """Write an OpenDocument spreadsheet with one sheet from the XML of its rows."""
    entry = f'<manifest:file-entry manifest:full-path="content.xml">{manifest}</manifest:file-entry>'
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo("mimetype"), ODS)
        archive.writestr("META-INF/manifest.xml", f"<manifest:manifest {NAMESPACES}>{entry}</manifest:manifest>")
        archive.writestr(
            "content.xml",
            f"<office:document-content {NAMESPACES}><office:body><office:spreadsheet>"
            f'<table:table table:name="Liste">{rows}</table:table>'
            "</office:spreadsheet></office:body></office:document-content>",
        )
    return path


def ods_row(*cells: str | float) -> str:
    """Return the XML of a row of an OpenDocument sheet."""
    return f"<table:table-row>{''.join(map(_ods_cell, cells))}</table:table-row>"


def _ods_cell(cell: str | float) -> str:
    kind = 'office:value-type="string"'
    if not isinstance(cell, str):
        kind = f'office:value-type="float" office:value="{cell}"'
    return f"<table:table-cell {kind}><text:p>{escape(str(cell))}</text:p></table:table-cell>"


def replaced(source: Path, target: Path, members: Mapping[str, Callable[[], Iterator[bytes]]], method: int = 8) -> Path:
    """Copy a zip file with other contents for some of its members, which may be larger than the memory."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", method, compresslevel=1) as new:
        for member in old.infolist():
            with new.open(member.filename, "w", force_zip64=True) as file:
                for piece in members.get(member.filename, lambda name=member: iter([old.read(name)]))():
                    file.write(piece)
    return target


def sheet_xml(rows: Iterable[str]) -> Iterator[bytes]:
    """Yield the XML of a sheet of an Excel file from that of its rows."""
    yield f"<worksheet {SPREADSHEETML}><sheetData>".encode()
    yield from (row.encode() for row in rows)
    yield b"</sheetData></worksheet>"
