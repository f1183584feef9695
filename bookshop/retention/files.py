"""Files that the shop writes: in place of e-mail, for imports, and pictures. Removed when old, unused, or unwanted."""

import os
import re
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from bookshop.kit.storage import Storage

OWN_NAME = re.compile(r"[a-z_]+\.[0-9a-f]{32}\.(eml|new)")  # a message, and what a killed worker left of one
IMPORT_FILE = re.compile(r"[0-9]+\.(upload|upload\.sheet\.csv|plan|draft|new)|tmp\w+\.received")
PICTURE_FILE = re.compile(r"([0-9a-f]{32})-[a-z]+\.webp(\.[0-9a-f]{8}\.part)?")  # and what a killed server left of one
PICTURE_AGE = 24 * 3600  # seconds, by far more than a request has between storing a picture and its commit


def remove_files(paths: Iterable[Path]) -> int:
    """Remove those of these files that exist, and what is left of an interrupted write; returns how many messages."""
    removed = 0
    for path in paths:
        path.with_suffix(".new").unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            path.unlink()
            removed += 1
    return removed


def remove_old_files(folder: Path, seconds: float, name: re.Pattern[str], kinds: Collection[str] = ()) -> int:
    """Remove files with such names in this folder, not below it, that are older than `seconds`; returns how many.

    With `kinds`, only messages of these kinds. By the clock of this machine, which wrote them.
    """
    if not folder.is_dir():
        return 0
    before, removed = time.time() - seconds, 0
    with os.scandir(folder) as entries:
        for entry in entries:
            is_wanted = name.fullmatch(entry.name) and (not kinds or entry.name.partition(".")[0] in kinds)
            if is_wanted and entry.is_file() and entry.stat().st_mtime < before:
                with suppress(FileNotFoundError):
                    os.unlink(entry.path)
                    removed += 1
    return removed


def list_old_pictures(storage: Storage) -> Mapping[str, str]:
    """Return the pictures that no request is about to use, because it would have ended long ago: file -> its picture.

    Raises OSError if the storage cannot be used.
    """
    found = ((PICTURE_FILE.fullmatch(name), age) for name, age in storage.names())
    return {match[0]: match[1] for match, age in found if match and age > PICTURE_AGE}


def remove_unused_pictures(storage: Storage, old: Mapping[str, str], used: Collection[str]) -> int:
    """Delete those of the old pictures that are not used; returns how many files. Raises OSError as above.

    Find out what is used after listing what is old: no picture gets into use later. If none is used, this may be an
    empty database beside the pictures of a shop that is yet to be restored, so nothing is deleted.
    """
    unused = [file for file, picture in old.items() if picture not in used] if used else []
    for file in unused:
        storage.delete(file)
    return len(unused)
