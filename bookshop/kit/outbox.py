"""The base class of the outbox workers: polling, pausing, stopping and recording outcomes."""

import logging
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError

from bookshop.kit.exceptions import Busy, OutcomeUnknown

log = logging.getLogger(__name__)

T = TypeVar("T")


class Commit(Protocol):
    """Runs a function in its own transaction, commits it and returns the function's result."""

    def __call__(self, work: Callable[[], T]) -> T: ...


STOP_CHECK = 0.25  # seconds between checks for a stop while waiting
BEAT_INTERVAL = 15.0  # seconds between two heartbeats
DATABASE_UNAVAILABLE = (OperationalError, InterfaceError, Busy, OutcomeUnknown)


@dataclass(frozen=True)
class WorkerTiming:
    """The batch size of a worker and its timing in seconds.

    It waits up to `timeout` for each reply of the remote server. It sleeps for `poll` when nothing is due, and for
    `pause` after the remote server or the database was unusable, doubling up to `longest_pause`. A claim lasts for
    `lease`, within which the whole batch is settled or released.
    """

    batch: int = 10
    timeout: float = 20
    lease: float = 240
    poll: float = 1
    pause: float = 1
    longest_pause: float = 60

    def __post_init__(self) -> None:
        if self.lease <= self.batch * self.timeout:
            raise ValueError("the lease must be longer than a whole batch may take")


class OutboxWorker:
    """Sends what is due, batch by batch, until it is stopped. `outcomes` counts messages by their resulting state.

    `commit` runs a function in a transaction; `discard` drops the session after a database failure. `on_beat` records a
    heartbeat: it must not raise if the database is busy or down, and must not take long.
    """

    def __init__(self, commit: Commit, discard: Callable[[], None], timing: WorkerTiming | None = None) -> None:
        self.commit, self.discard = commit, discard
        self.timing = timing or WorkerTiming()
        self.stopping = False
        self._lease_ends = 0.0
        self.on_beat: Callable[[], None] = lambda: None
        self._next_beat = 0.0
        self.outcomes: Counter[str] = Counter()

    def send_batch(self) -> bool | None:
        """Claim and send one batch; returns None if nothing was due, else whether the remote server was usable."""
        raise NotImplementedError

    def stop(self, *_signal: Any) -> None:
        """Stop after the current message; may be called from a signal handler or another thread."""
        self.stopping = True

    def stop_on_signals(self) -> None:
        """Stop this worker on SIGTERM and SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)

    def beat(self) -> None:
        """Record that this loop is alive, at most every BEAT_INTERVAL seconds; called between any two messages."""
        if time.monotonic() >= self._next_beat:
            self._next_beat = time.monotonic() + BEAT_INTERVAL
            self.on_beat()

    def run(self) -> None:
        """Send messages as they become due, until `stop`; waits while the remote server or the database is down."""
        pause = self.timing.pause
        while not self.stopping:
            self.beat()
            try:
                reached = self.send_batch()
            except (SQLAlchemyError, Busy, OutcomeUnknown):
                log.exception("the outbox cannot be used at the moment")
                self.discard()
                reached = False
            if reached is False:
                self._sleep(pause)
                pause = min(2 * pause, self.timing.longest_pause)
            else:
                self._sleep(self.timing.poll if reached is None else 0)
                pause = self.timing.pause

    def _sleep(self, seconds: float) -> None:
        """Sleep for this long, or until `stop`."""
        # Not with an Event: a signal that arrives while its lock is held would deadlock.
        end = time.monotonic() + seconds
        while not self.stopping and (left := end - time.monotonic()) > 0:
            self.beat()
            time.sleep(min(left, STOP_CHECK))

    def run_once(self) -> bool:
        """Send everything that is due now; stops early and returns False if the remote server is unusable."""
        reached: bool | None = True
        while reached and not self.stopping:
            self.beat()
            reached = self.send_batch()
        return reached is not False

    def _record(self, state: str, write: Callable[[], Any]) -> None:
        """Record the outcome of a message, retrying while the database is down so that it is not sent twice."""
        self.outcomes[state] += 1
        self._write(write, also_when_stopped=True)

    def _write(self, write: Callable[[], T], *, also_when_stopped: bool) -> T:
        """Run `write` in a transaction, retrying while the database is down; `write` must get its service on each call.

        Raises the database's error once the lease has expired or, unless `also_when_stopped`, after `stop`.
        """
        while True:
            try:
                return self.commit(write)
            except (SQLAlchemyError, Busy, OutcomeUnknown):
                self.discard()
                if time.monotonic() > self._lease_ends or (self.stopping and not also_when_stopped):
                    raise
                log.exception("an outcome cannot be recorded; retrying")
                time.sleep(self.timing.poll)
