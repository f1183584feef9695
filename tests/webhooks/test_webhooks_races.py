"""Workers side by side: no delivery is taken or written twice, and a webhook has one worker at a time."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import pytest
from sqlalchemy import update
from sqlalchemy.exc import IntegrityError

from bookshop.kit.database import later
from bookshop.web import services
from bookshop.webhooks import repository
from bookshop.webhooks.models import DELIVERED
from bookshop.webhooks.repository import WebhookRepository
from bookshop.webhooks.worker import WebhookWorker
from tests.support import races

URL = "https://1.1.1.1/hooks"
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite's write one at a time
DELIVERED_NOW = {"state": DELIVERED, "delivered_at": later(0)}
UNLOCKED = {" FOR NO KEY UPDATE SKIP LOCKED": "", " FOR NO KEY UPDATE": ""}
# Besides the lock: what is due is not looked at once more when it is taken.
IS_DUE = " AND state IN ('queued', 'sending') AND webhook_deliveries.next_attempt_at <= "


def queue(hooks, number):
    hooks.happen(1)
    webhook_id = hooks.register(URL)
    hooks.happen(number)
    return webhook_id


def queue_all(app):
    with app.app_context():
        WebhookWorker().queue_new()


def claimed_by_two(app, webhook_id):
    """What two workers get of six deliveries; the second comes when the first has taken three."""

    def claim(lease):
        return list(races.attempt(app, lambda: services.webhooks().claim(webhook_id, 3, lease, 600)))

    return races.overtake((WebhookRepository, "claim"), partial(claim, "first"), partial(claim, "second"))


def test_while_one_worker_has_deliveries_of_a_webhook_no_other_gets_any(app, hooks):
    webhook_id = queue(hooks, 6)
    queue_all(app)
    assert claimed_by_two(app, webhook_id) == ([1, 2, 3], [])
    assert races.attempt(app, lambda: services.webhooks().claim(webhook_id, 3, "third", 600)) == []
    hooks.shop.execute("UPDATE webhook_deliveries SET next_attempt_at = queued_at")  # the lease has ended
    assert races.attempt(app, lambda: services.webhooks().claim(webhook_id, 9, "fourth", 600)) == [1, 2, 3, 4, 5, 6]


@on_postgresql
def test_twin_workers_that_do_not_lock_the_webhook_and_look_once_take_the_same(app, hooks):
    webhook_id = queue(hooks, 6)
    queue_all(app)
    with races.unlocked(app, UNLOCKED | {IS_DUE: " AND '1900-01-01' <= "}):
        assert claimed_by_two(app, webhook_id) == ([1, 2, 3], [1, 2, 3])


def queued_by_two(app, webhook_id):
    def fan_out():
        races.attempt(app, lambda: services.webhooks().fan_out(webhook_id, "*"))

    with app.app_context():
        services.assign_positions()
    races.overtake((WebhookRepository, "fan_out"), fan_out, fan_out)


def test_two_who_write_deliveries_at_once_write_each_once(app, hooks):
    queued_by_two(app, queue(hooks, 6))
    assert (hooks.states(), hooks.shop.broken()) == ({"queued": 6}, [])


@on_postgresql
def test_twin_who_do_not_lock_the_webhook_write_the_same(app, hooks):
    """And are stopped by the unique constraint."""
    webhook_id = queue(hooks, 6)
    with races.unlocked(app, UNLOCKED), pytest.raises(IntegrityError):
        queued_by_two(app, webhook_id)


@on_postgresql
def test_a_delivery_that_is_settled_while_it_is_claimed_is_left_alone(app, hooks):
    """A worker wakes up after its lease, and says what became of a delivery, just as another takes it for due."""
    webhook_id = queue(hooks, 2)
    queue_all(app)
    claim = partial(races.attempt, app, lambda: services.webhooks().claim(webhook_id, 1, "frozen", 0.001))
    settle = partial(races.attempt, app, lambda: services.webhooks().webhooks.settle("frozen", 1, **DELIVERED_NOW))
    assert list(claim()) == [1]
    hooks.shop.execute("UPDATE webhook_deliveries SET next_attempt_at = queued_at")
    with in_between(settle):
        assert list(races.attempt(app, lambda: services.webhooks().claim(webhook_id, 9, "next", 600))) == [2]
    assert hooks.shop.rows("SELECT state FROM webhook_deliveries ORDER BY id") == ["delivered", "sending"]


@contextmanager
def in_between(work):
    """Let `work` be done when a claim has seen what is due and has not taken it yet."""
    with pytest.MonkeyPatch.context() as patch:

        def update_later(table):
            if table is repository.deliveries and not done:
                done.append(True)
                with ThreadPoolExecutor(1) as pool:
                    pool.submit(work).result()
            return update(table)

        done: list[bool] = []
        patch.setattr("bookshop.webhooks.repository.update", update_later)
        yield
        assert done
