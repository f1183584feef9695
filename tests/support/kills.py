"""How servers are killed: gunicorn with one worker, in a process group of its own, on a database of its own."""

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
SHOP, SLOW, DYING, DIE = "wsgi:app", "tests.support.kills:slow_shop()", "tests.support.kills:dying_shop()", "Die-Before"


class Server(Gunicorn):
    """The shop under gunicorn, and how to speak to it."""

    def __init__(self, database_url: str, token: str, program: str = SHOP, start: Start = by_fork) -> None:
        url = make_url(database_url)
        if url.drivername.startswith("postgresql"):
            url = url.update_query_dict({"application_name": SERVER})
        settings = {
            "BOOKSHOP_SECRET_KEY": SECRET_KEY,
            "BOOKSHOP_DATABASE_URL": url.render_as_string(hide_password=False),
            "BOOKSHOP_DATABASE_POOL": "4",
        }
        others = {name: value for name, value in os.environ.items() if not name.startswith("BOOKSHOP_")}
        super().__init__(
            program, others | settings, "--worker-class=bookshop.web.server.Buffering", "--threads=4", start=start
        )
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}

    def send(self, method: str, path: str, body: object = None, **more: str) -> http.client.HTTPConnection:
        """Send a request, with more headers if they are given, and do not wait for its answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, json.dumps(body) if body else None, self.headers | more)
        return connection


@contextmanager
def running(server: Server, warm: str) -> Iterator[Server]:
    """A server that is killed at the end; it has answered `warm` before, and loaded all that it loads late."""
    server.answer(warm, server.headers)
    try:
        yield server
    finally:
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
    alive = "SELECT count(*) FROM pg_stat_activity WHERE application_name = :name AND datname = current_database()"
    while shop.rows(alive, name=SERVER) != [0]:
        time.sleep(0.01)
    return None


def slow_shop() -> Flask:
    """The shop with a rest of 10 ms before each statement, so that the kills come between any two of them."""
    app = create_app()
    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", lambda *_statement: time.sleep(0.01))
    return app


def dying_shop() -> Flask:
    """The shop that kills -9 itself in a request with the header `Die-Before: 3`: before its third step.

    A step is a statement, a commit, or the answer.
    """
    app = create_app()

    def die_in_time(*_given: Any) -> None:
        if has_request_context() and DIE in request.headers:
            g.steps = g.get("steps", 0) + 1
            if g.steps == int(request.headers[DIE]):
                os.killpg(0, signal.SIGKILL)

    def die_before_the_answer(response: Any) -> Any:
        die_in_time()
        return response

    with app.app_context():
        for name in ("before_cursor_execute", "commit"):
            event.listen(db.engine, name, die_in_time)
    app.after_request(die_before_the_answer)
    return app


def before(step: int) -> dict[str, str]:
    """The header that lets a dying shop die before this step."""
    return {DIE: str(step)}
