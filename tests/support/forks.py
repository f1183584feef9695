"""gunicorn, forked from a process with everything imported, or started by its real command."""

import http.client
import multiprocessing
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from multiprocessing.connection import Connection
from typing import Any

from bookshop.config import ROOT

DEADLINE = 60.0  # seconds
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["tests.support.preloaded"])

Started = tuple[int, Callable[[float], Any]]  # the process id, and a function that waits for its end
Start = Callable[[list[str], dict[str, str], int, Connection], Started]


def by_fork(arguments: list[str], environ: dict[str, str], listening: int, pipe_end: Connection) -> Started:
    """Fork gunicorn from the process with everything imported, which takes a tenth of a second."""
    with socket.socket(fileno=os.dup(listening)) as listener, Connection(os.dup(2), readable=False) as errors:
        inherited = (arguments, environ, listener, pipe_end, errors)
        process = processes.Process(target=_run_gunicorn, args=inherited, daemon=True)
        process.start()
    assert process.pid
    return process.pid, process.join


def _run_gunicorn(
    arguments: list[str], environ: dict[str, str], listener: socket.socket, _pipe_end: Connection, errors: Connection
) -> None:
    """Run gunicorn in this process, with its own process group, environment and output."""
    os.setsid()
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    os.environ.clear()
    os.environ.update(environ)
    for stream in (1, 2):
        os.dup2(errors.fileno(), stream)
    sys.argv = ["gunicorn", "--bind", f"fd://{listener.fileno()}", *arguments]
    runpy.run_module("gunicorn", run_name="__main__")


def _exit_with_parent() -> None:
    """Leave no server behind if the tests are killed."""
    parent = multiprocessing.parent_process()
    assert parent
    parent.join()
    os.killpg(0, signal.SIGKILL)


def by_command(arguments: list[str], environ: dict[str, str], listening: int, pipe_end: Connection) -> Started:
    """Start gunicorn by its command line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--bind", f"fd://{listening}", *arguments],
        cwd=ROOT,
        env=environ,
        pass_fds=[listening, pipe_end.fileno()],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    return process.pid, process.wait


class Gunicorn:
    """A server on a free local port, in its own process group.

    The socket listens before the server starts, so no port needs to be guessed. Each server process holds one end of a
    pipe, which is closed once all of them have exited. Errors are written to our own stderr.
    """

    def __init__(self, application: str, environ: dict[str, str], *options: str, start: Start = by_fork) -> None:
        arguments = [*options, "--no-control-socket", "--log-level=error", f"--chdir={ROOT}", application]
        self._exit_pipe, pipe_end = processes.Pipe(duplex=False)
        with pipe_end, socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
            self.port = int(listening.getsockname()[1])
            self.pid, self._wait = start(arguments, environ, listening.fileno(), pipe_end)

    @property
    def ended(self) -> bool:
        """Whether all its processes have exited."""
        return self._exit_pipe.poll(0)

    def wait_until_ready(self, path: str = "/", headers: Mapping[str, str] | None = None) -> None:
        """Wait until the server answers a request; kill it if it does not."""
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)) as connection:
                connection.request("GET", path, headers=headers or {})
                connection.getresponse().read()
        except (OSError, http.client.HTTPException) as error:
            self.kill()
            raise AssertionError("the server never answered; see stderr") from error

    def terminate(self) -> None:
        """Stop the server gracefully with SIGTERM."""
        if not self.ended:
            os.kill(self.pid, signal.SIGTERM)
        self._wait_for_exit()

    def kill(self) -> None:
        """Send SIGKILL to all its processes."""
        if not self.ended:
            os.killpg(self.pid, signal.SIGKILL)
        self._wait_for_exit()

    def _wait_for_exit(self) -> None:
        assert self._exit_pipe.poll(DEADLINE), "the server does not exit"
        self._wait(DEADLINE)
