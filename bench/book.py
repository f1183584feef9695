"""Requests per second of `GET /api/v1/books/{id}`: the shop and a bare Flask view with one SELECT."""

from bench.rates import CLIENTS, ROUNDS, Request, Trial, compare
from bench.shop import analyze, fill, make_app
from bookshop.extensions import db

BOOKS, REQUESTS = 1_000, 6_000


def run(url: str) -> None:
    """Print both rates and their ratio."""
    app = make_app(url)
    with app.app_context():
        fill(users=1, books=BOOKS)
        analyze()
    print(f"book: {REQUESTS} requests by {CLIENTS} clients, gunicorn with 2 workers (medians of {ROUNDS} rounds)")
    requests = [Request(1 + number % BOOKS) for number in range(REQUESTS)]
    compare(url, Trial("/api/v1/books/{}", requests, status=200), target=0.5)
    with app.app_context():
        db.engine.dispose()
