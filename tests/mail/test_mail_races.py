"""Concurrent workers: no message is sent twice or before the commit, even with wrong clocks."""

import smtplib
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import event, select, text, update

from bookshop.alerts.service import AlertService
from bookshop.extensions import db
from bookshop.kit import database
from bookshop.mail import repository
from bookshop.mail.models import SENDING
from bookshop.mail.repository import MessageRepository, messages
from bookshop.mailer.worker import MailWorker
from bookshop.web import services
from tests.support import races, smtp
from tests.support.smtp import FAST, HOST

STAFF, DAY = "staff@example.com", 24 * 3600
restocks = pytest.mark.parametrize("number", [50, pytest.param(1000, marks=pytest.mark.prove)])


# -- two workers


def claim(app, lease):
    return set(races.result_or_code(app, lambda: services.mail().claim(3, lease, 600)))


def claimed_by_two(app, point):
    """Let two workers claim from six messages; the second starts when the first has passed a point."""
    return races.interleave(point, partial(claim, app, "first"), partial(claim, app, "second"))


def test_two_concurrent_workers_never_claim_the_same_message(app, mail_queue):
    mail_queue.queue(6)
    first, second = claimed_by_two(app, (MessageRepository, "claim"))
    assert (len(first), len(second), first & second) == (3, 3, set())


class NaiveClaim(MessageRepository):
    """A naive claim: select what is due, then take it."""

    @staticmethod
    def look(session, number):
        return session.scalars(select(messages.c.id).order_by(messages.c.id).limit(number)).all()

    def claim(self, number, lease, seconds):
        ids = NaiveClaim.look(self.session, number)
        self.session.execute(update(messages).where(messages.c.id.in_(ids)).values(state=SENDING, lease=lease))
        return dict.fromkeys(ids, 0)


def test_workers_that_select_before_they_claim_get_the_same_messages(app, mail_queue, monkeypatch):
    mail_queue.queue(6)
    monkeypatch.setattr(MessageRepository, "claim", NaiveClaim.claim)
    with races.without_lock(app, {}):
        first, second = claimed_by_two(app, (NaiveClaim, "look"))
    assert first == second


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_workers_without_skip_locked_get_the_same_messages(app, mail_queue):
    mail_queue.queue(6)
    with races.without_lock(app, {" FOR UPDATE SKIP LOCKED": ""}):
        first, second = claimed_by_two(app, (MessageRepository, "claim"))
    assert first == second


def test_four_concurrent_workers_send_each_message_once(mail_queue, smtp_server):
    emails = mail_queue.queue(60)
    workers = races.run_concurrently([mail_queue.run_worker] * 4)
    assert smtp_server.recipients == dict.fromkeys(emails, 1)
    assert sum(worker.outcomes["sent"] for worker in workers) == 60
    assert (mail_queue.states(), mail_queue.shop.broken()) == ({"sent": 60}, [])


# -- clocks


@pytest.fixture
def day_ahead(monkeypatch):
    """A function that sets Python's clock a day ahead."""

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.fromtimestamp(time.time(), tz)

    real = time.time

    def begin():
        monkeypatch.setattr(time, "time", lambda: real() + DAY)
        monkeypatch.setattr(database, "datetime", Tomorrow)
        assert database.now() > datetime.fromtimestamp(real() + DAY - 60, UTC)

    return begin


def test_a_worker_whose_clock_is_a_day_ahead_claims_no_leased_message(app, mail_queue, day_ahead):
    mail_queue.queue(6)
    first = claim(app, "first")
    day_ahead()
    assert claim(app, "second") & first == set()
    assert claim(app, "third") == set()


def test_a_worker_whose_clock_is_a_day_ahead_waits_like_the_others(mail_queue, smtp_server, day_ahead):
    mail_queue.queue(2)
    with smtp.closed_port() as url:
        mail_queue.use(url)
        mail_queue.run_worker()
    day_ahead()
    mail_queue.use(smtp_server.url)
    assert mail_queue.run_worker().outcomes == {}


