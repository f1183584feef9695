"""gunicorn's configuration for `make run`: fills the demo shop, serves it, and runs the worker beside it.

The server is forked from the process that filled the shop, so the shop is imported only once.
"""

import os
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import click

from bookshop.cli.demo import demo_accounts, fill_demo
from bookshop.config import ROOT
from bookshop.extensions import db, settings

preload_app = True
worker_class = "bookshop.web.server.Buffering"
threads = 8
loglevel = "warning"
control_socket_disable = True

processes: list[subprocess.Popen[bytes]] = []


def on_starting(server: Any) -> None:
    """Fill the shop before the port is opened."""
    _check_port(*server.cfg.address[0])
    print("Starting the demo shop ...", flush=True)
    with server.app.wsgi().app_context():
        try:
            fill_demo()
        except click.ClickException as error:
            sys.exit(error.message)
        db.session.remove()
        db.engine.dispose()  # a forked process must not use the connections of its parent


def _check_port(host: str, port: int) -> None:
    try:
        socket.create_server((host, port)).close()
    except OSError:
        sys.exit(f"Port {port} is in use or not allowed. Choose another one: make run PORT={port + 1}")


def when_ready(server: Any) -> None:
    """Start the worker, and start it again whenever it dies; then say where the shop is."""
    flask = shlex.quote(str(Path(sys.executable).parent / "flask"))
    command = ["sh", "-c", f"while :; do {flask} worker > /dev/null; sleep 1; done"]
    processes.append(subprocess.Popen(command, start_new_session=True))  # noqa: S603 - no user input
    signal.signal(signal.SIGHUP, lambda *_signal: os.kill(os.getpid(), signal.SIGTERM))  # the terminal was closed
    with server.app.wsgi().app_context():
        folder = settings().mail_folder
        print(f"No e-mail is sent: messages are written to {os.path.relpath(folder, ROOT)}/. Ctrl+C stops the shop.\n")
        print(f"The shop is open at {settings().base_url}\n{demo_accounts()}", flush=True)


def on_exit(_server: Any) -> None:
    """Stop the worker with the server."""
    for process in processes:
        os.killpg(process.pid, signal.SIGTERM)
