"""Checkout: orders per second, compared with a bare Flask view, and 100 customers who want the last 10 copies."""

import http.client
import time
from collections import Counter
from itertools import chain
from selectors import EVENT_READ, DefaultSelector
from statistics import quantiles
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from bench.rates import CLIENTS, ROUNDS, WORKERS, Request, Trial, compare, post
from bench.shop import analyze, fill, make_app, settings_for
from bookshop.config import Settings
from bookshop.extensions import db
from tests.browser.server import SHOP, environment, started
from tests.support.factories import Shop

TARGET = 0.6
PATH, BODY = "/api/v1/orders", {"name": "Ada Lovelace"}
USERS, BOOKS, STOCK = 2000, 45, 1000  # each user orders once in a round
RESET = f"""
    TRUNCATE orders, order_lines, movements, cart_items, prebookings, messages CASCADE;
    UPDATE api_tokens SET last_used_at = now();
    UPDATE books SET stock_quantity = {STOCK};
    INSERT INTO movements (book_id, delta, quantity_after, reason, created_at)
        SELECT id, {STOCK}, {STOCK}, 'received', now() FROM books;
    INSERT INTO cart_items (user_id, book_id, quantity, price_cents, currency, stock_quantity, created_at)
        SELECT id, id % {BOOKS} + 1, 1, 990, 'EUR', {STOCK}, now() FROM users;
"""
BUYERS, COPIES, RUSHES = 100, 10, 20
FILL_CARTS = (
    "INSERT INTO cart_items (user_id, book_id, quantity, price_cents, currency, stock_quantity, created_at)"
    " SELECT id, :book, 1, 950, 'EUR', :copies, CURRENT_TIMESTAMP FROM users"
)


def run(url: str) -> None:
    """Print both rates and their ratio, then the response times of a rush on both databases."""
    app = make_app(url)
    with app.app_context():
        fill(users=USERS, books=BOOKS)
        analyze()
        db.engine.dispose()
    print(f"checkout: {USERS} orders of one line by {CLIENTS} clients, 2 workers (medians of {ROUNDS} rounds)")
    compare(url, Trial(PATH, [Request(user, BODY) for user in range(1, USERS + 1)], RESET), TARGET)
    print(f"rush: {BUYERS} customers order the last {COPIES} copies at once, {RUSHES} times, gthread")
    with TemporaryDirectory() as folder:
        for name, database in (("PostgreSQL", url), ("SQLite", f"sqlite:///{folder}/shop.db")):
            print(f"  {name}: {_rushes(settings_for(database))}")


def _rushes(settings: Settings) -> str:
    """Run the rushes on a new shop and summarise them."""
    shop = Shop(make_app(settings.database_url))
    shop.customers(BUYERS)
    tokens = [shop.token(email) for email in shop.rows("SELECT email FROM users ORDER BY id")]
    shop.execute("UPDATE api_tokens SET last_used_at = CURRENT_TIMESTAMP")  # as adding to the cart would do
    with started(SHOP, environment(settings), *WORKERS["gthread, 4 threads"]) as home:
        rushes = [_rush_for(shop, shop.book("Emma", stock=COPIES), home, tokens) for _rush in range(RUSHES + 1)]
    sold = shop.rows("SELECT count(*) FROM order_lines GROUP BY book_id")
    if set(sold) != {COPIES} or shop.broken():
        raise RuntimeError(f"sold, of {COPIES} copies each: {sold}; {shop.broken()}")
    with shop.app.app_context():
        db.engine.dispose()
    return _summary(list(chain(*rushes[1:])))  # the first only warms up the server


def _rush_for(shop: Shop, book_id: int, home: str, tokens: list[str]) -> list[tuple[float, int]]:
    """Send everyone's order for the same book at once; returns the seconds and the status of each response."""
    shop.execute("DELETE FROM cart_items")
    shop.execute(FILL_CARTS, book=book_id, copies=COPIES)
    connections = [http.client.HTTPConnection(urlsplit(home).netloc) for _token in tokens]
    for connection in connections:
        connection.connect()
    responses = []
    with DefaultSelector() as selector:
        for connection, token in zip(connections, tokens, strict=True):
            selector.register(connection.sock, EVENT_READ, (connection, time.perf_counter()))
            post(connection, PATH, token, BODY)
        while selector.get_map():
            for key, _events in selector.select():
                selector.unregister(key.fileobj)
                connection, sent = key.data
                with connection.getresponse() as response:
                    response.read()
                responses.append((time.perf_counter() - sent, response.status))
                connection.close()
    return responses


def _summary(responses: list[tuple[float, int]]) -> str:
    times = quantiles([seconds * 1000 for seconds, _status in responses], n=100)
    statuses = Counter(status for _seconds, status in responses)
    placed, refused = statuses.pop(201) / RUSHES, statuses.pop(409) / RUSHES
    return (
        f"median {times[49]:.0f} ms, 99th percentile {times[98]:.0f} ms; per rush"
        f" {placed:g} orders and {refused:g} refused (409); other responses: {dict(statuses) or 'none'}"
    )
