"""Kill -9 in the middle of a checkout: order, lines, stock, ledger and cart all changed, or nothing of it."""

import http.client
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count
from typing import Any

import flask_migrate
import pytest
from flask import Flask

from bookshop import create_app
from bookshop.checkout.repository import CheckoutRepository
from bookshop.extensions import db
from tests.support import kills, races
from tests.support.factories import Shop
from tests.support.forks import Start, by_command, by_fork
from tests.support.kills import DYING, SHOP, SLOW, Server, status
from tests.support.settings import settings_for

pytestmark = pytest.mark.prove

ADA, BOOKS, KILLS = "ada@example.com", 5, 10
Change = tuple[int, ...]
Outcome = tuple[int | None, Change]  # the status, and what the database has more than before
COUNTED = "orders", "order_lines", "movements WHERE order_id IS NOT NULL", "idempotency_records", "cart_items"
NOTHING, EVERYTHING = (0,) * 6, (1, BOOKS, BOOKS, 1, -BOOKS, -BOOKS)


@dataclass
class Till:
    """A shop in which Ada orders a copy of five books again and again, each time under another key."""

    url: str
    shop: Shop
    books: list[int]
    token: str
    orders: int = 0

    def counted(self) -> Change:
        """How many rows there are of all that a checkout writes, and how many copies are on the shelves."""
        counts = [f"(SELECT count(*) FROM {table})" for table in COUNTED]
        found: Change = self.shop.rows(f"SELECT {', '.join(counts)}, sum(stock_quantity) FROM books")[0]
        return found

    def server(self, program: str = SHOP, start: Start = by_fork) -> AbstractContextManager[Server]:
        """A server that is warm, so that each checkout takes about as long as the others."""
        return kills.running(Server(self.url, self.token, program, start), "/api/v1/cart/items")

    def fill(self) -> None:
        """Fill the cart for the next order."""
        self.orders += 1
        self.shop.execute("DELETE FROM cart_items")
        races.fill_carts(self.shop, {1: self.books})

    def order(self, server: Server, **headers: str) -> http.client.HTTPConnection:
        key = {"Idempotency-Key": str(self.orders)}
        return server.send("POST", "/api/v1/orders", {"name": "Ada"}, **key, **headers)


@pytest.fixture
def till(own_url: str) -> Iterator[Till]:
    app = create_app(settings_for(own_url))
    with app.app_context():
        flask_migrate.upgrade()
    shop = Shop(app)
    assert shop.customer(ADA) == 1
    yield Till(own_url, shop, [shop.book(stock=1000) for _book in range(BOOKS)], shop.token(ADA))
    with app.app_context():
        db.engine.dispose()


def torn_shop() -> Flask:
    """The dying shop with the fault that the kills are to find: the stock is committed before the lines are written."""
    insert = CheckoutRepository.insert

    def commit_then_insert(self: CheckoutRepository, *lines: Any) -> Any:
        self.session.commit()
        return insert(self, *lines)

    CheckoutRepository.insert = commit_then_insert  # type: ignore[assignment, method-assign]
    return kills.dying_shop()


def change_since(till: Till, before: Change) -> Change:
    return tuple(now - then for now, then in zip(till.counted(), before, strict=True))


def undisturbed_seconds(till: Till, program: str) -> float:
    """How long a checkout takes that nobody kills."""
    till.fill()
    with till.server(program) as server:
        begun = time.monotonic()
        assert status(till.order(server)) == 201
        return time.monotonic() - begun


def killed(till: Till, server: Server, seconds: float | None, **headers: str) -> Outcome:
    """Order, kill the server after so many seconds (None: when it has answered), and look what became of it."""
    till.fill()
    before = till.counted()
    answered = kills.killed_after(server, till.order(server, **headers), seconds)
    kills.let_the_dead_finish(till.shop, till.url)
    return answered, change_since(till, before)


def assert_has_one_order(till: Till, server: Server) -> None:
    """Ask again for the order before."""
    assert (status(till.order(server)), till.counted()[0]) == (201, till.orders)


def assert_whole(till: Till, outcome: Outcome) -> None:
    """A kill left all of an order, or nothing and no answer."""
    answered, change = outcome
    assert change == EVERYTHING or (change == NOTHING and answered is None)
    assert till.shop.broken() == []


def test_a_kill_in_a_checkout_leaves_all_of_it_or_nothing_and_who_asks_again_has_one_order(till):
    """From the first moment of a request to beyond its end, the last one right after the answer."""
    whole, outcomes = undisturbed_seconds(till, SLOW), []
    for moment in [*(whole * 1.1 * (n + 1) / KILLS for n in range(KILLS - 1)), None]:
        with till.server(SLOW) as server:
            assert_has_one_order(till, server)
            outcomes.append(killed(till, server, moment))
        assert_whole(till, outcomes[-1])
    assert outcomes[-1] == (201, EVERYTHING)


def test_a_kill_before_any_step_of_a_checkout_leaves_all_of_it_or_nothing_and_who_asks_again_has_one_order(till):
    undisturbed_seconds(till, SHOP)
    outcomes: list[Outcome] = []
    while not outcomes or outcomes[-1][0] is None:
        with till.server(DYING) as server:
            assert_has_one_order(till, server)
            outcomes.append(killed(till, server, None, **kills.before(len(outcomes) + 1)))
        assert_whole(till, outcomes[-1])
    assert outcomes[0] == (None, NOTHING)
    assert outcomes[-2:] == [(None, EVERYTHING), (201, EVERYTHING)]  # committed, and answered


def test_a_shop_that_its_command_started_is_killed_in_a_checkout_and_who_asks_again_has_one_order(till):
    with till.server(DYING, by_command) as server:
        assert killed(till, server, None, **kills.before(10)) == (None, NOTHING)
    with till.server() as server:
        assert_has_one_order(till, server)
    assert till.shop.broken() == []


def test_twin_a_shop_that_commits_between_stock_and_lines_is_caught(till):
    for step in count(1):
        with till.server("tests.checkout.test_checkout_kills:torn_shop()") as server:
            answered, change = killed(till, server, None, **kills.before(step))
        if answered or change != NOTHING:
            break
    assert answered is None
    assert change != EVERYTHING
    assert "which has no such line" in " ".join(till.shop.broken())
