"""SIGKILL of webhook workers: nothing is lost, and only the delivery in progress may be repeated."""

import os
import signal
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from functools import partial

import pytest
from sqlalchemy import update

from bookshop import create_app
from bookshop.kit.outbox import WorkerTiming
from bookshop.webhooks.models import Delivery
from bookshop.webhooks.repository import WebhookRepository
from bookshop.webhooks.worker import WebhookWorker
from tests.mailer.test_mail_kills import DEADLINE, WorkerPool, wait_until, worker_pool, write
from tests.support.receiver import HANG
from tests.support.settings import SECRET_KEY, settings_for

TIMING = WorkerTiming(batch=2, timeout=10, lease=30, poll=0.05, pause=0.05, longest_pause=0.1)
EVENTS, KILLS = 100, 12


def run_worker(url, authority, prepare=None):
    """Run a worker process: the webhooks of `flask worker` with other timing."""
    os.environ["SSL_CERT_FILE"] = authority
    app = create_app(settings_for(url, webhook_private=True, database_pool=2))
    if prepare:
        prepare(app)
    worker = WebhookWorker(TIMING)
    worker.stop_on_signals()
    with app.app_context():
        worker.run()


class WebhookWorkerPool(WorkerPool):
    """Webhook workers."""

    target = staticmethod(run_worker)


def undelivered(webhooks):
    return webhooks.shop.rows("SELECT count(*) FROM webhook_deliveries WHERE state <> 'delivered'")[0]


def positions(webhooks):
    return webhooks.shop.rows("SELECT min(position) FROM webhooks")[0]


def was_called(receiver, event_id):
    return event_id in receiver.event_ids


def end_leases(webhooks):
    """End the leases of dead workers."""
    for one in webhooks.deliveries():
        if one.lease:
            earlier = update(Delivery).where(Delivery.id == one.id)
            write(webhooks.shop, earlier.values(next_attempt_at=one.next_attempt_at - timedelta(seconds=TIMING.lease)))


def pool(number, url, *prepare):
    return worker_pool(number, url, os.environ["SSL_CERT_FILE"], *prepare, kind=WebhookWorkerPool)


@pytest.mark.prove
def test_killed_workers_lose_nothing_and_repeat_at_most_what_they_were_sending(webhooks, receiver, database_url):
    """Kill workers while the receiver keeps them waiting, at evenly spread deliveries."""
    webhooks.make_events(1)
    webhooks.register(receiver.url)
    ids = webhooks.make_events(EVENTS)
    hung = ids[:: EVENTS // KILLS][:KILLS]
    receiver.faults = dict.fromkeys(hung, HANG)
    with pool(1, database_url) as workers:
        for event_id in hung:
            wait_until(partial(was_called, receiver, event_id))
            workers.kill_one()
            receiver.faults = {one: HANG for one in receiver.faults if one != event_id}
            end_leases(webhooks)
            workers.start()
        wait_until(lambda: positions(webhooks) == ids[-1] and undelivered(webhooks) == 0)
        assert workers.end() == [0]
    times = Counter(receiver.event_ids)
    assert set(times) == set(ids)
    assert sum(times.values()) - EVENTS <= KILLS
    assert webhooks.shop.broken() == []


def without_lease_expiry(_app):
    """A fault to be detected: a claimed delivery is never claimed again."""
    claim = WebhookRepository.claim

    def claim_for_long(self, webhook_id, number, lease, _seconds):
        return claim(self, webhook_id, number, lease, 10 * DEADLINE)

    WebhookRepository.claim = claim_for_long  # type: ignore[method-assign]


def undelivered_after_kill(webhooks, receiver, url, *fault):
    """Kill a worker during a batch and let its lease end; return how many deliveries are then undelivered."""
    webhooks.make_events(1)
    webhooks.register(receiver.url)
    webhooks.make_events(TIMING.batch)
    receiver.fault = HANG
    with pool(1, url, *fault) as workers:
        assert receiver.hangs.wait(DEADLINE)
        workers.kill_one()
    receiver.fault = 200
    end_leases(webhooks)
    webhooks.run_worker()
    return undelivered(webhooks)


def test_a_killed_workers_delivery_is_made_after_its_lease(webhooks, receiver, database_url):
    assert undelivered_after_kill(webhooks, receiver, database_url) == 0


def test_workers_with_endless_leases_are_detected(webhooks, receiver, database_url):
    assert undelivered_after_kill(webhooks, receiver, database_url, without_lease_expiry) == TIMING.batch


def test_flask_worker_delivers_and_stops_at_sigterm(webhooks, receiver, database_url, repository_root):
    webhooks.register(receiver.url)
    webhooks.make_events(1)
    others = {name: value for name, value in os.environ.items() if not name.startswith("BOOKSHOP_")}
    settings = {"BOOKSHOP_SECRET_KEY": SECRET_KEY, "BOOKSHOP_DATABASE_URL": database_url}
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", "worker"],
        cwd=repository_root,
        env=others | settings | {"BOOKSHOP_WEBHOOK_PRIVATE": "true"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        wait_until(lambda: webhooks.states() == {"delivered": 3})
        process.send_signal(signal.SIGTERM)
        output, _errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, output) == (0, "nothing was sent\nwebhooks: 3 delivered\n")
