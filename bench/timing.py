"""Can the time of an answer tell whether an address has an account? Four entrances, 200 timed tries each.

A classifier learns from every second try which times belong to known addresses, and guesses the others. Half of its
guesses are right by chance; with 100 guesses, 40 to 60 % are within two standard deviations. Without a network, which
would hide differences.
"""

import random
import re
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from flask import Flask
from flask.testing import FlaskClient

from bench.shop import make_app
from bookshop.web import services

TRIES = 200
PASSWORD = "three random words"
TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')


class Try(NamedTuple):
    """One timed request: whether its address has an account, and the seconds until the answer."""

    known: bool
    seconds: float


class Entrance(NamedTuple):
    """A form that takes an address: its page, the path that it is sent to and its other fields."""

    page: str
    path: str
    fields: dict[str, str]


ENTRANCES = {
    "log in with a password": Entrance("/login", "/login", {"password": "not the password"}),
    "ask for a link": Entrance("/login", "/login", {"link": "yes"}),
    "reserve with an address": Entrance("/books/1", "/books/1/reserve", {}),
    "change the address": Entrance("/account/email", "/account/email", {"current": PASSWORD}),
}


def run(url: str) -> None:
    """Print the classifier's rate of right guesses for each entrance, on SQLite and on PostgreSQL."""
    with tempfile.TemporaryDirectory() as folder:
        for name, database in (("SQLite", f"sqlite:///{Path(folder) / 'shop.db'}"), ("PostgreSQL", url)):
            app = make_app(database)
            _fill(app)
            for words, entrance in ENTRANCES.items():
                rate, difference = measure(app, entrance, is_member=entrance.page.startswith("/account"))
                print(f"timing, {words}, {name}: {rate:.0%} guessed right, medians {difference * 1e6:+.0f} µs apart")


def _fill(app: Flask) -> None:
    """Create the customers c1 to c<TRIES> and a member who changes the address, and a book that is out of stock."""
    with app.app_context():
        services.commit(lambda: services.accounts().register("member@example.com", PASSWORD))
        for number in range(1, TRIES + 1):
            address = f"c{number}@example.com"
            services.commit(partial(services.accounts().register, address))
        values = {"title": "Emma", "authors": "Jane Austen", "price_cents": 950, "currency": "EUR"}
        services.commit(lambda: services.catalog().create(values))


def measure(app: Flask, entrance: Entrance, *, is_member: bool) -> tuple[float, float]:
    """Return the share of right guesses, and the difference of the medians in seconds (known - unknown)."""
    client = app.test_client()
    if is_member:
        _send(client, Entrance("/login", "/login", {"password": PASSWORD}), "member@example.com", 0)
    known = [index % 2 == 0 for index in range(TRIES)]
    random.Random(1).shuffle(known)
    for number in range(20):  # warm up
        _send(client, entrance, f"warm{number}@example.com", number)
    tries = [
        Try(is_known, _timed(client, entrance, f"{'c' if is_known else 'nobody'}{number + 1}@example.com", number))
        for number, is_known in enumerate(known)
    ]
    return rate_of_right_guesses(tries[::2], tries[1::2]), _median(tries, True) - _median(tries, False)


def _timed(client: FlaskClient, entrance: Entrance, address: str, number: int) -> float:
    request = _prepare(client, entrance, address, number)
    start = time.perf_counter()
    request()
    return time.perf_counter() - start


def _send(client: FlaskClient, entrance: Entrance, address: str, number: int) -> None:
    _prepare(client, entrance, address, number)()


def _prepare(client: FlaskClient, entrance: Entrance, address: str, number: int) -> Callable[[], object]:
    """Return the request, from an IP address of its own, which no earlier try has used up."""
    page = client.get(entrance.page, follow_redirects=True).text
    token = TOKEN.search(page)
    fields = {**entrance.fields, "email": address, "csrf_token": token[1] if token else ""}
    network = {"REMOTE_ADDR": f"10.0.{number // 250}.{number % 250}"}
    return lambda: client.post(entrance.path, data=fields, environ_overrides=network)


def rate_of_right_guesses(learned: Sequence[Try], guessed: Sequence[Try]) -> float:
    """Learn the threshold and direction that divide `learned` best; return how often they are right in `guessed`."""
    rules = [(one.seconds, above) for one in learned for above in (True, False)]
    best = max(rules, key=lambda rule: _right(learned, *rule))
    return _right(guessed, *best) / len(guessed)


def _right(tries: Sequence[Try], threshold: float, above: bool) -> int:
    return sum(((one.seconds > threshold) == above) == one.known for one in tries)


def _median(tries: Sequence[Try], known: bool) -> float:
    seconds = sorted(one.seconds for one in tries if one.known == known)
    return seconds[len(seconds) // 2]
