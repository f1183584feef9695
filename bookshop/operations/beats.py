"""Heartbeats of `flask worker`, recorded between its messages."""

import logging
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from bookshop.kit.exceptions import BookshopError
from bookshop.kit.transactions import in_transaction, set_deadline
from bookshop.operations.service import OperationsService
from bookshop.web import services

log = logging.getLogger(__name__)

TIMEOUT = 2.0  # seconds; sending matters more than saying so


def record_beat(worker: str, loop: str) -> None:
    """Record that a loop of a worker is alive; if the database is locked, read-only or down, only log that."""
    _try(f"worker loop {loop}: could not record that it is alive", lambda operations: operations.beat(worker, loop))


def record_end(worker: str) -> None:
    """Record that a worker has stopped, or only log that this is impossible: its beats expire after a minute."""
    _try("could not record that the worker has stopped", lambda operations: operations.forget(worker))


def _try(on_failure: str, work: Callable[[OperationsService], None]) -> None:
    try:
        with services.separate_session() as session:
            set_deadline(session, TIMEOUT)
            in_transaction(session, lambda: work(OperationsService(session)))
    except (BookshopError, SQLAlchemyError) as error:
        log.warning("%s: %s", on_failure, type(error).__name__)
