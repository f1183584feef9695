"""Kill -9 of workers: nothing is lost, and only the message that a killed one had in hand may go out twice."""

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
from bookshop.mailer.worker import Worker
from tests.support.forks import processes
from tests.support.settings import settings_for

PACE = WorkerTiming(batch=2, timeout=10, lease=30, poll=0.05, pause=0.05, longest_pause=0.1)
WORKERS, DEADLINE = 4, 300
MESSAGES, KILLS = 600, 30


def work(url: str, smtp_url: str, prepare: Callable[[Flask], Any] | None = None) -> None:
    """What each worker's process does: `flask worker` at another pace."""
    app = create_app(settings_for(url, smtp_url=smtp_url, mail_delay=0, database_pool=2))
    if prepare:
        prepare(app)
    worker = Worker(PACE)
    worker.stop_on_signals()
    with app.app_context():
        worker.run()


class Crew:
    """Workers in processes of their own."""

    target: Callable[..., None] = staticmethod(work)

    def __init__(self, *given: Any) -> None:
        self.given, self.workers, self.killed, self.chance = given, list[BaseProcess](), 0, Random(1)

    def hire(self, number: int = 1) -> None:
        for _one in range(number):
            worker = processes.Process(target=self.target, args=self.given)
            worker.start()
            self.workers.append(worker)

    def is_full(self, number: int) -> bool:
        """Hire as many as are missing; always true."""
        self.hire(number - len(self.workers))
        return True

    def kill_one(self, *_message: Any) -> None:
        """Kill -9 any of them; it may be the one that is being spoken to."""
        worker = self.chance.choice(self.workers)
        self.workers.remove(worker)
        worker.kill()
        worker.join(60)
        self.killed += 1

    def end(self) -> list[int | None]:
        """Tell all to end; returns their exit codes."""
        for worker in self.workers:
            worker.terminate()
        for worker in self.workers:
            worker.join(60)
        return [worker.exitcode for worker in self.workers]


@contextmanager
def crew_of(number: int, *given: Any, kind: type[Crew] = Crew) -> Iterator[Crew]:
    crew = kind(*given)
    try:
        crew.hire(number)
        yield crew
    finally:
        crew.end()


def wait_until(done: Callable[[], Any]) -> None:
    """Wait for what other processes will do; at the deadline it is a fault that it is not done."""
    end = time.monotonic() + DEADLINE
    while not done():
        assert time.monotonic() < end, "it was never done"
        time.sleep(0.05)


def count(post, condition):
    return post.shop.rows(f"SELECT count(*) FROM messages WHERE {condition}")[0]


