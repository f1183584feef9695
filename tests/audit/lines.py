"""Reading the audit log in tests."""

from collections.abc import Sequence

from bookshop.audit.models import AuditEntry
from bookshop.audit.repository import AuditRepository, AuditSearch
from bookshop.web import services
from tests.support.factories import Shop

ALL = 10_000


def lines_of(shop: Shop, *, after: int = 0) -> Sequence[AuditEntry]:
    """Return the lines of the audit log, oldest first, except those up to the id `after`."""
    with shop.app.app_context():
        newest_first = services.repository(AuditRepository).search(AuditSearch(), 1, ALL).items
    return [line for line in reversed(newest_first) if line.id > after]


def last_id(shop: Shop) -> int:
    """Return the id of the newest line, 0 if there is none."""
    return int(shop.rows("SELECT coalesce(max(id), 0) FROM audit_entries")[0])
