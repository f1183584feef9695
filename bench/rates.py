"""Requests per second by HTTP under gunicorn: the shop and a bare Flask view, measured in turn."""

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


class Wish(NamedTuple):
    """What a user with the token `token<id>` posts, or, without a body, which id anybody looks at."""

    user: int
    body: dict[str, Any] | None = None


@dataclass(frozen=True)
class Trial:
    """The same requests for both, each of which answers this status; `reset` is the SQL before every round.

    A `{}` in the path stands for the id that is looked at.
    """

    path: str
    wishes: Sequence[Wish]
    reset: str = "SELECT 1"
    status: int = 201


def compare(url: str, trial: Trial, target: float | None = None) -> None:
    """Print both rates and their ratio, for each kind of gunicorn's workers."""
    for name, workers in WORKERS.items():
        ours, by_hand = _measure(url, trial, workers)
        aim = f" (target {target})" if target else ""
        print(f"  {name}: {ours:.0f}/s, bare view {by_hand:.0f}/s, ratio {ours / by_hand:.2f}{aim}")


def _measure(url: str, trial: Trial, workers: Sequence[str]) -> tuple[float, float]:
    """The median rates of the shop and of the bare view, measured in turn."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    environ = environment(settings_for(url)) | {"BARE_DATABASE": plain}
    with (
        started(SHOP, environ, *workers) as shop,
        started(BARE, environ, *workers) as bare,
        ProcessPoolExecutor(2) as clients,
    ):
        rates: dict[str, list[float]] = {shop: [], bare: []}
        for _round in range(ROUNDS):
            for home, found in rates.items():
                with psycopg.connect(plain, autocommit=True) as connection:
                    connection.execute(trial.reset.encode())
                    connection.execute("VACUUM ANALYZE")
                    connection.execute("CHECKPOINT")
                found.append(_rate(clients, home, trial))
    return median(rates[shop]), median(rates[bare])


def _rate(clients: ProcessPoolExecutor, home: str, trial: Trial) -> float:
    """All requests of a round by clients in two processes; requests per second."""
    started = time.perf_counter()
    halves = [clients.submit(_send_all, urlsplit(home).netloc, trial, half) for half in (0, 1)]
    made = sum(half.result() for half in halves)
    if made != len(trial.wishes):
        raise RuntimeError(f"{made} of {len(trial.wishes)} requests were answered {trial.status}")
    return made / (time.perf_counter() - started)


def _send_all(netloc: str, trial: Trial, half: int) -> int:
    """Send one half of the requests over several connections at once; returns how many were answered as they should."""
    connections = [http.client.HTTPConnection(netloc) for _client in range(CLIENTS // 2)]
    made, pending = 0, iter(trial.wishes[half::2])
    while batch := list(islice(pending, len(connections))):
        for connection, wish in zip(connections, batch, strict=False):
            if wish.body is None:
                connection.request("GET", trial.path.format(wish.user))
            else:
                post(connection, trial.path, f"token{wish.user}", wish.body)
        for connection, _wish in zip(connections, batch, strict=False):
            response = connection.getresponse()
            response.read()
            made += response.status == trial.status
    return made


def post(connection: http.client.HTTPConnection, path: str, token: str, body: Any) -> None:
    """Send JSON as who has this token; the answer is still to be read."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    connection.request("POST", path, json.dumps(body), headers)