def kill_while_they_send(post, crew):
    """Kill a worker at evenly spread messages, before the server confirms them, and start another each time.

    Returns when nothing is left to send until the leases of the dead workers end.
    """
    each = MESSAGES // (KILLS + 1)

    def look(_one):
        if crew.killed < min(KILLS, (len(post.sink.received) + 1) // each):
            crew.kill_one()

    post.sink.look = look
    wait_until(lambda: crew.is_full(WORKERS) and crew.killed == KILLS and count(post, "state = 'queued'") == 0)


def send_what_the_dead_had(post):
    """Let their leases end, and send what is due then."""
    for one in post.messages():
        if one.lease:
            earlier = update(Message).where(Message.id == one.id)
            write(post.shop, earlier.values(next_attempt_at=one.next_attempt_at - timedelta(seconds=PACE.lease)))
    post.work()


def write(shop, statement):
    with shop.app.app_context():
        db.session.execute(statement)
        db.session.commit()


@pytest.mark.prove
def test_killed_workers_lose_nothing_and_double_at_most_what_they_had_in_hand(post, sink, database_url):
    emails = post.queue(MESSAGES)
    with crew_of(WORKERS, database_url, sink.url) as crew:
        kill_while_they_send(post, crew)
        assert set(crew.end()) <= {0, -signal.SIGTERM}  # the last one hired may not be listening yet
    send_what_the_dead_had(post)
    assert count(post, "state = 'sent'") == MESSAGES
    assert set(sink.recipients) == set(emails)
    assert set(sink.times) == {message.message_id for message in post.messages()}
    doubled = sum(sink.times.values()) - MESSAGES
    assert doubled <= KILLS
    assert post.shop.broken() == []


def sends_a_batch_before_it_notes_anything(_app: Flask) -> None:
    """The fault that the kills are to find: what became of the messages is written down at the end of the batch."""
    late: list[Callable[[], Any]] = []
    write, send_batch = Worker._write, Worker.send_batch

    def remember(_self: Worker, done: Callable[[], Any], *, also_when_stopped: bool) -> None:
        late.append(done)

    def note_at_the_end(self: Worker) -> bool | None:
        reached = send_batch(self)
        while late:
            write(self, late.pop(0), also_when_stopped=True)
        return reached

    Worker._write = remember  # type: ignore[assignment, method-assign]
    Worker.send_batch = note_at_the_end  # type: ignore[method-assign]


def forgets_the_dead(_app: Flask) -> None:
    """Another fault: a message that was taken is never taken again."""
    claim = MessageRepository.claim

    def for_ever(self: MessageRepository, number: int, lease: str, _seconds: float) -> Any:
        return claim(self, number, lease, 10 * DEADLINE)

    MessageRepository.claim = for_ever  # type: ignore[assignment, method-assign]


def test_twin_workers_that_note_what_they_sent_at_the_end_of_a_batch_are_caught(post, sink, database_url):
    """The only worker is killed at the last message of its batch, so that all go out twice."""
    post.queue(PACE.batch)
    with crew_of(1, database_url, sink.url, sends_a_batch_before_it_notes_anything) as crew:
        sink.look = lambda _one: crew.kill_one() if len(sink.received) == PACE.batch - 1 else None
        wait_until(lambda: crew.killed)
    send_what_the_dead_had(post)
    assert sum(sink.times.values()) - PACE.batch > crew.killed == 1


def left_by_the_dead(post, sink, url, *fault):
    """Kill a worker with a batch in hand and let the time of its lease pass; returns how many are still unsent then."""
    post.queue(PACE.batch)
    with crew_of(1, url, sink.url, *fault) as crew:
        sink.look = lambda _one: crew.kill_one()
        wait_until(lambda: crew.killed)
    sink.look = None
    send_what_the_dead_had(post)
    return count(post, "state <> 'sent'")


def test_what_a_killed_worker_had_in_hand_goes_out_when_its_lease_has_ended(post, sink, database_url):
    assert left_by_the_dead(post, sink, database_url) == 0


def test_twin_workers_whose_lease_does_not_end_are_caught(post, sink, database_url):
    assert left_by_the_dead(post, sink, database_url, forgets_the_dead) == PACE.batch


def test_one_who_gets_a_sigterm_finishes_the_message_in_hand_and_ends_well(post, sink, database_url):
    post.queue(3)
    with crew_of(1, database_url, sink.url) as crew:
        sink.look = lambda _one: crew.workers[0].terminate()  # which is a SIGTERM
        crew.workers[0].join(60)
        assert crew.workers[0].exitcode == 0
    assert [(one.state, one.attempts) for one in post.messages()] == [("sent", 1), ("queued", 0), ("queued", 0)]
    assert set(sink.times.values()) == {1}


def stopped_at_any_moment() -> None:
    """Rest, and be told to stop by a signal meanwhile, so often that it comes between any two steps of both."""
    chance = Random(1)
    for _time in range(20_000):
        worker = Worker(PACE)
        signal.signal(signal.SIGALRM, worker.stop)
        signal.setitimer(signal.ITIMER_REAL, chance.uniform(0.00001, 0.0001))
        while not worker.stopping:
            worker._rest(0.00002)


@pytest.mark.prove
def test_a_signal_may_come_at_any_moment():
    """Waiting on a threading.Event that the signal sets, a worker would sooner or later hang for ever."""
    process = processes.Process(target=stopped_at_any_moment)
    process.start()
    process.join(120)
    process.kill()
    assert process.exitcode == 0
