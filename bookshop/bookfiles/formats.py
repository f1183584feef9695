"""Formats of files: says by its content what a file is, and what to do with one that the shop cannot read."""

import io
import mmap
import re
import zipfile
from pathlib import Path
from typing import BinaryIO, Literal, NoReturn

from bookshop.bookfiles.encodings import encoding_of, open_text, unicode_of
from bookshop.bookfiles.onix_xml import message_version
from bookshop.kit.exceptions import Invalid

Kind = Literal["table", "spreadsheet", "onix"]

HEAD = 4_096
MOST_CONTROLS = HEAD // 20  # control characters at the beginning of a text, which should have none
LARGEST_DIRECTORY = 1 << 20  # bytes that list the members of a zip file: about 10,000 of them
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # Office before 2007, and any Office file with a password
SPREADSHEET = "Save it as .xlsx or CSV and upload that."
UNPACK = "Unpack it and upload the file that is inside."
ASK = "Ask for the list as CSV, Excel or ONIX 3.0 and upload that."
PICTURE = f"a picture. {ASK}"
MAGIC = {
    rb"%PDF": f"a PDF. {ASK}",
    rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP|II\*\x00|MM\x00\*|....ftyp(heic|mif1|avif)": PICTURE,
    rb"\x1f\x8b|BZh[1-9]1AY|\xfd7zXZ|7z\xbc\xaf|Rar!": f"a packed file. {UNPACK}",
    rb"PK\x05\x06": "an empty ZIP file. Upload a file with a list of books.",
    rb"\{\\rtf": f"a text document (RTF). {ASK}",
    rb"SQLite format 3|\x00\x01\x00\x00Standard (Jet|ACE) ": "a database. Export its books as CSV and upload that.",
    rb"\d{5}[acdnp][a-z]...22\d{5}": f"a MARC file. {ASK}",
    rb"\x09[\x00\x02\x04\x08][\x04-\x08]\x00": f"a very old Excel file. {SPREADSHEET}",
}
MEMBERS = {  # what a zip file is, by the beginning of the name of one of its members
    "word/": f"a Word document. Copy its table into a spreadsheet. {SPREADSHEET}",
    "ppt/": f"a presentation. {ASK}",
    "xl/workbook.bin": f"a binary Excel file (.xlsb). {SPREADSHEET}",
    "Index/": "an Apple Numbers file. Export it as Excel or CSV and upload that.",
}
STREAMS = {  # what an OLE file is, by the name of a stream in it
    "EncryptedPackage": "protected by a password. Save it without the password and upload that.",
    "WordDocument": f"an old Word document (.doc). Copy its table into a spreadsheet. {SPREADSHEET}",
    "Workbook": f"an old Excel file (.xls). {SPREADSHEET}",
    "Book": f"an old Excel file (.xls). {SPREADSHEET}",
}
ODS = b"application/vnd.oasis.opendocument.spreadsheet"
EPUB = b"application/epub+zip"
HTML = re.compile(r"<(!doctype html|html|head|body|table|meta|div)\b", re.IGNORECASE)
JSON = re.compile(r"(\{\s*[\"}]|\[\s*\{)")
BEFORE_TAGS = re.compile(r"\s*(<\?.*?\?>\s*|<!--.*?-->\s*)*", re.DOTALL)
CONTROLS = bytes({*range(32)} - {*b"\t\n\r\f\x1a"})


class LimitedFile(io.BufferedReader):
    """A file of which zipfile cannot read a list of members that would fill the memory."""

    def read(self, size: int | None = -1) -> bytes:
        """Read as zipfile asks: without a size only for the end of the file, which is short."""
        size = LARGEST_DIRECTORY if size is None or size < 0 else size
        if size > LARGEST_DIRECTORY:
            raise zipfile.BadZipFile("its list of members is too long")
        return super().read(size)


def kind_of(path: Path) -> Kind:
    """Return what a file is by its content, whatever its name is.

    Raises Invalid with a sentence that says what the file is and what to do, if the shop cannot read it.
    """
    with path.open("rb") as file:
        head = file.read(HEAD)
    if not head.strip(b"\x00\xef\xbb\xbf\xff\xfe\r\n\t "):
        raise Invalid("The file is empty.")
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_zip(path)
    if head.startswith(OLE):
        _refuse(_ole(path))
    for pattern, what in MAGIC.items():
        if re.match(pattern, head, re.DOTALL):
            _refuse(what)
    return _kind_of_text(path, head)


def open_zip(file: BinaryIO) -> zipfile.ZipFile:
    """Open a zip file. Raises Invalid if it is damaged or has very many members."""
    try:
        return zipfile.ZipFile(file)
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError, UnicodeError):
        raise Invalid("The file is damaged: it cannot be unpacked. Save it again and upload that.") from None


def open_limited(path: Path) -> BinaryIO:
    """Open a file for `open_zip`."""
    return LimitedFile(io.FileIO(path))


def _refuse(what: str) -> NoReturn:
    raise Invalid(f"This is {what}" if what.startswith(("a ", "an ")) else f"The file is {what}")


def _kind_of_zip(path: Path) -> Kind:
    with open_limited(path) as file, open_zip(file) as archive:
        names = archive.namelist()
        for beginning, what in MEMBERS.items():
            if any(name.startswith(beginning) for name in names):
                _refuse(what)
        if any(name.startswith("xl/") for name in names):
            return "spreadsheet"
    return _kind_by_mimetype(path)


def _kind_by_mimetype(path: Path) -> Kind:
    """Tell apart the zip files whose first member is their type, stored as it is: OpenDocument and EPUB."""
    with path.open("rb") as file:
        head = file.read(200)
    if ODS in head:
        return "spreadsheet"
    if EPUB in head:
        _refuse(f"an e-book (EPUB). {ASK}")
    if b"mimetypeapplication/vnd.oasis.opendocument" in head:
        _refuse("an OpenDocument file that is no spreadsheet. Save it as .ods, .xlsx or CSV and upload that.")
    _refuse(f"a ZIP file. {UNPACK}")


def _ole(path: Path) -> str:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        for stream, what in STREAMS.items():
            if content.find(f"{stream}\0".encode("utf-16-le")) >= 0:
                return what
    return f"an old Office file. {SPREADSHEET}"


def _kind_of_text(path: Path, head: bytes) -> Kind:
    if not unicode_of(head) and len(head) - len(head.translate(None, CONTROLS)) > MOST_CONTROLS:
        _refuse(f"not a text file. {ASK}")
    with open_text(path, encoding_of(path)) as file:
        text = file.read(HEAD).lstrip("\ufeff")
    if text.lstrip().startswith("<"):
        return _kind_of_markup(path, text)
    if JSON.match(text.lstrip()):
        _refuse(f"a JSON file. {ASK}")
    return "table"


def _kind_of_markup(path: Path, text: str) -> Kind:
    version = message_version(path)
    if version in {"3.0", "3.1"}:
        return "onix"
    if version is not None:
        _refuse(f"an ONIX {version} message. The shop reads ONIX 3.0 and 3.1: ask for one of these.")
    tags = BEFORE_TAGS.sub("", text, count=1)
    if HTML.match(tags):
        _refuse(f"a web page (HTML), even if it is named .xls. Open it with a spreadsheet program. {SPREADSHEET}")
    if 'progid="Excel.Sheet"' in text:
        _refuse(f"an Excel 2003 file (XML). {SPREADSHEET}")
    _refuse(f"an XML file, but not an ONIX message. {ASK}")
