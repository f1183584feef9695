"""Connections to PostgreSQL that are lost at every step of every change: what is answered is true, and it goes on."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

import flask_migrate
import pytest
from sqlalchemy import make_url

from bookshop import create_app
from bookshop.extensions import db
from bookshop.kit import transactions
from tests.support.databases import empty, folder_in_memory, new_database
from tests.support.hostile import Target
from tests.support.proxy import AFTER, BEFORE, HALF, LATE, Proxy
from tests.support.settings import settings_for
from tests.support.world import ROUTES, UNSAFE

MOST_STEPS = 60
RESTOCK = "PATCH /api/v1/books/{book_id}/stock"
BODIES = {RESTOCK: {"delta": 5}}  # what counts each time that it is done
NOTES = {"api_tokens", "login_sessions"}  # tables in which a use is noted, whatever the request comes to
UNKNOWN = ("cannot tell whether this was done", "after your change was saved")


@pytest.fixture(scope="module")
def proxied(postgresql_url: str) -> Iterator[tuple[Proxy, Target]]:
    """A shop on a database of its own that it reaches through a proxy."""
    with folder_in_memory("proxy-") as folder, new_database(postgresql_url, "bookshop_lost") as url:
        server = parse_qs(urlsplit(url).query)["host"][0]
        with Proxy(Path(server), Path(folder)) as proxy:
            address = make_url(url).update_query_dict({"host": str(folder)}).render_as_string(hide_password=False)
            app = create_app(settings_for(address))
            with app.app_context():
                flask_migrate.upgrade()
            yield proxy, Target(app)
            with app.app_context():
                db.engine.dispose()


class Outcome(NamedTuple):
    """What a request was answered, and what it did: `unknown` if the answer says that nobody can tell."""

    status: int
    unknown: bool
    changed: bool
    done: tuple[int, ...]  # how many rows and copies there are more
    hit: bool
    retry: bool

    def is_true(self, right: "Outcome") -> bool:
        """Whether it is the right answer to what was done, once, or a 503 that does not deny what was done."""
        once = (self.changed, self.done) == (right.changed, right.done)
        if self.status != 503:
            return once and self.status == right.status
        return not self.changed or (once and self.unknown)


def attempt(proxied, route, step=0, how=""):
    """Call a route in the world as it was at first, and let something happen to the message of this number."""
    proxy, target = proxied
    empty(target.app)
    target.begin_again()
    before, sizes_before = kept(target), sizes(target)
    proxy.arm(step, how)
    answer = (target.send_json if "/api/" in route else target.send_form)(route, BODIES.get(route, ROUTES[route][1]))
    hit, after = proxy.disarm(), kept(target)
    unknown = any(sentence in answer.text for sentence in UNKNOWN)
    done = tuple(now - then for now, then in zip(sizes(target), sizes_before, strict=True))
    return Outcome(answer.status_code, unknown, after != before, done, hit, "Retry-After" in answer.headers)


def sizes(target):
    """How many rows each table has, and how many copies there are in all."""
    return [*map(len, kept(target).values()), *target.shop.rows("SELECT sum(stock_quantity) FROM books")]


def kept(target):
    return {name: rows for name, rows in target.tables().items() if name not in NOTES}


def lose(proxied, route, how):
    """What a request comes to when a connection is lost at each of its steps."""
    outcomes: list[Outcome] = []
    while not outcomes or outcomes[-1].hit:
        outcomes.append(attempt(proxied, route, len(outcomes) + 1, how))
        assert len(outcomes) < MOST_STEPS
    return outcomes


def false_ones(proxied, route, how):
    right = attempt(proxied, route)
    return [(step, one) for step, one in enumerate(lose(proxied, route, how), 1) if not one.is_true(right)]


@pytest.mark.prove
@pytest.mark.parametrize("how", [BEFORE, AFTER])
@pytest.mark.parametrize("route", sorted(UNSAFE))
def test_whatever_is_lost_no_answer_is_false_and_the_shop_goes_on(proxied, route, how):
    right = attempt(proxied, route)
    assert (false_ones(proxied, route, how), attempt(proxied, route)) == ([], right)


@pytest.mark.parametrize("how", [BEFORE, AFTER, HALF, LATE])
@pytest.mark.parametrize("route", [RESTOCK, "POST /checkout"])
def test_a_restock_and_an_order_are_answered_truly_whatever_is_lost(proxied, route, how):
    right, outcomes = attempt(proxied, route), lose(proxied, route, how)
    assert ([one for one in outcomes if not one.is_true(right)], len(outcomes) > 6) == ([], True)


def test_a_commit_whose_answer_is_lost_is_answered_as_done(proxied):
    """What is lost later, while the book is read once more, is done all the same, and the answer does not deny it."""
    done = [one for one in lose(proxied, RESTOCK, AFTER) if one.changed]
    assert [(one.status, one.unknown) for one in done if not one.unknown] == [(200, False)] * 3
    assert [(one.status, one.retry) for one in done if one.unknown] == [(503, False)] * 2


def test_twin_a_shop_that_takes_a_lost_answer_for_no_says_what_is_false(proxied, monkeypatch):
    monkeypatch.setattr(transactions, "_find_out", lambda _engine, _xid: False)
    monkeypatch.setattr(transactions, "ATTEMPTS", 1)
    assert [(one.status, one.changed) for _step, one in false_ones(proxied, RESTOCK, AFTER)] == [(503, True)]


@pytest.mark.parametrize("route", [RESTOCK, "POST /books/{book_id}/reserve"])
def test_where_nobody_can_tell_the_answer_says_so_and_not_to_ask_again(proxied, monkeypatch, route):
    monkeypatch.setattr(transactions, "_find_out", lambda _engine, _xid: None)
    unknown = [one for one in lose(proxied, route, AFTER) if one.unknown]
    assert {(one.status, one.changed, one.retry) for one in unknown} == {(503, True, False)}
