"""Kill -9 in the middle of a batch of stock: all lines, notifications, alerts and the key are there, or nothing."""

import http.client
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import flask_migrate
import pytest
from flask import Flask

from bookshop import create_app, faces
from bookshop.extensions import db
from bookshop.inventory.batch import BatchLine, BatchOutcome
from tests import kills, races
from tests.factories import Shop
from tests.kills import Server, status
from tests.settings import settings_for

ADA, STAFF, BOOKS = "ada@example.com", "staff@example.com", 1_000
SHOP, TORN = "wsgi:app", "tests.test_stock_batch_kills:torn_shop()"
Found = tuple[int, ...]
COUNTED = (
    *("movements", "prebookings WHERE status = 'notified'", "messages", "given_answers"),
    "events WHERE kind = 'stock.changed'",
)
NOTHING, EVERYTHING = (0,) * 6, (BOOKS, BOOKS, BOOKS, 1, BOOKS, BOOKS)


@dataclass
class Store:
    """A shop in which Ada waits for each of a thousand books."""

    url: str
    shop: Shop
    books: list[int]
    token: str
    mode: str

    def wait_again(self) -> None:
        """Put everything back to where it was before the batch."""
        self.shop.execute("UPDATE prebookings SET status = 'waiting', notified_at = NULL, movement_id = NULL")
        self.shop.execute("UPDATE books SET stock_quantity = 0")
        for table in ("events", "messages", "movements", "given_answers"):
            self.shop.execute(f"DELETE FROM {table}")

    def found(self) -> Found:
        """How many rows there are of all that a batch writes, and how many copies are on the shelves."""
        counts = [f"(SELECT count(*) FROM {table})" for table in COUNTED]
        found: Found = self.shop.rows(f"SELECT {', '.join(counts)}, sum(stock_quantity) FROM books")[0]
        return found

    def server(self, folder: Path, program: str = SHOP) -> AbstractContextManager[Server]:
        path = f"/api/v1/books/{self.books[0]}/movements"
        return kills.running(Server(self.url, self.token, folder, program), path)

    def batch(self, server: Server) -> http.client.HTTPConnection:
        lines = [{"book_id": book_id, "delta": 1} for book_id in self.books]
        return server.send(
            "POST", "/api/v1/stock/batch", {"mode": self.mode, "lines": lines}, **{"Idempotency-Key": "k"}
        )


@pytest.fixture(params=["atomic", "each"])
def store(own_url: str, request: pytest.FixtureRequest) -> Iterator[Store]:
    app = create_app(settings_for(own_url))
    with app.app_context():
        flask_migrate.upgrade()
    shop = Shop(app)
    shop.staff(STAFF)
    books = races.many_books(shop, BOOKS)
    races.waits_for_all(shop, shop.customer(ADA), books)
    yield Store(own_url, shop, books, shop.token(STAFF), request.param)
    with app.app_context():
        db.engine.dispose()


def undisturbed_seconds(store: Store, folder: Path, program: str = SHOP) -> float:
    """How long a batch takes that nobody kills."""
    with store.server(folder, program) as server:
        begun = time.monotonic()
        assert status(store.batch(server)) == 200
        return time.monotonic() - begun


def killed(store: Store, folder: Path, seconds: float | None, program: str = SHOP) -> tuple[int | None, Found]:
    """Send the batch, kill the server after so many seconds (None: when it has answered), and look what is there."""
    store.wait_again()
    with store.server(folder, program) as server:
        answered = kills.killed_after(server, store.batch(server), seconds)
    kills.let_the_dead_finish(store.shop, store.url)
    return answered, store.found()


@pytest.mark.prove
def test_a_kill_in_a_batch_leaves_all_of_it_or_nothing_and_who_asks_again_has_it_once(store, repository_root):
    """From the first moment of a request to beyond its end, the last one right after the answer."""
    whole, outcomes = undisturbed_seconds(store, repository_root), []
    for moment in [*(whole * 1.2 * number / 8 for number in range(9)), None]:
        answered, found = killed(store, repository_root, moment)
        assert found == EVERYTHING or (found == NOTHING and answered is None)
        assert store.shop.broken() == []
        with store.server(repository_root) as server:
            assert (status(store.batch(server)), store.found()) == (200, EVERYTHING)
        outcomes.append((answered, found))
    assert outcomes[-1] == (200, EVERYTHING)
    assert [found for _answered, found in outcomes].count(NOTHING) >= 2


def torn_shop() -> Flask:
    """The shop with the fault that the kills are to find: each line of a batch is committed for itself."""
    whole = faces.change_stocks

    def line_by_line(lines: Sequence[BatchLine], user_id: int, *, atomic: bool) -> BatchOutcome:
        outcome = BatchOutcome([])
        for line in lines:
            done = whole([line], user_id, atomic=atomic)
            outcome.results += done.results
            outcome.notified.add(done.notified)
            db.session.commit()
        return outcome

    faces.change_stocks = line_by_line
    return create_app()


@pytest.mark.prove
def test_twin_a_shop_that_commits_line_by_line_is_caught(store, repository_root):
    whole = undisturbed_seconds(store, repository_root, TORN)
    _answered, found = killed(store, repository_root, whole / 2, TORN)
    assert found not in {NOTHING, EVERYTHING}
