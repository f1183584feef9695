"""Files that the shop writes: in place of e-mail, and for imports. Removed when old, or with the deleted account."""

import os
import re
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

OWN_NAME = re.compile(r"[a-z_]+\.[0-9a-f]{32}\.(eml|new)")  # a message, and what a killed worker left of one
IMPORT_FILE = re.compile(r"[0-9]+\.(upload|upload\.sheet\.csv|plan|draft|new)|tmp\w+\.received")


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
