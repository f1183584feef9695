"""The nightly backup, which the worker makes after its purge."""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from bookshop.backups.files import name_at, remove_oldest
from bookshop.backups.making import make_backup, record
from bookshop.extensions import db, settings
from bookshop.web.background import Stopping

log = logging.getLogger(__name__)

RENEWAL = 60.0  # seconds between two renewals of the worker's lease


class Interrupted(Exception):
    """The worker stops."""


def backup_tonight(stopping: Stopping, renew: Callable[[], None]) -> bool:
    """Make a backup and delete the oldest, if the settings name a folder; returns False if it failed.

    Calls `renew` every minute. Raises Interrupted if the worker is to stop.
    """
    folder = settings().backups
    if folder is None:
        return True
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        target = folder / name_at(datetime.now(UTC))
        made = make_backup(target, _carrying_on(stopping, renew))
        record(target, made)
        remove_oldest(folder, settings().keep_backups)
    except Interrupted:
        raise
    except Exception:  # whatever it is, the worker goes on and tries again
        log.exception("the nightly backup has failed")
        db.session.rollback()
        return False
    log.info("the nightly backup is complete: %s, %d bytes", target.name, made.size)
    if made.problems:
        log.error("the shop in the backup has %d problems: run `flask check`", len(made.problems))
    if made.missing_pictures:
        log.error("the backup lacks %d pictures that the shop uses", made.missing_pictures)
    return True


def _carrying_on(stopping: Stopping, renew: Callable[[], None]) -> Callable[[], None]:
    renewed = time.monotonic()

    def carry_on() -> None:
        nonlocal renewed
        if stopping():
            raise Interrupted
        if time.monotonic() > renewed + RENEWAL:
            renew()
            renewed = time.monotonic()

    return carry_on
