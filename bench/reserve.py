"""Reservations per second by HTTP under gunicorn: the shop against a bare Flask view with the same SQL."""

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from statistics import median

import psycopg
from sqlalchemy import make_url

from bench.shop import SECRET_KEY, analyze, fill, make_app
from bookshop.extensions import db

USERS, BOOKS = 400, 45
ROUNDS, REQUESTS, CLIENTS = 5, 3000, 8
WORKERS = {"gunicorn's own (sync)": [], "gthread, 4 threads": ["--worker-class", "gthread", "--threads", "4"]}
QUIET = ["--log-level", "error", "--no-control-socket"]


def run(url: str) -> None:
    """Print both rates and their ratio."""
    app = make_app(url)
    with app.app_context():
        fill(users=USERS, books=BOOKS)
        analyze()
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("BOOKSHOP_")},
        "BOOKSHOP_SECRET_KEY": SECRET_KEY,
        "BOOKSHOP_DATABASE_URL": url,
        "BARE_DATABASE": plain,
    }
    print(f"reserve: {REQUESTS} requests by {CLIENTS} clients, gunicorn with 2 workers (medians of {ROUNDS} rounds)")
    for name, workers in WORKERS.items():
        ours, by_hand = _compare(environ, plain, workers)
        print(f"  {name}: {ours:.0f}/s, bare view {by_hand:.0f}/s, ratio {ours / by_hand:.2f}")
    with app.app_context():
        db.engine.dispose()


def _compare(environ: dict[str, str], database: str, workers: list[str]) -> tuple[float, float]:
    """The median rates of the shop and of the bare view, measured in turn."""
    with (
        served("wsgi:app", environ, workers) as shop,
        served("bench.bare:app", environ, workers) as bare,
        ProcessPoolExecutor(2) as clients,
    ):
        rates: dict[int, list[float]] = {shop: [], bare: []}
        for _round in range(ROUNDS):
            for port, found in rates.items():
                _reset(database)
                found.append(_rate(clients, port))
    return median(rates[shop]), median(rates[bare])


@contextlib.contextmanager
def served(application: str, environ: dict[str, str], workers: list[str]) -> Iterator[int]:
    """Serve an application with gunicorn and 2 workers of that kind; yields its port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    server = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "gunicorn",
            "--workers",
            "2",
            *workers,
            "--bind",
            f"127.0.0.1:{port}",
            *QUIET,
            application,
        ],
        env=environ,
    )
    try:
        _wait_for(port)
        yield port
    finally:
        server.terminate()
        server.wait()


def _wait_for(port: int) -> None:
    for _try in range(200):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError("the server did not start")


def _reset(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("TRUNCATE prebookings")
        connection.execute("CHECKPOINT")


def _rate(clients: ProcessPoolExecutor, port: int) -> float:
    """All requests of a round by clients in two processes; requests per second."""
    started = time.perf_counter()
    halves = [clients.submit(_send_all, port, half) for half in (0, 1)]
    made = sum(half.result() for half in halves)
    if made != REQUESTS:
        raise RuntimeError(f"{made} of {REQUESTS} reservations were made")
    return REQUESTS / (time.perf_counter() - started)


def _send_all(port: int, half: int) -> int:
    """Send half of the requests over several connections at once; returns how many answered 201."""
    wishes = [(user, book) for book in range(1, BOOKS + 1) for user in range(1, USERS + 1)][:REQUESTS][half::2]
    connections = [http.client.HTTPConnection("127.0.0.1", port) for _client in range(CLIENTS // 2)]
    made, pending = 0, iter(wishes)
    while batch := list(islice(pending, len(connections))):
        for connection, (user, book) in zip(connections, batch, strict=False):
            headers = {"Authorization": f"Bearer token{user}", "Content-Type": "application/json"}
            connection.request("POST", "/api/v1/prebookings", json.dumps({"book_id": book}), headers)
        for connection, _wish in zip(connections, batch, strict=False):
            response = connection.getresponse()
            response.read()
            made += response.status == 201
    return made
