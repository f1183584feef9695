"""The rules of retention: what is kept for how long, and when the nightly purge is due."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, and_, case, select
from sqlalchemy.orm import Session

from bookshop.accounts.link_repository import ACTION_LIFETIME, LIFETIME, SENT_AT, UNDO_LIFETIME
from bookshop.accounts.models import UNDO, ApiToken, LinkAction, LoginLink, LoginSession, User
from bookshop.audit.models import AuditEntry
from bookshop.config import Settings
from bookshop.idempotency.models import IdempotencyRecord, SentForm
from bookshop.idempotency.service import RESPONSE_RETENTION
from bookshop.imports.models import CANCELLED, CHECKED, PAUSED, ImportJob, ImportNote
from bookshop.kit.database import later
from bookshop.mail.models import HAS_PERSONAL_DATA, LINK_KINDS, QUEUED, SENDING, Message
from bookshop.retention.repository import DAY, Key, OldEvents, OldRows, RetentionRepository
from bookshop.shop.service import ShopService
from bookshop.throttle.models import Attempts
from bookshop.webhooks.models import DELIVERED, FAILED, Delivery

NIGHT = 2  # the hour, in the shop's time zone, from which a worker purges
BATCH = 200  # rows that one transaction removes: see bench/purge.py
SETTLED = (DELIVERED, FAILED)  # states of deliveries
CANCELLED_IMPORT = {"state": CANCELLED, "finished_at": later(0)}
RETRY = 3600  # seconds
LEASE = 600  # seconds after which another worker takes over from one that was killed


def _before(days: float, seconds: float = 0) -> ColumnElement[datetime]:
    """Return the time that many days and seconds ago."""
    return later(-(days * DAY + seconds))


class RetentionService:
    """Finds and removes what is too old, and lets one worker purge each night; never commits."""

    def __init__(self, session: Session, settings: Settings, shop: ShopService) -> None:
        self.session = session
        self.settings = settings
        self.shop = shop
        self.retention = RetentionRepository(session)

    @property
    def kinds(self) -> Sequence[OldRows | OldEvents]:
        """What the purge removes, in this order: deliveries before the events that they keep."""
        keep = self.settings
        logins, actions = LoginSession.created_at, LinkAction.created_at
        return [
            OldRows("expired logins", LoginSession, logins < _before(keep.session_days + keep.keep_logins)),
            OldRows("expired links", LoginLink, self._link_is_old()),
            OldRows("what visitors started", LinkAction, actions < _before(keep.keep_links, ACTION_LIFETIME)),
            OldRows("ended API tokens", ApiToken, self._token_ended()),
            OldRows("stored responses", IdempotencyRecord, IdempotencyRecord.created_at < _before(keep.keep_responses)),
            OldRows("sent forms", SentForm, SentForm.created_at < _before(keep.keep_responses)),
            OldRows("responses to forms", SentForm, self._response_is_old(), {"answer": None}),
            OldRows("counters of attempts", Attempts, Attempts.forget_at <= later(0)),
            OldRows("webhook deliveries", Delivery, self._delivery_is_old()),
            OldEvents("events", keep.keep_events * DAY),
            OldRows("recipients of messages", Message, self._message_is_old(), {"recipient": "", "last_error": None}),
            OldRows("audit entries", AuditEntry, AuditEntry.created_at < _before(keep.keep_audit)),
            OldRows("notes of imports", ImportNote, self._import_ended()),
            OldRows("imports that were not started", ImportJob, self._was_not_started(), CANCELLED_IMPORT),
        ]

    def _link_is_old(self) -> ColumnElement[bool]:
        """Return whether a link has expired; the lifetime of one whose message is still to be sent has not begun."""
        keep = self.settings.keep_links
        ended = case((LoginLink.purpose == UNDO, _before(keep, UNDO_LIFETIME)), else_=_before(keep, LIFETIME))
        unsent = select(Message.id).where(Message.link_id == LoginLink.id, Message.state.in_((QUEUED, SENDING)))
        return (ended > SENT_AT) & ~unsent.exists()

    def _token_ended(self) -> ColumnElement[bool]:
        before = _before(self.settings.keep_tokens)
        return (ApiToken.revoked_at < before) | (ApiToken.expires_at < before)

    def _response_is_old(self) -> ColumnElement[bool]:
        return SentForm.answer.is_not(None) & (SentForm.created_at < later(-RESPONSE_RETENTION))

    def _import_ended(self) -> ColumnElement[bool]:
        ended = select(ImportJob.id).where(ImportJob.finished_at < _before(self.settings.keep_imports))
        return ImportNote.job_id.in_(ended)

    def _was_not_started(self) -> ColumnElement[bool]:
        is_old = ImportJob.created_at < _before(self.settings.keep_imports)
        return is_old & ImportJob.state.in_((CHECKED, PAUSED))

    def _delivery_is_old(self) -> ColumnElement[bool]:
        return Delivery.state.in_(SETTLED) & (Delivery.queued_at < _before(self.settings.keep_deliveries))

    def _message_is_old(self) -> ColumnElement[bool]:
        """Return whether a message is old, or its account or link is gone, and it still has an address or an error.

        Its row stays, with its state and dedupe key: they make sure that the message is never sent again. A link may
        have gone to an address without an account, which nobody can delete.
        """
        # The last time that a worker had it or was to have it; set again whenever it is queued.
        is_old = Message.next_attempt_at < _before(self.settings.keep_messages)
        is_deleted = Message.user_id.in_(select(User.id).where(User.deleted_at.is_not(None)))
        has_lost_link = Message.kind.in_(LINK_KINDS) & Message.link_id.is_(None)
        # NOT IN, so that SQLite follows the index of what has not been purged yet, not that of the states.
        return and_(HAS_PERSONAL_DATA, Message.state.not_in((QUEUED, SENDING)), is_old | is_deleted | has_lost_link)

    def find(self, kind: OldRows | OldEvents, after: Key | None) -> Sequence[Key]:
        """Return the keys of the next rows of this kind to remove, at most one batch; takes no locks."""
        return kind.find(self.session, after, BATCH)

    def remove(self, kind: OldRows | OldEvents, keys: Collection[Key]) -> int:
        """Remove those of these rows that are still too old; returns how many."""
        return kind.remove(self.session, keys)

    # -- files

    def deleted_users(self) -> Sequence[int]:
        """Return the ids of deleted accounts to which a message may still be in the mail folder."""
        return self.retention.list_deleted_users((self.settings.keep_mail_files + 1) * DAY)

    # -- every night

    def is_due(self) -> bool:
        """Return whether a worker should purge now; also True as long as no night has been set."""
        return self.retention.is_due() is not False

    def claim(self) -> bool:
        """Begin the nightly purge if it is due; returns False if it is not, or if another worker has begun it.

        It is due again after the lease unless `renew`, `finish` or `give_up` is called. A night on which no worker ran
        is made up for as soon as one does.
        """
        self.retention.ensure_state(self._next_night())
        return self.retention.claim(LEASE)

    def renew(self) -> None:
        """Extend the lease of the worker that is purging."""
        self.retention.set_due(later(LEASE))

    def finish(self) -> None:
        """Record that the purge is complete; the next one is due in the coming night."""
        self.retention.set_due(self._next_night())

    def _next_night(self) -> datetime:
        return next_night(self.retention.database_time(), self.shop.read().zone)

    def postpone(self) -> None:
        """Let a worker try again in an hour, because the backup has failed."""
        self.retention.set_due(later(RETRY))

    def give_up(self) -> None:
        """Let any worker continue the purge at once."""
        self.retention.set_due(later(0))


def next_night(time: datetime, zone: ZoneInfo) -> datetime:
    """Return the next time, after this one, from which a worker purges: once a day by the clock of the zone."""
    local = time.astimezone(zone)
    night = local.replace(hour=NIGHT, minute=0, second=0, microsecond=0)
    return (night if night > local else night + timedelta(days=1)).astimezone(UTC)
