"""SQL for returns."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Row, insert, select, update
from sqlalchemy.orm import Session

from bookshop.kit.database import Page, now, paginate
from bookshop.orders.models import CANCELLED, POST, Order
from bookshop.returns.models import IS_OPEN, Return


class ReturnRepository:
    """Finds and changes returns; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def find_posted(self, number: str) -> Row[int, int] | None:
        """Return the ids of an order by post and of its customer; None if there is none, or it is cancelled."""
        found = select(Order.id, Order.user_id).where(Order.number == number)
        return self.session.execute(found.where(Order.delivery == POST, Order.status != CANCELLED)).one_or_none()

    def insert(self, order_id: int, name: str, books: str | None) -> int:
        """Add a return and return its id."""
        values = {"order_id": order_id, "name": name, "books": books, "created_at": now()}
        return int(self.session.execute(insert(Return).values(values).returning(Return.id)).scalar_one())

    def list_by_order(self, order_id: int) -> Sequence[Return]:
        """Return what was declared about an order, newest first."""
        found = select(Return).where(Return.order_id == order_id).order_by(Return.id.desc())
        return self.session.scalars(found.execution_options(populate_existing=True)).all()

    def list_open(self, page: int, size: int) -> Page[Row[Return, str]]:
        """Return a page of the returns that are not handled yet, each with the number of its order, oldest first."""
        found = select(Return, Order.number).join(Order, Order.id == Return.order_id).where(IS_OPEN)
        return paginate(self.session, found.order_by(Return.id), page, size)

    def list_withdrawn(self, order_ids: Collection[int]) -> Mapping[int, Return]:
        """Return for each of these orders its first open return, one of all its books before others; {} for none."""
        found = select(Return).where(Return.order_id.in_(order_ids), IS_OPEN)
        latest_first = found.order_by(Return.books.is_(None), Return.id.desc())
        return {one.order_id: one for one in self.session.scalars(latest_first)}

    def list_by_user(self, user_id: int) -> Sequence[Row[*tuple[Any, ...]]]:
        """Return the returns of a customer's orders, each with the number of its order (`order`), newest first."""
        columns = (Return.name, Return.books, Return.created_at, Return.handled_at)
        found = select(Order.number.label("order"), *columns).join(Order, Order.id == Return.order_id)
        return self.session.execute(found.where(Order.user_id == user_id).order_by(Return.id.desc())).all()

    def handle(self, return_id: int) -> int | None:
        """Mark an open return as handled; returns the id of its order, None if there is no such open return."""
        change = update(Return).where(Return.id == return_id, IS_OPEN).values(handled_at=now())
        result = self.session.execute(
            change.returning(Return.order_id), execution_options={"synchronize_session": False}
        )
        return result.scalar_one_or_none()

    def exists(self, return_id: int) -> bool:
        """Return whether there is a return with this id."""
        return self.session.scalar(select(Return.id).where(Return.id == return_id)) is not None

    def erase_personal_data(self, user_id: int) -> None:
        """Erase the name and the text of the customer's returns; the returns remain."""
        own = Return.order_id.in_(select(Order.id).where(Order.user_id == user_id))
        erase = update(Return).where(own).values(name="", books=None)
        self.session.execute(erase, execution_options={"synchronize_session": False})
