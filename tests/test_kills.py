"""Kill -9 in the middle of a restock of 10,000 who wait: stock and notifications both changed, or neither."""

import http.client
import time
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import flask_migrate
import pytest
from flask import Flask
from sqlalchemy import insert, select

from bookshop import create_app, faces
from bookshop.extensions import db
from bookshop.inventory.models import Movement
from bookshop.inventory.service import BookService, Notified, StockChange
from bookshop.prebookings.models import PreBook
from bookshop.prebookings.repository import PreBookRepository
from tests import kills
from tests.factories import Shop
from tests.kills import Server, status
from tests.races import many_customers
from tests.settings import settings_for

WAITING, KILLS, COPIES = 10_000, 20, 5
SHOP, WRITTEN = "wsgi:app", ("events", "messages", "movements")
Outcome = tuple[int | None, tuple[int, dict[str, int]]]  # what was answered, and what is in the database
NOTHING, EVERYTHING = (0, {"waiting": WAITING}), (COPIES, {"notified": WAITING})


@dataclass
class Crowd:
    """A shop in which 10,000 customers wait for one book."""

    url: str
    shop: Shop
    book_id: int
    token: str

    @property
    def path(self) -> str:
        return f"/api/v1/books/{self.book_id}"

    def wait_again(self) -> None:
        """Put everything back to where it was before the restock."""
        back = "UPDATE prebookings SET status = 'waiting', notified_at = NULL, movement_id = NULL"
        no_more = (*(f"DELETE FROM {table}" for table in WRITTEN), "UPDATE books SET stock_quantity = 0")
        for statement in (back, *no_more):
            self.shop.execute(f"{statement} WHERE true")

    def found(self) -> tuple[int, dict[str, int]]:
        """The stock, and how many pre-bookings have each status."""
        statuses = self.shop.rows("SELECT status, count(*) FROM prebookings GROUP BY status")
        return self.shop.stock(self.book_id), dict(statuses)


@pytest.fixture
def crowd(own_url: str) -> Iterator[Crowd]:
    app = create_app(settings_for(own_url))
    with app.app_context():
        flask_migrate.upgrade()
    shop = Shop(app)
    shop.staff("staff@example.com")
    book_id, customers = shop.book("Emma"), many_customers(shop, WAITING)
    with app.app_context():
        db.session.execute(insert(PreBook), [{"user_id": user_id, "book_id": book_id} for user_id in customers])
        db.session.commit()
    yield Crowd(own_url, shop, book_id, shop.token("staff@example.com"))
    with app.app_context():
        db.engine.dispose()


def running(crowd: Crowd, folder: Path, program: str) -> AbstractContextManager[Server]:
    """A server that is warm, so that each restock takes about as long as the others."""
    return kills.running(Server(crowd.url, crowd.token, folder, program), f"{crowd.path}/movements")


def restock(server: Server, crowd: Crowd) -> http.client.HTTPConnection:
    return server.send("PATCH", f"{crowd.path}/stock", {"quantity": COPIES})


def undisturbed_seconds(crowd: Crowd, folder: Path, program: str = SHOP) -> float:
    """How long a restock takes that nobody kills."""
    with running(crowd, folder, program) as server:
        begun = time.monotonic()
        assert status(restock(server, crowd)) == 200
        return time.monotonic() - begun


def killed(crowd: Crowd, folder: Path, seconds: float | None, program: str = SHOP) -> Outcome:
    """Restock, kill the server after so many seconds (None: when it has answered), and look what became of it."""
    crowd.wait_again()
    with running(crowd, folder, program) as server:
        answered = kills.killed_after(server, restock(server, crowd), seconds)
    kills.let_the_dead_finish(crowd.shop, crowd.url)
    return answered, crowd.found()


@pytest.mark.prove
def test_a_kill_in_a_restock_of_ten_thousand_leaves_all_of_it_or_nothing(crowd, repository_root):
    """20 kills: from the first moment of a request to beyond its end, the last one right after the answer."""
    whole = undisturbed_seconds(crowd, repository_root)
    outcomes = []
    for moment in [*(whole * 1.2 * number / (KILLS - 2) for number in range(KILLS - 1)), None]:
        answered, found = killed(crowd, repository_root, moment)
        assert found == EVERYTHING or (found == NOTHING and answered is None)
        assert crowd.shop.broken() == []
        outcomes.append((answered, found))
    assert outcomes[-1] == (200, EVERYTHING)
    assert [found for _answered, found in outcomes].count(NOTHING) >= 1
    assert [answered for answered, _found in outcomes].count(None) >= KILLS // 4  # killed before they had answered


@pytest.mark.prove
def test_twin_a_shop_that_commits_between_stock_and_notifications_is_caught(crowd, repository_root):
    torn = "tests.test_kills:torn_shop()"
    whole = undisturbed_seconds(crowd, repository_root, torn)
    moments = [whole * number / KILLS for number in range(KILLS // 4, KILLS)]
    assert any(killed(crowd, repository_root, moment, torn)[1] == (COPIES, {"waiting": WAITING}) for moment in moments)
    assert crowd.shop.broken() != []


def torn_shop() -> Flask:
    """The shop with the fault that the kills are to find: the stock is committed before anybody is notified."""
    notify, update = PreBookRepository.notify_waiting_by_book, BookService.update_stock

    def update_then_notify(self: BookService, change: StockChange, versions: Collection[int] | None = None) -> Notified:
        update(self, change)
        self.session.commit()
        movements = self.session.scalars(select(Movement.id).where(Movement.book_id == change.book_id)).all()
        return Notified(faces.commit(lambda: notify(self.prebookings, movements)), movements)

    PreBookRepository.notify_waiting_by_book = lambda self, movements: []  # type: ignore[method-assign]
    BookService.update_stock = update_then_notify  # type: ignore[method-assign]
    return create_app()
