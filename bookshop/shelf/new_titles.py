"""Adds the new titles of a delivery, or gives their ISBNs to books of the shop that have none."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from bookshop.catalog.repository import StockedBook
from bookshop.catalog.service import CatalogService
from bookshop.catalog.works import work_key
from bookshop.inventory.service import Delivery
from bookshop.kit.exceptions import Conflict


class Added(NamedTuple):
    """The ISBN-13s of the books that were added, and of those that the shop had without their ISBN."""

    new: Collection[str] = ()
    adopted: Collection[str] = ()


def add_new_titles(catalog: CatalogService, delivery: Delivery) -> Added:
    """Add the new titles of a delivery that the shop does not have, in the caller's transaction.

    First locks the delivery's other books, as imports do, and then inserts in the order of the ISBNs, so that two
    deliveries with the same titles wait for each other, but never in a circle. A book that another transaction has
    added meanwhile is afterwards one of those that the shop has.
    """
    while True:
        known = catalog.books.ids_by_isbn(delivery.copies)
        missing = sorted(delivery.new.keys() & (delivery.copies.keys() - known.keys()))
        works = {isbn: work_key(delivery.new[isbn]["title"], delivery.new[isbn]["authors"]) for isbn in missing}
        editions = {book.id for book in catalog.books.find_editions([], set(works.values()))}
        locked = catalog.books.lock({*known.values(), *editions})
        adopting = _adopting(works, [book for book in locked if book.id in editions])
        try:
            _write(catalog, delivery, [isbn for isbn in missing if isbn not in adopting], adopting)
        except Conflict:
            continue
        return Added(works.keys() - adopting.keys(), adopting.keys())


def _adopting(works: Mapping[str, str], editions: Sequence[StockedBook]) -> dict[str, int]:
    """Return the ids of the books without an ISBN that get one: the only edition here and in the delivery."""
    of_work: dict[str, list[StockedBook]] = {}
    for book in editions:
        of_work.setdefault(work_key(book.title, book.authors), []).append(book)
    delivered = Counter(works.values())
    only = {
        isbn: of_work[work][0] for isbn, work in works.items() if delivered[work] == len(of_work.get(work, ())) == 1
    }
    return {isbn: book.id for isbn, book in only.items() if book.isbn is None}


def _write(catalog: CatalogService, delivery: Delivery, new: Sequence[str], adopting: Mapping[str, int]) -> None:
    """Write all or nothing; raises Conflict if another transaction has just taken one of the ISBNs."""
    with catalog.session.begin_nested():
        for isbn, book_id in adopting.items():
            catalog.update(book_id, {"isbn": isbn})
        if new:
            catalog.create_all([{**delivery.new[isbn], "isbn": isbn} for isbn in new])
