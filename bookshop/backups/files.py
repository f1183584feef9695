"""The files of backups: written beside their final name, and the folder of the nightly ones."""

import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from bookshop.kit.exceptions import Conflict

PART = ".bookshop-backup.part"  # one for each folder: the next backup overwrites what a killed one has left
TRIAL = ".bookshop-backup.trial"
OWN_NAME = re.compile(r"bookshop-\d{4}-\d\d-\d\d-\d{6}\.zip")
NOT_OURS = "{} is not a file of this user alone. Remove it, or choose another folder."
BUSY = "Another backup is being written into {}. Wait until it is complete."


def name_at(time: datetime) -> str:
    """Return the name of a backup that is made at this time (UTC)."""
    return f"bookshop-{time:%Y-%m-%d-%H%M%S}.zip"


@contextmanager
def part_of(target: Path) -> Iterator[BinaryIO]:
    """Open a new file beside `target`, which replaces it at the end of the block, unless that raises.

    Only its owner can read the file. It is on the disk before it gets its name, so `target` is the former file or the
    new one even if the power fails. Raises Conflict if another backup is being written into the folder, or if
    somebody else has put a file or a link where it is to be written.
    """
    path = target.parent / PART
    descriptor = _open(path)
    with os.fdopen(descriptor, "r+b") as file:
        _lock(descriptor, path)
        try:
            os.fchmod(descriptor, 0o600)
            file.truncate()
            yield file
            file.flush()
            os.fsync(descriptor)
            path.replace(target)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    _sync(target.parent)


def _open(path: Path) -> int:
    """Open the file, which may be left from a backup of this user that was killed."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:  # a symbolic link
            raise Conflict(NOT_OURS.format(path)) from None
        raise
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_nlink > 1:
        os.close(descriptor)
        raise Conflict(NOT_OURS.format(path))
    return descriptor


def _lock(descriptor: int, path: Path) -> None:
    """Lock the file, and make sure that it has not just become a complete backup."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_ours = os.path.samestat(os.fstat(descriptor), path.stat())
    except (BlockingIOError, FileNotFoundError):
        is_ours = False
    if not is_ours:
        raise Conflict(BUSY.format(path.parent))


def _sync(folder: Path) -> None:
    """Flush the folder's entries to disk, so that a renamed file survives a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def trial_database(folder: Path) -> Iterator[Path]:
    """Yield the path of a new SQLite file in a folder; it is removed at the end, and so is one that was left."""
    path = folder / TRIAL
    try:
        _remove(path)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        yield path
    finally:
        _remove(path)


def _remove(path: Path) -> None:
    for ending in ("", "-journal", "-wal", "-shm"):
        Path(f"{path}{ending}").unlink(missing_ok=True)


def remove_oldest(folder: Path, kept: int) -> None:
    """Remove the oldest of the shop's own backups in a folder, until this many are left; others stay."""
    own = sorted(path for path in folder.iterdir() if OWN_NAME.fullmatch(path.name))
    for path in own[:-kept]:
        path.unlink(missing_ok=True)
