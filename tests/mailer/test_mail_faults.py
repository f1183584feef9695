"""A mail server that fails in every way: nothing is lost, nothing is sent twice unnecessarily."""

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
from bookshop.mailer.worker import MailWorker
from tests.support import smtp
from tests.support.smtp import AFTER, BODY, CONNECT, DATA, DROP, FAST, MAIL, RCPT, SHIFTED, SLOW, STUTTER, Fault

pytestmark = pytest.mark.one_postgresql_case

MINUTE, JITTER = timedelta(minutes=1), timedelta(seconds=15)
CUT, IMPATIENT = "closed", "in time|closed"
# The server's fault, and the text shown to staff.
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
# For a server that never replies. Long enough for one that does on a busy machine.
SHORT_TIMEOUT = WorkerTiming(batch=1, timeout=1, lease=600, poll=0.01)


def fault_case(name, fault, _words):
    """Create the case of a fault; those that cost a timeout run only with `make prove`."""
    return pytest.param(name, marks=pytest.mark.prove) if fault.does in {SLOW, STUTTER} else name


def queue_for(mail_queue, fault):
    """Queue messages, fewer if each costs a timeout; return their addresses and a worker's timing."""
    return (mail_queue.queue(2), SHORT_TIMEOUT) if fault.does in {SLOW, STUTTER} else (mail_queue.queue(FEW), PATIENT)


def assert_deferred(mail_queue, words, begun):
    """Assert that all messages wait about a minute, with an error that matches the pattern."""
    found = mail_queue.messages()
    assert {(one.state, one.attempts) for one in found} == {("queued", 1)}
    assert [one.last_error for one in found if not re.search(words, str(one.last_error))] == []
    assert all(begun + MINUTE - JITTER <= one.next_attempt_at <= now() + MINUTE + JITTER for one in found)


def assert_all_arrive(mail_queue, emails, times=1):
    """Assert that all arrive after the fault is over, this many times, each under one Message-ID."""
    mail_queue.smtp_server.fault = None
    mail_queue.make_all_due()
    mail_queue.run_worker()
    assert mail_queue.smtp_server.recipients == dict.fromkeys(emails, times)
    assert set(mail_queue.smtp_server.count_by_id.values()) == {times}
    assert (mail_queue.states(), mail_queue.shop.broken()) == ({"sent": len(emails)}, [])


@pytest.mark.parametrize("fault", [fault_case(name, *FOR_LATER[name]) for name in FOR_LATER])
def test_a_temporary_rejection_waits_a_minute_and_then_arrives_once(mail_queue, smtp_server, fault):
    begun, (smtp_server.fault, words) = now(), FOR_LATER[fault]
    emails, timing = queue_for(mail_queue, smtp_server.fault)
    mail_queue.run_worker(timing)
    assert smtp_server.received == []
    assert_deferred(mail_queue, words, begun)
    assert_all_arrive(mail_queue, emails)


def test_without_a_mail_server_all_messages_wait_a_minute_and_then_arrive_once(mail_queue):
    emails, begun = mail_queue.queue(FEW), now()
    with smtp.closed_port() as url:
        mail_queue.use(url)
        mail_queue.run_worker(PATIENT)
    assert_deferred(mail_queue, "refused", begun)
    mail_queue.use(mail_queue.smtp_server.url)
    assert_all_arrive(mail_queue, emails)


@pytest.mark.parametrize("fault", TAKEN)
def test_an_unacknowledged_message_is_resent_with_the_same_message_id(mail_queue, smtp_server, fault):
    begun, (smtp_server.fault, words) = now(), TAKEN[fault]
    emails, timing = queue_for(mail_queue, smtp_server.fault)
    mail_queue.run_worker(timing)
    assert smtp_server.recipients == dict.fromkeys(emails, 1)
    assert_deferred(mail_queue, words, begun)
    assert_all_arrive(mail_queue, emails, times=2)


@pytest.mark.parametrize("fault", FOR_GOOD)
def test_a_permanent_rejection_fails_at_once_with_its_reason(mail_queue, smtp_server, fault):
    mail_queue.queue(FEW)
    smtp_server.fault, words = FOR_GOOD[fault]
    mail_queue.run_worker()
    assert {(one.state, one.attempts, one.last_error) for one in mail_queue.messages()} == {("failed", 1, words)}
    assert (smtp_server.received, mail_queue.shop.broken()) == ([], [])


