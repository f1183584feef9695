"""The files in which the processes of one gunicorn count, so that whichever is asked can report the sum.

gunicorn's arbiter creates their folder before it forks, and removes it when it exits. If it is killed, the next server
removes it: whoever is alive holds a lock on the folder. What dead processes counted is added up in one file, as a
counter must not go down.
"""

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.util import Finalize
from pathlib import Path

from prometheus_client.mmap_dict import MmapedDict

log = logging.getLogger(__name__)

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"  # where prometheus_client looks for the folder
PREFIX = "bookshop-metrics-"
ALIVE, MERGE = "alive", "merge"  # files to lock: while a process is alive, and while files are read or merged
KINDS = ("counter", "histogram")
SIZE = 1024 * 1024  # bytes in a file: enough for all routes
DEAD = "dead"  # instead of a process id in the name of the file for all dead processes

_owned: dict[str, int] = {}  # the folder of this server -> a file descriptor that holds its lock


def folder() -> Path | None:
    """Return the folder of this server; None if this process counts alone: outside gunicorn, or after an error."""
    return next(map(Path, _owned), None)


def prepare() -> None:
    """Create the folder of this server, unless it exists; remove the folders of servers that were killed."""
    if _owned:  # a reload
        return
    try:
        for old in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
            _remove_if_abandoned(old)
        created = tempfile.mkdtemp(prefix=PREFIX)
        _owned[created] = os.open(Path(created, ALIVE), os.O_CREAT | os.O_RDWR)
        fcntl.flock(_owned[created], fcntl.LOCK_SH)
    except OSError:
        log.exception("the folder for metrics cannot be created: each process will report only its own")
        return
    os.environ[VARIABLE] = created
    Finalize(None, shutil.rmtree, (created, True), exitpriority=0)  # only when this process exits, not its children


def _remove_if_abandoned(old: Path) -> None:
    """Remove the folder of a server if no process of it is alive; leave it if it is not ours or just being created."""
    try:
        with (old / ALIVE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(old)
    except OSError:
        return


@contextmanager
def locked(kind: int = fcntl.LOCK_SH) -> Iterator[None]:
    """Lock the files: shared while they are read, exclusively while they are merged."""
    if not (own := folder()):
        yield
        return
    with (own / MERGE).open("ab") as file:
        fcntl.flock(file, kind)
        yield


def give_to(user: int, group: int) -> None:
    """Let the user that the processes will run as write into the folder, if the arbiter runs as root."""
    if (own := folder()) and os.geteuid() == 0:
        for path in (own, own / ALIVE):
            os.chown(path, user, group)


def start_process() -> None:
    """Reserve the files of this process, and merge those of dead ones, so that restarts do not leave ever more files.

    Writing to a mapped file that has no room on the disk would kill the process.
    """
    if not (own := folder()):
        return
    try:
        for kind in KINDS:
            _reserve(own / f"{kind}_{os.getpid()}.db")
        with locked(fcntl.LOCK_EX):
            for file in own.glob("*_*.db"):
                kind, _underscore, process = file.stem.rpartition("_")
                if process.isdigit() and not _is_alive(int(process)):
                    _add(file, own / f"{kind}_{DEAD}.db")
    except OSError:
        log.exception("no room for the files of the metrics: this process will report only its own")
        _owned.clear()


def _reserve(file: Path) -> None:
    with file.open("ab") as opened:
        os.posix_fallocate(opened.fileno(), 0, SIZE)


def _add(file: Path, total: Path) -> None:
    """Add the numbers of a file to those of another one, and delete it."""
    _reserve(total)
    sums = MmapedDict(str(total))
    for key, value, _timestamp, _position in MmapedDict.read_all_values_from_file(str(file)):
        sums.write_value(key, sums.read_value(key)[0] + value, 0.0)
    sums.close()
    file.unlink()


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
