"""Paging by cursor through 1,000,000 books: the time of page 2 and of page 10,000."""

import re
import time
from statistics import median
from tempfile import TemporaryDirectory

from flask.testing import FlaskClient
from sqlalchemy import text

from bench.shop import analyze, make_app
from bookshop.extensions import db

BOOKS, SIZE, DEEP, ROUNDS = 1_000_000, 100, 10_000, 15
SORTS = ("title", "price", "newest", "published")
NEXT = re.compile(r"<([^>]+)>")
# Shuffled titles, 1,000 prices, and 200 years of publication, some of them unknown, as in a real catalogue.
FILL = """
    INSERT INTO books (title, authors, price_cents, currency, stock_quantity, published_year, created_at, updated_at,
        title_key, main_title, search_title, search_authors, search_isbn)
    SELECT 'Book ' || k, 'Author', 500 + i % 1000, 'EUR', 0, CASE WHEN i % 20 > 0 THEN 1820 + i % 200 END, {now}, {now},
        'book ' || k, 'book', 'book', 'author', '' FROM (SELECT i, (i * 2003) % 1000003 AS k FROM {numbers}) made
"""
DIALECTS = {
    "postgresql": {"now": "now()", "numbers": f"generate_series(1, {BOOKS}) AS i"},
    "sqlite": {
        "now": "'2026-05-04 09:30:00.000000'",
        "numbers": "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 1000000) SELECT i FROM n)",
    },
}


def run(url: str) -> None:
    """Print the times of the pages for each sort order, on both databases."""
    print(f"deep: page 2 and page {DEEP:,} of {BOOKS:,} books by cursor, {SIZE} a page (medians of {ROUNDS} rounds)")
    with TemporaryDirectory() as folder:
        for name, address in {"PostgreSQL": url, "SQLite": f"sqlite:///{folder}/shop.db"}.items():
            app = make_app(address)
            with app.app_context():
                _fill()
                for sort in SORTS:
                    _measure(app.test_client(use_cookies=False), name, sort)
                db.engine.dispose()


def _fill() -> None:
    dialect = db.engine.dialect.name
    with db.engine.begin() as connection:
        connection.execute(text(FILL.format(**DIALECTS[dialect])))
    if dialect == "postgresql":
        analyze()
    else:
        with db.engine.begin() as connection:
            connection.execute(text("ANALYZE"))


def _measure(client: FlaskClient, database: str, sort: str) -> None:
    home = f"/api/v1/books?sort={sort}&size={SIZE}"
    paths = [_next_path(client, f"{home}&page={page}") for page in (1, DEEP - 1)]
    shallow, deep = (_time(client, path) for path in paths)
    first = _time(client, f"{home}&cursor=")
    print(
        f"  {database}, by {sort}: {1000 * shallow:.1f} ms, deep {1000 * deep:.1f} ms, ratio {deep / shallow:.2f}"
        f" (target 1.5); page 1, which counts all books, {1000 * first:.0f} ms"
    )


def _next_path(client: FlaskClient, path: str) -> str:
    """Return the path of the next page, with its cursor."""
    match = NEXT.match(client.get(path).headers["Link"])
    if match is None:
        raise RuntimeError(f"there is no page after {path}")
    return match[1]


def _time(client: FlaskClient, path: str) -> float:
    times = []
    for _round in range(ROUNDS):
        started = time.perf_counter()
        response = client.get(path)
        times.append(time.perf_counter() - started)
        if len(response.get_json()["items"]) != SIZE:
            raise RuntimeError(response.text[:500])
    return median(times)
