"""Reservations per second under gunicorn: the shop and a bare Flask view with the same SQL."""

from bench.rates import CLIENTS, ROUNDS, Request, Trial, compare
from bench.shop import analyze, fill, make_app
from bookshop.extensions import db

USERS, BOOKS, REQUESTS = 400, 45, 3000


def run(url: str) -> None:
    """Print both rates and their ratio."""
    app = make_app(url)
    with app.app_context():
        fill(users=USERS, books=BOOKS)
        analyze()
    print(f"reserve: {REQUESTS} requests by {CLIENTS} clients, gunicorn with 2 workers (medians of {ROUNDS} rounds)")
    requests = [Request(user, {"book_id": book}) for book in range(1, BOOKS + 1) for user in range(1, USERS + 1)]
    compare(url, Trial("/api/v1/prebookings", requests[:REQUESTS], reset="TRUNCATE prebookings CASCADE"))
    with app.app_context():
        db.engine.dispose()
