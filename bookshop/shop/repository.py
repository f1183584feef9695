"""SQL for the shop's details."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.orm import Session

from bookshop.kit.database import dialect_of, insert_into, now, table_of
from bookshop.shop.models import ONLY_ID, ShopDetails

details = table_of(ShopDetails)
READ = select(details)
FIRST = 1  # the version of a new row


class ShopRepository:
    """Reads and writes the only row; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def get(self) -> Row[Any] | None:
        """Return the row with fresh values, None if nobody has entered anything yet."""
        return self.session.connection().execute(READ).one_or_none()

    def insert(self, values: Mapping[str, Any]) -> None:
        """Add the row, unless another transaction has just done so."""
        row = {**values, "id": ONLY_ID, "version": FIRST, "updated_at": now()}
        insert = insert_into(dialect_of(self.session), details).values(**row)
        self.session.connection().execute(insert.on_conflict_do_nothing())

    def update(self, values: Mapping[str, Any], version: int) -> bool:
        """Change the row and count its version up; False if it has another version."""
        changed = update(details).where(details.c.version == version)
        result: Any = self.session.connection().execute(
            changed.values(version=details.c.version + 1, updated_at=now(), **values)
        )
        return bool(result.rowcount)
