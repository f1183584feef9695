"""Requests per second under gunicorn: the shop and a bare Flask view, measured in turn."""

import http.client
import json
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import islice
from statistics import median
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psycopg
from sqlalchemy import make_url

from bench.shop import settings_for
from tests.browser.server import SHOP, environment, started

BARE = "bench.bare:app"
ROUNDS, CLIENTS = 5, 8
WORKERS = {
    "gunicorn's own (sync)": ("--workers", "2", "--worker-class", "sync"),
    "gthread, 4 threads": ("--workers", "2", "--worker-class", "gthread", "--threads", "4"),
}


class Request(NamedTuple):
    """A POST by the user with the token `token<id>`; without a body, a GET of the object with this id."""

    id: int
    body: dict[str, Any] | None = None


@dataclass(frozen=True)
class Trial:
    """The requests to send to both, and the status that each must return; `reset` is SQL to run before every round.

    For GET requests, `{}` in the path is replaced by the id.
    """

    path: str
    requests: Sequence[Request]
    reset: str = "SELECT 1"
    status: int = 201


def compare(url: str, trial: Trial, target: float | None = None) -> None:
    """Print both rates and their ratio, for each worker class of gunicorn."""
    for name, workers in WORKERS.items():
        ours, bare = _measure(url, trial, workers)
        suffix = f" (target {target})" if target else ""
        print(f"  {name}: {ours:.0f}/s, bare view {bare:.0f}/s, ratio {ours / bare:.2f}{suffix}")


def _measure(url: str, trial: Trial, workers: Sequence[str]) -> tuple[float, float]:
    """Return the median rates of the shop and of the bare view, measured in turn."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    environ = environment(settings_for(url)) | {"BARE_DATABASE": plain}
    with (
        started(SHOP, environ, *workers) as shop,
        started(BARE, environ, *workers) as bare,
        ProcessPoolExecutor(2) as clients,
    ):
        rates: dict[str, list[float]] = {shop: [], bare: []}
        for _round in range(ROUNDS):
            for home, measured in rates.items():
                with psycopg.connect(plain, autocommit=True) as connection:
                    connection.execute(trial.reset.encode())
                    connection.execute("VACUUM ANALYZE")
                    connection.execute("CHECKPOINT")
                measured.append(_rate(clients, home, trial))
    return median(rates[shop]), median(rates[bare])


def _rate(clients: ProcessPoolExecutor, home: str, trial: Trial) -> float:
    """Send all requests of a round from two processes; returns the requests per second."""
    started = time.perf_counter()
    halves = [clients.submit(_send_half, urlsplit(home).netloc, trial, half) for half in (0, 1)]
    succeeded = sum(half.result() for half in halves)
    if succeeded != len(trial.requests):
        raise RuntimeError(f"{succeeded} of {len(trial.requests)} requests returned {trial.status}")
    return succeeded / (time.perf_counter() - started)


def _send_half(netloc: str, trial: Trial, half: int) -> int:
    """Send half of the requests over several connections at once; returns how many got the expected status."""
    connections = [http.client.HTTPConnection(netloc) for _client in range(CLIENTS // 2)]
    succeeded, pending = 0, iter(trial.requests[half::2])
    while batch := list(islice(pending, len(connections))):
        for connection, request in zip(connections, batch, strict=False):
            if request.body is None:
                connection.request("GET", trial.path.format(request.id))
            else:
                post(connection, trial.path, f"token{request.id}", request.body)
        for connection, _request in zip(connections, batch, strict=False):
            response = connection.getresponse()
            response.read()
            succeeded += response.status == trial.status
    return succeeded


def post(connection: http.client.HTTPConnection, path: str, token: str, body: Any) -> None:
    """Send JSON with a token; the caller must read the response."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request("POST", path, json.dumps(body), headers)
