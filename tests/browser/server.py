"""The shop as a real server: gunicorn, as `make run` starts it, on a port of its own."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from bookshop.config import PREFIX, ROOT, Settings

SHOP = "wsgi:app"
AS_RUN = ("--worker-class", "gthread", "--threads", "8")


def environment(settings: Settings) -> dict[str, str]:
    """The environment of a shop with these settings; others that the shell has set do not reach it."""
    others = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
    return others | {f"{PREFIX}{name.upper()}": str(value) for name, value in settings.model_dump().items()}


@contextmanager
def served(application: str, environ: dict[str, str], *options: str) -> Iterator[str]:
    """Serve an application with gunicorn and these options (without: as `make run`); yields its address.

    The socket listens before gunicorn starts: nobody has to guess a free port, or when the server is ready. What
    goes wrong in the server is written to our own stderr.
    """
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        port, number = listening.getsockname()[1], listening.fileno()
        command = [sys.executable, "-m", "gunicorn", "--bind", f"fd://{number}", *(options or AS_RUN)]
        server = subprocess.Popen(
            [*command, "--no-control-socket", "--log-level", "error", application],
            cwd=ROOT,
            env=environ,
            pass_fds=[number],
            stdin=subprocess.DEVNULL,
        )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()
