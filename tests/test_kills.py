"""Kill -9 in the middle of a restock for which many wait: stock and notifications both changed, or neither."""

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
from tests.support.kills import DYING, SHOP, Server, status
from tests.support.races import many_customers
from tests.support.settings import settings_for

pytestmark = pytest.mark.prove

FEW, MANY, KILLS, COPIES = 20, 2_000, 8, 5
WRITTEN = ("events", "messages", "movements")
Found = tuple[int, dict[str, int]]  # the stock, and how many pre-bookings have each status
Outcome = tuple[int | None, Found]  # the status, and what the database holds


@dataclass
class Crowd:
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
        """Put everything back to where it was before the restock."""
        back = "UPDATE prebookings SET status = 'waiting', notified_at = NULL, movement_id = NULL"
        no_more = (*(f"DELETE FROM {table}" for table in WRITTEN), "UPDATE books SET stock_quantity = 0")
        for statement in (back, *no_more):
            self.shop.execute(f"{statement} WHERE true")

    def found(self) -> Found:
        statuses = self.shop.rows("SELECT status, count(*) FROM prebookings GROUP BY status")
        return self.shop.stock(self.book_id), dict(statuses)


@pytest.fixture
def crowd(own_url: str, request: pytest.FixtureRequest) -> Iterator[Crowd]:
    app = create_app(settings_for(own_url))
    with app.app_context():
        flask_migrate.upgrade()
    shop = Shop(app)
    shop.staff("staff@example.com")
    book_id, customers = shop.book("Emma"), many_customers(shop, request.param)
    with app.app_context():
        db.session.execute(insert(PreBook), [{"user_id": user_id, "book_id": book_id} for user_id in customers])
        db.session.commit()
    yield Crowd(own_url, shop, book_id, shop.token("staff@example.com"), request.param)
    with app.app_context():
        db.engine.dispose()


def running(crowd: Crowd, program: str) -> AbstractContextManager[Server]:
    """A server that is warm, so that each restock takes about as long as the others."""
    return kills.running(Server(crowd.url, crowd.token, program), f"{crowd.path}/movements")


def restock(server: Server, crowd: Crowd, **headers: str) -> http.client.HTTPConnection:
    return server.send("PATCH", f"{crowd.path}/stock", {"quantity": COPIES}, **headers)


def undisturbed_seconds(crowd: Crowd) -> float:
    """How long a restock takes that nobody kills."""
    with running(crowd, SHOP) as server:
        begun = time.monotonic()
        assert status(restock(server, crowd)) == 200
        return time.monotonic() - begun


def killed(crowd: Crowd, seconds: float | None, program: str = SHOP, **headers: str) -> Outcome:
    """Restock, kill the server after so many seconds (None: when it has answered), and look what became of it."""
    crowd.wait_again()
    with running(crowd, program) as server:
        answered = kills.killed_after(server, restock(server, crowd, **headers), seconds)
    kills.let_the_dead_finish(crowd.shop, crowd.url)
    return answered, crowd.found()


def killed_before_each_step(crowd: Crowd, program: str = DYING) -> Iterator[Outcome]:
    """A restock that dies before its first step, one that dies before its second... until one is answered."""
    for step in count(1):
        answered, found = killed(crowd, None, program, **kills.before(step))
        yield answered, found
        if answered:
            return


def assert_whole(crowd: Crowd, outcomes: Iterable[Outcome]) -> list[Outcome]:
    """Each of these kills left all of a restock, or nothing and no answer; returns their outcomes."""
    kept = []
    for answered, found in outcomes:
        assert found == crowd.everything or (found == crowd.nothing and answered is None)
        assert crowd.shop.broken() == []
        kept.append((answered, found))
    assert kept[-1] == (200, crowd.everything)
    return kept


few = pytest.mark.parametrize("crowd", [FEW], indirect=True)
many = pytest.mark.parametrize("crowd", [MANY], indirect=True)


@few
def test_a_kill_before_any_step_of_a_restock_leaves_all_of_it_or_nothing(crowd):
    outcomes = assert_whole(crowd, killed_before_each_step(crowd))
    assert outcomes[0] == (None, crowd.nothing)
    assert outcomes[-2] == (None, crowd.everything)  # committed, and not yet answered


@many
def test_a_kill_at_any_moment_of_a_restock_of_two_thousand_leaves_all_of_it_or_nothing(crowd):
    """From the first moment of a request to beyond its end, the last one right after the answer."""
    whole = undisturbed_seconds(crowd)
    moments = [*(whole * 1.2 * number / (KILLS - 2) for number in range(KILLS - 1)), None]
    assert_whole(crowd, (killed(crowd, moment) for moment in moments))


@few
def test_twin_a_shop_that_commits_between_stock_and_notifications_is_caught(crowd):
    for _answered, found in killed_before_each_step(crowd, "tests.test_kills:torn_shop()"):
        if found not in (crowd.nothing, crowd.everything):
            break
    assert found == crowd.torn
    assert crowd.shop.broken() != []


def torn_shop() -> Flask:
    """The dying shop with the fault that the kills are to find: the stock is committed before anybody is notified."""
    notify, update = PreBookRepository.notify_waiting_by_book, BookService.update_stock

    def update_then_notify(self: BookService, change: StockChange, versions: Collection[int] | None = None) -> Notified:
        update(self, change)
        self.session.commit()
        movements = self.session.scalars(select(Movement.id).where(Movement.book_id == change.book_id)).all()
        restocks = dict.fromkeys(movements, change.book_id)
        return Notified(services.commit(lambda: notify(self.prebookings, restocks)), restocks)

    PreBookRepository.notify_waiting_by_book = lambda self, restocks: []  # type: ignore[method-assign]
    BookService.update_stock = update_then_notify  # type: ignore[method-assign]
    return kills.dying_shop()
