"""SQL for staff picks."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Row, Select, Update, bindparam, case, delete, func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bookshop.catalog.models import Book
from bookshop.catalog.repository import ON_SALE, StockedBook
from bookshop.kit.database import dialect_of, insert_into, table_of
from bookshop.picks.models import PUBLISHED, Pick, PickShelf

books, shelves, picks = table_of(Book), table_of(PickShelf), table_of(Pick)
FIRST = 1  # the version of something new
BOOK = tuple(books.c[name] for name in StockedBook._fields)
SHELF_ORDER, PICK_ORDER = (shelves.c.position, shelves.c.id), (picks.c.position, picks.c.book_id)
PUBLIC = shelves.c.state == PUBLISHED
# The books on sale of all published shelves, with the numbers of the shelf and of the book on it, both from 1.
NUMBERED = (
    select(
        func.dense_rank().over(order_by=SHELF_ORDER).label("place"),
        func.row_number().over(partition_by=shelves.c.id, order_by=PICK_ORDER).label("number"),
        shelves.c.id.label("shelf_id"),
        *(shelves.c.name, shelves.c.introduction, picks.c.sentence, *BOOK),
    )
    .join(picks, picks.c.shelf_id == shelves.c.id)
    .join(books, books.c.id == picks.c.book_id)
    .where(PUBLIC, *ON_SALE)
    .subquery()
)
SHOWN = select(*list(NUMBERED.c)[2:]).order_by(NUMBERED.c.place, NUMBERED.c.number)
FIRST_OF_EACH = SHOWN.where(NUMBERED.c.place <= bindparam("shelves"), NUMBERED.c.number <= bindparam("books"))
WHOLE = SHOWN.where(NUMBERED.c.shelf_id == bindparam("shelf"))
RECOMMENDATIONS = (
    select(shelves.c.id, shelves.c.name, picks.c.sentence)
    .join(picks, picks.c.shelf_id == shelves.c.id)
    .where(PUBLIC, picks.c.book_id == bindparam("book"))
    .order_by(*SHELF_ORDER)
)


class ShelfSummary(NamedTuple):
    """A shelf as staff see it in the list, with the number of its books."""

    id: int
    name: str
    state: str
    books: int


class Shelf(NamedTuple):
    """A shelf as staff edit it."""

    id: int
    name: str
    introduction: str
    state: str
    version: int


class Place(NamedTuple):
    """Where a shelf is among the others, or a book on its shelf."""

    id: int
    position: int


class PickSentence(NamedTuple):
    """The sentence about a book on a shelf, as staff edit it."""

    sentence: str
    version: int


class ShelfOfBook(NamedTuple):
    """A shelf that a book is on, and the sentence about it."""

    id: int
    name: str
    state: str
    sentence: str


class PickedBook(NamedTuple):
    """A book on a shelf, and the sentence about it."""

    book: StockedBook
    sentence: str


class ShownShelf(NamedTuple):
    """A shelf as customers see it, with books that are on sale."""

    id: int
    name: str
    introduction: str
    picks: Sequence[PickedBook]


class Recommendation(NamedTuple):
    """The sentence about one book, and the shelf it is on."""

    shelf_id: int
    name: str
    sentence: str


SHELF = select(*(shelves.c[name] for name in Shelf._fields))


class PickRepository:
    """Reads and writes staff picks; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def get_shelf(self, shelf_id: int) -> Shelf | None:
        """Return a shelf with fresh values."""
        return self._shelf(SHELF.where(shelves.c.id == shelf_id))

    def lock_shelf(self, shelf_id: int) -> Shelf | None:
        """Lock a shelf and what is on it until the transaction ends: whoever changes its books locks it first."""
        return self._shelf(SHELF.where(shelves.c.id == shelf_id).with_for_update())

    def _shelf(self, query: Select[Any]) -> Shelf | None:
        row = self.session.connection().execute(query).one_or_none()
        return Shelf(*row) if row is not None else None

    def lock_shelves(self) -> Sequence[Place]:
        """Lock all shelves until the transaction ends, and return their places in order."""
        query = select(shelves.c.id, shelves.c.position).order_by(shelves.c.id).with_for_update()
        places = [Place(*row) for row in self.session.connection().execute(query)]
        return sorted(places, key=lambda place: (place.position, place.id))

    def list_shelves(self) -> Sequence[ShelfSummary]:
        """Return all shelves in their order, with the number of books on each."""
        count = select(func.count()).where(picks.c.shelf_id == shelves.c.id).scalar_subquery()
        rows = self.session.connection().execute(
            select(shelves.c.id, shelves.c.name, shelves.c.state, count).order_by(*SHELF_ORDER)
        )
        return [ShelfSummary(*row) for row in rows]

    def insert_shelf(self, values: Mapping[str, Any]) -> int | None:
        """Add a shelf after the others and return its id; None if its name is taken."""
        last = select(func.coalesce(func.max(shelves.c.position), 0) + 1).scalar_subquery()
        row = {**values, "position": last, "version": FIRST}
        new = insert_into(dialect_of(self.session), shelves).values(**row).on_conflict_do_nothing()
        shelf_id: int | None = self.session.connection().scalar(new.returning(shelves.c.id))
        return shelf_id

    def update_shelf(self, shelf_id: int, values: Mapping[str, Any]) -> bool:
        """Change a shelf that the caller has locked, and count its version up; False if its name is taken."""
        changed = update(shelves).where(shelves.c.id == shelf_id)
        try:
            with self.session.begin_nested():
                self.session.connection().execute(changed.values(version=shelves.c.version + 1, **values))
        except IntegrityError as error:
            if "name_key" not in str(error.orig):
                raise
            return False
        return True

    def delete_shelf(self, shelf_id: int) -> None:
        """Delete a shelf that the caller has locked, with its picks."""
        self.session.connection().execute(delete(picks).where(picks.c.shelf_id == shelf_id))
        self.session.connection().execute(delete(shelves).where(shelves.c.id == shelf_id))

    def get_pick(self, shelf_id: int, book_id: int) -> PickSentence | None:
        """Return the sentence about a book on a shelf, and its version."""
        query = select(picks.c.sentence, picks.c.version).where(*_is(shelf_id, book_id))
        row = self.session.connection().execute(query).one_or_none()
        return PickSentence(*row) if row is not None else None

    def list_places(self, shelf_id: int) -> Sequence[Place]:
        """Return the places of the books on a shelf, in order."""
        query = select(picks.c.book_id, picks.c.position).where(picks.c.shelf_id == shelf_id)
        return [Place(*row) for row in self.session.connection().execute(query.order_by(*PICK_ORDER))]

    def list_picks(self, shelf_id: int) -> Sequence[PickedBook]:
        """Return all books of a shelf, also those that have been withdrawn."""
        query = select(picks.c.sentence, *BOOK).join(books, books.c.id == picks.c.book_id)
        rows = self.session.connection().execute(query.where(picks.c.shelf_id == shelf_id).order_by(*PICK_ORDER))
        return [PickedBook(StockedBook(*book), sentence) for sentence, *book in rows]

    def list_shelves_of(self, book_id: int) -> Sequence[ShelfOfBook]:
        """Return the shelves that a book is on, with the sentences about it."""
        query = select(shelves.c.id, shelves.c.name, shelves.c.state, picks.c.sentence)
        query = query.join(picks, picks.c.shelf_id == shelves.c.id).where(picks.c.book_id == book_id)
        return [ShelfOfBook(*row) for row in self.session.connection().execute(query.order_by(*SHELF_ORDER))]

    def insert_pick(self, shelf_id: int, book_id: int, sentence: str, position: int) -> bool:
        """Put a book on a shelf; False if it is there already."""
        row = {"shelf_id": shelf_id, "book_id": book_id, "sentence": sentence, "position": position, "version": FIRST}
        new = insert_into(dialect_of(self.session), picks).values(**row).on_conflict_do_nothing()
        return self.session.connection().scalar(new.returning(picks.c.book_id)) is not None

    def update_pick(self, shelf_id: int, book_id: int, sentence: str) -> None:
        """Change the sentence about a book on a shelf that the caller has locked, and count its version up."""
        changed = update(picks).where(*_is(shelf_id, book_id))
        self.session.connection().execute(changed.values(sentence=sentence, version=picks.c.version + 1))

    def delete_pick(self, shelf_id: int, book_id: int) -> bool:
        """Take a book off a shelf; False if it is not there."""
        result: Any = self.session.connection().execute(delete(picks).where(*_is(shelf_id, book_id)))
        return bool(result.rowcount)

    def place_shelves(self, positions: Mapping[int, int]) -> None:
        """Give shelves, by id, other positions."""
        self._place(update(shelves), shelves.c.id, positions)

    def place_picks(self, shelf_id: int, positions: Mapping[int, int]) -> None:
        """Give books of a shelf, by id, other positions."""
        self._place(update(picks).where(picks.c.shelf_id == shelf_id), picks.c.book_id, positions)

    def _place(self, changed: Update, key: ColumnElement[int], positions: Mapping[int, int]) -> None:
        """In one statement: psycopg sends several as a pipeline, which waits for ever if the connection is lost."""
        if positions:
            place = changed.where(key.in_(positions)).values(position=case(dict(positions), value=key))
            self.session.connection().execute(place)

    def list_shown(self, most_shelves: int, most_books: int) -> Sequence[ShownShelf]:
        """Return the first published shelves that have books on sale, and the first books of each."""
        limits = {"shelves": most_shelves, "books": most_books}
        return list(_by_shelf(self.session.connection().execute(FIRST_OF_EACH, limits).all()))

    def get_shown(self, shelf_id: int) -> ShownShelf | None:
        """Return a published shelf with all its books on sale; None if it has none, or is a draft."""
        return next(_by_shelf(self.session.connection().execute(WHOLE, {"shelf": shelf_id}).all()), None)

    def list_recommendations(self, book_id: int) -> Sequence[Recommendation]:
        """Return the published shelves that a book is on, with the sentences about it."""
        rows = self.session.connection().execute(RECOMMENDATIONS, {"book": book_id})
        return [Recommendation(*row) for row in rows]


def _is(shelf_id: int, book_id: int) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return picks.c.shelf_id == shelf_id, picks.c.book_id == book_id


def _by_shelf(rows: Sequence[Row[*tuple[Any, ...]]]) -> Iterator[ShownShelf]:
    """Gather the rows of SHOWN, which are in the order of the shelves."""
    for (shelf_id, name, introduction), on_it in groupby(rows, key=lambda row: tuple(row[:3])):
        found = [PickedBook(StockedBook(*row[4:]), row[3]) for row in on_it]
        yield ShownShelf(shelf_id, name, introduction, found)
