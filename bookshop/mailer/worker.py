"""The worker: takes messages from the outbox, looks once more whether they should go, sends them, notes the outcome.

Any number of workers, on any number of machines, may run on one database. One that is killed loses nothing: what it
had taken is due again when its lease ends. Only the message that it was just handing over can then be sent twice.
"""

import logging
import re
import secrets
import time
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any

from sqlalchemy import Row
from sqlalchemy.orm import Session

from bookshop.extensions import db, settings, without_transactions
from bookshop.kit.logs import without_addresses
from bookshop.kit.outbox import DATABASE_AWAY, OutboxWorker, WorkerTiming
from bookshop.kit.text import one_line
from bookshop.mail.models import BOUGHT, ERROR_MAX, FAILED, GONE, PASSWORD_RESET, QUEUED, SENT, SUPPRESSED
from bookshop.mail.repository import MessageRepository
from bookshop.mailer.compose import compose
from bookshop.mailer.repository import MailerRepository
from bookshop.mailer.service import skip_reason
from bookshop.mailer.transport import ConnectionLost, Deferred, Rejected, Send, Unreachable, open_transport
from bookshop.web import services

log = logging.getLogger(__name__)


class Worker(OutboxWorker):
    """Sends the e-mail that is due."""

    def __init__(self, timing: WorkerTiming | None = None) -> None:
        super().__init__(services.commit, db.session.remove, timing)

    def send_batch(self) -> bool | None:
        """Claim and send one batch; returns None if nothing was due, else whether the mail server could be used."""
        lease, is_due = secrets.token_hex(16), services.repository(MessageRepository).has_due()
        db.session.rollback()
        if not is_due:
            return None
        self._lease_ends = time.monotonic() + self.timing.lease
        claimed = services.commit(lambda: services.mail().claim(self.timing.batch, lease, self.timing.lease))
        if not claimed:  # others hold what is due
            return None
        noted = self.done.total()
        try:
            return self._send_all(claimed, lease)
        finally:
            if self.done.total() - noted < len(claimed):
                self._write(lambda: services.mail().release(lease), also_when_stopped=False)

    def _send_all(self, claimed: Mapping[int, int], lease: str) -> bool:
        """Send messages, given with their former attempts, over one connection."""
        try:
            with open_transport(settings(), self.timing.timeout, self.timing.batch * self.timing.timeout) as send:
                return self._send_each(claimed, lease, send)
        except Unreachable as error:
            log.warning("the mail server cannot be used: %s", without_addresses(_reason(error)))
            for message_id, attempts in claimed.items():
                self._defer(message_id, lease, attempts, _reason(error))
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
                log.warning("message %d: %s", message_id, without_addresses(_reason(error)))
                if not (served and isinstance(error, ConnectionLost)):
                    self._defer(message_id, lease, attempts, _reason(error))
                return served
        return True

    def _send_one(self, message_id: int, lease: str, attempts: int, send: Send) -> bool:
        """Send one message if it still should go, and note the outcome; returns whether the server said yes or no."""
        found = self._look(message_id, lease)
        if found is None:
            return False
        try:
            send(found.recipient, _written(found))
        except Rejected as error:
            refusal = _reason(error, found.recipient)
            self._note(FAILED, lambda: services.mail().fail(message_id, lease, attempts, refusal))
        except Deferred as error:
            self._defer(message_id, lease, attempts, _reason(error, found.recipient))
        except (Unreachable, *DATABASE_AWAY):
            raise
        except Exception as error:  # a letter that cannot be written must not keep the others
            log.exception("message %d cannot be written", message_id)
            self._defer(message_id, lease, attempts, _reason(error, found.recipient))
            return False
        else:
            self._note(SENT, lambda: services.mailer().mark_sent(message_id, lease))
        return True

    def _look(self, message_id: int, lease: str) -> Row[*tuple[Any, ...]] | None:
        """The message as it is to be sent now; None if it should not be, which is noted, or if the lease was lost."""
        while True:
            # Without a transaction, as BEGIN and ROLLBACK would take two thirds of the time.
            with Session(without_transactions(db.engine)) as looking:
                found = MailerRepository(looking).get_to_send(message_id, lease)
            if found is None:
                log.warning("message %d: its lease has ended, so it is left to another worker", message_id)
                return None
            reason = skip_reason(found)
            if reason is None:
                return found
            if self._suppress(found, lease, reason):
                self.done[SUPPRESSED] += 1
                return None

    def _suppress(self, found: Row[*tuple[Any, ...]], lease: str, reason: str) -> bool:
        """Note why a message is not sent; False if it is to be looked at again, as its book came back meanwhile."""

        def note() -> bool:
            if reason in {GONE, BOUGHT}:
                return services.mailer().suppress_if_gone(found.id, lease, reason, found.book_id)
            services.mail().suppress(found.id, lease, reason)
            return True

        return self._write(note, also_when_stopped=True)

    def _defer(self, message_id: int, lease: str, attempts: int, why: str) -> None:
        self._note(QUEUED, lambda: services.mail().defer(message_id, lease, attempts, why))


def _written(message: Any) -> EmailMessage:
    """The letter, with nothing left open in the database that would stay so while the mail server is waited for."""
    try:
        return compose(message, _new_reset(message) if message.kind == PASSWORD_RESET else "")
    finally:
        db.session.rollback()


def _new_reset(message: Any) -> str:
    """The secret of a link for a new password, made and committed as its message leaves."""
    return services.commit(lambda: services.email_links().create_reset(message.user_id, message.email_key))


def _reason(error: Exception, recipient: str = "") -> str:
    """The words of an error or of a server, which may send what no database keeps, without the recipient's address.

    Who deletes the account is to be found nowhere any more, be it a moment later.
    """
    words = one_line(str(error)) or type(error).__name__
    nameless = re.sub(re.escape(recipient), "the recipient", words, flags=re.IGNORECASE) if recipient else words
    return nameless[:ERROR_MAX]
