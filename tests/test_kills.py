"""SIGKILL during a restock with many waiting customers: stock and notifications both change, or neither."""

import http.client
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count

import flask_migrate
import pytest
from flask import Flask
from sqlalchemy import insert, select

from bookshop import create_app
from bookshop.extensions import db
from bookshop.inventory.models import Movement
from bookshop.inventory.service import BookService, Notified, StockChange
from bookshop.prebookings.models import PreBook
from bookshop.prebookings.repository import PreBookRepository
from bookshop.web import services
from tests.support import kills
from tests.support.factories import Shop
from tests.support.kills import CRASHING, SHOP, Server, status
from tests.support.races import insert_customers
from tests.support.settings import settings_for

pytestmark = pytest.mark.prove

FEW, MANY, KILLS, COPIES = 20, 2_000, 8, 5
WRITTEN = ("events", "messages", "movements")
Found = tuple[int, dict[str, int]]  # the stock, and the number of pre-bookings per status
Outcome = tuple[int | None, Found]  # the status, and the contents of the database


@dataclass
class WaitingShop:
    """A shop in which many customers wait for one book."""

    url: str
    shop: Shop
    book_id: int
    token: str
    size: int

    @property
    def nothing(self) -> Found:
        return 0, {"waiting": self.size}

    @property
    def everything(self) -> Found:
        return COPIES, {"notified": self.size}

    @property
    def torn(self) -> Found:
        return COPIES, {"waiting": self.size}

    @property
    def path(self) -> str:
        return f"/api/v1/books/{self.book_id}"

    def wait_again(self) -> None:
        """Restore the state before the restock."""
        back = "UPDATE prebookings SET status = 'waiting', notified_at = NULL, movement_id = NULL"
        no_more = (*(f"DELETE FROM {table}" for table in WRITTEN), "UPDATE books SET stock_quantity = 0")
        for statement in (back, *no_more):
            self.shop.execute(f"{statement} WHERE true")

    def found(self) -> Found:
        statuses = self.shop.rows("SELECT status, count(*) FROM prebookings GROUP BY status")
        return self.shop.stock(self.book_id), dict(statuses)


@pytest.fixture
def waiting_shop(own_database_url: str, request: pytest.FixtureRequest) -> Iterator[WaitingShop]:
    app = create_app(settings_for(own_database_url))
    with app.app_context():
        flask_migrate.upgrade()
    shop = Shop(app)
    shop.staff("staff@example.com")
    book_id, customers = shop.book("Emma"), insert_customers(shop, request.param)
    with app.app_context():
        db.session.execute(insert(PreBook), [{"user_id": user_id, "book_id": book_id} for user_id in customers])
        db.session.commit()
    yield WaitingShop(own_database_url, shop, book_id, shop.token("staff@example.com"), request.param)
    with app.app_context():
        db.engine.dispose()


def running(waiting_shop: WaitingShop, program: str) -> AbstractContextManager[Server]:
    """Run a warmed-up server, so that all restocks take about the same time."""
    return kills.running(Server(waiting_shop.url, waiting_shop.token, program), f"{waiting_shop.path}/movements")


def restock(server: Server, waiting_shop: WaitingShop, **headers: str) -> http.client.HTTPConnection:
    return server.send("PATCH", f"{waiting_shop.path}/stock", {"quantity": COPIES}, **headers)


def undisturbed_seconds(waiting_shop: WaitingShop) -> float:
    """Measure how long an undisturbed restock takes."""
    with running(waiting_shop, SHOP) as server:
        begun = time.monotonic()
        assert status(restock(server, waiting_shop)) == 200
        return time.monotonic() - begun


def killed(waiting_shop: WaitingShop, seconds: float | None, program: str = SHOP, **headers: str) -> Outcome:
    """Restock, kill the server this long after the request (None: after the response), and read the outcome."""
    waiting_shop.wait_again()
    with running(waiting_shop, program) as server:
        answered = kills.kill_after(server, restock(server, waiting_shop, **headers), seconds)
    kills.wait_until_rolled_back(waiting_shop.shop, waiting_shop.url)
    return answered, waiting_shop.found()


def killed_before_each_step(waiting_shop: WaitingShop, program: str = CRASHING) -> Iterator[Outcome]:
    """Kill a restock before its first step, then before its second, and so on, until one gets its response."""
    for step in count(1):
        answered, found = killed(waiting_shop, None, program, **kills.crash_before(step))
        yield answered, found
        if answered:
            return


def assert_all_or_nothing(waiting_shop: WaitingShop, outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Assert that each kill left all of a restock, or nothing and no response."""
    intact = []
    for answered, found in outcomes:
        assert found == waiting_shop.everything or (found == waiting_shop.nothing and answered is None)
        assert waiting_shop.shop.broken() == []
        intact.append((answered, found))
    assert intact[-1] == (200, waiting_shop.everything)
    return intact


few = pytest.mark.parametrize("waiting_shop", [FEW], indirect=True)
many = pytest.mark.parametrize("waiting_shop", [MANY], indirect=True)


@few
def test_a_kill_before_any_step_of_a_restock_leaves_all_of_it_or_nothing(waiting_shop):
    outcomes = assert_all_or_nothing(waiting_shop, killed_before_each_step(waiting_shop))
    assert outcomes[0] == (None, waiting_shop.nothing)
    assert outcomes[-2] == (None, waiting_shop.everything)  # committed, but without a response


@many
def test_a_kill_during_a_restock_of_two_thousand_leaves_all_of_it_or_nothing(waiting_shop):
    """Kill at moments from the start of a request to beyond its end, the last one right after the response."""
    whole = undisturbed_seconds(waiting_shop)
    moments = [*(whole * 1.2 * number / (KILLS - 2) for number in range(KILLS - 1)), None]
    assert_all_or_nothing(waiting_shop, (killed(waiting_shop, moment) for moment in moments))


@few
def test_a_commit_between_stock_and_notifications_is_detected(waiting_shop):
    for _answered, found in killed_before_each_step(waiting_shop, "tests.test_kills:faulty_shop()"):
        if found not in (waiting_shop.nothing, waiting_shop.everything):
            break
    assert found == waiting_shop.torn
    assert waiting_shop.shop.broken() != []


def faulty_shop() -> Flask:
    """The crashing shop with a fault to be detected: the stock is committed before customers are notified."""
    notify, update = PreBookRepository.notify_waiting_by_book, BookService.update_stock

    def update_then_notify(self: BookService, change: StockChange, versions: Collection[int] | None = None) -> Notified:
        update(self, change)
        self.session.commit()
        movements = self.session.scalars(select(Movement.id).where(Movement.book_id == change.book_id)).all()
        restocks = dict.fromkeys(movements, change.book_id)
        return Notified(services.commit(lambda: notify(self.prebookings, restocks)), restocks)

    PreBookRepository.notify_waiting_by_book = lambda self, restocks: []  # type: ignore[method-assign]
    BookService.update_stock = update_then_notify  # type: ignore[method-assign]
    return kills.crashing_shop()
