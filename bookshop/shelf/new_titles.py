"""Adds the new titles of a delivery, or gives their ISBNs to books of the shop that have none."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

from bookshop.catalog.models import Book
from bookshop.catalog.repository import BookRepository
from bookshop.catalog.service import CatalogService
from bookshop.catalog.works import without_isbn, work_key
from bookshop.inventory.service import Delivery
from bookshop.kit.exceptions import Busy, Conflict

TRIES = 5


class Added(NamedTuple):
    """The ISBN-13s of the books that were added, and of those that the shop had without their ISBN."""

    new: Collection[str] = ()
    adopted: Collection[str] = ()


def add_new_titles(books: BookRepository, catalog: CatalogService, delivery: Delivery) -> Added:
    """Add the new titles of a delivery that the shop does not have, in the caller's transaction.

    First locks the delivery's other books, as imports do, and then inserts in the order of the ISBNs, so that two
    deliveries with the same titles wait for each other, but never in a circle. A book that another transaction has
    added meanwhile is afterwards one of those that the shop has. Raises Busy if that happens again and again.
    """
    for _attempt in range(TRIES):
        added = _try_to_add(books, catalog, delivery)
        if added is not None:
            return added
    raise Busy("Someone else is adding the same new titles. Please try again in a moment.")


def _try_to_add(books: BookRepository, catalog: CatalogService, delivery: Delivery) -> Added | None:
    """Write all or nothing; return None if another transaction has just taken one of the ISBNs."""
    known = books.ids_by_isbn(delivery.copies)
    missing = sorted(delivery.new.keys() & (delivery.copies.keys() - known.keys()))
    works = {isbn: work_key(delivery.new[isbn]["title"], delivery.new[isbn]["authors"]) for isbn in missing}
    editions = books.find_editions([], set(works.values()))
    books.lock({*known.values(), *(book.id for book in editions)})
    books.lock_and_refresh(editions)  # locked already
    adopting = _adopting(works, editions)
    new = [{**delivery.new[isbn], "isbn": isbn} for isbn in missing if isbn not in adopting]
    try:
        with books.session.begin_nested():
            _write(catalog, new, adopting)
    except Conflict as error:
        if error.code != "BOOK_ISBN_CONFLICT":
            raise
        return None
    return Added(works.keys() - adopting.keys(), adopting.keys())


def _adopting(works: Mapping[str, str], editions: Sequence[Book]) -> dict[str, int]:
    """Return the ids of the books that get an ISBN: the only edition here, and the only one in the delivery."""
    of_work: dict[str, list[Book]] = {}
    for book in editions:
        if book.removed_at is None:
            of_work.setdefault(book.work_key, []).append(book)
    delivered = Counter(works.values())
    only = {isbn: without_isbn(of_work.get(work, ())) for isbn, work in works.items() if delivered[work] == 1}
    return {isbn: book.id for isbn, book in only.items() if book}


def _write(catalog: CatalogService, new: Sequence[Mapping[str, Any]], adopting: Mapping[str, int]) -> None:
    for isbn, book_id in adopting.items():
        catalog.update(book_id, {"isbn": isbn})
    if new:
        catalog.create_all(new)
