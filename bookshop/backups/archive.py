"""The file of a backup: a ZIP file with a JSON line for each row, the covers as they are, and a manifest at the end."""

import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import sha256
from io import BufferedReader
from typing import Annotated, Any, BinaryIO, Self, cast

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from bookshop.backups.rows import BATCH, Digest, Row, line_of
from bookshop.kit.exceptions import Invalid

FORMAT = 1
MANIFEST = "manifest.json"
COVERS, ROWS, ENDING = "covers/", "tables/", ".jsonl"
COVER_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,99}\.[0-9a-z]{1,5}")
TABLE_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
MADE_AT = "%Y-%m-%dT%H:%M:%SZ"
MANIFEST_MAX = 1_000_000  # bytes
BUFFER = 1 << 18  # bytes
UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, NotImplementedError, RuntimeError, ValueError)
DAMAGED = "The file is damaged or incomplete: {}. Use another backup."
NO_BACKUP = "This is not a backup of a bookshop, or it is incomplete. Use another file."


class Part(BaseModel):
    """What the manifest says about the rows of one table."""

    model_config = ConfigDict(extra="forbid")

    columns: list[str]
    rows: int
    digest: str


class Covers(BaseModel):
    """What the manifest says about the covers: one hash over all names and contents in the order of the file."""

    model_config = ConfigDict(extra="forbid")

    files: int
    sha256: str


def _checked_time(text: str) -> str:
    datetime.strptime(text, MADE_AT)
    return text


class Manifest(BaseModel):
    """What a backup says about itself; `database` is where it came from, and makes no difference."""

    format: int
    version: str
    schema_revision: str
    database: str
    made_at: Annotated[str, AfterValidator(_checked_time)]
    tables: dict[str, Part]
    covers: Covers

    @property
    def age(self) -> int:
        """How many seconds ago the backup was made, by the clock of this machine."""
        made_at = datetime.strptime(self.made_at, MADE_AT).replace(tzinfo=UTC)
        return max(0, int((datetime.now(UTC) - made_at).total_seconds()))


class ArchiveWriter:
    """Writes a backup, in a `with` block: `add_rows` for each table, `add_cover` for each cover, then `finish`."""

    def __init__(self, file: BinaryIO) -> None:
        self._zip = zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
        self.tables: dict[str, Part] = {}
        self.covers: set[str] = set()
        self._hash = sha256()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        with suppress(OSError):  # of a file that was given up
            self._zip.close()

    def add_rows(self, name: str, columns: Sequence[str], batches: Iterator[Sequence[Row]]) -> None:
        """Write the rows of a table."""
        digest = Digest()
        with self._zip.open(f"{ROWS}{name}{ENDING}", "w", force_zip64=True) as part:
            for batch in batches:
                lines = [line_of(row) for row in batch]
                for line in lines:
                    digest.add(line)
                part.write(b"".join(lines))
        self.tables[name] = Part(columns=list(columns), rows=digest.rows, digest=str(digest))

    def add_cover(self, name: str, content: bytes) -> None:
        """Write a cover, which is compressed already."""
        self._zip.writestr(COVERS + name, content, zipfile.ZIP_STORED)
        self.covers.add(name)
        _add_cover(self._hash, name, content)

    def finish(self, about: Callable[[dict[str, Part], Covers], Manifest]) -> Manifest:
        """Write the manifest, and complete the file."""
        manifest = about(self.tables, Covers(files=len(self.covers), sha256=self._hash.hexdigest()))
        self._zip.writestr(MANIFEST, manifest.model_dump_json(indent=1))
        self._zip.close()
        return manifest


def _add_cover(hashed: Any, name: str, content: bytes) -> None:
    hashed.update(f"{name} {len(content)} ".encode())
    hashed.update(content)


class Archive:
    """A backup that is read. Every method raises Invalid if the file is damaged, in a sentence.

    `carry_on` is called all along; it may raise an exception to give up.
    """

    def __init__(self, file: BinaryIO, carry_on: Callable[[], None] = lambda: None) -> None:
        self._carry_on = carry_on
        try:
            self._zip = zipfile.ZipFile(file)
            self.manifest = self._read_manifest()
        except (*UNREADABLE, ValidationError):
            raise Invalid(NO_BACKUP) from None
        if self.manifest.format != FORMAT:
            raise Invalid("This backup was made by a newer version of the shop. Restore it with that version.")
        self.covers = [name.removeprefix(COVERS) for name in self._zip.namelist() if name.startswith(COVERS)]
        self._check_names()

    def _read_manifest(self) -> Manifest:
        if self._zip.getinfo(MANIFEST).file_size > MANIFEST_MAX:
            raise ValueError(MANIFEST)
        return Manifest.model_validate_json(self._zip.read(MANIFEST))

    def _check_names(self) -> None:
        """Refuse names that could lead out of a folder, and files that the manifest does not name."""
        expected = [f"{ROWS}{name}{ENDING}" for name in self.manifest.tables]
        expected += [*(COVERS + name for name in self.covers), MANIFEST]
        strange = [name for name in self.manifest.tables if not TABLE_NAME.fullmatch(name)]
        strange += [name for name in self.covers if not COVER_NAME.fullmatch(name)]
        if strange or sorted(expected) != sorted(self._zip.namelist()):
            raise Invalid(DAMAGED.format("it contains files that do not belong into a backup, or lacks some"))

    def verify(self) -> None:
        """Read everything, and compare it with the manifest."""
        for name, part in self.manifest.tables.items():
            digest = Digest()
            for line in self._lines(name):
                digest.add(line)
            if (digest.rows, str(digest)) != (part.rows, part.digest):
                raise Invalid(DAMAGED.format(f"the rows of {name} are not those that were backed up"))
        hashed = sha256()
        for name, content in self.read_covers():
            _add_cover(hashed, name, content)
        if (len(self.covers), hashed.hexdigest()) != (self.manifest.covers.files, self.manifest.covers.sha256):
            raise Invalid(DAMAGED.format("the covers are not those that were backed up"))

    def rows(self, name: str) -> Iterator[Row]:
        """Return the rows of a table."""
        return map(json.loads, self._lines(name))

    def _lines(self, name: str) -> Iterator[bytes]:
        with self._open(f"{ROWS}{name}{ENDING}") as lines:
            for number, line in enumerate(lines):
                if number % BATCH == 0:
                    self._carry_on()
                yield line

    def read_covers(self) -> Iterator[tuple[str, bytes]]:
        """Yield the name and the content of each cover."""
        for name in self.covers:
            self._carry_on()
            with self._open(COVERS + name) as cover:
                yield name, cover.read()

    @contextmanager
    def _open(self, name: str) -> Iterator[BufferedReader]:
        try:
            with self._zip.open(name) as part:
                yield BufferedReader(cast("BufferedReader", part), BUFFER)  # a ZipExtFile is slow with lines
        except UNREADABLE as error:
            raise Invalid(DAMAGED.format(f"{name} cannot be read ({type(error).__name__})")) from None
