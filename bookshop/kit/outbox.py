"""What all who empty an outbox have in common: when they work, rest and stop, and how they note what they did."""

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
    """Runs some work in a transaction of its own, commits it and returns what it returned."""

    def __call__(self, work: Callable[[], T]) -> T: ...


GLANCE = 0.25  # seconds after which one who rests sees that it is to stop
DATABASE_AWAY = (OperationalError, InterfaceError, Busy, OutcomeUnknown)


@dataclass(frozen=True)
class WorkerTiming:
    """How a worker works: messages at a time, and seconds.

    It waits `timeout` for an answer of the other side, `poll` for something to do, and `pause` after the other side
    could not be used, twice as long each time up to `longest_pause`. Nobody takes a message from it for `lease`, in
    which a whole batch is done or given back.
    """

    batch: int = 10
    timeout: float = 20
    lease: float = 240
    poll: float = 1
    pause: float = 1
    longest_pause: float = 60

    def __post_init__(self) -> None:
        if self.lease <= self.batch * self.timeout:
            raise ValueError("the lease must be longer than all messages of a batch may take")


class OutboxWorker:
    """Sends what is due, one batch after the other, until it is told to stop. `done` counts what became of it.

    It is handed how its work is committed, and how a session is given up whose database is away.
    """

    def __init__(self, commit: Commit, give_up: Callable[[], None], timing: WorkerTiming | None = None) -> None:
        self.commit, self.give_up = commit, give_up
        self.timing = timing or WorkerTiming()
        self.stopping = False
        self._lease_ends = 0.0
        self.done: Counter[str] = Counter()

    def send_batch(self) -> bool | None:
        """Claim and send one batch; returns None if nothing was due, else whether the other side could be used."""
        raise NotImplementedError

    def stop(self, *_signal: Any) -> None:
        """Finish what is in hand and end; may be called by a signal or another thread."""
        self.stopping = True

    def stop_on_signals(self) -> None:
        """Let SIGTERM and SIGINT stop this worker."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)

    def run(self) -> None:
        """Send what is due as it comes, until `stop`; waits while the other side or the database is away."""
        pause = self.timing.pause
        while not self.stopping:
            try:
                reached = self.send_batch()
            except (SQLAlchemyError, Busy, OutcomeUnknown):
                log.exception("the outbox cannot be used just now")
                self.give_up()
                reached = False
            if reached is False:
                self._rest(pause)
                pause = min(2 * pause, self.timing.longest_pause)
            else:
                self._rest(self.timing.poll if reached is None else 0)
                pause = self.timing.pause

    def _rest(self, seconds: float) -> None:
        """Do nothing for a while, or until `stop`."""
        # Not by an Event, which a signal that comes while it is touched would lock for ever.
        end = time.monotonic() + seconds
        while not self.stopping and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, GLANCE))

    def run_once(self) -> bool:
        """Send all that is due now; returns False, having left the rest, if the other side could not be used."""
        reached: bool | None = True
        while reached and not self.stopping:
            reached = self.send_batch()
        return reached is not False

    def _note(self, state: str, write: Callable[[], Any]) -> None:
        """Write down what became of a message; a database that is away meanwhile must not make it go out twice."""
        self.done[state] += 1
        self._write(write, also_when_stopped=True)

    def _write(self, write: Callable[[], T], *, also_when_stopped: bool) -> T:
        """Commit what `write` does, trying again while the lease lasts; it asks for its service at each try anew."""
        while True:
            try:
                return self.commit(write)
            except (SQLAlchemyError, Busy, OutcomeUnknown):
                self.give_up()
                if time.monotonic() > self._lease_ends or (self.stopping and not also_when_stopped):
                    raise
                log.exception("what became of messages cannot be written down; trying again")
                time.sleep(self.timing.poll)
