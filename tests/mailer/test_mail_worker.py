"""The worker: stopping, lost leases, and database outages."""

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
from bookshop.kit.backoff import JITTER, LONGEST_WAIT, MAX_ATTEMPTS, delay_after
from bookshop.kit.database import now
from bookshop.kit.exceptions import OutcomeUnknown
from bookshop.kit.outbox import WorkerTiming
from bookshop.mail.repository import MessageRepository
from bookshop.mailer import worker as worker_module
from bookshop.mailer.compose import compose
from bookshop.mailer.worker import MailWorker
from bookshop.web import services
from tests.support import smtp
from tests.support.smtp import FAST, MailQueue, SmtpServer

NUMBER, DAY = 5, 24 * 3600


def states(mail_queue):
    return [message.state for message in mail_queue.messages()]


def test_a_stopping_worker_finishes_its_message_and_releases_the_others(mail_queue, smtp_server):
    mail_queue.queue(NUMBER)
    worker = MailWorker(FAST)
    smtp_server.on_message = lambda _one: worker.stop()
    mail_queue.run_worker(worker=worker)
    assert [(one.state, one.attempts) for one in mail_queue.messages()] == [("sent", 1)] + [("queued", 0)] * (
        NUMBER - 1
    )
    smtp_server.on_message = None
    mail_queue.run_worker()
    assert set(smtp_server.count_by_id.values()) == {1}


def test_an_idle_worker_rests_until_it_is_told_to_stop(app):
    worker = MailWorker(WorkerTiming(poll=3600))
    worker.stop()
    with app.app_context():
        worker.run()
    assert worker.outcomes == {}


@pytest.fixture
def once(app):
    """Run `flask worker --once`; return its exit code and output."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def run():
        done = app.test_cli_runner().invoke(args=["worker", "--once"])
        return done.exit_code, done.output

    yield run
    for number, handler in before.items():
        signal.signal(number, handler)


def test_once_exits_with_a_code_that_tells_whether_the_mail_server_answered(mail_queue, smtp_server, once):
    assert once() == (0, "nothing was sent\n")
    mail_queue.queue(2)
    with smtp.closed_port() as url:
        mail_queue.use(url)
        assert once() == (1, "2 queued\n")
    mail_queue.use(smtp_server.url)
    mail_queue.make_all_due()
    assert once() == (0, "2 sent\n")


LOST = [OperationalError("COMMIT", {}, Exception("the server closed the connection")), OutcomeUnknown()]


@contextmanager
def losing_commits(app, error=LOST[0]):
    """Yield a function that makes the next commits, as many as given, fail with a lost connection."""
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
def test_a_message_sent_while_the_database_went_away_is_not_sent_twice(app, mail_queue, smtp_server, stopped, error):
    """Not even if the worker is stopped meanwhile."""
    emails, worker = mail_queue.queue(3), MailWorker(FAST)

    def received(_one):
        smtp_server.on_message = None
        lose(3)
        if stopped:
            worker.stop()

    smtp_server.on_message = received
    with losing_commits(app, error) as lose:
        mail_queue.run_worker(worker=worker)
    assert states(mail_queue) == (["sent", "queued", "queued"] if stopped else ["sent"] * 3)
    mail_queue.run_worker()
    assert smtp_server.recipients == dict.fromkeys(emails, 1)


def test_unsent_messages_are_released_when_the_database_returns(app, mail_queue, smtp_server, monkeypatch):
    """At once, and not when its lease would have ended."""
    emails = mail_queue.queue(3)

    def lost(*_given):
        lose(3)
        raise OperationalError("SELECT", {}, Exception("the server closed the connection"))

    with monkeypatch.context() as patch, losing_commits(app) as lose, app.app_context():
        patch.setattr(worker_module, "compose", lost)
        with pytest.raises(OperationalError):
            MailWorker(FAST).send_batch()
    assert {(one.state, one.attempts) for one in mail_queue.messages()} == {("queued", 0)}
    mail_queue.run_worker()
    assert smtp_server.recipients == dict.fromkeys(emails, 1)


@pytest.mark.parametrize("error", LOST, ids=["away", "unknown"])
def test_a_worker_survives_a_database_outage(app, mail_queue, smtp_server, monkeypatch, error):
    emails, tries = mail_queue.queue(2), []
    has_due, worker = MessageRepository.has_due, MailWorker(FAST)

    def away(self):
        tries.append(self)
        if len(tries) <= 3:
            raise error
        return has_due(self)

    monkeypatch.setattr(MessageRepository, "has_due", away)
    smtp_server.on_message = lambda _one: worker.stop() if smtp_server.received else None
    with app.app_context():
        worker.run()
    assert smtp_server.recipients == dict.fromkeys(emails, 1)


@pytest.mark.parametrize("error", [ValueError("no\x00 such word"), NoResultFound("no such row"), KeyError()])
def test_a_message_that_cannot_be_composed_waits_and_does_not_block_others(mail_queue, smtp_server, monkeypatch, error):
    bad, *others = mail_queue.queue(NUMBER)

    def written(message, reset):
        if message.recipient == bad:
            raise error
        return compose(message, reset)

    monkeypatch.setattr(worker_module, "compose", written)
    mail_queue.run_worker()
    assert smtp_server.recipients == dict.fromkeys(others, 1)
    assert states(mail_queue) == ["queued"] + ["sent"] * (NUMBER - 1)
    assert mail_queue.messages()[0].last_error in {"no such word", "no such row", "KeyError"}


def test_a_message_whose_lease_was_lost_is_left_to_the_other_worker(mail_queue, smtp_server):
    taken, *others = [message.recipient for message in reversed((mail_queue.queue(3), mail_queue.messages())[1])]
    smtp_server.on_message = lambda _one: mail_queue.shop.execute(
        "UPDATE messages SET lease = 'other' WHERE recipient = :to", to=taken
    )
    mail_queue.run_worker()
    assert smtp_server.recipients == dict.fromkeys(others, 1)
    assert [(one.state, one.lease) for one in mail_queue.messages() if one.recipient == taken] == [("sending", "other")]


def test_a_worker_without_its_lease_does_not_overwrite_anothers_result(mail_queue, smtp_server):
    """A slow worker sends a message that another has claimed: the other's result counts."""
    mail_queue.queue(1)
    smtp_server.on_message = lambda _one: mail_queue.shop.execute("UPDATE messages SET lease = 'other', attempts = 7")
    mail_queue.run_worker()
    assert [(one.state, one.lease, one.attempts) for one in mail_queue.messages()] == [("sending", "other", 7)]


