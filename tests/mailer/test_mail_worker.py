"""The worker: how it ends, what it does with messages that are not its own, and while the database is away."""

import signal
import ssl
from contextlib import contextmanager
from datetime import timedelta

import pytest
import trustme
from aiosmtpd.smtp import AuthResult
from sqlalchemy import event
from sqlalchemy.exc import NoResultFound, OperationalError

from bookshop.extensions import db
from bookshop.kit.backoff import JITTER, LONGEST_WAIT, MOST_ATTEMPTS, wait_after
from bookshop.kit.database import now
from bookshop.kit.exceptions import OutcomeUnknown
from bookshop.kit.outbox import WorkerTiming
from bookshop.mail.repository import MessageRepository
from bookshop.mailer import worker as worker_module
from bookshop.mailer.compose import compose
from bookshop.mailer.worker import Worker
from bookshop.web import services
from tests.support import smtp
from tests.support.smtp import QUICK, Post, Sink

NUMBER, DAY = 5, 24 * 3600


def states(post):
    return [message.state for message in post.messages()]


def test_one_who_is_told_to_stop_finishes_the_message_in_hand_and_gives_back_the_others(post, sink):
    post.queue(NUMBER)
    worker = Worker(QUICK)
    sink.look = lambda _one: worker.stop()
    post.work(worker=worker)
    assert [(one.state, one.attempts) for one in post.messages()] == [("sent", 1)] + [("queued", 0)] * (NUMBER - 1)
    sink.look = None
    post.work()
    assert set(sink.times.values()) == {1}


def test_a_worker_that_has_nothing_to_do_rests_until_it_is_told_to_stop(app):
    worker = Worker(WorkerTiming(poll=3600))
    worker.stop()
    with app.app_context():
        worker.run()
    assert worker.done == {}


@pytest.fixture
def once(app):
    """Runs `flask worker --once`; returns its exit code and what it says."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def run():
        done = app.test_cli_runner().invoke(args=["worker", "--once"])
        return done.exit_code, done.output

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


def test_once_says_by_its_exit_code_whether_the_mail_server_was_there(post, sink, once):
    assert once() == (0, "nothing was sent\n")
    post.queue(2)
    with smtp.closed_port() as url:
        post.use(url)
        assert once() == (1, "2 queued\n")
    post.use(sink.url)
    post.end_the_wait()
    assert once() == (0, "2 sent\n")


LOST = [OperationalError("COMMIT", {}, Exception("the server closed the connection")), OutcomeUnknown()]


@contextmanager
def losing_commits(app, error=LOST[0]):
    """Yields a function: from when it is called with a number, so many commits find no database."""
    left: list[None] = []

    def lose(_connection):
        if left:
            left.pop()
            raise error

    with app.app_context():
        engine = db.engine
    event.listen(engine, "commit", lose)
    try:
        yield lambda number: left.extend([None] * number)
    finally:
        event.remove(engine, "commit", lose)


@pytest.mark.parametrize("error", LOST, ids=["away", "unknown"])
@pytest.mark.parametrize("stopped", [False, True])
def test_a_database_that_is_away_when_a_message_was_sent_does_not_make_it_go_out_twice(app, post, sink, stopped, error):
    """Not even if the worker is told to stop meanwhile."""
    emails, worker = post.queue(3), Worker(QUICK)

    def received(_one):
        sink.look = None
        lose(3)
        if stopped:
            worker.stop()

    sink.look = received
    with losing_commits(app, error) as lose:
        post.work(worker=worker)
    assert states(post) == (["sent", "queued", "queued"] if stopped else ["sent"] * 3)
    post.work()
    assert sink.recipients == dict.fromkeys(emails, 1)


def test_what_a_worker_has_not_tried_is_given_back_when_the_database_is_there_again(app, post, sink, monkeypatch):
    """At once, and not when its lease would have ended."""
    emails = post.queue(3)

    def lost(*_given):
        lose(3)
        raise OperationalError("SELECT", {}, Exception("the server closed the connection"))

    with monkeypatch.context() as patch, losing_commits(app) as lose, app.app_context():
        patch.setattr(worker_module, "compose", lost)
        with pytest.raises(OperationalError):
            Worker(QUICK).send_batch()
    assert {(one.state, one.attempts) for one in post.messages()} == {("queued", 0)}
    post.work()
    assert sink.recipients == dict.fromkeys(emails, 1)


@pytest.mark.parametrize("error", LOST, ids=["away", "unknown"])
def test_a_worker_outlasts_a_database_that_is_away(app, post, sink, monkeypatch, error):
    emails, tries = post.queue(2), []
    has_due, worker = MessageRepository.has_due, Worker(QUICK)

    def away(self):
        tries.append(self)
        if len(tries) <= 3:
            raise error
        return has_due(self)

    monkeypatch.setattr(MessageRepository, "has_due", away)
    sink.look = lambda _one: worker.stop() if sink.received else None
    with app.app_context():
        worker.run()
    assert sink.recipients == dict.fromkeys(emails, 1)


@pytest.mark.parametrize("error", [ValueError("no\x00 such word"), NoResultFound("no such row"), KeyError()])
def test_a_letter_that_cannot_be_written_waits_and_does_not_keep_the_others(post, sink, monkeypatch, error):
    bad, *others = post.queue(NUMBER)

    def written(message, reset):
        if message.recipient == bad:
            raise error
        return compose(message, reset)

    monkeypatch.setattr(worker_module, "compose", written)
    post.work()
    assert sink.recipients == dict.fromkeys(others, 1)
    assert states(post) == ["queued"] + ["sent"] * (NUMBER - 1)
    assert post.messages()[0].last_error in {"no such word", "no such row", "KeyError"}


def test_a_message_whose_lease_was_lost_is_left_to_the_other_worker(post, sink):
    taken, *others = [message.recipient for message in reversed((post.queue(3), post.messages())[1])]
    sink.look = lambda _one: post.shop.execute("UPDATE messages SET lease = 'other' WHERE recipient = :to", to=taken)
    post.work()
    assert sink.recipients == dict.fromkeys(others, 1)
    assert [(one.state, one.lease) for one in post.messages() if one.recipient == taken] == [("sending", "other")]


def test_nobody_writes_over_what_another_worker_noted_after_the_lease_was_lost(post, sink):
    """Too slow, a worker sends what another one has by now: what the other one notes is what counts."""
    post.queue(1)
    sink.look = lambda _one: post.shop.execute("UPDATE messages SET lease = 'other', attempts = 7")
    post.work()
    assert [(one.state, one.lease, one.attempts) for one in post.messages()] == [("sending", "other", 7)]


def test_what_a_dead_worker_had_is_sent_by_another_when_its_lease_has_ended(post, sink):
    emails = post.queue(2)
    post.shop.commit(lambda: services.mail().claim(2, "dead", 600))
    assert post.work().done == {}
    post.shop.execute("UPDATE messages SET next_attempt_at = created_at")
    assert post.work().done == {"sent": 2}
    assert sink.recipients == dict.fromkeys(emails, 1)
    assert [one.attempts for one in post.messages()] == [1, 1]


def test_a_lease_that_may_end_before_its_batch_is_refused():
    with pytest.raises(ValueError, match="lease"):
        WorkerTiming(batch=10, timeout=60, lease=600)


def encrypted(authority):
    """What makes a server of localhost that this authority vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.mark.parametrize(("scheme", "option"), [("smtps", "ssl_context"), ("smtp+starttls", "tls_context")])
