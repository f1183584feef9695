"""SIGKILL during a stock batch: all lines, notifications, alerts and the key are stored, or nothing."""

import http.client
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count

import flask_migrate
import pytest
from flask import Flask

from bookshop import create_app
from bookshop.extensions import db
from bookshop.inventory.batch import BatchLine, BatchOutcome
from bookshop.shelf.service import ShelfService
from tests.support import kills, races
from tests.support.factories import Shop
from tests.support.kills import CRASHING, SHOP, Server, status
from tests.support.settings import settings_for

pytestmark = pytest.mark.prove

ADA, STAFF, FEW, MANY = "ada@example.com", "staff@example.com", 3, 1_000
FAULTY = "tests.inventory.test_stock_batch_kills:faulty_shop()"
Found = tuple[int, ...]
Outcome = tuple[int | None, Found]  # the status, and the contents of the database
COUNTED = (
    *("movements", "prebookings WHERE status = 'notified'", "messages", "idempotency_records"),
    "events WHERE kind = 'stock.changed'",
)
NOTHING = (0,) * 6


@dataclass
class BatchShop:
    """A shop in which Ada waits for each book."""

    url: str
    shop: Shop
    books: list[int]
    token: str
    mode: str

    @property
    def everything(self) -> Found:
        many = len(self.books)
        return many, many, many, 1, many, many

    def wait_again(self) -> None:
        """Restore the state before the batch."""
        self.shop.execute("UPDATE prebookings SET status = 'waiting', notified_at = NULL, movement_id = NULL")
        self.shop.execute("UPDATE books SET stock_quantity = 0")
        for table in ("events", "messages", "movements", "idempotency_records"):
            self.shop.execute(f"DELETE FROM {table}")

    def found(self) -> Found:
        """Count the rows that a batch writes, and the copies in stock."""
        counts = [f"(SELECT count(*) FROM {table})" for table in COUNTED]
        found: Found = self.shop.rows(f"SELECT {', '.join(counts)}, sum(stock_quantity) FROM books")[0]
        return found

    def server(self, program: str = SHOP) -> AbstractContextManager[Server]:
        path = f"/api/v1/books/{self.books[0]}/movements"
        return kills.running(Server(self.url, self.token, program), path)

    def batch(self, server: Server, **headers: str) -> http.client.HTTPConnection:
        lines = [{"book_id": book_id, "delta": 1} for book_id in self.books]
        request_body = {"mode": self.mode, "lines": lines}
        return server.send("POST", "/api/v1/stock/batch", request_body, **{"Idempotency-Key": "k"}, **headers)


@pytest.fixture(params=["atomic", "each"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def batch_shop(own_database_url: str, mode: str, request: pytest.FixtureRequest) -> Iterator[BatchShop]:
    app = create_app(settings_for(own_database_url))
    with app.app_context():
        flask_migrate.upgrade()
    shop = Shop(app)
    shop.staff(STAFF)
    books = races.insert_books(shop, request.param)
    races.insert_reservations(shop, shop.customer(ADA), books)
    yield BatchShop(own_database_url, shop, books, shop.token(STAFF), mode)
    with app.app_context():
        db.engine.dispose()


def undisturbed_seconds(batch_shop: BatchShop) -> float:
    """Measure how long an undisturbed batch takes."""
    with batch_shop.server() as server:
        begun = time.monotonic()
        assert status(batch_shop.batch(server)) == 200
        return time.monotonic() - begun


def killed(batch_shop: BatchShop, seconds: float | None, program: str = SHOP, **headers: str) -> Outcome:
    """Send the batch, kill the server this long after the request (None: after the response), and read the outcome."""
    batch_shop.wait_again()
    with batch_shop.server(program) as server:
        answered = kills.kill_after(server, batch_shop.batch(server, **headers), seconds)
    kills.wait_until_rolled_back(batch_shop.shop, batch_shop.url)
    return answered, batch_shop.found()


def killed_before_each_step(batch_shop: BatchShop, program: str) -> Iterator[Outcome]:
    """Kill a batch before its first step, then before its second, and so on, until one gets its response."""
    for step in count(1):
        outcome = killed(batch_shop, None, program, **kills.crash_before(step))
        yield outcome
        if outcome[0]:
            return


def assert_all_or_nothing(batch_shop: BatchShop, outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Assert that each kill left all of the batch, or nothing and no response, and that a retry applies it once."""
    intact = []
    for answered, found in outcomes:
        assert found == batch_shop.everything or (found == NOTHING and answered is None)
        assert batch_shop.shop.broken() == []
        with batch_shop.server() as server:
            assert (status(batch_shop.batch(server)), batch_shop.found()) == (200, batch_shop.everything)
        intact.append((answered, found))
    assert intact[-1] == (200, batch_shop.everything)
    return intact


few = pytest.mark.parametrize("batch_shop", [FEW], indirect=True)


@few
def test_a_kill_before_any_step_of_a_batch_is_all_or_nothing_and_a_retry_applies_it_once(batch_shop):
    outcomes = assert_all_or_nothing(batch_shop, killed_before_each_step(batch_shop, CRASHING))
    assert outcomes[0] == (None, NOTHING)
    assert outcomes[-2] == (None, batch_shop.everything)  # committed, but without a response


@pytest.mark.parametrize("batch_shop", [MANY], indirect=True)
@pytest.mark.parametrize("mode", ["atomic"])
def test_a_kill_during_a_batch_of_a_thousand_leaves_all_of_it_or_nothing(batch_shop):
    """Kill at moments from the start of a request to beyond its end, the last one right after the response."""
    whole = undisturbed_seconds(batch_shop)
    assert_all_or_nothing(
        batch_shop, (killed(batch_shop, moment) for moment in [0, 0.3 * whole, 0.6 * whole, 0.9 * whole, None])
    )


def faulty_shop() -> Flask:
    """The crashing shop with a fault to be detected: each line of a batch is committed separately."""
    whole = ShelfService.change_stocks

    def line_by_line(self: ShelfService, lines: Sequence[BatchLine], user_id: int, *, atomic: bool) -> BatchOutcome:
        outcome = BatchOutcome([])
        for line in lines:
            done = whole(self, [line], user_id, atomic=atomic)
            outcome.results += done.results
            outcome.notified.add(done.notified)
            db.session.commit()
        return outcome

    ShelfService.change_stocks = line_by_line  # type: ignore[method-assign]
    return kills.crashing_shop()


@few
@pytest.mark.parametrize("mode", ["atomic"])
def test_a_commit_after_each_line_is_detected(batch_shop):
    whole = {NOTHING, batch_shop.everything}
    assert any(found not in whole for _answered, found in killed_before_each_step(batch_shop, FAULTY))
