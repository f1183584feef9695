"""Kill -9 in the middle of a checkout: order, lines, stock, ledger and cart all changed, or nothing of it."""

import http.client
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
from flask import Flask
from sqlalchemy import event

from bookshop import create_app
from bookshop.extensions import db
from bookshop.orders.repository import OrderRepository
from tests import kills, races
from tests.factories import Shop
from tests.kills import Server, status
from tests.settings import settings_for

ADA, BOOKS = "ada@example.com", 5
Change = tuple[int, ...]
COUNTED = "orders", "order_lines", "movements WHERE order_id IS NOT NULL", "given_answers", "cart_items"
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

    def server(self, folder: Path, program: str) -> AbstractContextManager[Server]:
        """A server that is warm, so that each checkout takes about as long as the others."""
        return kills.running(Server(self.url, self.token, folder, program), "/api/v1/cart/items")

    def fill(self) -> None:
        """Fill the cart for the next order."""
        self.orders += 1
        races.fill_carts(self.shop, {1: self.books})

    def order(self, server: Server) -> http.client.HTTPConnection:
        return server.send("POST", "/api/v1/orders", {"name": "Ada"}, **{"Idempotency-Key": str(self.orders)})


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


def slow_shop() -> Flask:
    """The shop with a rest of 10 ms before each statement, so that the kills come between any two of them."""
    app = create_app()
    with app.app_context():
        event.listen(db.engine, "before_cursor_execute", lambda *_statement: time.sleep(0.01))
    return app


def torn_shop() -> Flask:
    """The shop with the fault that the kills are to find: the stock is committed a while before the lines."""
    insert = OrderRepository.insert_lines

    def commit_then_insert(self: OrderRepository, *lines: Any) -> Any:
        self.session.commit()
        time.sleep(4)
        return insert(self, *lines)

    OrderRepository.insert_lines = commit_then_insert  # type: ignore[assignment, method-assign]
    return create_app()


def change_since(till: Till, before: Change) -> Change:
    return tuple(now - then for now, then in zip(till.counted(), before, strict=True))


def undisturbed_seconds(till: Till, folder: Path, program: str) -> float:
    """How long a checkout takes that nobody kills."""
    till.fill()
    with till.server(folder, program) as server:
        begun = time.monotonic()
        assert status(till.order(server)) == 201
        return time.monotonic() - begun


def killed(till: Till, server: Server, seconds: float | None) -> tuple[int | None, Change]:
    """Order, kill the server after so many seconds (None: when it has answered), and look what became of it."""
    before = till.counted()
    answered = kills.killed_after(server, till.order(server), seconds)
    kills.let_the_dead_finish(till.shop, till.url)
    return answered, change_since(till, before)


@pytest.mark.parametrize("number", [3, pytest.param(50, marks=pytest.mark.prove)])
def test_a_kill_in_a_checkout_leaves_all_of_it_or_nothing_and_who_asks_again_has_one_order(
    till, repository_root, number
):
    """From the first moment of a request to beyond its end, the last one right after the answer."""
    slow = "tests.test_checkout_kills:slow_shop()"
    whole, outcomes = undisturbed_seconds(till, repository_root, slow), []
    for moment in [*(whole * 1.1 * (n + 1) / number for n in range(number - 1)), None]:
        with till.server(repository_root, slow) as server:
            assert (status(till.order(server)), till.counted()[0]) == (201, till.orders)  # the order before, once more
            till.fill()
            answered, change = killed(till, server, moment)
        assert change == EVERYTHING or (change == NOTHING and answered is None)
        assert till.shop.broken() == []
        outcomes.append((answered, change))
    assert outcomes[-1] == (201, EVERYTHING)
    assert [change for _answered, change in outcomes].count(NOTHING) >= number // 3


@pytest.mark.prove
def test_twin_a_shop_that_commits_between_stock_and_lines_is_caught(till, repository_root):
    torn = "tests.test_checkout_kills:torn_shop()"
    whole = undisturbed_seconds(till, repository_root, torn)
    till.fill()
    with till.server(repository_root, torn) as server:
        _answered, change = killed(till, server, whole - 2)
    assert change not in {NOTHING, EVERYTHING}
    assert "which has no such line" in " ".join(till.shop.broken())