def test_a_dead_workers_messages_are_sent_by_another_after_the_lease(mail_queue, smtp_server):
    emails = mail_queue.queue(2)
    mail_queue.shop.commit(lambda: services.mail().claim(2, "dead", 600))
    assert mail_queue.run_worker().outcomes == {}
    mail_queue.shop.execute("UPDATE messages SET next_attempt_at = created_at")
    assert mail_queue.run_worker().outcomes == {"sent": 2}
    assert smtp_server.recipients == dict.fromkeys(emails, 1)
    assert [one.attempts for one in mail_queue.messages()] == [1, 1]


def test_a_lease_shorter_than_its_batch_may_take_is_refused():
    with pytest.raises(ValueError, match="lease"):
        WorkerTiming(batch=10, timeout=60, lease=600)


def encrypted(authority):
    """Return the options of a localhost server with a certificate of this authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return context


@pytest.mark.parametrize(("scheme", "option"), [("smtps", "ssl_context"), ("smtp+starttls", "tls_context")])
def test_with_an_untrusted_certificate_mail_waits_and_the_reason_is_shown(app, monkeypatch, tmp_path, scheme, option):
    authority = trustme.CA()
    with SmtpServer(**{option: encrypted(authority)}) as smtp_server:
        mail_queue = MailQueue(app, smtp_server, monkeypatch)
        mail_queue.use(f"{scheme}://localhost:{smtp_server.port}")
        mail_queue.queue(1)
        mail_queue.run_worker()
        (message,) = mail_queue.messages()
        assert (message.state, message.attempts, smtp_server.received) == ("queued", 1, [])
        assert "certificate verify failed" in str(message.last_error)
        authority.cert_pem.write_to_path(tmp_path / "authority.pem")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
        mail_queue.make_all_due()
        mail_queue.run_worker()
        assert (states(mail_queue), len(smtp_server.received)) == (["sent"], 1)


def test_without_tls_nothing_is_sent_if_tls_is_required(mail_queue, smtp_server):
    mail_queue.use(smtp_server.url.replace("smtp:", "smtp+starttls:"))
    mail_queue.queue(1)
    mail_queue.run_worker()
    (message,) = mail_queue.messages()
    assert (message.state, smtp_server.received) == ("queued", [])
    assert "STARTTLS" in str(message.last_error)


@pytest.mark.parametrize(
    ("login", "smtp_error"),
    [("shop%40example.com:p%40ss%3Aw%25rd", None), ("shop:wrong", "535"), ("shop:geh%C3%A4imn%C3%AFs", "ascii")],
)
def test_the_shop_logs_in_to_its_mail_server_with_the_urls_credentials(app, monkeypatch, login, smtp_error):
    def known(_server, _session, _envelope, _mechanism, data):
        return AuthResult(success=(data.login, data.password) == (b"shop@example.com", b"p@ss:w%rd"), handled=False)

    with SmtpServer(authenticator=known, auth_require_tls=False) as smtp_server:
        mail_queue = MailQueue(app, smtp_server, monkeypatch)
        mail_queue.use(smtp_server.url.replace("//", f"//{login}@"))
        mail_queue.queue(1)
        mail_queue.run_worker()
        (message,) = mail_queue.messages()
        assert (message.state, len(smtp_server.received)) == (("queued", 0) if smtp_error else ("sent", 1))
        assert (smtp_error or "") in str(message.last_error)


@pytest.mark.parametrize("attempts", [0, 1, 7, 8, MAX_ATTEMPTS - 2, MAX_ATTEMPTS - 1])
def test_an_unsendable_message_backs_off_and_fails_after_three_days(shop, mail_queue, attempts):
    mail_queue.queue(1)
    begun, wait = now(), timedelta(seconds=delay_after(attempts))
    shop.execute("UPDATE messages SET attempts = :attempts", attempts=attempts)
    with smtp.closed_port() as url:
        mail_queue.use(url)
        mail_queue.run_worker()
    (message,) = mail_queue.messages()
    assert message.attempts == attempts + 1
    assert "refused" in str(message.last_error)
    if attempts + 1 == MAX_ATTEMPTS:
        assert (message.state, str(message.last_error)[:19]) == ("failed", "Given up after 3 da")
    else:
        assert message.state == "queued"
        assert begun + (1 - JITTER) * wait <= message.next_attempt_at <= now() + (1 + JITTER) * wait


def test_the_retry_delays_add_up_to_three_days():
    waits = [delay_after(attempts) for attempts in range(MAX_ATTEMPTS - 1)]
    assert waits[:9] == [60 * 2**attempts for attempts in range(8)] + [LONGEST_WAIT]
    assert set(waits[8:]) == {LONGEST_WAIT}
    assert abs(sum(waits) - 3 * DAY) < LONGEST_WAIT
    assert JITTER == 0.25