def test_a_certificate_that_nobody_vouches_for_keeps_the_mail_back_and_is_shown(
    app, monkeypatch, tmp_path, scheme, option
):
    authority = trustme.CA()
    with Sink(**{option: encrypted(authority)}) as sink:
        post = Post(app, sink, monkeypatch)
        post.use(f"{scheme}://localhost:{sink.port}")
        post.queue(1)
        post.work()
        (message,) = post.messages()
        assert (message.state, message.attempts, sink.received) == ("queued", 1, [])
        assert "certificate verify failed" in str(message.last_error)
        authority.cert_pem.write_to_path(tmp_path / "authority.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        post.end_the_wait()
        post.work()
        assert (states(post), len(sink.received)) == (["sent"], 1)


def test_a_server_that_offers_no_encryption_gets_nothing_if_it_is_wanted(post, sink):
    post.use(sink.url.replace("smtp:", "smtp+starttls:"))
    post.queue(1)
    post.work()
    (message,) = post.messages()
    assert (message.state, sink.received) == ("queued", [])
    assert "STARTTLS" in str(message.last_error)


@pytest.mark.parametrize(
    ("login", "said"),
    [("shop%40example.com:p%40ss%3Aw%25rd", None), ("shop:wrong", "535"), ("shop:geh%C3%A4imn%C3%AFs", "ascii")],
)
def test_the_shop_logs_in_at_its_mail_server_as_the_url_says(app, monkeypatch, login, said):
    def known(_server, _session, _envelope, _mechanism, data):
        return AuthResult(success=(data.login, data.password) == (b"shop@example.com", b"p@ss:w%rd"), handled=False)

    with Sink(authenticator=known, auth_require_tls=False) as sink:
        post = Post(app, sink, monkeypatch)
        post.use(sink.url.replace("//", f"//{login}@"))
        post.queue(1)
        post.work()
        (message,) = post.messages()
        assert (message.state, len(sink.received)) == (("queued", 0) if said else ("sent", 1))
        assert (said or "") in str(message.last_error)


@pytest.mark.parametrize("attempts", [0, 1, 7, 8, MOST_ATTEMPTS - 2, MOST_ATTEMPTS - 1])
def test_a_message_that_cannot_be_sent_waits_longer_each_time_and_fails_after_three_days(shop, post, attempts):
    post.queue(1)
    begun, wait = now(), timedelta(seconds=wait_after(attempts))
    shop.execute("UPDATE messages SET attempts = :attempts", attempts=attempts)
    with smtp.closed_port() as url:
        post.use(url)
        post.work()
    (message,) = post.messages()
    assert message.attempts == attempts + 1
    assert "refused" in str(message.last_error)
    if attempts + 1 == MOST_ATTEMPTS:
        assert (message.state, str(message.last_error)[:19]) == ("failed", "Given up after 3 da")
    else:
        assert message.state == "queued"
        assert begun + (1 - JITTER) * wait <= message.next_attempt_at <= now() + (1 + JITTER) * wait


def test_the_waits_come_to_three_days():
    waits = [wait_after(attempts) for attempts in range(MOST_ATTEMPTS - 1)]
    assert waits[:9] == [60 * 2**attempts for attempts in range(8)] + [LONGEST_WAIT]
    assert set(waits[8:]) == {LONGEST_WAIT}
    assert abs(sum(waits) - 3 * DAY) < LONGEST_WAIT
    assert JITTER == 0.25