def test_a_claim_by_the_workers_own_clock_takes_leased_messages(app, mail_queue, day_ahead, monkeypatch):
    mail_queue.queue(3)
    monkeypatch.setattr(repository, "later", lambda seconds: database.now() + timedelta(seconds=seconds))
    first = claim(app, "first")
    day_ahead()
    assert claim(app, "second") == first


# -- commits


@contextmanager
def failing_commits(app):
    """Make every commit fail that queued a message."""

    def refuse(connection):
        if connection.scalar(text("SELECT count(*) FROM messages")):
            raise RuntimeError("no room on the disk")

    with app.app_context():
        engine = db.engine
    event.listen(engine, "commit", refuse)
    try:
        yield
    finally:
        event.remove(engine, "commit", refuse)


def test_a_restock_whose_commit_fails_queues_and_sends_nothing(app, mail_queue, smtp_server, api_client):
    mail_queue.shop.staff(STAFF)
    book_id, staff = smtp.book_with_waiting_customers(mail_queue.shop, 5), api_client(STAFF)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    with failing_commits(app):
        assert staff.set_stock(book_id, 1).status_code == 500
    assert (mail_queue.messages(), mail_queue.run_worker().outcomes, smtp_server.received) == ([], {}, [])
    assert set(mail_queue.shop.statuses(book_id)) == {"waiting"}
    assert staff.set_stock(book_id, 1).json["notified_count"] == 5
    assert mail_queue.run_worker().outcomes == {"sent": 5}


def commit_checker(mail_queue):
    """Return a callback for the mail server, and the list of messages it got before their commit was visible.

    The callback uses its own connection, which sees only committed data.
    """
    early = []
    with mail_queue.app.app_context():
        engine = db.engine

    def on_message(received):
        prebook_id = received.message_id.split(".")[1]
        with engine.connect() as connection:
            notified = text("SELECT status FROM prebookings WHERE id = :id")
            if connection.scalar(notified, {"id": prebook_id}) != "notified":
                early.append(received)

    return on_message, early


@contextmanager
def worker_running(app):
    worker = MailWorker(FAST)

    def run():
        with app.app_context():
            worker.run()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield worker
    finally:
        worker.stop()
        thread.join(60)


def reserved_books(shop, number):
    """Create this many books with one waiting customer each."""
    books, (customer,) = races.insert_books(shop, number), races.insert_customers(shop, 1)
    races.insert_reservations(shop, customer, books)
    return books


@restocks
def test_a_worker_sends_only_after_the_commit_is_visible_to_all(app, mail_queue, smtp_server, number):
    smtp_server.on_message, early = commit_checker(mail_queue)
    books = reserved_books(mail_queue.shop, number)
    with worker_running(app) as worker:
        for book_id in books:
            mail_queue.shop.set_stock(book_id, 1)
        while worker.outcomes["sent"] < number:
            time.sleep(0.01)
    assert (early, len(smtp_server.received), set(smtp_server.count_by_id.values())) == ([], number, {1})
    assert mail_queue.shop.broken() == []


def test_talking_to_the_mail_server_in_the_transaction_is_detected(mail_queue, smtp_server, monkeypatch):
    """The naive way."""
    smtp_server.on_message, early = commit_checker(mail_queue)

    def send_at_once(self, notified):
        with smtplib.SMTP(HOST, smtp_server.port) as server:
            for number, email in enumerate(notified, 1):
                server.sendmail("shop@example.com", email, f"Message-ID: <restock.{number}.x@example.com>\r\n\r\nhere")

    monkeypatch.setattr(AlertService, "queue", send_at_once)
    assert len(mail_queue.queue(3)) == len(early) == 3


def test_an_alert_stopped_while_a_worker_claims_it_is_either_sent_or_stopped(app, mail_queue, smtp_server):
    """The worker has claimed it already, so setting the stock back to 0 cannot stop it; but it is checked again."""
    book_id = smtp.book_with_waiting_customers(mail_queue.shop, 2)
    mail_queue.shop.set_stock(book_id, 1)
    smtp_server.on_message = lambda _one: mail_queue.shop.set_stock(book_id, 0)
    mail_queue.run_worker()
    assert mail_queue.states() == {"sent": 1, "suppressed": 1}
    assert len(smtp_server.received) == 1
    assert mail_queue.shop.broken() == []
