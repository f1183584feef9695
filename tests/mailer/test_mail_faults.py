"""A mail server that fails in every way that it can: nothing is lost, nothing is sent twice without need."""

import re
import sqlite3
import threading
from contextlib import closing
from dataclasses import replace
from datetime import timedelta

import pytest

from bookshop.extensions import db
from bookshop.kit.database import now
from bookshop.kit.outbox import WorkerTiming
from bookshop.mailer.worker import Worker
from tests.support import smtp
from tests.support.smtp import AFTER, BODY, CONNECT, DATA, DROP, MAIL, QUICK, RCPT, SHIFTED, SLOW, STUTTER, Fault

pytestmark = pytest.mark.one_postgresql_case

MINUTE, JITTER = timedelta(minutes=1), timedelta(seconds=15)
CUT, IMPATIENT = "closed", "in time|closed"
# What is wrong with the server, and what staff read about it.
FOR_LATER = {
    "421 at the greeting": (Fault(CONNECT, "421 Too many connections"), "421 Too many connections"),
    "421 at the sender": (Fault(MAIL, "421 Closing"), "421 Closing"),
    "421 at the recipient": (Fault(RCPT, "421 Closing"), "421 Closing"),
    "450 at the recipient": (Fault(RCPT, "450 Mailbox busy"), "450 Mailbox busy"),
    "451 at the recipient": (Fault(RCPT, "451 Greylisted"), "451 Greylisted"),
    "452 at DATA": (Fault(DATA, "452 Disk full"), "452 Disk full"),
    "550 at the sender": (Fault(MAIL, "550 Who are you?"), "550 Who"),
    "drop before DATA": (Fault(DATA, DROP), CUT),
    "slow to greet": (Fault(CONNECT, SLOW), IMPATIENT),
    "slow at the recipient": (Fault(RCPT, SLOW), IMPATIENT),
    "stutter at the greeting": (Fault(CONNECT, STUTTER), f"22|{IMPATIENT}"),
    "stutter at the recipient": (Fault(RCPT, STUTTER), f"22|{IMPATIENT}"),
    "answers not asked for": (Fault(RCPT, SHIFTED), "250"),
}
FOR_GOOD = {
    "550 at the recipient": (Fault(RCPT, "550 No such user"), "550 No such user"),
    "552 at DATA": (Fault(DATA, "552 Too big"), "552 Too big"),
    "552 after the message": (Fault(BODY, "552 Mailbox full"), "552 Mailbox full"),
    "bytes that no database keeps": (Fault(RCPT, "550 No\x00body \x1b[31m"), "550 No body [31m"),
}
TAKEN = {"drop after DATA": (Fault(BODY, DROP), CUT), "slow after DATA": (Fault(BODY, SLOW), IMPATIENT)}
FEW = 5
PATIENT = WorkerTiming(batch=2, timeout=10, lease=600, poll=0.01)
# Where the server never answers. Long enough for one that answers on a busy machine.
HASTY = WorkerTiming(batch=1, timeout=1, lease=600, poll=0.01)


def slow_ones_later(name, fault, _words):
    """The case of a fault; those that cost a timeout belong to the long proofs."""
    return pytest.param(name, marks=pytest.mark.prove) if fault.does in {SLOW, STUTTER} else name


def queue_for(post, fault):
    """Queue messages, few where each costs a timeout; returns their addresses, and the pace for a worker."""
    return (post.queue(2), HASTY) if fault.does in {SLOW, STUTTER} else (post.queue(FEW), PATIENT)


def assert_put_off(post, words, begun):
    """All wait a minute, more or less, and say why (a pattern)."""
    found = post.messages()
    assert {(one.state, one.attempts) for one in found} == {("queued", 1)}
    assert [one.last_error for one in found if not re.search(words, str(one.last_error))] == []
    assert all(begun + MINUTE - JITTER <= one.next_attempt_at <= now() + MINUTE + JITTER for one in found)


def assert_all_arrive(post, emails, times=1):
    """When the fault is over all arrive, so often, and each time under the same Message-ID."""
    post.sink.fault = None
    post.end_the_wait()
    post.work()
    assert post.sink.recipients == dict.fromkeys(emails, times)
    assert set(post.sink.times.values()) == {times}
    assert (post.states(), post.shop.broken()) == ({"sent": len(emails)}, [])


@pytest.mark.parametrize("fault", [slow_ones_later(name, *FOR_LATER[name]) for name in FOR_LATER])
def test_what_the_server_cannot_take_now_waits_a_minute_and_then_arrives_once(post, sink, fault):
    begun, (sink.fault, words) = now(), FOR_LATER[fault]
    emails, timing = queue_for(post, sink.fault)
    post.work(timing)
    assert sink.received == []
    assert_put_off(post, words, begun)
    assert_all_arrive(post, emails)


def test_while_no_server_is_there_all_wait_a_minute_and_then_arrive_once(post):
    emails, begun = post.queue(FEW), now()
    with smtp.closed_port() as url:
        post.use(url)
        post.work(PATIENT)
    assert_put_off(post, "refused", begun)
    post.use(post.sink.url)
    assert_all_arrive(post, emails)


