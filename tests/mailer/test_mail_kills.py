"""SIGKILL of workers: nothing is lost, and only the message being sent may be sent twice."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.process import BaseProcess
from random import Random
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import update

from bookshop import create_app
from bookshop.extensions import db
from bookshop.kit.outbox import WorkerTiming
from bookshop.mail.models import Message
from bookshop.mail.repository import MessageRepository
from bookshop.mailer.worker import MailWorker
from tests.support.forks import processes
from tests.support.settings import settings_for

TIMING = WorkerTiming(batch=2, timeout=10, lease=30, poll=0.05, pause=0.05, longest_pause=0.1)
WORKERS, DEADLINE = 4, 300
MESSAGES, KILLS = 600, 30


def run_worker(url: str, smtp_url: str, prepare: Callable[[Flask], Any] | None = None) -> None:
    """Run a worker process: `flask worker` with other timing."""
    app = create_app(settings_for(url, smtp_url=smtp_url, database_pool=2))
    if prepare:
        prepare(app)
    worker = MailWorker(TIMING)
    worker.stop_on_signals()
    with app.app_context():
        worker.run()


class WorkerPool:
    """Workers in separate processes."""

    target: Callable[..., None] = staticmethod(run_worker)

    def __init__(self, *arguments: Any) -> None:
        self.arguments, self.workers, self.killed, self.chance = arguments, list[BaseProcess](), 0, Random(1)

    def start(self, number: int = 1) -> None:
        for _one in range(number):
            worker = processes.Process(target=self.target, args=self.arguments)
            worker.start()
            self.workers.append(worker)

    def refill(self, number: int) -> bool:
        """Start as many workers as are missing; always return True."""
        self.start(number - len(self.workers))
        return True

    def kill_one(self, *_message: Any) -> None:
        """Send SIGKILL to one of them, possibly the one that is sending."""
        worker = self.chance.choice(self.workers)
        self.workers.remove(worker)
        worker.kill()
        worker.join(60)
        self.killed += 1

    def end(self) -> list[int | None]:
        """Stop all workers; return their exit codes."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.join(60)
        return [worker.exitcode for worker in self.workers]


@contextmanager
def worker_pool(number: int, *arguments: Any, kind: type[WorkerPool] = WorkerPool) -> Iterator[WorkerPool]:
    pool = kind(*arguments)
    try:
        pool.start(number)
        yield pool
    finally:
        pool.end()


def wait_until(done: Callable[[], Any]) -> None:
    """Wait until a condition set by other processes is true; fail at the deadline."""
    end = time.monotonic() + DEADLINE
    while not done():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.05)


def count(mail_queue, condition):
    return mail_queue.shop.rows(f"SELECT count(*) FROM messages WHERE {condition}")[0]


