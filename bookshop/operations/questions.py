"""What health checks and metrics ask the database; see web/probes.py."""

from math import inf

from sqlalchemy.orm import Session

from bookshop.backups.repository import BackupRepository
from bookshop.backups.schema import revisions
from bookshop.operations.figures import Figures
from bookshop.operations.repository import OperationsRepository
from bookshop.operations.service import OperationsService


def schema_problem(session: Session) -> str:
    """Say why the schema does not fit this version of the shop; '' if it does."""
    return OperationsService(session).schema_problem(*revisions())


def missing_loops(session: Session) -> str:
    """Name the loops of the worker that are missing; '' if there are none."""
    return OperationsService(session).missing_loops()


def read_figures(session: Session) -> Figures:
    """Read what the metrics say about the shop."""
    operations, last_backup = OperationsRepository(session), BackupRepository(session).last()
    return Figures(
        messages=operations.count_messages(),
        deliveries=operations.count_deliveries(),
        oldest_unsent=operations.oldest_unsent(),
        restocks=operations.count_restocks(),
        waiting=operations.count_waiting(),
        stranded=operations.count_stranded(),
        beats=operations.list_beats(),
        last_backup=last_backup[1] if last_backup else inf,
    )
