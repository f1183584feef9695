"""Keyset pagination: each page starts after the last row of the one before, so deep pages cost no more."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, false, func, literal, or_, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from bookshop.kit.database import Page


class SortKey(NamedTuple):
    """One column of a sort order; the last column must be unique, such as the id."""

    column: ColumnElement[Any] | InstrumentedAttribute[Any]
    descending: bool = False

    @property
    def clause(self) -> ColumnElement[Any]:
        """The expression for ORDER BY."""
        return self.column.desc() if self.descending else self.column.asc()


class Cursor(NamedTuple):
    """The position after the last row of a page.

    Holds that row's sort keys, the length of the list when its first page was read, and the number of the next page.
    """

    keys: Sequence[Any]
    total: int
    page: int


PageRequest = int | Cursor  # a page by its number, or the page after a cursor


def list_page(
    session: Session, query: Select[*tuple[Any, ...]], order: Sequence[SortKey], page_request: PageRequest, size: int
) -> Page[Any]:
    """Return one page of rows in this order (scalars if the query has one column), with the keys of the next page.

    With a cursor, no rows are counted or skipped by OFFSET.
    """
    ordered = query.add_columns(*(by.column for by in order)).order_by(*(by.clause for by in order)).limit(size + 1)
    if isinstance(page_request, Cursor):
        number, total = page_request.page, page_request.total
        ordered = ordered.where(_comes_after(order, page_request.keys))
    else:
        number, ordered = page_request, ordered.offset((page_request - 1) * size)
        total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
    width = len(query.column_descriptions)
    result = session.execute(ordered).freeze()
    rows = result().all()
    items = result().scalars().all() if width == 1 else result().columns(*range(width)).all()
    return Page(items[:size], total, number, size, tuple(rows[size - 1][width:]) if len(rows) > size else None)


def page_of_rows(rows: Mapping[int, Any], page_request: PageRequest, size: int) -> Page[Any]:
    """Return one page of a short list that is in memory as a mapping of ids to rows.

    Its cursors hold the ids of all rows already read, some of which may have been deleted since.
    """
    if isinstance(page_request, Cursor):
        number, total, seen = page_request.page, page_request.total, list(page_request.keys)
    else:
        number, total, seen = page_request, len(rows), list(rows)[: (page_request - 1) * size]
    remaining = [row_id for row_id in rows if row_id not in seen]
    shown = remaining[:size]
    return Page([rows[row_id] for row_id in shown], total, number, size, [*seen, *shown] if remaining[size:] else None)


def _comes_after(order: Sequence[SortKey], keys: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition that a row comes after the row with these keys."""
    if all(by.descending == other.descending for by, other in pairwise(order)) and None not in keys:
        # A row comparison, which can use an index on all the columns.
        columns, values = tuple_(*(by.column for by in order)), tuple_(*map(_typed, order, keys))
        return columns < values if order[0].descending else columns > values
    condition: ColumnElement[bool] = false()
    for by, key in reversed(list(zip(order, keys, strict=True))):
        condition = or_(_exceeds(by, key), and_(_equals(by, key), condition))
    return condition


def _typed(by: SortKey, key: Any) -> ColumnElement[Any]:
    return literal(key, by.column.type)


def _equals(by: SortKey, key: Any) -> ColumnElement[bool]:
    return by.column.is_(None) if key is None else by.column == _typed(by, key)


def _exceeds(by: SortKey, key: Any) -> ColumnElement[bool]:
    """Return the condition that a row's column sorts after the key; nulls must be placed by an earlier key."""
    if key is None:
        return false()
    return by.column < _typed(by, key) if by.descending else by.column > _typed(by, key)
