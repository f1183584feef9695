"""Purging in small batches: by `flask purge`, and every night by the worker, which then makes a backup."""

import logging
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from functools import partial

from sqlalchemy.exc import SQLAlchemyError

from bookshop.accounts.link_repository import LIFETIME
from bookshop.backups.nightly import Interrupted, backup_tonight
from bookshop.extensions import db, settings
from bookshop.kit.database import truncate_wal
from bookshop.kit.storage import storage_at
from bookshop.mail.models import LINK_KINDS
from bookshop.mailer.transport import message_path
from bookshop.retention.files import (
    IMPORT_FILE,
    OWN_NAME,
    list_old_pictures,
    remove_files,
    remove_old_files,
    remove_unused_pictures,
)
from bookshop.retention.repository import DAY, Key, OldEvents, OldRows, RetentionRepository
from bookshop.retention.service import RetentionService
from bookshop.web import services
from bookshop.web.background import Stopping, in_background

log = logging.getLogger(__name__)

PAUSE = 0.05  # seconds after each batch, at least, in which others write: see bench/purge.py
CHECK = 60.0  # seconds between two looks at whether the night has come
WAL_TRIES, WAL_PAUSE = 10, 0.02  # attempts to find a moment in which nobody reads, and the seconds between them
MAIL_FILES = "files of messages"
IMPORT_FILES = "files of imports"
PICTURE_FILES = "files of unused pictures"


class Purge:
    """Removes what is too old: a short transaction for each batch, then a pause, until it is done or `stopping`.

    A pause lasts at least as long as the batch took, so that a busy machine is left to others for half of the time;
    with `pause=0` there is none. `in_each` is called in each transaction.
    """

    def __init__(
        self,
        stopping: Stopping = lambda: False,
        pause: float = PAUSE,
        in_each: Callable[[], None] = lambda: None,
    ) -> None:
        self.stopping, self.pause, self.in_each = stopping, pause, in_each

    def run(self) -> Mapping[str, int]:
        """Purge everything; returns how many of each kind were removed."""
        removed = {kind.name: self._purge(kind) for kind in services.retention().kinds}
        removed[MAIL_FILES] = _remove_mail_files()
        removed[IMPORT_FILES] = _remove_import_files()
        removed[PICTURE_FILES] = _remove_picture_files()
        _truncate_wal()
        return removed

    def _purge(self, kind: OldRows | OldEvents) -> int:
        last: Key | None = None
        removed = 0
        started = time.monotonic()
        while not self.stopping() and (keys := services.retention().find(kind, last)):
            db.session.rollback()
            removed += services.commit(partial(self._remove, kind, keys))
            last = keys[-1]
            time.sleep(self.pause and max(self.pause, time.monotonic() - started))
            started = time.monotonic()
        db.session.rollback()
        return removed

    def _remove(self, kind: OldRows | OldEvents, keys: Collection[Key]) -> int:
        self.in_each()
        return services.retention().remove(kind, keys)


def erase_traces(user_id: int) -> None:
    """Remove the files of messages to a deleted account, and empty SQLite's log of former pages.

    The nightly purge does so again, for what a worker was just writing.
    """
    try:
        _remove_files_of(user_id)
        _truncate_wal()
    except (OSError, SQLAlchemyError):  # the account is deleted all the same
        log.exception("files of a deleted account were left for the nightly purge")


def _remove_files_of(user_id: int) -> int:
    message_ids = services.repository(RetentionRepository).message_ids(user_id)
    db.session.rollback()
    return remove_files(message_path(settings().mail_folder, message_id) for message_id in message_ids)


def _remove_mail_files() -> int:
    """Remove the files of deleted accounts, those whose links have expired, and all old ones; returns how many."""
    keep, deleted_users = settings(), services.retention().deleted_users()
    removed = sum(_remove_files_of(user_id) for user_id in deleted_users)
    removed += remove_old_files(keep.mail_folder, keep.keep_links * DAY + LIFETIME, OWN_NAME, LINK_KINDS)
    return removed + remove_old_files(keep.mail_folder, keep.keep_mail_files * DAY, OWN_NAME)


def _remove_import_files() -> int:
    """Remove files of imports that nobody has started, and what killed processes have left; returns how many."""
    return remove_old_files(settings().imports, settings().keep_imports * DAY, IMPORT_FILE)


def _remove_picture_files() -> int:
    """Remove pictures that were replaced or never used, and are older than a day; returns how many files."""
    storage = storage_at(settings().covers)
    try:
        old = list_old_pictures(storage)
        used = services.repository(RetentionRepository).pictures_in_use()
        db.session.rollback()
        return remove_unused_pictures(storage, old, used)
    except OSError:
        log.exception("unused pictures in %s were left for the next purge", storage)
        return 0


def _truncate_wal() -> None:
    for _attempt in range(WAL_TRIES):
        if truncate_wal(db.engine):
            return
        time.sleep(WAL_PAUSE)
    log.info("SQLite's write-ahead log is in use; the next purge empties it")


# ---------------------------------------------------------------- every night


def nightly_purge(stopping: Stopping, *, once: bool) -> AbstractContextManager[None]:
    """Purge every night, in a separate thread; with `once`, only if it is due now. See `in_background`."""
    return in_background(_purge_tonight, CHECK, stopping, once=once)


def _purge_tonight(stopping: Stopping) -> bool:
    if purge_if_due(stopping):
        log.info("the nightly purge is complete")
    return False  # until the next night


def purge_if_due(stopping: Stopping = lambda: False, pause: float = PAUSE) -> Mapping[str, int] | None:
    """Purge, then back up, if the night has come and no other worker does; returns what was removed, or None."""
    is_due = services.retention().is_due()
    db.session.rollback()
    if not is_due or not services.commit(lambda: services.retention().claim()):
        return None
    removed = Purge(stopping, pause, in_each=lambda: services.retention().renew()).run()
    for name, number in removed.items():
        log.info("purged %s: %d", name, number)
    _back_up(stopping)
    return removed


def _back_up(stopping: Stopping) -> None:
    """Make the nightly backup after the purge, under the same lease, and say when the next night's work is due."""
    try:
        complete = None if stopping() else backup_tonight(stopping, lambda: services.commit(services.retention().renew))
    except Interrupted:
        complete = None
    ends = {None: RetentionService.give_up, False: RetentionService.postpone, True: RetentionService.finish}
    services.commit(lambda: ends[complete](services.retention()))
