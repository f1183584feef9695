"""SIGKILL during a checkout: order, lines, stock, ledger and cart all change, or none of them."""

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
from tests.support.kills import CRASHING, SHOP, SLOW, Server, status
from tests.support.settings import settings_for

pytestmark = pytest.mark.prove

ADA, BOOKS, KILLS = "ada@example.com", 5, 10
Change = tuple[int, ...]
Outcome = tuple[int | None, Change]  # the status, and what the database gained
COUNTED = "orders", "order_lines", "movements WHERE order_id IS NOT NULL", "idempotency_records", "cart_items"
NOTHING, EVERYTHING = (0,) * 6, (1, BOOKS, BOOKS, 1, -BOOKS, -BOOKS)


@dataclass
class OrderShop:
    """A shop in which Ada repeatedly orders a copy of five books, each time with another key."""

    url: str
    shop: Shop
    books: list[int]
    token: str
    orders: int = 0

    def counts(self) -> Change:
        """Count the rows that a checkout writes, and the copies in stock."""
        counts = [f"(SELECT count(*) FROM {table})" for table in COUNTED]
        found: Change = self.shop.rows(f"SELECT {', '.join(counts)}, sum(stock_quantity) FROM books")[0]
        return found

    def server(self, program: str = SHOP, start: Start = by_fork) -> AbstractContextManager[Server]:
        """Run a warmed-up server, so that all checkouts take about the same time."""
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
def order_shop(own_database_url: str) -> Iterator[OrderShop]:
    app = create_app(settings_for(own_database_url))
    with app.app_context():
        flask_migrate.upgrade()
    shop = Shop(app)
    assert shop.customer(ADA) == 1
    yield OrderShop(own_database_url, shop, [shop.book(stock=1000) for _book in range(BOOKS)], shop.token(ADA))
    with app.app_context():
        db.engine.dispose()


def faulty_shop() -> Flask:
    """The crashing shop with a fault to be detected: the stock is committed before the lines are written."""
    insert = CheckoutRepository.insert

    def commit_then_insert(self: CheckoutRepository, *lines: Any) -> Any:
        self.session.commit()
        return insert(self, *lines)

    CheckoutRepository.insert = commit_then_insert  # type: ignore[assignment, method-assign]
    return kills.crashing_shop()


def change_since(order_shop: OrderShop, before: Change) -> Change:
    return tuple(now - then for now, then in zip(order_shop.counts(), before, strict=True))


def undisturbed_seconds(order_shop: OrderShop, program: str) -> float:
    """Measure how long an undisturbed checkout takes."""
    order_shop.fill()
    with order_shop.server(program) as server:
        begun = time.monotonic()
        assert status(order_shop.order(server)) == 201
        return time.monotonic() - begun


def killed(order_shop: OrderShop, server: Server, seconds: float | None, **headers: str) -> Outcome:
    """Order, kill the server this long after the request (None: after the response), and read the outcome."""
    order_shop.fill()
    before = order_shop.counts()
    answered = kills.kill_after(server, order_shop.order(server, **headers), seconds)
    kills.wait_until_rolled_back(order_shop.shop, order_shop.url)
    return answered, change_since(order_shop, before)


def assert_has_one_order(order_shop: OrderShop, server: Server) -> None:
    """Repeat the previous order's request."""
    assert (status(order_shop.order(server)), order_shop.counts()[0]) == (201, order_shop.orders)


def assert_all_or_nothing(order_shop: OrderShop, outcome: Outcome) -> None:
    """Assert that a kill left a complete order, or nothing and no response."""
    answered, change = outcome
    assert change == EVERYTHING or (change == NOTHING and answered is None)
    assert order_shop.shop.broken() == []


def test_a_kill_during_a_checkout_is_all_or_nothing_and_a_retry_orders_once(order_shop):
    """Kill at moments from the start of a request to beyond its end, the last one right after the response."""
    whole, outcomes = undisturbed_seconds(order_shop, SLOW), []
    for moment in [*(whole * 1.1 * (n + 1) / KILLS for n in range(KILLS - 1)), None]:
        with order_shop.server(SLOW) as server:
            assert_has_one_order(order_shop, server)
            outcomes.append(killed(order_shop, server, moment))
        assert_all_or_nothing(order_shop, outcomes[-1])
    assert outcomes[-1] == (201, EVERYTHING)


def test_a_kill_before_any_step_of_a_checkout_is_all_or_nothing_and_a_retry_orders_once(order_shop):
    undisturbed_seconds(order_shop, SHOP)
    outcomes: list[Outcome] = []
    while not outcomes or outcomes[-1][0] is None:
        with order_shop.server(CRASHING) as server:
            assert_has_one_order(order_shop, server)
            outcomes.append(killed(order_shop, server, None, **kills.crash_before(len(outcomes) + 1)))
        assert_all_or_nothing(order_shop, outcomes[-1])
    assert outcomes[0] == (None, NOTHING)
    assert outcomes[-2:] == [(None, EVERYTHING), (201, EVERYTHING)]  # committed and responded


def test_a_real_server_killed_in_a_checkout_is_all_or_nothing_and_a_retry_orders_once(order_shop):
    with order_shop.server(CRASHING, by_command) as server:
        assert killed(order_shop, server, None, **kills.crash_before(10)) == (None, NOTHING)
    with order_shop.server() as server:
        assert_has_one_order(order_shop, server)
    assert order_shop.shop.broken() == []


def test_a_commit_between_stock_and_lines_is_detected(order_shop):
    for step in count(1):
        with order_shop.server("tests.checkout.test_checkout_kills:faulty_shop()") as server:
            answered, change = killed(order_shop, server, None, **kills.crash_before(step))
        if answered or change != NOTHING:
            break
    assert answered is None
    assert change != EVERYTHING
    assert "which has no such line" in " ".join(order_shop.shop.broken())
