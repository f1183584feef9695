"""Connections to PostgreSQL lost at every step of every change: responses are truthful, and the shop recovers."""

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
from tests.support.routes import ROUTES, UNSAFE
from tests.support.settings import settings_for

MOST_STEPS = 100  # only stops a request that never ends; deleting an account takes 60
RESTOCK = "PATCH /api/v1/books/{book_id}/stock"
BODIES = {RESTOCK: {"delta": 5}}  # actions that count each time they are done
NOTES = {"api_tokens", "login_sessions"}  # tables that record use, whatever the outcome of the request
UNKNOWN = ("cannot tell whether your change was saved", "Your change was saved, but")


@pytest.fixture(scope="module")
def proxied(postgresql_url: str) -> Iterator[tuple[Proxy, Target]]:
    """A shop with its own database, behind a proxy."""
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
    """A request's response and effect; `unknown` if the response says that the outcome is not known."""

    status: int
    unknown: bool
    changed: bool
    done: tuple[int, ...]  # the increase in rows and copies
    hit: bool
    retry: bool

    def is_true(self, right: "Outcome") -> bool:
        """Whether the response is right for what was done once, or is a 503 that does not deny it."""
        once = (self.changed, self.done) == (right.changed, right.done)
        if self.status != 503:
            return once and self.status == right.status
        return not self.changed or (once and self.unknown)


def attempt(proxied, route, step=0, how=""):
    """Call a route in the restored sample shop, with a fault at the database message of this number."""
    proxy, target = proxied
    empty(target.app)
    target.reset()
    before, sizes_before = stored_rows(target), row_counts(target)
    proxy.arm(step, how)
    answer = (target.send_json if "/api/" in route else target.send_form)(route, BODIES.get(route, ROUTES[route][1]))
    hit, after = proxy.disarm(), stored_rows(target)
    unknown = any(sentence in answer.text for sentence in UNKNOWN)
    done = tuple(now - then for now, then in zip(row_counts(target), sizes_before, strict=True))
    return Outcome(answer.status_code, unknown, after != before, done, hit, "Retry-After" in answer.headers)


def row_counts(target):
    """Count the rows of each table, and all copies."""
    return [*map(len, stored_rows(target).values()), *target.shop.rows("SELECT sum(stock_quantity) FROM books")]


def stored_rows(target):
    return {name: rows for name, rows in target.tables().items() if name not in NOTES}


def outcomes_of_losses(proxied, route, how):
    """Return a request's outcomes when the connection is lost at each of its steps."""
    outcomes: list[Outcome] = []
    while not outcomes or outcomes[-1].hit:
        outcomes.append(attempt(proxied, route, len(outcomes) + 1, how))
        assert len(outcomes) < MOST_STEPS
    return outcomes


def false_outcomes(proxied, route, how):
    right = attempt(proxied, route)
    return [
        (step, one) for step, one in enumerate(outcomes_of_losses(proxied, route, how), 1) if not one.is_true(right)
    ]


def outcomes_before_commits(proxied, route):
    """Return the outcomes when the connection is lost before each COMMIT: before others is as after the one before."""
    attempt(proxied, route)
    return [attempt(proxied, route, number, BEFORE) for number in tuple(proxied[0].commits)]


@pytest.mark.prove
@pytest.mark.parametrize("route", sorted(UNSAFE))
def test_no_lost_connection_causes_a_false_answer(proxied, route):
    right, before_commits = attempt(proxied, route), outcomes_before_commits(proxied, route)
    assert before_commits or not right.changed
    assert [one for one in before_commits if not one.is_true(right)] == []
    assert (false_outcomes(proxied, route, AFTER), attempt(proxied, route)) == ([], right)


@pytest.mark.parametrize("how", [BEFORE, AFTER, HALF, LATE])
@pytest.mark.parametrize("route", [RESTOCK, "POST /checkout"])
def test_a_restock_and_an_order_are_answered_truthfully_after_any_lost_connection(proxied, route, how):
    right, outcomes = attempt(proxied, route), outcomes_of_losses(proxied, route, how)
    assert ([one for one in outcomes if not one.is_true(right)], len(outcomes) > 6) == ([], True)


def test_a_commit_whose_reply_is_lost_is_reported_as_done(proxied):
    """If the connection is lost later, when the book is read again, the change stays and is not denied."""
    done = [one for one in outcomes_of_losses(proxied, RESTOCK, AFTER) if one.changed]
    assert [(one.status, one.unknown) for one in done if not one.unknown] == [(200, False)] * 3
    assert [(one.status, one.retry) for one in done if one.unknown] == [(503, False)] * 2


def test_a_commit_reply_that_is_lost_in_a_crash_of_the_server_is_not_taken_for_a_commit(proxied, monkeypatch):
    """The id of a transaction that a crash has undone may have been given to another one: see test_failover.py."""
    right, xid = attempt(proxied, RESTOCK), transactions.Xid
    monkeypatch.setattr(transactions, "Xid", lambda number, _incarnation: xid(number, "before the crash"))
    outcomes = outcomes_of_losses(proxied, RESTOCK, AFTER)
    assert [one for one in outcomes if not one.is_true(right)] == []
    assert [one.status for one in outcomes if one.changed and not one.unknown] == [200] * 2  # not 3, as above


def test_taking_a_lost_commit_reply_for_a_failure_gives_false_answers(proxied, monkeypatch):
    monkeypatch.setattr(transactions, "_was_committed", lambda _engine, _xid: False)
    monkeypatch.setattr(transactions, "ATTEMPTS", 1)
    assert [(one.status, one.changed) for _step, one in false_outcomes(proxied, RESTOCK, AFTER)] == [(503, True)]


@pytest.mark.parametrize("route", [RESTOCK, "POST /books/{book_id}/reserve"])
def test_an_unknown_outcome_is_admitted_without_advice_to_retry(proxied, monkeypatch, route):
    monkeypatch.setattr(transactions, "_was_committed", lambda _engine, _xid: None)
    unknown = [one for one in outcomes_of_losses(proxied, route, AFTER) if one.unknown]
    assert {(one.status, one.changed, one.retry) for one in unknown} == {(503, True, False)}
