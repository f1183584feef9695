"""Imports in `flask worker`: a thread of their own, so that no e-mail waits for one."""

import logging
import secrets
from contextlib import AbstractContextManager
from functools import partial

from bookshop.extensions import db
from bookshop.imports.repository import ImportRepository
from bookshop.imports.runner import LEASE, ImportRunner, remove_files
from bookshop.kit.outbox import DATABASE_UNAVAILABLE
from bookshop.web import services
from bookshop.web.background import Stopping, in_background

log = logging.getLogger(__name__)

POLL = 1.0  # seconds between two looks for an import
FAULT = (
    "The import has stopped because of a fault in the shop. What it had imported is kept. Tell your system "
    "administrator: the log has the details."
)


def import_thread(stopping: Stopping, *, once: bool) -> AbstractContextManager[None]:
    """Carry out imports in a separate thread; with `once`, those that are due now. See `in_background`."""
    return in_background(partial(_run_next, lease=LEASE), POLL, stopping, once=once)


def run_due(lease: float = LEASE) -> int:
    """Carry out all imports that are due; returns how many steps were taken."""
    steps = 0
    while _run_next(lambda: False, lease):
        steps += 1
    return steps


def _run_next(stopping: Stopping, lease: float) -> bool:
    """Carry out the next import that is due; returns False if there is none or the database is unavailable."""
    worker = secrets.token_hex(8)
    try:
        is_due = services.repository(ImportRepository).is_due()
        db.session.rollback()
        claim = services.commit(lambda: services.imports().claim(worker, lease)) if is_due else None
        if claim is None:
            return False
        _run(ImportRunner(claim, stopping))
        services.commit(lambda: services.imports().release(worker))
    except DATABASE_UNAVAILABLE as error:
        log.warning("imports: the database is unavailable: %s", type(error).__name__)
        db.session.remove()
        return False
    return True


def _run(runner: ImportRunner) -> None:
    """Carry out an import. One that meets a fault fails, so that it is not tried again for ever."""
    try:
        runner.run()
    except DATABASE_UNAVAILABLE:  # another worker goes on once the claim has run out
        raise
    except Exception:  # whatever it is, the next import goes on
        log.exception("import %d has failed", runner.job_id)
        db.session.rollback()
        services.commit(lambda: services.imports().fail(runner.claim, FAULT))
        remove_files(runner.job_id)
