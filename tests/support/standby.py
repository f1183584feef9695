"""A primary and its standby, two real PostgreSQL servers: to kill the one and promote the other."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.support.postgresql import create, installed, run

PATIENCE = 30.0  # seconds
DATABASE, STANDBY = "postgres", "db2"
OPTIONS = (
    "-c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=100 -c fsync=off -c jit=off "
    "-c dynamic_shared_memory_type=mmap"  # in the data folder, where nothing is left of a server that was killed
)


class Node:
    """One server, on a local port."""

    def __init__(self, bin_folder: Path, data: Path) -> None:
        self.bin, self.data = bin_folder, data
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port: int = listener.getsockname()[1]

    def start(self) -> None:
        self._pg_ctl("-l", f"{self.data}.log", "-o", f"-p {self.port} {OPTIONS}", "start")

    def promote(self) -> None:
        """Make the standby a primary; returns when it accepts writes."""
        self._pg_ctl("promote")

    def kill(self) -> None:
        """Kill all its processes at once, as if the machine had lost its power."""
        pid_file = self.data / "postmaster.pid"
        if not pid_file.exists():
            return
        lines = pid_file.read_text().splitlines()
        main = int(lines[0])
        os.kill(main, signal.SIGSTOP)  # it starts no more processes
        children = Path(f"/proc/{main}/task/{main}/children").read_text().split()
        for process in (*map(int, children), main):
            os.kill(process, signal.SIGKILL)
        pid_file.unlink()
        subprocess.run(["ipcrm", "-m", lines[6].split()[1]], check=False)  # a small segment that it leaves behind

    def execute(self, statement: str) -> list[Any]:
        """Run one statement on a connection of its own; return the first column of its rows."""
        with psycopg.connect(
            f"host=127.0.0.1 port={self.port} user=postgres dbname={DATABASE}", autocommit=True
        ) as one:
            cursor = one.execute(statement)
            return [row[0] for row in cursor] if cursor.description else []

    def _pg_ctl(self, *arguments: str) -> None:
        run(self.bin / "pg_ctl", "-D", self.data, "-w", *arguments)


class Pair:
    """A primary and a standby that follows it, synchronously or not."""

    def __init__(self, primary: Node, standby: Node, *, synchronous: bool) -> None:
        self.primary, self.standby = primary, standby
        if synchronous:
            self.replicate_to(STANDBY)
            wait_until(lambda: primary.execute("SELECT sync_state FROM pg_stat_replication") == ["sync"])

    @property
    def url(self) -> str:
        """The URL of both, as libpq reads it and operators write it."""
        hosts = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"
        return f"postgresql://postgres@{hosts}/{DATABASE}?target_session_attrs=read-write"

    def replicate_to(self, standbys: str) -> None:
        """Let each commit on the primary wait for these standbys; '' for none."""
        self.primary.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{standbys}'")
        self.primary.execute("SELECT pg_reload_conf()")

    def disconnect(self) -> None:
        """Let the standby receive nothing any more."""
        self.standby.execute("ALTER SYSTEM SET primary_conninfo = ''")
        self.standby.execute("SELECT pg_reload_conf()")
        wait_until(lambda: self.primary.execute("SELECT 1 FROM pg_stat_replication") == [])

    def fail_over(self) -> None:
        """Kill the primary and promote the standby."""
        self.primary.kill()
        self.standby.promote()


@contextmanager
def pair(*, synchronous: bool) -> Iterator[Pair]:
    with installed() as (root, bin_folder):
        nodes = primary, standby = [Node(bin_folder, root / name) for name in ("primary", "standby")]
        try:
            create(bin_folder, primary.data)
            primary.start()
            source = f"host=127.0.0.1 port={primary.port} user=postgres application_name={STANDBY}"
            run(bin_folder / "pg_basebackup", "-d", source, "-D", standby.data, "-R", "-c", "fast", "--no-sync")
            standby.start()
            yield Pair(primary, standby, synchronous=synchronous)
        finally:
            for node in nodes:
                node.kill()


def wait_until(done: Callable[[], Any]) -> None:
    """Wait for what other processes do; fail if they do not."""
    end = time.monotonic() + PATIENCE
    while not done():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)
