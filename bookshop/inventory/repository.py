"""SQL about the stock ledger."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Row, insert, select
from sqlalchemy.orm import Session

from bookshop.accounts.models import User
from bookshop.database import Page, paginate
from bookshop.inventory.models import Movement


class MovementRepository:
    """Writes and lists movements; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def insert(self, rows: Sequence[Mapping[str, Any]]) -> list[int]:
        """Write lines into the ledger; returns their ids in the order of the rows."""
        statement = insert(Movement).returning(Movement.id, sort_by_parameter_order=True)
        return list(self.session.scalars(statement, list(rows)))

    def list_by_book(self, book_id: int, page: int, size: int) -> Page[Row[tuple[Movement, str | None]]]:
        """The book's movements, newest first, each with the e-mail address of who made it."""
        movements = select(Movement, User.email).outerjoin(User, User.id == Movement.user_id)
        movements = movements.where(Movement.book_id == book_id).order_by(Movement.id.desc())
        return paginate(self.session, movements, page, size)
