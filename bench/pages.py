"""Pages per second under gunicorn: the shop and a bare Flask view that renders the same template from constants."""

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


class Fetched(NamedTuple):
    """A page and its URL after redirects."""

    url: str
    text: str


def run(url: str) -> None:
    """Print both rates and their ratio for each page, on both databases."""
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
    """Fill the database with many volumes of each demo book; returns the number of books."""
    on_postgresql = not settings.database_url.startswith("sqlite")
    app = make_app(settings.database_url) if on_postgresql else create_app(settings)
    result = app.test_cli_runner().invoke(args=["demo"])
    if result.exit_code:
        raise RuntimeError(result.output)
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
    """Return an application with only the shop's routes and templates: no database, hooks or extensions.

    Each view renders the same template with the context that the shop's view used once.
    """
    shop = create_app()
    app = Flask("bare", static_folder=None)
    app.config.update(shop.config)
    app.url_map, app.jinja_env = shop.url_map, shop.jinja_env
    app.view_functions.update(_view_of_constants(shop, path) for path in PAGES.values())
    return app


def _view_of_constants(shop: Flask, path: str) -> tuple[str, Callable[..., str]]:
    """Request a page of the shop once; returns its endpoint, and a view that renders it again from constants."""
    rendered: list[tuple[Any, dict[str, Any]]] = []

    def record(_shop: Flask, template: Any, context: dict[str, Any], **_more: Any) -> None:
        rendered.append((template, context))

    with template_rendered.connected_to(record, shop):
        response = shop.test_client().get(path, follow_redirects=True)
    if response.status_code != 200:
        raise RuntimeError(f"{path}: {response.status}")
    template, context = rendered[-1]
    constants = {name: value for name, value in context.items() if name not in {"request", "session", "g"}}
    endpoint, _arguments = shop.url_map.bind("").match(response.request.path)
    return endpoint, lambda **_arguments: render_template(template, **constants)


# ---------------------------------------------------------------- the clients


def _compare(settings: Settings) -> dict[str, tuple[float, float]]:
    """Return for each page the median rates of the shop and of the bare view, measured in turn."""
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
        for home, measured in rates.items():
            started = time.perf_counter()
            for half in [clients.submit(_request_half, urlsplit(home).netloc, path) for _half in range(2)]:
                half.result()
            measured.append(REQUESTS / (time.perf_counter() - started))
    return median(rates[shop]), median(rates[bare_view])


def _same_page(shop: str, bare_view: str, path: str) -> str:
    """Check that both send the same page, apart from their own address and CSRF token.

    Returns the page's path after redirects.
    """
    final = _get(shop + path).url.removeprefix(shop)
    ours, theirs = (CSRF_TOKEN.sub("", OWN_ADDRESS.sub("", _get(home + final).text)) for home in (shop, bare_view))
    if ours != theirs:
        raise RuntimeError(f"the bare view of {final} renders a different page")
    return final


def _get(address: str) -> Fetched:
    with urlopen(address) as response:
        return Fetched(response.url, response.read().decode())


def _request_half(netloc: str, path: str) -> None:
    """Send half of a round's requests over several connections at once."""
    connections = [http.client.HTTPConnection(netloc) for _client in range(CLIENTS // 2)]
    for _turn in range(REQUESTS // 2 // len(connections)):
        for connection in connections:
            connection.request("GET", path)
        for connection in connections:
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise RuntimeError(f"{path}: {response.status}")
