"""Heartbeats of `flask worker`, recorded between its messages."""

import logging

from sqlalchemy.exc import SQLAlchemyError

from bookshop.kit.exceptions import BookshopError
from bookshop.kit.transactions import in_transaction, set_deadline
from bookshop.operations.service import OperationsService
from bookshop.web import services

log = logging.getLogger(__name__)

TIMEOUT = 2.0  # seconds; sending matters more than saying so


def record_beat(worker: str, loop: str) -> None:
    """Record that a loop of a worker is alive; if the database is locked, read-only or down, only log that."""
    try:
        with services.separate_session() as session:
            set_deadline(session, TIMEOUT)
            in_transaction(session, lambda: OperationsService(session).beat(worker, loop))
    except (BookshopError, SQLAlchemyError) as error:
        log.warning("worker loop %s: could not record that it is alive: %s", loop, type(error).__name__)
