"""SIGTERM while several clients reserve books: nobody who sent a reservation is left without an answer."""

import http.client
import json
import os
import select
import signal
import threading
import time
from collections import Counter
from contextlib import closing
from itertools import count

import flask_migrate
import pytest

from bookshop import create_app
from bookshop.extensions import db
from bookshop.web import services
from tests.browser.server import AS_RUN, SHOP, environment
from tests.support.factories import Shop
from tests.support.forks import DEADLINE, Gunicorn
from tests.support.settings import settings_for

pytestmark = pytest.mark.prove

CLIENTS, BOOKS, RUNS = 8, 2_000, 3
REFUSED, CLOSED, LOST = "refused", "closed before sending", "lost after sending"


@pytest.fixture
def busy_shop(own_database_url):
    """A shop with many sold-out books, and clients who may reserve them all."""
    settings = settings_for(own_database_url, max_waiting=10_000, database_pool=8)
    app = create_app(settings)
    with app.app_context():
        flask_migrate.upgrade()
    shop = Shop(app)
    book = {"authors": "An author", "price_cents": 1, "currency": "EUR"}
    shop.commit(lambda: services.catalog().create_all([{**book, "title": f"Book {n}"} for n in range(BOOKS)]))
    yield shop, environment(settings)
    with app.app_context():
        db.engine.dispose()


class Client:
    """Reserves one book after the other, over one connection or over a new one for each, until the server is gone."""

    def __init__(self, port, token, books, *, keeps):
        self.port, self.books, self.keeps, self.answers = port, books, keeps, Counter[int]()
        self.headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self.reserved, self.end = [], ""
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.end:
            with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)) as connection:
                self.end = self.use(connection)

    def use(self, connection):
        """Return how the server ended it; '' if a new connection is needed."""
        try:
            connection.connect()
        except OSError:
            return REFUSED
        while True:
            if select.select([connection.sock], [], [], 0)[0]:  # there is no answer to wait for, so it was closed
                return CLOSED
            book_id = next(self.books)
            try:
                connection.request("POST", "/api/v1/prebookings", json.dumps({"book_id": book_id}), self.headers)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                return LOST
            self.answers[answer.status] += 1
            if answer.status == 201:
                self.reserved.append(book_id)
            if not self.keeps or answer.will_close:
                return ""


def reserve_until_stopped(environ, tokens, books, workers, seconds):
    """Let the clients reserve, and stop the server after some seconds; return the clients when all have ended."""
    server = Gunicorn(SHOP, environ, *AS_RUN, f"--workers={workers}")
    server.wait_until_ready("/health/ready")
    clients = [Client(server.port, tokens[n], books[n], keeps=bool(n % 2)) for n in range(CLIENTS)]
    for client in clients:
        client.thread.start()
    time.sleep(seconds)
    os.kill(server.pid, signal.SIGTERM)
    for client in clients:
        client.thread.join(DEADLINE)
    server.terminate()
    return clients


@pytest.mark.parametrize("workers", [1, 2])
def test_every_reservation_is_answered_or_was_never_sent(busy_shop, workers):
    shop, environ = busy_shop
    tokens = [shop.token(shop.customer(f"c{n}@example.com") and f"c{n}@example.com") for n in range(CLIENTS)]
    books, reserved = [count(1) for _client in range(CLIENTS)], set()
    for run in range(RUNS):
        clients = reserve_until_stopped(environ, tokens, books, workers, 0.7 + run / 10)
        assert {client.end for client in clients} <= {REFUSED, CLOSED}
        assert set().union(*(client.answers for client in clients)) <= {201, 503}
        reserved |= {(f"c{n}@example.com", book_id) for n in range(CLIENTS) for book_id in clients[n].reserved}
    found = shop.rows("SELECT email, book_id FROM prebookings JOIN users ON users.id = user_id")
    assert (set(found), len(found), len(found) > 10 * CLIENTS) == (reserved, len(reserved), True)
    assert shop.broken() == []