@pytest.mark.parametrize("fault", TAKEN)
def test_what_the_server_took_without_saying_so_comes_again_under_the_same_message_id(post, sink, fault):
    begun, (sink.fault, words) = now(), TAKEN[fault]
    emails, timing = queue_for(post, sink.fault)
    post.work(timing)
    assert sink.recipients == dict.fromkeys(emails, 1)
    assert_put_off(post, words, begun)
    assert_all_arrive(post, emails, times=2)


@pytest.mark.parametrize("fault", FOR_GOOD)
def test_what_the_server_refuses_for_good_has_failed_at_once_with_its_words(post, sink, fault):
    post.queue(FEW)
    sink.fault, words = FOR_GOOD[fault]
    post.work()
    assert {(one.state, one.attempts, one.last_error) for one in post.messages()} == {("failed", 1, words)}
    assert (sink.received, post.shop.broken()) == ([], [])


@pytest.mark.parametrize("at", [AFTER, MAIL])
def test_a_server_that_serves_one_message_at_a_time_is_called_again_for_each(post, sink, at):
    """It hangs up after its 250, or says 421 when it is offered the next one."""
    emails = post.queue(FEW)
    if at == AFTER:
        sink.fault = Fault(AFTER, DROP)
    else:
        sink.SMTP_kwargs.update(command_call_limit={"MAIL": 1, "*": 100})
    worker = post.work()
    assert sink.recipients == dict.fromkeys(emails, 1)
    assert worker.done == post.states() == {"sent": FEW}
    assert {one.attempts for one in post.messages()} == {1}
    assert sink.connections > FEW


def test_one_bad_recipient_does_not_keep_the_others(post, sink):
    bad, *others = post.queue(FEW)
    sink.unknown = {bad}
    post.work()
    assert sink.recipients == dict.fromkeys(others, 1)
    assert post.states() == {"sent": FEW - 1, "failed": 1}
    assert [one.recipient for one in post.messages() if one.state == "failed"] == [bad]


@pytest.mark.usefixtures("own_order")
@pytest.mark.parametrize("at", [CONNECT, RCPT, BODY])
def test_while_a_server_keeps_a_worker_waiting_the_shop_answers_and_no_transaction_is_open(
    app, post, sink, web_client, at
):
    """Seen by what is locked, not by how long anything takes."""
    sink.fault = Fault(at, SLOW)
    worker = threading.Thread(target=post.work, args=(WorkerTiming(batch=1, timeout=30, lease=600),))
    worker.start()
    assert sink.hangs.wait(60)
    try:
        assert web_client().get("/books").status_code == 200
        assert web_client("ada@example.com").get("/orders").status_code == 200
        with app.app_context():
            assert_nobody_is_in_the_way(db.engine)
    finally:
        sink.fault = None
        worker.join(60)
    assert not worker.is_alive()


@pytest.fixture
def own_order(shop, post):
    """An order's message, as its letter asks more of the database than any other."""
    user_id = shop.customer("ada@example.com")
    shop.order(user_id, {shop.book(stock=1): 1})


def assert_nobody_is_in_the_way(engine):
    """Nobody writes, and nobody reads in a transaction."""
    if engine.dialect.name == "sqlite":
        with closing(sqlite3.connect(engine.url.database, timeout=0, isolation_level=None)) as other:
            other.executescript("BEGIN IMMEDIATE; COMMIT")
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0  # 1 if somebody reads
        return
    with engine.connect() as other:
        others = "datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
        assert other.exec_driver_sql(f"SELECT query FROM pg_stat_activity WHERE {others}").all() == []


def test_a_server_that_never_answers_is_left_after_the_timeout(app, post, sink):
    """With the pace of `flask worker`, but for the timeout."""
    assert WorkerTiming().timeout < 60
    post.queue(2)
    sink.fault = Fault(RCPT, SLOW)
    with app.app_context():
        assert Worker(replace(WorkerTiming(), timeout=HASTY.timeout)).send_batch() is False
    assert sorted(one.attempts for one in post.messages()) == [0, 1]
    assert post.states() == {"queued": 2}


def test_a_server_that_stutters_at_the_good_bye_does_not_hold_a_worker(post, sink, monkeypatch):
    emails = post.queue(2)
    monkeypatch.setattr(smtp._Session, "smtp_QUIT", lambda session, _arg: session._misbehave(STUTTER))
    sink.fault = Fault("QUIT", STUTTER)
    post.work(WorkerTiming(batch=2, timeout=1, lease=600))
    assert sink.recipients == dict.fromkeys(emails, 1)
    assert post.states() == {"sent": 2}


def test_a_connection_that_is_lost_in_a_reset_costs_nothing_but_a_wait(post, sink, monkeypatch):
    bad, *others = post.queue(FEW)
    sink.unknown = {bad}
    monkeypatch.setattr(smtp._Session, "smtp_RSET", lambda session, _arg: session._misbehave(DROP))
    post.work(QUICK)
    assert_only_failed(post, bad)
    monkeypatch.undo()
    post.use(sink.url)
    post.end_the_wait()
    post.work()
    assert sink.recipients == dict.fromkeys(others, 1)


def assert_only_failed(post, email):
    assert [one.recipient for one in post.messages() if one.state == "failed"] == [email]
