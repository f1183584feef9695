"""What a file is, by its content: the formats that the shop reads, and what it says about those that it does not."""

import gzip
import io
import struct
import zipfile

import pytest

from bookshop.bookfiles.formats import kind_of
from bookshop.kit.exceptions import Invalid
from tests.support.bookfiles import ods, ods_row, write, xlsx

OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
ONIX = '<ONIXMessage release="{}" xmlns="http://ns.editeur.org/onix/{}/reference"><Header/></ONIXMessage>'


def zipped(*names, mimetype=""):
    """Return a zip file with members of these names."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        if mimetype:
            archive.writestr("mimetype", mimetype)
        for name in names:
            archive.writestr(name, "x")
    return file.getvalue()


def ole(stream):
    return OLE + f"{stream}\0".encode("utf-16-le") + bytes(600)


TABLES = {
    "CSV": b"isbn,title\n9780141439587,Emma\n",
    "UTF-8 with BOM": "\ufeffTitel;Autor\nÉmile;Rousseau\n".encode(),
    "UTF-16": "Titel;Autor\nÉmile;Rousseau\n".encode("utf-16"),
    "UTF-16 without BOM": "Titel;Autor\nÉmile;Rousseau\n".encode("utf-16-le"),
    "Windows-1252": "Titel;Autor\nÉmile;Rousseau\n".encode("cp1252"),
    "a NUL in a line": b"isbn,title\n1,Em\x00ma\n",
    "a bracket at the beginning": b"[0141439580],Emma\n",
}


@pytest.mark.parametrize("content", TABLES.values(), ids=TABLES)
def test_a_table_is_recognised(tmp_path, content):
    assert kind_of(write(tmp_path, content, "books.pdf")) == "table"


def test_spreadsheets_are_recognised_whatever_their_names_are(tmp_path):
    assert kind_of(xlsx(tmp_path / "books.csv", {"Books": [["title"]]})) == "spreadsheet"
    assert kind_of(ods(tmp_path / "books.xlsx", ods_row("title"))) == "spreadsheet"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("version", ["3.0", "3.1"])
def test_onix_is_recognised_by_its_root(tmp_path, version, encoding):
    declared = f'<?xml version="1.0" encoding="{encoding.removesuffix("-sig")}"?>\n<!-- a list -->\n'
    message = declared + ONIX.format(version, version)
    assert kind_of(write(tmp_path, message.encode(encoding), "list.txt")) == "onix"


REFUSED = {
    "empty": (b"", "empty"),
    "blank": ("\ufeff \r\n\n".encode(), "empty"),
    "PDF": (b"%PDF-1.7\n", "PDF"),
    "PNG": (b"\x89PNG\r\n\x1a\n\x00\xff\xfe", "picture"),
    "JPEG": (b"\xff\xd8\xff\xe0\x00\x10JFIF", "picture"),
    "WebP": (b"RIFF\x10\x00\x00\x00WEBPVP8 ", "picture"),
    "gzip": (gzip.compress(b"isbn,title\n"), "Unpack it"),
    "7z": (b"7z\xbc\xaf\x27\x1c\x00\x04", "Unpack it"),
    "zip": (zipped("books.csv"), "Unpack it"),
    "empty zip": (zipped(), "empty ZIP"),
    "Word": (zipped("[Content_Types].xml", "word/document.xml"), "Word"),
    "PowerPoint": (zipped("[Content_Types].xml", "ppt/presentation.xml"), "presentation"),
    "xlsb": (zipped("[Content_Types].xml", "xl/workbook.bin"), ".xlsb"),
    "Numbers": (zipped("Index/Document.iwa"), "Numbers"),
    "EPUB": (zipped("content.opf", mimetype="application/epub+zip"), "EPUB"),
    "OpenDocument text": (zipped("content.xml", mimetype="application/vnd.oasis.opendocument.text"), "no spreadsheet"),
    "damaged zip": (zipped("xl/workbook.xml")[:-30], "damaged"),
    "xls": (ole("Workbook"), r"old Excel file \(\.xls\)\. Save it as \.xlsx or CSV"),
    "doc": (ole("WordDocument"), r"\.doc"),
    "password": (ole("EncryptedPackage"), "password"),
    "other OLE": (OLE, "Office"),
    "xls of 1990": (b"\x09\x08\x08\x00\x00\x05\x10\x00", "Excel"),
    "RTF": (b"{\\rtf1 Emma}", "RTF"),
    "SQLite": (b"SQLite format 3\x00", "database"),
    "MARC": (b"00714cam a2200205 a 4500001001300000", "MARC"),
    "HTML": (b"<!DOCTYPE html><table><tr><td>Emma</td></tr></table>", "web page"),
    "HTML without a head": (b"<!-- till -->\n<table border=1><tr>", "web page"),
    "Excel 2003": (b'<?xml version="1.0"?><?mso-application progid="Excel.Sheet"?><Workbook/>', "Excel 2003"),
    "XML": (b'<?xml version="1.0"?><books/>', "not an ONIX message"),
    "JSON": (b'{"books": []}', "JSON"),
    "JSON, a list": (b' [\n  {"isbn": 1}]', "JSON"),
    "program": (bytes(range(256)) * 16, "not a text file"),
    "ONIX 2.1": (b'<?xml version="1.0"?><ONIXMessage release="2.1"></ONIXMessage>', r"ONIX 2\.1"),
}


@pytest.mark.parametrize(("content", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_is_named(tmp_path, content, words):
    with pytest.raises(Invalid, match=words):
        kind_of(write(tmp_path, content))


def test_a_zip_file_whose_list_of_members_would_fill_the_memory_is_refused(tmp_path):
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 60_000, 60_000, 2_000_000, 30, 0)
    with pytest.raises(Invalid, match="damaged"):
        kind_of(write(tmp_path, b"PK\x03\x04" + bytes(2_000_026) + end))
