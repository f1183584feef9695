"""Kill -9 in the middle of a restock of 10,000 who wait: stock and notifications both changed, or neither."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import flask_migrate
import pytest
from flask import Flask
from sqlalchemy import create_engine, insert, make_url, select, text

from bookshop import create_app, faces
from bookshop.extensions import db
from bookshop.inventory.models import Movement
from bookshop.inventory.service import BookService, StockChange
from bookshop.prebookings.models import PreBook
from bookshop.prebookings.repository import PreBookRepository
from tests.conftest import SECRET_KEY, settings_for
from tests.factories import Shop
from tests.races import many_customers

WAITING, KILLS, COPIES = 10_000, 20, 5
SERVER = "killed"  # the server's name in pg_stat_activity
SHOP = "wsgi:app"
Outcome = tuple[int | None, tuple[int, dict[str, int]]]  # what was answered, and what is in the database
NOTHING, EVERYTHING = (0, {"waiting": WAITING}), (COPIES, {"notified": WAITING})


@pytest.fixture(params=["sqlite", "postgresql"])
def own_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A new and empty database that nothing but the test and the server that it kills looks at."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/shop.db"
        return
    url = make_url(settings_for(request.getfixturevalue("postgresql_url")).database_url)
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("CREATE DATABASE bookshop_kills"))
    yield url.set(database="bookshop_kills").render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text("DROP DATABASE bookshop_kills WITH (FORCE)"))
    engine.dispose()


@dataclass
class Crowd:
    """A shop in which 10,000 customers wait for one book."""

    url: str
    shop: Shop
    book_id: int
    token: str

    def wait_again(self) -> None:
        """Put everything back to where it was before the restock."""
        back = "UPDATE prebookings SET status = 'waiting', notified_at = NULL, movement_id = NULL"
        for statement in (back, "DELETE FROM movements", "UPDATE books SET stock_quantity = 0"):
            self.shop.execute(f"{statement} WHERE true")

    def found(self) -> tuple[int, dict[str, int]]:
        """The stock, and how many pre-bookings have each status."""
        statuses = self.shop.rows("SELECT status, count(*) FROM prebookings GROUP BY status")
        return self.shop.stock(self.book_id), dict(statuses)

    def let_the_dead_finish(self) -> None:
        """Wait until the database knows that the server is dead: what was sent to it is done or rolled back."""
        if self.url.startswith("sqlite"):
            return self.shop.commit(lambda: None)  # takes the lock that a dying writer may still hold
        alive = "SELECT count(*) FROM pg_stat_activity WHERE application_name = :name"
        while self.shop.rows(alive, name=SERVER) != [0]:
            time.sleep(0.01)
        return None


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


class Server:
    """The shop under gunicorn with one worker, in a process group of its own."""

    def __init__(self, crowd: Crowd, folder: Path, program: str) -> None:
        url = make_url(crowd.url)
        if url.drivername.startswith("postgresql"):
            url = url.update_query_dict({"application_name": SERVER})
        settings = {
            "BOOKSHOP_SECRET_KEY": SECRET_KEY,
            "BOOKSHOP_DATABASE_URL": url.render_as_string(hide_password=False),
            "BOOKSHOP_DATABASE_POOL": "4",
        }
        command = [sys.executable, "-m", "gunicorn", "--bind=127.0.0.1:0", "--worker-class=gthread", "--threads=4"]
        others = {name: value for name, value in os.environ.items() if not name.startswith("BOOKSHOP_")}
        self.process = subprocess.Popen(
            [*command, program],
            cwd=folder,
            env=others | settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.crowd, self.port = crowd, self._port()

    def _port(self) -> int:
        log: list[str] = []
        for line in self.process.stdout or ():
            log.append(line)
            if listening := re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", line):
                return int(listening[1])
        raise AssertionError("gunicorn did not start:\n" + "".join(log))

    def send(self, method: str, path: str, body: object = None) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        headers = {"Authorization": f"Bearer {self.crowd.token}", "Content-Type": "application/json"}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        return connection

    def warm_up(self) -> None:
        """Let it load all that it loads late, so that each restock takes about as long as the others."""
        self.send("GET", f"/api/v1/books/{self.crowd.book_id}/movements").getresponse().read()

    def restock(self) -> http.client.HTTPConnection:
        return self.send("PATCH", f"/api/v1/books/{self.crowd.book_id}/stock", {"quantity": COPIES})

    def kill(self) -> None:
        """Kill -9 all its processes, and wait until none of them holds its end of the pipe any more."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=60)


@contextmanager
def running(crowd: Crowd, folder: Path, program: str) -> Iterator[Server]:
    server = Server(crowd, folder, program)
    try:
        server.warm_up()
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


def status(connection: http.client.HTTPConnection) -> int | None:
    """What was answered; None if the server died before it had sent the whole answer."""
    try:
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        return None
    return response.status


def undisturbed_seconds(crowd: Crowd, folder: Path, program: str = SHOP) -> float:
    """How long a restock takes that nobody kills."""
    with running(crowd, folder, program) as server:
        begun = time.monotonic()
        assert status(server.restock()) == 200
        return time.monotonic() - begun


def killed(crowd: Crowd, folder: Path, seconds: float | None, program: str = SHOP) -> Outcome:
    """Restock, kill the server after so many seconds (None: when it has answered), and look what became of it."""
    crowd.wait_again()
    with running(crowd, folder, program) as server:
        asked, answered = server.restock(), None
        if seconds is None:
            answered = status(asked)
        else:
            time.sleep(seconds)
        server.kill()
        answered = answered or status(asked)
    crowd.let_the_dead_finish()
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

    def update_then_notify(self: BookService, change: StockChange) -> list[str]:
        update(self, change)
        self.session.commit()
        movements = self.session.scalars(select(Movement.id).where(Movement.book_id == change.book_id)).all()
        return faces.commit(lambda: notify(self.prebookings, movements))

    PreBookRepository.notify_waiting_by_book = lambda self, movements: []  # type: ignore[method-assign]
    BookService.update_stock = update_then_notify  # type: ignore[method-assign]
    return create_app()
