"""Signs of life of the worker: written by both loops, also during a long batch, and never in the way of sending."""

import importlib
import os
import signal
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from bookshop.extensions import db
from bookshop.kit import outbox
from bookshop.mailer.worker import MailWorker
from bookshop.operations import beats
from bookshop.operations.beats import record_beat
from bookshop.webhooks.worker import WebhookWorker
from tests.operations.test_health import age_beats, ask, beat
from tests.support.databases import BY_TEST
from tests.support.smtp import FAST

NUMBER = 5


@pytest.fixture(autouse=True)
def _signals():
    """`flask worker` replaces the handlers of this process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_worker_that_runs_once_says_so_for_both_its_loops(shop):
    assert shop.app.test_cli_runner().invoke(args=["worker", "--once"]).exit_code == 0
    assert sorted(shop.rows("SELECT loop FROM worker_beats")) == ["mail", "webhooks"]
    assert ask(shop.app, "/health/worker") == (200, "")


def test_a_worker_that_is_stopped_no_longer_counts_as_alive(shop, monkeypatch):
    seen = []

    def beat_and_stop(worker, loop):
        record_beat(worker, loop)
        if loop == "mail":
            seen.extend(shop.rows("SELECT loop FROM worker_beats WHERE loop = 'mail'"))
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(importlib.import_module("bookshop.cli.worker"), "record_beat", beat_and_stop)
    assert shop.app.test_cli_runner().invoke(args=["worker"]).exit_code == 0
    assert (seen, shop.rows("SELECT loop FROM worker_beats")) == (["mail"], [])


def test_a_loop_says_that_it_is_alive_between_any_two_messages(app, mail_queue, monkeypatch):
    monkeypatch.setattr(outbox, "BEAT_INTERVAL", 0)
    mail_queue.queue(NUMBER)
    worker, seen = MailWorker(FAST), []
    worker.on_beat = lambda: seen.append(worker.outcomes["sent"])
    with app.app_context():
        worker.run_once()
    assert set(range(NUMBER)) <= set(seen)


def test_a_loop_says_that_it_is_alive_between_any_two_deliveries(app, webhooks, receiver, monkeypatch):
    monkeypatch.setattr(outbox, "BEAT_INTERVAL", 0)
    webhooks.register(receiver.url)
    webhooks.make_events(1)
    worker, seen = WebhookWorker(), []
    worker.on_beat = lambda: seen.append(worker.outcomes["delivered"])
    with app.app_context():
        worker.run_once()
    assert set(range(worker.outcomes["delivered"])) <= set(seen)
    assert worker.outcomes["delivered"] > 1


def test_a_loop_that_rests_says_that_it_is_alive_and_writes_only_every_few_seconds(app, monkeypatch):
    worker, seen = MailWorker(FAST), []

    def on_beat():
        seen.append(1)
        worker.stop()

    worker.on_beat = on_beat
    monkeypatch.setattr(outbox, "STOP_CHECK", 0)
    worker._sleep(60)
    worker.stopping = False
    with app.app_context():
        worker.run_once()
    assert seen == [1]


@contextmanager
def locked(app):
    """Lock the signs of life: on SQLite, the whole database."""
    with app.app_context(), db.engine.connect().execution_options(**{BY_TEST: True}) as connection:
        is_sqlite = db.engine.dialect.name == "sqlite"
        if is_sqlite:
            connection.exec_driver_sql("COMMIT")
        connection.execute(text("BEGIN IMMEDIATE" if is_sqlite else "LOCK TABLE worker_beats"))
        yield is_sqlite
        connection.rollback()


def test_a_lock_does_not_stop_the_worker_from_sending(app, mail_queue, smtp_server, monkeypatch, caplog):
    monkeypatch.setattr(beats, "TIMEOUT", 0.05)
    emails, worker = mail_queue.queue(NUMBER), MailWorker(FAST)
    worker.on_beat = lambda: record_beat("w", "mail")
    with locked(app) as is_sqlite, app.app_context():
        worker.beat()
        if not is_sqlite:
            worker.run_once()
    mail_queue.run_worker()
    assert (mail_queue.shop.rows("SELECT worker FROM worker_beats"), len(emails)) == ([], len(smtp_server.received))
    assert "worker loop mail: could not record that it is alive: Busy" in caplog.text


def test_without_a_database_the_worker_goes_on(app, monkeypatch, caplog):
    def fail(*_given):
        raise db.exc.OperationalError("INSERT", {}, Exception("read-only"))

    monkeypatch.setattr(beats, "in_transaction", fail)
    with app.app_context():
        record_beat("w", "mail")
    assert "could not record that it is alive: OperationalError" in caplog.text


def test_old_signs_of_life_are_deleted_by_new_ones_but_the_last_ones_stay(app, shop):
    for worker in ("first", "second"):
        beat(shop, "mail", 0, worker)
    age_beats(shop, 3601)
    assert len(shop.rows("SELECT worker FROM worker_beats")) == 2
    with app.app_context():
        for _time in range(2):
            record_beat("third", "mail")
    assert shop.rows("SELECT worker FROM worker_beats") == ["third"]
