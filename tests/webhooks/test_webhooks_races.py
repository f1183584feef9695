"""Concurrent workers: no delivery is claimed or queued twice, and a webhook has one worker at a time."""

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
on_postgresql = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # SQLite has a single writer
DELIVERED_NOW = {"state": DELIVERED, "delivered_at": later(0)}
UNLOCKED = {" FOR NO KEY UPDATE SKIP LOCKED": "", " FOR NO KEY UPDATE": ""}
# Besides the lock: whether it is due is not checked again at the claim.
IS_DUE = " AND state IN ('queued', 'sending') AND webhook_deliveries.next_attempt_at <= "


def queue(webhooks, number):
    webhooks.make_events(1)
    webhook_id = webhooks.register(URL)
    webhooks.make_events(number)
    return webhook_id


def queue_all(app):
    with app.app_context():
        WebhookWorker().queue_new()


def claimed_by_two(app, webhook_id):
    """Let two workers claim from six deliveries; the second starts when the first has claimed three."""

    def claim(lease):
        return list(races.result_or_code(app, lambda: services.webhooks().claim(webhook_id, 3, lease, 600)))

    return races.interleave((WebhookRepository, "claim"), partial(claim, "first"), partial(claim, "second"))


def test_a_webhook_claimed_by_one_worker_is_not_claimed_by_another(app, webhooks):
    webhook_id = queue(webhooks, 6)
    queue_all(app)
    assert claimed_by_two(app, webhook_id) == ([1, 2, 3], [])
    assert races.result_or_code(app, lambda: services.webhooks().claim(webhook_id, 3, "third", 600)) == []
    webhooks.shop.execute("UPDATE webhook_deliveries SET next_attempt_at = queued_at")  # the lease has ended
    assert races.result_or_code(app, lambda: services.webhooks().claim(webhook_id, 9, "fourth", 600)) == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]


@on_postgresql
def test_workers_that_do_not_lock_the_webhook_claim_the_same_deliveries(app, webhooks):
    webhook_id = queue(webhooks, 6)
    queue_all(app)
    with races.without_lock(app, UNLOCKED | {IS_DUE: " AND '1900-01-01' <= "}):
        assert claimed_by_two(app, webhook_id) == ([1, 2, 3], [1, 2, 3])


def queued_by_two(app, webhook_id):
    def fan_out():
        races.result_or_code(app, lambda: services.webhooks().fan_out(webhook_id, "*"))

    with app.app_context():
        services.assign_positions()
    races.interleave((WebhookRepository, "fan_out"), fan_out, fan_out)


def test_two_concurrent_queueings_write_each_delivery_once(app, webhooks):
    queued_by_two(app, queue(webhooks, 6))
    assert (webhooks.states(), webhooks.shop.broken()) == ({"queued": 6}, [])


@on_postgresql
def test_without_the_webhook_lock_both_queue_the_same_deliveries(app, webhooks):
    """The unique constraint stops them."""
    webhook_id = queue(webhooks, 6)
    with races.without_lock(app, UNLOCKED), pytest.raises(IntegrityError):
        queued_by_two(app, webhook_id)


@on_postgresql
def test_a_delivery_settled_while_it_is_claimed_is_left_alone(app, webhooks):
    """A worker resumes after its lease and records a delivery's result just as another claims it."""
    webhook_id = queue(webhooks, 2)
    queue_all(app)
    claim = partial(races.result_or_code, app, lambda: services.webhooks().claim(webhook_id, 1, "frozen", 0.001))
    settle = partial(
        races.result_or_code, app, lambda: services.webhooks().webhooks.settle("frozen", 1, **DELIVERED_NOW)
    )
    assert list(claim()) == [1]
    webhooks.shop.execute("UPDATE webhook_deliveries SET next_attempt_at = queued_at")
    with in_between(settle):
        assert list(races.result_or_code(app, lambda: services.webhooks().claim(webhook_id, 9, "next", 600))) == [2]
    assert webhooks.shop.rows("SELECT state FROM webhook_deliveries ORDER BY id") == ["delivered", "sending"]


@contextmanager
def in_between(work):
    """Run `work` after a claim has selected what is due but before it is claimed."""
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
