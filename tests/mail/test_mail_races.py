"""Workers that run while everything else happens: no message twice, none before the commit, whatever the clocks say."""

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
from bookshop.mailer.worker import Worker
from bookshop.web import services
from tests.support import races, smtp
from tests.support.smtp import HOST, QUICK

STAFF, DAY = "staff@example.com", 24 * 3600
restocks = pytest.mark.parametrize("number", [50, pytest.param(1000, marks=pytest.mark.prove)])


# -- two workers


def claim(app, lease):
    return set(races.attempt(app, lambda: services.mail().claim(3, lease, 600)))


def claimed_by_two(app, point):
    """What two workers get of six messages; the second comes when the first has passed a point."""
    return races.overtake(point, partial(claim, app, "first"), partial(claim, app, "second"))


def test_two_workers_at_once_never_get_the_same_message(app, post):
    post.queue(6)
    first, second = claimed_by_two(app, (MessageRepository, "claim"))
    assert (len(first), len(second), first & second) == (3, 3, set())


class Plainly(MessageRepository):
    """A claim as one would write it at first: look what is due, then take it."""

    @staticmethod
    def look(session, number):
        return session.scalars(select(messages.c.id).order_by(messages.c.id).limit(number)).all()

    def claim(self, number, lease, seconds):
        ids = Plainly.look(self.session, number)
        self.session.execute(update(messages).where(messages.c.id.in_(ids)).values(state=SENDING, lease=lease))
        return dict.fromkeys(ids, 0)


def test_twin_workers_that_look_before_they_take_get_the_same_messages(app, post, monkeypatch):
    post.queue(6)
    monkeypatch.setattr(MessageRepository, "claim", Plainly.claim)
    with races.unlocked(app, {}):
        first, second = claimed_by_two(app, (Plainly, "look"))
    assert first == second


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_twin_workers_without_skip_locked_get_the_same_messages(app, post):
    post.queue(6)
    with races.unlocked(app, {" FOR UPDATE SKIP LOCKED": ""}):
        first, second = claimed_by_two(app, (MessageRepository, "claim"))
    assert first == second


def test_four_workers_at_once_send_each_message_once(post, sink):
    emails = post.queue(60)
    workers = races.together([post.work] * 4)
    assert sink.recipients == dict.fromkeys(emails, 1)
    assert sum(worker.done["sent"] for worker in workers) == 60
    assert (post.states(), post.shop.broken()) == ({"sent": 60}, [])


# -- clocks


@pytest.fixture
def day_ahead(monkeypatch):
    """From when this is called, Python's clock is a day ahead."""

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


def test_a_worker_whose_clock_is_a_day_ahead_claims_nothing_that_another_has(app, post, day_ahead):
    post.queue(6)
    first = claim(app, "first")
    day_ahead()
    assert claim(app, "second") & first == set()
    assert claim(app, "third") == set()


def test_a_worker_whose_clock_is_a_day_ahead_waits_like_the_others(post, sink, day_ahead):
    post.queue(2)
    with smtp.closed_port() as url:
        post.use(url)
        post.work()
    day_ahead()
    post.use(sink.url)
    assert post.work().done == {}


def test_twin_a_claim_by_the_clock_of_the_worker_is_caught(app, post, day_ahead, monkeypatch):
    post.queue(3)
    monkeypatch.setattr(repository, "later", lambda seconds: database.now() + timedelta(seconds=seconds))
    first = claim(app, "first")
    day_ahead()
    assert claim(app, "second") == first


# -- commits


@contextmanager
def failing_commits(app):
    """The database refuses every commit of a transaction that queued a message."""

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


def test_a_restock_whose_commit_fails_queues_and_sends_nothing(app, post, sink, api_client):
    post.shop.staff(STAFF)
    book_id, staff = smtp.waiting(post.shop, 5), api_client(STAFF)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    with failing_commits(app):
        assert staff.set_stock(book_id, 1).status_code == 500
    assert (post.messages(), post.work().done, sink.received) == ([], {}, [])
    assert set(post.shop.statuses(book_id)) == {"waiting"}
    assert staff.set_stock(book_id, 1).json["notified_count"] == 5
    assert post.work().done == {"sent": 5}


def looks_up(post):
    """Returns a function for the mail server, and the list in which that notes messages of which nobody can know yet.

    It looks with a connection of its own, which sees nothing that is not committed.
    """
    early = []
    with post.app.app_context():
        engine = db.engine

    def look(received):
        prebook_id = received.message_id.split(".")[1]
        with engine.connect() as connection:
            notified = text("SELECT status FROM prebookings WHERE id = :id")
            if connection.scalar(notified, {"id": prebook_id}) != "notified":
                early.append(received)

    return look, early


@contextmanager
def worker_running(app):
    worker = Worker(QUICK)

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


def books_waited_for(shop, number):
    """So many books, each of which a customer waits for."""
    books, (customer,) = races.many_books(shop, number), races.many_customers(shop, 1)
    shop.execute("UPDATE users SET email_confirmed_at = created_at")
    races.waits_for_all(shop, customer, books)
    return books


@restocks
def test_a_worker_never_sends_before_the_commit_is_there_for_all_to_see(app, post, sink, number):
    sink.look, early = looks_up(post)
    books = books_waited_for(post.shop, number)
    with worker_running(app) as worker:
        for book_id in books:
            post.shop.set_stock(book_id, 1)
        while worker.done["sent"] < number:
            time.sleep(0.01)
    assert (early, len(sink.received), set(sink.times.values())) == ([], number, {1})
    assert post.shop.broken() == []


def test_twin_a_shop_that_writes_to_the_mail_server_in_the_transaction_is_caught(post, sink, monkeypatch):
    """As one would write it at first."""
    sink.look, early = looks_up(post)

    def send_at_once(self, notified):
        with smtplib.SMTP(HOST, sink.port) as server:
            for number, email in enumerate(notified, 1):
                server.sendmail("shop@example.com", email, f"Message-ID: <restock.{number}.x@example.com>\r\n\r\nhere")

    monkeypatch.setattr(AlertService, "queue", send_at_once)
    assert len(post.queue(3)) == len(early) == 3


def test_an_alert_that_is_stopped_while_a_worker_takes_it_is_either_sent_or_stopped(app, post, sink):
    """The worker has it already, so the stock set back to 0 cannot stop it; but it is looked at once more."""
    book_id = smtp.waiting(post.shop, 2)
    post.shop.set_stock(book_id, 1)
    sink.look = lambda _one: post.shop.set_stock(book_id, 0)
    post.work()
    assert post.states() == {"sent": 1, "suppressed": 1}
    assert len(sink.received) == 1
    assert post.shop.broken() == []