def kill_while_sending(mail_queue, pool):
    """Kill a worker at evenly spread messages, before the server acknowledges them, and start another each time.

    Return when nothing is left to send until the leases of the dead workers end.
    """
    each = MESSAGES // (KILLS + 1)

    def on_message(_one):
        if pool.killed < min(KILLS, (len(mail_queue.smtp_server.received) + 1) // each):
            pool.kill_one()

    mail_queue.smtp_server.on_message = on_message
    wait_until(lambda: pool.refill(WORKERS) and pool.killed == KILLS and count(mail_queue, "state = 'queued'") == 0)


def send_after_leases(mail_queue):
    """End the leases of dead workers and send what is due then."""
    for one in mail_queue.messages():
        if one.lease:
            earlier = update(Message).where(Message.id == one.id)
            write(
                mail_queue.shop, earlier.values(next_attempt_at=one.next_attempt_at - timedelta(seconds=TIMING.lease))
            )
    mail_queue.run_worker()


def write(shop, statement):
    with shop.app.app_context():
        db.session.execute(statement)
        db.session.commit()


@pytest.mark.prove
def test_killed_workers_lose_nothing_and_repeat_at_most_what_they_were_sending(mail_queue, smtp_server, database_url):
    emails = mail_queue.queue(MESSAGES)
    with worker_pool(WORKERS, database_url, smtp_server.url) as pool:
        kill_while_sending(mail_queue, pool)
        assert set(pool.end()) <= {0, -signal.SIGTERM}  # the last one started may not be listening yet
    send_after_leases(mail_queue)
    assert count(mail_queue, "state = 'sent'") == MESSAGES
    assert set(smtp_server.recipients) == set(emails)
    assert set(smtp_server.count_by_id) == {message.message_id for message in mail_queue.messages()}
    doubled = sum(smtp_server.count_by_id.values()) - MESSAGES
    assert doubled <= KILLS
    assert mail_queue.shop.broken() == []


def record_results_after_batch(_app: Flask) -> None:
    """A fault to be detected: results are recorded only at the end of the batch."""
    late: list[Callable[[], Any]] = []
    write, send_batch = MailWorker._write, MailWorker.send_batch

    def remember(_self: MailWorker, done: Callable[[], Any], *, also_when_stopped: bool) -> None:
        late.append(done)

    def note_at_the_end(self: MailWorker) -> bool | None:
        reached = send_batch(self)
        while late:
            write(self, late.pop(0), also_when_stopped=True)
        return reached

    MailWorker._write = remember  # type: ignore[assignment, method-assign]
    MailWorker.send_batch = note_at_the_end  # type: ignore[method-assign]


def without_lease_expiry(_app: Flask) -> None:
    """Another fault: a claimed message is never claimed again."""
    claim = MessageRepository.claim

    def claim_for_long(self: MessageRepository, number: int, lease: str, _seconds: float) -> Any:
        return claim(self, number, lease, 10 * DEADLINE)

    MessageRepository.claim = claim_for_long  # type: ignore[assignment, method-assign]


def test_workers_that_record_results_after_a_batch_are_detected(mail_queue, smtp_server, database_url):
    """Kill the only worker at the last message of its batch, so that all are sent twice."""
    mail_queue.queue(TIMING.batch)
    with worker_pool(1, database_url, smtp_server.url, record_results_after_batch) as pool:
        smtp_server.on_message = lambda _one: pool.kill_one() if len(smtp_server.received) == TIMING.batch - 1 else None
        wait_until(lambda: pool.killed)
    send_after_leases(mail_queue)
    assert sum(smtp_server.count_by_id.values()) - TIMING.batch > pool.killed == 1


def unsent_after_kill(mail_queue, smtp_server, url, *fault):
    """Kill a worker during a batch and let its lease end; return how many messages are then still unsent."""
    mail_queue.queue(TIMING.batch)
    with worker_pool(1, url, smtp_server.url, *fault) as pool:
        smtp_server.on_message = lambda _one: pool.kill_one()
        wait_until(lambda: pool.killed)
    smtp_server.on_message = None
    send_after_leases(mail_queue)
    return count(mail_queue, "state <> 'sent'")


def test_a_killed_workers_message_is_sent_after_its_lease(mail_queue, smtp_server, database_url):
    assert unsent_after_kill(mail_queue, smtp_server, database_url) == 0


def test_workers_with_endless_leases_are_detected(mail_queue, smtp_server, database_url):
    assert unsent_after_kill(mail_queue, smtp_server, database_url, without_lease_expiry) == TIMING.batch


def test_a_worker_finishes_its_message_at_sigterm_and_exits_with_0(mail_queue, smtp_server, database_url):
    mail_queue.queue(3)
    with worker_pool(1, database_url, smtp_server.url) as pool:
        smtp_server.on_message = lambda _one: pool.workers[0].terminate()  # sends SIGTERM
        pool.workers[0].join(60)
        assert pool.workers[0].exitcode == 0
    assert [(one.state, one.attempts) for one in mail_queue.messages()] == [("sent", 1), ("queued", 0), ("queued", 0)]
    assert set(smtp_server.count_by_id.values()) == {1}


def stopped_at_any_moment() -> None:
    """Rest and be stopped by a signal, often enough to hit between any two steps."""
    chance = Random(1)
    for _time in range(20_000):
        worker = MailWorker(TIMING)
        signal.signal(signal.SIGALRM, worker.stop)
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.00001, 0.0001))
        while not worker.stopping:
            worker._sleep(0.00002)


@pytest.mark.prove
def test_a_worker_handles_a_signal_at_any_moment():
    """A worker waiting on a threading.Event set by the signal would sooner or later hang forever."""
    process = processes.Process(target=stopped_at_any_moment)
    process.start()
    process.join(120)
    process.kill()
    assert process.exitcode == 0
