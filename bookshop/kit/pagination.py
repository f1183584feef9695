"""Lists that are read on from where the last page ended: a page costs the same however deep it lies."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, false, func, literal, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from bookshop.kit.database import Page


class SortKey(NamedTuple):
    """One of the things by which a list is ordered; the last of them is the id, which no two rows share."""

    column: ColumnElement[Any] | InstrumentedAttribute[Any]
    descending: bool = False

    @property
    def clause(self) -> ColumnElement[Any]:
        """It in an ORDER BY."""
        return self.column.desc() if self.descending else self.column.asc()


class Cursor(NamedTuple):
    """The place behind the last row of a page: what that row is ordered by, the length of the list when its first page
    was read, and the number of the page that follows.
    """

    keys: Sequence[Any]
    total: int
    page: int


PageRequest = int | Cursor  # a page by its number, or what follows a place


def list_page(
    session: Session, query: Select[*tuple[Any, ...]], order: Sequence[SortKey], page_request: PageRequest, size: int
) -> Page[Any]:
    """One page of the rows (scalars if the query has one column) in this order, and how to go on.

    At a cursor nothing is counted and nothing passed over.
    """
    ordered = query.add_columns(*(by.column for by in order)).order_by(*(by.clause for by in order)).limit(size + 1)
    if isinstance(page_request, Cursor):
        number, total, ordered = page_request.page, page_request.total, ordered.where(_behind(order, page_request.keys))
    else:
        number, ordered = page_request, ordered.offset((page_request - 1) * size)
        total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    width = len(query.column_descriptions)
    found = session.execute(ordered).freeze()
    rows = found().all()
    items = found().scalars().all() if width == 1 else found().columns(*range(width)).all()
    return Page(items[:size], total, number, size, tuple(rows[size - 1][width:]) if len(rows) > size else None)


def page_of_rows(rows: Mapping[int, Any], page_request: PageRequest, size: int) -> Page[Any]:
    """One page of a list that is short and here as a whole, by ids.

    Its cursors name the rows that were read, of which some may be gone by then.
    """
    if isinstance(page_request, Cursor):
        number, total, read = page_request.page, page_request.total, list(page_request.keys)
    else:
        number, total, read = page_request, len(rows), list(rows)[: (page_request - 1) * size]
    left = [row_id for row_id in rows if row_id not in read]
    shown = left[:size]
    return Page([rows[row_id] for row_id in shown], total, number, size, [*read, *shown] if left[size:] else None)


def _behind(order: Sequence[SortKey], keys: Sequence[Any]) -> ColumnElement[bool]:
    """That a row comes after the one with these keys."""
    if all(by.descending == other.descending for by, other in pairwise(order)) and None not in keys:
        # Written as a comparison of rows, which an index on all of them answers at once.
        here, there = tuple_(*(by.column for by in order)), tuple_(*map(_typed, order, keys))
        return here < there if order[0].descending else here > there
    behind: ColumnElement[bool] = false()
    for by, key in reversed(list(zip(order, keys, strict=True))):
        behind = or_(_exceeds(by, key), and_(_equals(by, key), behind))
    return behind


def _typed(by: SortKey, key: Any) -> ColumnElement[Any]:
    return literal(key, by.column.type)


def _equals(by: SortKey, key: Any) -> ColumnElement[bool]:
    return by.column.is_(None) if key is None else by.column == _typed(by, key)


def _exceeds(by: SortKey, key: Any) -> ColumnElement[bool]:
    """That the row comes after the key; nulls, whose place another key tells, have no order among themselves."""
    if key is None:
        return false()
    return by.column < _typed(by, key) if by.descending else by.column > _typed(by, key)
