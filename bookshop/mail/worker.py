"""The worker: takes messages from the outbox, looks once more whether they should go, sends them, notes the outcome.

Any number of workers, on any number of machines, may run on one database. One that is killed loses nothing: what it
had taken is due again when its lease ends. Only the message that it was just handing over can then be sent twice.
"""

import logging
import re
import secrets
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from email.message import EmailMessage
from typing import Any

from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session

from bookshop import faces
from bookshop.exceptions import Busy
from bookshop.extensions import db, settings, without_transactions
from bookshop.mail.letters import letter
from bookshop.mail.models import ERROR_MAX, FAILED, QUEUED, SENT, SUPPRESSED
from bookshop.mail.service import why_not
from bookshop.mail.transport import HungUp, PutOff, Refused, Send, Unreachable, open_transport
from bookshop.text import one_line

log = logging.getLogger(__name__)

GLANCE = 0.25  # seconds after which one who rests sees that it is to stop
DATABASE_AWAY = (OperationalError, InterfaceError, Busy)


@dataclass(frozen=True)
class Pace:
    """How a worker works: messages at a time, and seconds.

    It waits `timeout` for an answer of the mail server, `poll` for something to do, and `pause` after the server could
    not be used, twice as long each time up to `longest_pause`. Nobody takes a message from it for `lease`, in which a
    whole batch is done or given back.
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


class Worker:
    """Sends what is due, one batch after the other, until it is told to stop. `done` counts what became of messages."""

    def __init__(self, pace: Pace | None = None) -> None:
        self.pace = pace or Pace()
        self.stopping = False
        self._lease_ends = 0.0
        self.done: Counter[str] = Counter()

    def stop(self, *_signal: Any) -> None:
        """Finish the message in hand and end; may be called by a signal or another thread."""
        self.stopping = True

    def stop_on_signals(self) -> None:
        """Let SIGTERM and SIGINT stop this worker."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.stop)

    def run(self) -> None:
        """Send what is due as it comes, until `stop`; waits while the mail server or the database is away."""
        pause = self.pace.pause
        while not self.stopping:
            try:
                reached = self.send_batch()
            except (SQLAlchemyError, Busy):
                log.exception("the outbox cannot be used just now")
                db.session.remove()
                reached = False
            if reached is False:
                self._rest(pause)
                pause = min(2 * pause, self.pace.longest_pause)
            else:
                self._rest(self.pace.poll if reached is None else 0)
                pause = self.pace.pause

    def _rest(self, seconds: float) -> None:
        """Do nothing for a while, or until `stop`."""
        # Not by an Event, which a signal that comes while it is touched would lock for ever.
        end = time.monotonic() + seconds
        while not self.stopping and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, GLANCE))

    def run_once(self) -> bool:
        """Send all that is due now; returns False, having left the rest, if the mail server could not be used."""
        reached: bool | None = True
        while reached and not self.stopping:
            reached = self.send_batch()
        return reached is not False

    def send_batch(self) -> bool | None:
        """Claim and send one batch; returns None if nothing was due, else whether the mail server could be used."""
        lease, is_due = secrets.token_hex(16), faces.mail().has_due()
        db.session.rollback()
        if not is_due:
            return None
        self._lease_ends = time.monotonic() + self.pace.lease
        claimed = faces.commit(lambda: faces.mail().claim(self.pace.batch, lease, self.pace.lease))
        if not claimed:  # others hold what is due
            return None
        noted = self.done.total()
        try:
            return self._send_all(claimed, lease)
        finally:
            if self.done.total() - noted < len(claimed):
                self._write(lambda: faces.mail().release(lease), also_when_stopped=False)

    def _send_all(self, claimed: Mapping[int, int], lease: str) -> bool:
        """Send messages, given with their former attempts, over one connection."""
        try:
            with open_transport(settings(), self.pace.timeout, self.pace.batch * self.pace.timeout) as send:
                return self._send_each(claimed, lease, send)
        except Unreachable as error:
            log.warning("the mail server cannot be used: %s", _reason(error))
            for message_id, attempts in claimed.items():
                self._put_off(message_id, lease, attempts, _reason(error))
            return False

    def _send_each(self, claimed: Mapping[int, int], lease: str, send: Send) -> bool:
        """Send messages until the connection is lost; the rest is left to the next one.

        Returns whether the server had anything to say to a message.
        """
        served = False
        for message_id, attempts in claimed.items():
            if self.stopping:
                break
            try:
                served = self._send_one(message_id, lease, attempts, send) or served
            except Unreachable as error:
                log.warning("message %d: %s", message_id, _reason(error))
                if not (served and isinstance(error, HungUp)):
                    self._put_off(message_id, lease, attempts, _reason(error))
                return served
        return True

    def _send_one(self, message_id: int, lease: str, attempts: int, send: Send) -> bool:
        """Send one message if it still should go, and note the outcome; returns whether the server said yes or no."""
        # Without a transaction, as BEGIN and ROLLBACK would take two thirds of the time.
        with Session(without_transactions(db.engine)) as looking:
            found = faces.mail(looking).get_to_send(message_id, lease)
        if found is None:
            log.warning("message %d: its lease has ended, so it is left to another worker", message_id)
            return False
        if unwanted := why_not(found):
            self._note(SUPPRESSED, lambda: faces.mail().suppress(message_id, lease, unwanted))
            return False
        try:
            send(found.recipient, _written(found))
        except Refused as error:
            refusal = _reason(error, found.recipient)
            self._note(FAILED, lambda: faces.mail().fail(message_id, lease, attempts, refusal))
        except PutOff as error:
            self._put_off(message_id, lease, attempts, _reason(error, found.recipient))
        except (Unreachable, *DATABASE_AWAY):
            raise
        except Exception as error:  # a letter that cannot be written must not keep the others
            log.exception("message %d cannot be written", message_id)
            self._put_off(message_id, lease, attempts, _reason(error, found.recipient))
            return False
        else:
            self._note(SENT, lambda: faces.mail().mark_sent(message_id, lease))
        return True

    def _put_off(self, message_id: int, lease: str, attempts: int, why: str) -> None:
        self._note(QUEUED, lambda: faces.mail().put_off(message_id, lease, attempts, why))

    def _note(self, state: str, write: Callable[[], Any]) -> None:
        """Write down what became of a message; a database that is away meanwhile must not make it go out twice."""
        self.done[state] += 1
        self._write(write, also_when_stopped=True)

    def _write(self, write: Callable[[], Any], *, also_when_stopped: bool) -> None:
        """Commit what `write` does, trying again while the lease lasts; it asks for its service at each try anew."""
        while True:
            try:
                faces.commit(write)
            except (SQLAlchemyError, Busy):
                db.session.remove()
                if time.monotonic() > self._lease_ends or (self.stopping and not also_when_stopped):
                    raise
                log.exception("what became of messages cannot be written down; trying again")
                time.sleep(self.pace.poll)
            else:
                return


def _written(message: Any) -> EmailMessage:
    """The letter, with nothing left open in the database that would stay so while the mail server is waited for."""
    try:
        return letter(message)
    finally:
        db.session.rollback()


def _reason(error: Exception, recipient: str = "") -> str:
    """The words of an error or of a server, which may send what no database keeps, without the recipient's address.

    Who deletes the account is to be found nowhere any more, be it a moment later.
    """
    words = one_line(str(error)) or type(error).__name__
    nameless = re.sub(re.escape(recipient), "the recipient", words, flags=re.IGNORECASE) if recipient else words
    return nameless[:ERROR_MAX]
