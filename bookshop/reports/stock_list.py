"""The stock list of staff: which books it shows, and in which order. Each order and each filter has an index."""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import ColumnElement, and_, func, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from bookshop.catalog.models import Book
from bookshop.catalog.repository import DETAILS, BookDetails
from bookshop.catalog.search import matching
from bookshop.kit.database import Page
from bookshop.kit.pagination import SortKey, list_page
from bookshop.prebookings.models import PreBook
from bookshop.prebookings.repository import IS_WAITING

LOW_STOCK = 3  # copies or fewer: nearly sold out
IS_ON_SALE = Book.withdrawn_at.is_(None)
ALL, IN_STOCK, OUT_OF_STOCK, LOW, WANTED, WITHDRAWN = "all", "in", "out", "low", "wanted", "withdrawn"
SHOWN: dict[str, ColumnElement[bool]] = {
    ALL: Book.removed_at.is_(None),
    IN_STOCK: and_(IS_ON_SALE, Book.stock_quantity > 0),
    OUT_OF_STOCK: and_(IS_ON_SALE, Book.stock_quantity == 0),
    LOW: and_(IS_ON_SALE, Book.stock_quantity.between(1, LOW_STOCK)),
    WANTED: IS_ON_SALE,  # and joined with the waiting pre-bookings
    WITHDRAWN: and_(Book.withdrawn_at.is_not(None), Book.removed_at.is_(None)),
}
TITLE, STOCK, PRICE, WAITING = "title", "stock", "price", "waiting"
SORTS: dict[str, list[InstrumentedAttribute[Any]]] = {
    TITLE: [Book.title_key, Book.id],
    STOCK: [Book.stock_quantity, Book.title_key, Book.id],
    PRICE: [Book.price_cents, Book.id],
}
waiting = select(PreBook.book_id, func.count().label("count")).where(IS_WAITING).group_by(PreBook.book_id).subquery()


@dataclass(frozen=True, kw_only=True)
class StockSearch:
    """What staff look for: words or an ISBN, one of SHOWN, and the order.

    Without `sort`, the best match for `q` comes first, otherwise the most wanted book or the first title. Only wanted
    books can be sorted by the number of waiting customers.
    """

    q: str = ""
    show: str = ALL
    sort: str | None = None
    descending: bool = False


class StockListRepository:
    """Lists books for staff; never writes."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def search(self, search: StockSearch, page: int, size: int) -> Page[BookDetails]:
        """Return a page of the books that match."""
        query, ranking = DETAILS.where(SHOWN[search.show]), list[SortKey]()
        if search.show == WANTED:
            query = query.join(waiting, waiting.c.book_id == Book.id)
        if search.q.strip():
            query, ranking = matching(self.session, query, search.q)
        found = list_page(self.session, query, _order(search, ranking), page, size)
        return replace(found, items=[BookDetails(*row) for row in found.items])


def _order(search: StockSearch, ranking: list[SortKey]) -> list[SortKey]:
    if search.sort in SORTS:
        return [SortKey(column, search.descending) for column in SORTS[search.sort]]
    by_title = [SortKey(column) for column in SORTS[TITLE]]
    if search.show == WANTED and (search.sort == WAITING or not ranking):
        return [SortKey(waiting.c.count, descending=search.descending or search.sort is None), *by_title]
    return [*ranking, *by_title]
