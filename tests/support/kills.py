"""Servers to kill: gunicorn with one worker, in its own process group, on its own database."""

import http.client
import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flask import Flask, g, has_request_context, request
from sqlalchemy import event, make_url

from bookshop import create_app
from bookshop.extensions import db
from tests.support.factories import Shop
from tests.support.forks import Gunicorn, Start, by_fork
from tests.support.settings import SECRET_KEY

SERVER = "killed"  # the server's name in pg_stat_activity
SHOP, SLOW, CRASHING, CRASH = (
    "wsgi:app",
    "tests.support.kills:slow_shop()",
    "tests.support.kills:crashing_shop()",
    "Crash-Before",
)


class Server(Gunicorn):
    """The shop under gunicorn, and a way to send requests to it."""

    def __init__(self, database_url: str, token: str, program: str = SHOP, start: Start = by_fork) -> None:
        url = make_url(database_url)
        if url.drivername.startswith("postgresql"):
            url = url.update_query_dict({"application_name": SERVER})
        settings = {
            "BOOKSHOP_SECRET_KEY": SECRET_KEY,
            "BOOKSHOP_DATABASE_URL": url.render_as_string(hide_password=False),
            "BOOKSHOP_DATABASE_POOL": "4",
            "BOOKSHOP_MAX_OPEN_ORDERS": "10000",
        }
        others = {name: value for name, value in os.environ.items() if not name.startswith("BOOKSHOP_")}
        super().__init__(
            program, others | settings, "--worker-class=bookshop.web.server.Buffering", "--threads=4", start=start
        )
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def send(self, method: str, path: str, body: object = None, **more: str) -> http.client.HTTPConnection:
        """Send a request, with any further headers, without waiting for the response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, json.dumps(body) if body else None, self.headers | more)
        return connection


@contextmanager
def running(server: Server, warm_up: str) -> Iterator[Server]:
    """Yield the server after it has answered `warm_up` and finished lazy loading; kill it at the end."""
    server.wait_until_ready(warm_up, server.headers)
    try:
        yield server
    finally:
        server.kill()


def status(connection: http.client.HTTPConnection) -> int | None:
    """Return the response's status; None if the server died before the response was complete."""
    try:
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        return None
    return response.status


def kill_after(server: Server, connection: http.client.HTTPConnection, seconds: float | None) -> int | None:
    """Kill the server this long after a request (None: after its response); return the response's status, if any."""
    response_status = None
    if seconds is None:
        response_status = status(connection)
    else:
        time.sleep(seconds)
    server.kill()
    return response_status or status(connection)


def wait_until_rolled_back(shop: Shop, url: str) -> None:
    """Wait until the database has committed or rolled back everything that the dead server sent."""
    if url.startswith("sqlite"):
        return shop.commit(lambda: None)  # takes the lock that a dying writer may still hold
    alive = "SELECT count(*) FROM pg_stat_activity WHERE application_name = :name AND datname = current_database()"
    while shop.rows(alive, name=SERVER) != [0]:
        time.sleep(0.01)
    return None


def slow_shop() -> Flask:
    """Create the shop with a delay of 10 ms before each statement, so that kills can hit between any two."""
    app = create_app()
    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", lambda *_statement: time.sleep(0.01))
    return app


def crashing_shop() -> Flask:
    """Create a shop that sends itself SIGKILL in a request with the header `Crash-Before: 3`: before its third step.

    A step is a statement, a commit, or the response.
    """
    app = create_app()

    def crash_if_due(*_event: Any) -> None:
        if has_request_context() and CRASH in request.headers:
            g.steps = g.get("steps", 0) + 1
            if g.steps == int(request.headers[CRASH]):
                os.killpg(0, signal.SIGKILL)

    def crash_before_response(response: Any) -> Any:
        crash_if_due()
        return response

    with app.app_context():
        for name in ("before_cursor_execute", "commit"):
            event.listen(db.engine, name, crash_if_due)
    app.after_request(crash_before_response)
    return app


def crash_before(step: int) -> dict[str, str]:
    """Return the header that makes a crashing shop crash before this step."""
    return {CRASH: str(step)}
