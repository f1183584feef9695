"""Spreadsheets (.xlsx, .ods): converts the sheet that has a table of books to CSV."""

import json
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO, cast

from bookshop.bookfiles import sheet_reader
from bookshop.bookfiles.columns import recognised
from bookshop.bookfiles.formats import open_limited, open_zip
from bookshop.bookfiles.headers import HEADER_WITHIN
from bookshop.bookfiles.sheet_reader import Outcome
from bookshop.kit.exceptions import Invalid

# A million rows of ten columns are about 500 MB of XML.
LARGEST_UNPACKED = 1_000_000_000  # bytes
PIECE = 1 << 16
SHOWN = 100  # characters of a sheet's name
NAMED = 3  # sheets
PACKINGS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # others may unpack a few bytes into more than the memory
TOO_LARGE = (
    "The spreadsheet is too large to be read: it has too many cells, or one far away from the others. Save the sheet "
    "as CSV and upload that."
)
SENTENCES = {
    Outcome.DAMAGED: "The spreadsheet is damaged. Open it, save it again, and upload that.",
    Outcome.PASSWORD: "The spreadsheet is protected by a password. Save it without the password and upload that.",
    Outcome.TOO_LARGE: TOO_LARGE,
}

Sheet = tuple[str, Sequence[Sequence[str]]]


def to_csv(source: Path, target: Path) -> str:
    """Convert a spreadsheet to UTF-8 CSV separated by commas, one record for each row; return what is read.

    Takes the visible sheet whose header has the most columns that the shop knows, and also names others that look like
    lists of books. Calamine reads the sheet in a
    process with limited memory and time. Raises Invalid with a sentence for people.
    """
    _check_unpacked_size(source)
    target.unlink(missing_ok=True)
    try:
        return _convert(source, target)
    except Invalid:
        target.unlink(missing_ok=True)
        raise


def _check_unpacked_size(source: Path) -> None:
    """Unpack everything piece by piece, as the sizes that a zip file declares need not be true."""
    left = LARGEST_UNPACKED
    with open_limited(source) as file, open_zip(file) as archive:
        for member in archive.infolist():
            if member.flag_bits & 1:
                raise Invalid(SENTENCES[Outcome.PASSWORD])
            if member.compress_type not in PACKINGS:
                raise Invalid(SENTENCES[Outcome.DAMAGED])
            left -= _unpacked_size(archive, member, left)


def _unpacked_size(archive: zipfile.ZipFile, member: zipfile.ZipInfo, most: int) -> int:
    size = 0
    try:
        with archive.open(member) as unpacked:
            while piece := unpacked.read(PIECE):
                size += len(piece)
                if size > most:
                    raise Invalid(TOO_LARGE)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError):
        raise Invalid(SENTENCES[Outcome.DAMAGED]) from None
    return size


def _convert(source: Path, target: Path) -> str:
    command = [sys.executable, "-P", sheet_reader.__file__, str(source), str(target)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True) as process:  # noqa: S603  no shell
        answer = cast(IO[str], process.stdout).readline()
        sheets: list[Sheet] = json.loads(answer) if answer else []
        chosen = _best(sheets)
        process.communicate("" if chosen is None else f"{chosen}\n")
    if process.returncode:
        raise Invalid(_reason(process.returncode))
    if chosen is None:
        raise Invalid("The spreadsheet is empty: no visible sheet has any text.")
    return _named(sheets, chosen)


def _named(sheets: Sequence[Sheet], chosen: int) -> str:
    """Return the name of the sheet that is read, and those of others that look like lists of books."""
    others = [name[:SHOWN] for index, (name, rows) in enumerate(sheets) if index != chosen and _looks_like_books(rows)]
    named = f"sheet “{sheets[chosen][0][:SHOWN]}”"
    return f"{named}; not read: {', '.join(f'“{name}”' for name in others[:NAMED])}" if others else named


def _looks_like_books(rows: Sequence[Sequence[str]]) -> bool:
    return max(map(recognised, rows[:HEADER_WITHIN]), default=0) > 1


def _reason(code: int) -> str:
    """Return why the process has ended; a signal means that it has reached a limit."""
    return TOO_LARGE if code < 0 else SENTENCES[Outcome(code) if code in set(Outcome) else Outcome.DAMAGED]


def _best(sheets: Sequence[Sheet]) -> int | None:
    """Return the index of the sheet with the best header, or of the first that is not empty."""
    filled = [index for index, (_name, rows) in enumerate(sheets) if any(any(map(str.strip, row)) for row in rows)]
    return max(filled, key=lambda index: max(map(recognised, sheets[index][1][:HEADER_WITHIN])), default=None)