@pytest.mark.parametrize("at", [AFTER, MAIL])
def test_a_server_that_takes_one_message_per_connection_is_reconnected(mail_queue, smtp_server, at):
    """It disconnects after its 250, or replies 421 to the next message."""
    emails = mail_queue.queue(FEW)
    if at == AFTER:
        smtp_server.fault = Fault(AFTER, DROP)
    else:
        smtp_server.SMTP_kwargs.update(command_call_limit={"MAIL": 1, "*": 100})
    worker = mail_queue.run_worker()
    assert smtp_server.recipients == dict.fromkeys(emails, 1)
    assert worker.outcomes == mail_queue.states() == {"sent": FEW}
    assert {one.attempts for one in mail_queue.messages()} == {1}
    assert smtp_server.connections > FEW


def test_one_bad_recipient_does_not_block_the_others(mail_queue, smtp_server):
    bad, *others = mail_queue.queue(FEW)
    smtp_server.unknown = {bad}
    mail_queue.run_worker()
    assert smtp_server.recipients == dict.fromkeys(others, 1)
    assert mail_queue.states() == {"sent": FEW - 1, "failed": 1}
    assert [one.recipient for one in mail_queue.messages() if one.state == "failed"] == [bad]


@pytest.mark.usefixtures("own_order")
@pytest.mark.parametrize("at", [CONNECT, RCPT, BODY])
def test_a_slow_mail_server_blocks_no_shop_request_and_no_transaction_stays_open(
    app, mail_queue, smtp_server, web_client, at
):
    """Checked by locks, not by timing."""
    smtp_server.fault = Fault(at, SLOW)
    worker = threading.Thread(target=mail_queue.run_worker, args=(WorkerTiming(batch=1, timeout=30, lease=600),))
    worker.start()
    assert smtp_server.hangs.wait(60)
    try:
        assert web_client().get("/books").status_code == 200
        assert web_client("ada@example.com").get("/orders").status_code == 200
        with app.app_context():
            assert_no_locks(db.engine)
    finally:
        smtp_server.fault = None
        worker.join(60)
    assert not worker.is_alive()


@pytest.fixture
def own_order(shop, mail_queue):
    """An order message, whose text needs the most database queries."""
    user_id = shop.customer("ada@example.com")
    shop.order(user_id, {shop.book(stock=1): 1})


def assert_no_locks(engine):
    """Assert that no write lock is held and no transaction is open."""
    if engine.dialect.name == "sqlite":
        with closing(sqlite3.connect(engine.url.database, timeout=0, isolation_level=None)) as other:
            other.executescript("BEGIN IMMEDIATE; COMMIT")
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0  # 1 if there is a reader
        return
    with engine.connect() as other:
        others = "datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL"
        assert other.exec_driver_sql(f"SELECT query FROM pg_stat_activity WHERE {others}").all() == []


def test_an_unresponsive_server_is_abandoned_after_the_timeout(app, mail_queue, smtp_server):
    """With the timing of `flask worker`, except for the timeout."""
    assert WorkerTiming().timeout < 60
    mail_queue.queue(2)
    smtp_server.fault = Fault(RCPT, SLOW)
    with app.app_context():
        assert MailWorker(replace(WorkerTiming(), timeout=SHORT_TIMEOUT.timeout)).send_batch() is False
    assert sorted(one.attempts for one in mail_queue.messages()) == [0, 1]
    assert mail_queue.states() == {"queued": 2}


def test_a_server_that_stutters_at_quit_does_not_block_a_worker(mail_queue, smtp_server, monkeypatch):
    emails = mail_queue.queue(2)
    monkeypatch.setattr(smtp._Session, "smtp_QUIT", lambda session, _arg: session._misbehave(STUTTER))
    smtp_server.fault = Fault("QUIT", STUTTER)
    mail_queue.run_worker(WorkerTiming(batch=2, timeout=1, lease=600))
    assert smtp_server.recipients == dict.fromkeys(emails, 1)
    assert mail_queue.states() == {"sent": 2}


def test_a_connection_lost_during_rset_only_delays_the_message(mail_queue, smtp_server, monkeypatch):
    bad, *others = mail_queue.queue(FEW)
    smtp_server.unknown = {bad}
    monkeypatch.setattr(smtp._Session, "smtp_RSET", lambda session, _arg: session._misbehave(DROP))
    mail_queue.run_worker(FAST)
    assert_only_failed(mail_queue, bad)
    monkeypatch.undo()
    mail_queue.use(smtp_server.url)
    mail_queue.make_all_due()
    mail_queue.run_worker()
    assert smtp_server.recipients == dict.fromkeys(others, 1)


def assert_only_failed(mail_queue, email):
    assert [one.recipient for one in mail_queue.messages() if one.state == "failed"] == [email]
