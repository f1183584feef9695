"""The previous release: its code, checked out beside ours, its server, and scripts that use it all the time."""

import http.client
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

import pytest

from bookshop.config import ROOT
from tests.support.settings import SECRET_KEY

DEADLINE = 60.0  # seconds
ANSWERS = {200, 201, 409, 503}  # 409: somebody was faster; 503: a lock was held for too long, and nothing was done
CUSTOMERS, BOOKS = 6, 3
# Runs with the code of the previous release, on its own schema.
FILL = """
import json, sys
import flask_migrate
from bookshop import create_app
from tests.support.factories import Shop
app = create_app()
with app.app_context():
    flask_migrate.upgrade()
shop = Shop(app)
emails = ["staff@example.com", *(f"customer{number}@example.com" for number in range(int(sys.argv[1])))]
shop.staff(emails[0])
for email in emails[1:]:
    shop.customer(email)
for number in range(int(sys.argv[2])):
    shop.book(f"Book {number}")
print("TOKENS " + json.dumps([shop.token(email) for email in emails]))
"""


def check_out(commit: str, folder: Path) -> Path:
    """Put the code of a commit into a folder; without the commit the test fails, or is skipped where CI is not set."""
    found = subprocess.run(["git", "-C", ROOT, "archive", commit], capture_output=True, check=False)
    if found.returncode:
        sentence = f"NOT TESTED: this clone lacks the commit {commit}. Get all commits: git fetch --unshallow"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(sentence)
    subprocess.run(["tar", "-x", "-C", folder], input=found.stdout, check=True)
    return folder


class PreviousRelease:
    """A server with the code of the previous release, and a shop that was filled by this code."""

    def __init__(self, code: Path, database_url: str, folder: Path) -> None:
        self.code = code
        settings = {"SECRET_KEY": SECRET_KEY, "DATABASE_URL": database_url, "DATABASE_POOL": "8"}
        settings |= {"COVERS": str(folder / "covers"), "MAX_OPEN_ORDERS": "10000", "MAX_WAITING": "10000"}
        others = {name: value for name, value in os.environ.items() if not name.startswith("BOOKSHOP_")}
        self.environ = {**others, **{f"BOOKSHOP_{name}": value for name, value in settings.items()}}
        self.tokens: list[str] = json.loads(self._fill())
        self.port = 0

    def _fill(self) -> str:
        command = [sys.executable, "-c", FILL, str(CUSTOMERS), str(BOOKS)]
        done = subprocess.run(
            command, cwd=self.code, env=self.environ, stdout=subprocess.PIPE, timeout=DEADLINE, check=True, text=True
        )
        return done.stdout.partition("TOKENS ")[2]

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Run the server for as long as the block."""
        with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
            self.port = listening.getsockname()[1]
            options = ["--worker-class=bookshop.web.server.Buffering", "--threads=8", "--no-control-socket"]
            command = [sys.executable, "-m", "gunicorn", f"--bind=fd://{listening.fileno()}", *options, "wsgi:app"]
            server = subprocess.Popen(
                command, cwd=self.code, env=self.environ, pass_fds=[listening.fileno()], stderr=subprocess.DEVNULL
            )
        try:
            self.send(self.tokens[0], "GET", "/api/v1/books")
            yield
        finally:
            server.terminate()
            server.wait(DEADLINE)

    def send(self, token: str, method: str, path: str, body: Mapping[str, object] | None = None) -> int:
        """Send a request as a script does; return the status of the answer."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)) as connection:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            response.read()
            return response.status


class Scripts:
    """Customers who reserve and order, and staff who restock and sell out, until the end of the `with` block.

    `answers` counts the answers by request and status.
    """

    def __init__(self, send: Callable[..., int], tokens: list[str]) -> None:
        self.send, self.tokens = send, tokens
        self.answers: Counter[tuple[str, int]] = Counter()
        self.asked = 0
        self._stopping, self._lock = threading.Event(), threading.Lock()
        self._threads = [threading.Thread(target=self._restock)]
        self._threads += [threading.Thread(target=self._reserve_and_order, args=(token,)) for token in tokens[1:]]

    def __enter__(self) -> "Scripts":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(DEADLINE)

    @property
    def accepted(self) -> Counter[str]:
        """How many requests of each kind were accepted."""
        with self._lock:
            return Counter({name: number for (name, status), number in self.answers.items() if status == 201})

    def go_on_for(self, number: int) -> None:
        """Wait until this many more reservations, and this many more orders, were accepted."""
        before, end = self.accepted, time.monotonic() + DEADLINE
        while min((self.accepted - before)[kind] for kind in ("reserve", "order")) < number:
            assert time.monotonic() < end, f"the shop accepts nothing any more: {self.answers}"
            time.sleep(0.01)

    def go_on_while_locked(self, requests: int, seconds: float) -> None:
        """Wait until this many more requests were sent, or for these seconds: those sent before may wait for a lock."""
        before, end = self.asked, time.monotonic() + seconds
        while self.asked < before + requests and time.monotonic() < end:
            time.sleep(0.01)

    def _ask(self, kind: str, token: str, method: str, path: str, **body: object) -> None:
        self.asked += 1
        try:
            status = self.send(token, method, path, body)
        except (OSError, http.client.HTTPException):
            status = 0
        with self._lock:
            self.answers[kind, status] += 1

    def _restock(self) -> None:
        for number in count():
            if self._stopping.is_set():
                return
            stock = {"quantity": 2 if number % 2 else 0}
            self._ask("restock", self.tokens[0], "PATCH", f"/api/v1/books/{number // 2 % BOOKS + 1}/stock", **stock)

    def _reserve_and_order(self, token: str) -> None:
        for number in count():
            if self._stopping.is_set():
                return
            book_id = number % BOOKS + 1
            self._ask("reserve", token, "POST", "/api/v1/prebookings", book_id=book_id)
            self._ask("cart", token, "POST", "/api/v1/cart/items", book_id=book_id)
            self._ask("order", token, "POST", "/api/v1/orders", name="Ada Lovelace")
