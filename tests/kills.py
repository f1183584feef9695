"""How servers are killed: gunicorn with one worker, in a process group of its own, on a database of its own."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import make_url

from tests.factories import Shop
from tests.settings import SECRET_KEY

SERVER = "killed"  # the server's name in pg_stat_activity


class Server:
    """The shop under gunicorn, and how to speak to it."""

    def __init__(self, database_url: str, token: str, folder: Path, program: str) -> None:
        url = make_url(database_url)
        if url.drivername.startswith("postgresql"):
            url = url.update_query_dict({"application_name": SERVER})
        settings = {
            "BOOKSHOP_SECRET_KEY": SECRET_KEY,
            "BOOKSHOP_DATABASE_URL": url.render_as_string(hide_password=False),
            "BOOKSHOP_DATABASE_POOL": "4",
        }
        command = [sys.executable, "-m", "gunicorn", "--bind=127.0.0.1:0", "--worker-class=gthread", "--threads=4"]
        others = {name: value for name, value in os.environ.items() if not name.startswith("BOOKSHOP_")}
        self.process = subprocess.Popen(
            [*command, program],
            cwd=folder,
            env=others | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.token, self.port = token, self._port()

    def _port(self) -> int:
        log: list[str] = []
        for line in self.process.stdout or ():
            log.append(line)
            if listening := re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", line):
                return int(listening[1])
        raise AssertionError("gunicorn did not start:\n" + "".join(log))

    def send(self, method: str, path: str, body: object = None, **more: str) -> http.client.HTTPConnection:
        """Send a request, with more headers if they are given, and do not wait for its answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json", **more}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        return connection

    def kill(self) -> None:
        """Kill -9 all its processes, and wait until none of them holds its end of the pipe any more."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=60)


@contextmanager
def running(server: Server, warm: str) -> Iterator[Server]:
    """A server that is killed at the end; it has answered `warm` before, and loaded all that it loads late."""
    try:
        server.send("GET", warm).getresponse().read()
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


def status(connection: http.client.HTTPConnection) -> int | None:
    """What was answered; None if the server died before it had sent the whole answer."""
    try:
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        return None
    return response.status


def killed_after(server: Server, asked: http.client.HTTPConnection, seconds: float | None) -> int | None:
    """Kill the server so many seconds after a request (None: when it has answered); returns what it answered, if so."""
    answered = None
    if seconds is None:
        answered = status(asked)
    else:
        time.sleep(seconds)
    server.kill()
    return answered or status(asked)


def let_the_dead_finish(shop: Shop, url: str) -> None:
    """Wait until the database knows that the server is dead: what was sent to it is done or rolled back."""
    if url.startswith("sqlite"):
        return shop.commit(lambda: None)  # takes the lock that a dying writer may still hold
    alive = "SELECT count(*) FROM pg_stat_activity WHERE application_name = :name"
    while shop.rows(alive, name=SERVER) != [0]:
        time.sleep(0.01)
    return None
