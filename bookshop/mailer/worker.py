"""The mail worker: claims messages from the outbox, checks them again, sends them and records the outcome.

Any number of workers, on any number of machines, can share one database. If one is killed, its messages are due again
when its lease expires; only the message it was sending at that moment can be sent twice.
"""

import logging
import re
import secrets
import time
from collections.abc import Mapping
from email.message import EmailMessage
from typing import Any

from sqlalchemy import Row

from bookshop.extensions import db, settings
from bookshop.kit.logs import redact_addresses
from bookshop.kit.outbox import DATABASE_UNAVAILABLE, OutboxWorker, WorkerTiming
from bookshop.kit.text import one_line
from bookshop.mail.models import BOUGHT, ERROR_MAX, FAILED, GONE, QUEUED, SENT, SUPPRESSED
from bookshop.mail.repository import MessageRepository
from bookshop.mailer.compose import compose
from bookshop.mailer.repository import MailerRepository
from bookshop.mailer.service import skip_reason
from bookshop.mailer.transport import ConnectionLost, Deferred, Rejected, Send, Unreachable, open_transport
from bookshop.web import services

log = logging.getLogger(__name__)


class MailWorker(OutboxWorker):
    """Sends due messages."""

    def __init__(self, timing: WorkerTiming | None = None) -> None:
        super().__init__(services.commit, db.session.remove, timing)

    def send_batch(self) -> bool | None:
        """Claim and send one batch; returns None if nothing was due, else whether the mail server was usable."""
        lease, is_due = secrets.token_hex(16), services.repository(MessageRepository).has_due()
        db.session.rollback()
        if not is_due:
            return None
        self._lease_ends = time.monotonic() + self.timing.lease
        claimed = services.commit(lambda: services.mail().claim(self.timing.batch, lease, self.timing.lease))
        if not claimed:  # other workers hold what is due
            return None
        outcomes_before = self.outcomes.total()
        try:
            return self._send_all(claimed, lease)
        finally:
            if self.outcomes.total() - outcomes_before < len(claimed):
                self._write(lambda: services.mail().release(lease), also_when_stopped=False)

    def _send_all(self, claimed: Mapping[int, int], lease: str) -> bool:
        """Send messages over one connection; `claimed` maps ids to previous attempts."""
        try:
            with open_transport(settings(), self.timing.timeout, self.timing.batch * self.timing.timeout) as send:
                return self._send_each(claimed, lease, send)
        except Unreachable as error:
            log.warning("the mail server cannot be used: %s", redact_addresses(_reason(error)))
            for message_id, attempts in claimed.items():
                self._defer(message_id, lease, attempts, _reason(error))
            return False

    def _send_each(self, claimed: Mapping[int, int], lease: str, send: Send) -> bool:
        """Send messages until the connection is lost; the rest are left for the next connection.

        Returns whether the server accepted or refused any message.
        """
        served = False
        for message_id, attempts in claimed.items():
            if self.stopping:
                break
            self.beat()
            try:
                served = self._send_one(message_id, lease, attempts, send) or served
            except Unreachable as error:
                log.warning("message %d: %s", message_id, redact_addresses(_reason(error)))
                if not (served and isinstance(error, ConnectionLost)):
                    self._defer(message_id, lease, attempts, _reason(error))
                return served
        return True

    def _send_one(self, message_id: int, lease: str, attempts: int, send: Send) -> bool:
        """Send one message if it is still wanted and record the outcome; returns whether the server decided on it."""
        message = self._check(message_id, lease)
        if message is None:
            return False
        try:
            send(message.recipient, _compose(message))
        except Rejected as error:
            refusal = _reason(error, message.recipient)
            self._record(FAILED, lambda: services.mail().fail(message_id, lease, attempts, refusal))
        except Deferred as error:
            self._defer(message_id, lease, attempts, _reason(error, message.recipient))
        except (Unreachable, *DATABASE_UNAVAILABLE):
            raise
        except Exception as error:  # a message that cannot be composed must not stop the others
            log.exception("message %d cannot be composed", message_id)
            self._defer(message_id, lease, attempts, _reason(error, message.recipient))
            return False
        else:
            self._record(SENT, lambda: services.mailer().mark_sent(message_id, lease))
        return True

    def _check(self, message_id: int, lease: str) -> Row[*tuple[Any, ...]] | None:
        """Return the message to send now; suppress it and return None if it is not wanted any more.

        Also returns None if the lease was lost.
        """
        while True:
            # Without a transaction, because BEGIN and ROLLBACK would take two thirds of the time.
            with services.reading_session() as session:
                message = MailerRepository(session).get_to_send(message_id, lease)
            if message is None:
                log.warning("message %d: its lease has expired, so it is left to another worker", message_id)
                return None
            reason = skip_reason(message)
            if reason is None:
                return message
            if self._suppress(message, lease, reason):
                self.outcomes[SUPPRESSED] += 1
                return None

    def _suppress(self, message: Row[*tuple[Any, ...]], lease: str, reason: str) -> bool:
        """Record why a message is not sent; returns False if its book is back, so that it must be checked again."""

        def suppress() -> bool:
            if reason in {GONE, BOUGHT}:
                return services.mailer().suppress_if_gone(message.id, lease, reason, message.book_id)
            services.mail().suppress(message.id, lease, reason)
            return True

        return self._write(suppress, also_when_stopped=True)

    def _defer(self, message_id: int, lease: str, attempts: int, reason: str) -> None:
        self._record(QUEUED, lambda: services.mail().defer(message_id, lease, attempts, reason))


def _compose(message: Any) -> EmailMessage:
    """Compose the e-mail and end the database transaction, so that none stays open while the mail server is slow."""
    try:
        return compose(message, _token(message.link_id) if message.link_id is not None else "")
    finally:
        db.session.rollback()


def _token(link_id: int) -> str:
    """Return the token of a link whose message is being sent, and commit that its lifetime begins."""
    return services.commit(lambda: services.login_links().token_to_send(link_id))


def _reason(error: Exception, recipient: str = "") -> str:
    """Return an error or a server's reply as one line that the database can store, without the recipient's address.

    The address must not survive here if the account is deleted later.
    """
    text = one_line(str(error)) or type(error).__name__
    anonymous = re.sub(re.escape(recipient), "the recipient", text, flags=re.IGNORECASE) if recipient else text
    return anonymous[:ERROR_MAX]
