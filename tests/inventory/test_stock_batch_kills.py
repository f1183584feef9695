"""Kill -9 in the middle of a batch of stock: all lines, notifications, alerts and the key are there, or nothing."""

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
from tests.support.kills import DYING, SHOP, Server, status
from tests.support.settings import settings_for

pytestmark = pytest.mark.prove

ADA, STAFF, FEW, MANY = "ada@example.com", "staff@example.com", 3, 1_000
TORN = "tests.inventory.test_stock_batch_kills:torn_shop()"
Found = tuple[int, ...]
Outcome = tuple[int | None, Found]  # the status, and what the database holds
COUNTED = (
    *("movements", "prebookings WHERE status = 'notified'", "messages", "idempotency_records"),
    "events WHERE kind = 'stock.changed'",
)
NOTHING = (0,) * 6


@dataclass
class Store:
    """A shop in which Ada waits for each of the books."""

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
        """Put everything back to where it was before the batch."""
        self.shop.execute("UPDATE prebookings SET status = 'waiting', notified_at = NULL, movement_id = NULL")
        self.shop.execute("UPDATE books SET stock_quantity = 0")
        for table in ("events", "messages", "movements", "idempotency_records"):
            self.shop.execute(f"DELETE FROM {table}")

    def found(self) -> Found:
        """How many rows there are of all that a batch writes, and how many copies are on the shelves."""
        counts = [f"(SELECT count(*) FROM {table})" for table in COUNTED]
        found: Found = self.shop.rows(f"SELECT {', '.join(counts)}, sum(stock_quantity) FROM books")[0]
        return found

    def server(self, program: str = SHOP) -> AbstractContextManager[Server]:
        path = f"/api/v1/books/{self.books[0]}/movements"
        return kills.running(Server(self.url, self.token, program), path)

    def batch(self, server: Server, **headers: str) -> http.client.HTTPConnection:
        lines = [{"book_id": book_id, "delta": 1} for book_id in self.books]
        asked = {"mode": self.mode, "lines": lines}
        return server.send("POST", "/api/v1/stock/batch", asked, **{"Idempotency-Key": "k"}, **headers)


@pytest.fixture(params=["atomic", "each"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(own_url: str, mode: str, request: pytest.FixtureRequest) -> Iterator[Store]:
    app = create_app(settings_for(own_url))
    with app.app_context():
        flask_migrate.upgrade()
    shop = Shop(app)
    shop.staff(STAFF)
    books = races.many_books(shop, request.param)
    races.waits_for_all(shop, shop.customer(ADA), books)
    yield Store(own_url, shop, books, shop.token(STAFF), mode)
    with app.app_context():
        db.engine.dispose()


def undisturbed_seconds(store: Store) -> float:
    """How long a batch takes that nobody kills."""
    with store.server() as server:
        begun = time.monotonic()
        assert status(store.batch(server)) == 200
        return time.monotonic() - begun


def killed(store: Store, seconds: float | None, program: str = SHOP, **headers: str) -> Outcome:
    """Send the batch, kill the server after so many seconds (None: when it has answered), and look what is there."""
    store.wait_again()
    with store.server(program) as server:
        answered = kills.killed_after(server, store.batch(server, **headers), seconds)
    kills.let_the_dead_finish(store.shop, store.url)
    return answered, store.found()


def killed_before_each_step(store: Store, program: str) -> Iterator[Outcome]:
    """A batch that dies before its first step, one that dies before its second... until one is answered."""
    for step in count(1):
        outcome = killed(store, None, program, **kills.before(step))
        yield outcome
        if outcome[0]:
            return


def assert_whole(store: Store, outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Each kill left all of the batch, or nothing and no answer, and a second request does it once."""
    kept = []
    for answered, found in outcomes:
        assert found == store.everything or (found == NOTHING and answered is None)
        assert store.shop.broken() == []
        with store.server() as server:
            assert (status(store.batch(server)), store.found()) == (200, store.everything)
        kept.append((answered, found))
    assert kept[-1] == (200, store.everything)
    return kept


few = pytest.mark.parametrize("store", [FEW], indirect=True)


@few
def test_a_kill_before_any_step_of_a_batch_leaves_all_of_it_or_nothing_and_who_asks_again_has_it_once(store):
    outcomes = assert_whole(store, killed_before_each_step(store, DYING))
    assert outcomes[0] == (None, NOTHING)
    assert outcomes[-2] == (None, store.everything)  # committed, and not yet answered


@pytest.mark.parametrize("store", [MANY], indirect=True)
@pytest.mark.parametrize("mode", ["atomic"])
def test_a_kill_at_any_moment_of_a_batch_of_a_thousand_leaves_all_of_it_or_nothing(store):
    """From the first moment of a request to beyond its end, the last one right after the answer."""
    whole = undisturbed_seconds(store)
    assert_whole(store, (killed(store, moment) for moment in [0, 0.3 * whole, 0.6 * whole, 0.9 * whole, None]))


def torn_shop() -> Flask:
    """The dying shop with the fault that the kills are to find: each line of a batch is committed for itself."""
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
    return kills.dying_shop()


@few
@pytest.mark.parametrize("mode", ["atomic"])
def test_twin_a_shop_that_commits_line_by_line_is_caught(store):
    whole = {NOTHING, store.everything}
    assert any(found not in whole for _answered, found in killed_before_each_step(store, TORN))
