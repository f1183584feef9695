"""Kill -9 of workers that deliver to webhooks: nothing is lost, and only what was in hand may come twice."""

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
from tests.mailer.test_mail_kills import DEADLINE, Crew, crew_of, wait_until, write
from tests.support.receiver import HANG
from tests.support.settings import SECRET_KEY, settings_for

PACE = WorkerTiming(batch=2, timeout=10, lease=30, poll=0.05, pause=0.05, longest_pause=0.1)
EVENTS, KILLS = 100, 12


def call(url, authority, prepare=None):
    """What each worker's process does: the webhooks of `flask worker` at another pace."""
    os.environ["SSL_CERT_FILE"] = authority
    app = create_app(settings_for(url, webhook_private=True, database_pool=2))
    if prepare:
        prepare(app)
    worker = WebhookWorker(PACE)
    worker.stop_on_signals()
    with app.app_context():
        worker.run()


class Callers(Crew):
    """Workers that deliver to webhooks."""

    target = staticmethod(call)


def undelivered(hooks):
    return hooks.shop.rows("SELECT count(*) FROM webhook_deliveries WHERE state <> 'delivered'")[0]


def places(hooks):
    return hooks.shop.rows("SELECT min(position) FROM webhooks")[0]


def was_called(receiver, event_id):
    return event_id in receiver.event_ids


def end_the_lease(hooks):
    """Let the leases of dead workers end."""
    for one in hooks.deliveries():
        if one.lease:
            earlier = update(Delivery).where(Delivery.id == one.id)
            write(hooks.shop, earlier.values(next_attempt_at=one.next_attempt_at - timedelta(seconds=PACE.lease)))


def crew(number, url, *prepare):
    return crew_of(number, url, os.environ["SSL_CERT_FILE"], *prepare, kind=Callers)


@pytest.mark.prove
def test_killed_workers_lose_nothing_and_double_at_most_what_they_had_in_hand(hooks, receiver, database_url):
    """Each is killed while the receiver keeps it waiting with one of its deliveries, at evenly spread ones."""
    hooks.happen(1)
    hooks.register(receiver.url)
    ids = hooks.happen(EVENTS)
    hung = ids[:: EVENTS // KILLS][:KILLS]
    receiver.faults = dict.fromkeys(hung, HANG)
    with crew(1, database_url) as workers:
        for event_id in hung:
            wait_until(partial(was_called, receiver, event_id))
            workers.kill_one()
            receiver.faults = {one: HANG for one in receiver.faults if one != event_id}
            end_the_lease(hooks)
            workers.hire()
        wait_until(lambda: places(hooks) == ids[-1] and undelivered(hooks) == 0)
        assert workers.end() == [0]
    times = Counter(receiver.event_ids)
    assert set(times) == set(ids)
    assert sum(times.values()) - EVENTS <= KILLS
    assert hooks.shop.broken() == []


def forgets_the_dead(_app):
    """The fault that the kills are to find: what was taken is never taken again."""
    claim = WebhookRepository.claim

    def for_ever(self, webhook_id, number, lease, _seconds):
        return claim(self, webhook_id, number, lease, 10 * DEADLINE)

    WebhookRepository.claim = for_ever  # type: ignore[method-assign]


def left_by_the_dead(hooks, receiver, url, *fault):
    """Kill a worker with a batch in hand and let the time of its lease pass; returns how many are undelivered then."""
    hooks.happen(1)
    hooks.register(receiver.url)
    hooks.happen(PACE.batch)
    receiver.fault = HANG
    with crew(1, url, *fault) as workers:
        assert receiver.hangs.wait(DEADLINE)
        workers.kill_one()
    receiver.fault = 200
    end_the_lease(hooks)
    hooks.work()
    return undelivered(hooks)


def test_what_a_killed_worker_had_in_hand_is_delivered_when_its_lease_has_ended(hooks, receiver, database_url):
    assert left_by_the_dead(hooks, receiver, database_url) == 0


def test_twin_workers_whose_lease_does_not_end_are_caught(hooks, receiver, database_url):
    assert left_by_the_dead(hooks, receiver, database_url, forgets_the_dead) == PACE.batch


def test_flask_worker_delivers_and_ends_at_sigterm(hooks, receiver, database_url, repository_root):
    hooks.register(receiver.url)
    hooks.happen(1)
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
        wait_until(lambda: hooks.states() == {"delivered": 3})
        process.send_signal(signal.SIGTERM)
        said, _errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert (process.returncode, said) == (0, "nothing was sent\nwebhooks: 3 delivered\n")
