"""Pages per second by HTTP under gunicorn: the shop against a bare Flask view that renders the same from constants."""

import http.client
import re
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import urlopen

from flask import Flask, render_template, template_rendered
from sqlalchemy import text

from bench.shop import SECRET_KEY, analyze, make_app
from bookshop import create_app
from bookshop.config import Settings
from bookshop.extensions import db
from tests.browser.server import SHOP, environment, started

VOLUMES = 160  # of each of the 63 demo books: 10,080 books
PAGES = {"list": "/books", "book": "/books/63"}
ROUNDS, REQUESTS, CLIENTS = 15, 400, 8
TARGET = 0.5
WORKERS = ("--workers", "2", "--worker-class", "gthread", "--threads", "4")
BARE = "bench.pages:bare()"
CSRF_TOKEN = re.compile(r'(?<=name="csrf_token" value=")[^"]+')
OWN_ADDRESS = re.compile(r"http://(localhost|127\.0\.0\.1)(:\d+)?")

COPY = text(
    "WITH RECURSIVE volumes(volume) AS (SELECT 2 UNION ALL SELECT volume + 1 FROM volumes WHERE volume < :volumes)"
    " INSERT INTO books (title, authors, publisher, language, published_year, description, price_cents, currency,"
    " stock_quantity, created_at, updated_at, title_key, main_title, search_title, search_authors, search_isbn)"
    " SELECT title || ', volume ' || volume, authors, publisher, language, published_year, description, price_cents,"
    " currency, stock_quantity, created_at, updated_at, title_key || ' volume ' || volume,"
    " main_title || ' volume ' || volume, search_title || ' volume ' || volume, search_authors, ''"
    " FROM books CROSS JOIN volumes"
)


class Answer(NamedTuple):
    """A page, and the address that it was found at in the end."""

    url: str
    text: str


def run(url: str) -> None:
    """Print the rates of each page on both databases, and their ratio."""
    print(f"pages: {CLIENTS} clients, gunicorn with 2 workers of 4 threads (medians of {ROUNDS} rounds in turn)")
    with TemporaryDirectory() as folder:
        for name, database in (("PostgreSQL", url), ("SQLite", f"sqlite:///{folder}/shop.db")):
            settings = Settings(secret_key=SECRET_KEY, database_url=database)
            books = _fill(settings)
            for page, (shop, bare_view) in _compare(settings).items():
                print(
                    f"  {name} with {books:,} books, {page} page: {shop:.0f}/s, bare view {bare_view:.0f}/s,"
                    f" ratio {shop / bare_view:.2f} (target {TARGET})"
                )


def _fill(settings: Settings) -> int:
    """Fill the database with the demo books, many volumes of each; returns how many."""
    on_postgresql = not settings.database_url.startswith("sqlite")
    app = make_app(settings.database_url) if on_postgresql else create_app(settings)
    made = app.test_cli_runner().invoke(args=["demo"])
    if made.exit_code:
        raise RuntimeError(made.output)
    with app.app_context():
        with db.engine.begin() as connection:
            connection.execute(COPY, {"volumes": VOLUMES})
            books = connection.scalar(text("SELECT count(*) FROM books")) or 0
        if on_postgresql:
            analyze()
        db.engine.dispose()
    return books


# ---------------------------------------------------------------- the bare view


def bare() -> Flask:
    """An application with the shop's addresses and templates and nothing else: no database, no hooks, no extension.

    Each view renders what the shop's view has once handed to the same template.
    """
    shop = create_app()
    app = Flask("bare", static_folder=None)
    app.config.update(shop.config)
    app.url_map, app.jinja_env = shop.url_map, shop.jinja_env
    app.view_functions.update(_view_of_constants(shop, path) for path in PAGES.values())
    return app


def _view_of_constants(shop: Flask, path: str) -> tuple[str, Callable[..., str]]:
    """Ask the shop once for a page; returns its endpoint, and a view that renders the same again."""
    seen: list[tuple[Any, dict[str, Any]]] = []

    def see(_shop: Flask, template: Any, context: dict[str, Any], **_more: Any) -> None:
        seen.append((template, context))

    with template_rendered.connected_to(see, shop):
        answer = shop.test_client().get(path, follow_redirects=True)
    if answer.status_code != 200:
        raise RuntimeError(f"{path} answered {answer.status}")
    template, context = seen[-1]
    constants = {name: value for name, value in context.items() if name not in {"request", "session", "g"}}
    endpoint, _arguments = shop.url_map.bind("").match(answer.request.path)
    return endpoint, lambda **_arguments: render_template(template, **constants)


# ---------------------------------------------------------------- the clients


def _compare(settings: Settings) -> dict[str, tuple[float, float]]:
    """By page the median rates of the shop and of the bare view, measured in turn."""
    environ = environment(settings)
    with (
        started(SHOP, environ, *WORKERS) as shop,
        started(BARE, environ, *WORKERS) as bare_view,
        ProcessPoolExecutor(2) as clients,
    ):
        return {page: _rates(clients, shop, bare_view, path) for page, path in PAGES.items()}


def _rates(clients: ProcessPoolExecutor, shop: str, bare_view: str, path: str) -> tuple[float, float]:
    path = _same_page(shop, bare_view, path)
    rates: dict[str, list[float]] = {shop: [], bare_view: []}
    for _round in range(ROUNDS):
        for home, found in rates.items():
            started = time.perf_counter()
            for half in [clients.submit(_ask, urlsplit(home).netloc, path) for _half in range(2)]:
                half.result()
            found.append(REQUESTS / (time.perf_counter() - started))
    return median(rates[shop]), median(rates[bare_view])


def _same_page(shop: str, bare_view: str, path: str) -> str:
    """Make sure that both send the same but for the shop's own address and the token of a form, which each has its own.

    Returns the page's final address.
    """
    final = _get(shop + path).url.removeprefix(shop)
    ours, theirs = (CSRF_TOKEN.sub("", OWN_ADDRESS.sub("", _get(home + final).text)) for home in (shop, bare_view))
    if ours != theirs:
        raise RuntimeError(f"the bare view of {final} renders something else")
    return final


def _get(address: str) -> Answer:
    with urlopen(address) as response:
        return Answer(response.url, response.read().decode())


def _ask(netloc: str, path: str) -> None:
    """Ask for the page over several connections at once, half of a round's requests."""
    connections = [http.client.HTTPConnection(netloc) for _client in range(CLIENTS // 2)]
    for _turn in range(REQUESTS // 2 // len(connections)):
        for connection in connections:
            connection.request("GET", path)
        for connection in connections:
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise RuntimeError(f"{path} answered {response.status}")
