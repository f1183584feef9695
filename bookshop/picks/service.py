"""Staff picks: what customers see, and what staff change."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.orm import Session

from bookshop.audit.service import AuditService
from bookshop.catalog.repository import BookRepository
from bookshop.kit.exceptions import Conflict, NotFound, book_not_found
from bookshop.picks.models import BOOKS_MAX, SHELVES_MAX
from bookshop.picks.repository import PickRepository, PickSentence, Place, Shelf, ShownShelf

SHELF_CHANGED = (
    "Somebody else has changed this shelf meanwhile, and your text is not saved. Open the shelf in another tab and "
    "compare. If yours is right, save it again."
)
SENTENCE_CHANGED = (
    "Somebody else has changed this sentence meanwhile, and yours is not saved. Open the shelf in another tab and "
    "compare. If yours is right, save it again."
)


class PickService:
    """Reads and changes staff picks; never commits.

    Whoever changes the books of a shelf locks the shelf first. A move is relative to the order at that moment, so two
    members of staff who move books at once both get what they asked for.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.picks = PickRepository(session)
        self.audit = AuditService(session)

    def read_shown(self, shelf_id: int) -> ShownShelf:
        """Return a published shelf with its books on sale; raises NotFound if it has none, or is a draft."""
        if (shelf := self.picks.get_shown(shelf_id)) is None:
            raise _shelf_not_found()
        return shelf

    def read_shelf(self, shelf_id: int) -> Shelf:
        """Return a shelf for staff; raises NotFound."""
        return _require(self.picks.get_shelf(shelf_id))

    def read_pick(self, shelf_id: int, book_id: int) -> PickSentence:
        """Return the sentence about a book on a shelf, and its version; raises NotFound."""
        if (pick := self.picks.get_pick(shelf_id, book_id)) is None:
            raise _pick_not_found()
        return pick

    def add_shelf(self, values: Mapping[str, Any]) -> int:
        """Add a shelf after the others and return its id; raises Conflict if its name is taken or there is no room."""
        if len(self.picks.lock_shelves()) >= SHELVES_MAX:
            raise Conflict(f"A shop can have {SHELVES_MAX} shelves. Delete one first.", "PICK_SHELF_LIMIT")
        shelf_id = self.picks.insert_shelf(_row(values))
        if shelf_id is None:
            raise _name_taken()
        self.audit.record("pick_shelf.created", shelf_id, after=_logged(values))
        return shelf_id

    def change_shelf(self, shelf_id: int, values: Mapping[str, Any], version: int) -> None:
        """Change name, introduction and state of a shelf; raises NotFound, or Conflict if it has another version."""
        before = _require(self.picks.lock_shelf(shelf_id))
        if before.version != version:
            raise Conflict(SHELF_CHANGED, "PICK_SHELF_CHANGED")
        if not self.picks.update_shelf(shelf_id, _row(values)):
            raise _name_taken()
        self.audit.record("pick_shelf.changed", shelf_id, _logged(before._asdict()), _logged(values))

    def delete_shelf(self, shelf_id: int) -> None:
        """Delete a shelf with its sentences; raises NotFound."""
        shelf = _require(self.picks.lock_shelf(shelf_id))
        self.picks.delete_shelf(shelf_id)
        self.audit.record("pick_shelf.deleted", shelf_id, _logged(shelf._asdict()))

    def move_shelf(self, shelf_id: int, *, up: bool) -> None:
        """Move a shelf before the one above it, or after the one below it; raises NotFound."""
        places = self.picks.lock_shelves()
        if shelf_id not in [place.id for place in places]:
            raise _shelf_not_found()
        if moved := _moved(places, shelf_id, up=up):
            self.picks.place_shelves(moved)
            self.audit.record("pick_shelf.moved", shelf_id, None, {"direction": "up" if up else "down"})

    def add(self, shelf_id: int, book_id: int, sentence: str) -> None:
        """Put a book on a shelf, after the others.

        Raises NotFound, or Conflict if it is there already, is withdrawn, or there is no room.
        """
        _require(self.picks.lock_shelf(shelf_id))
        self._check_on_sale(book_id)
        places = self.picks.list_places(shelf_id)
        if len(places) >= BOOKS_MAX:
            raise Conflict(f"A shelf can have {BOOKS_MAX} books. Take one off first.", "PICK_LIMIT")
        last = max((place.position for place in places), default=0)
        if not self.picks.insert_pick(shelf_id, book_id, sentence, last + 1):
            raise Conflict("This book is on the shelf already.", "PICK_EXISTS")
        self.audit.record("pick_shelf.book_added", shelf_id, None, {"book": book_id})

    def change(self, shelf_id: int, book_id: int, sentence: str, version: int) -> None:
        """Change the sentence about a book; raises NotFound, or Conflict if it has another version."""
        _require(self.picks.lock_shelf(shelf_id))
        if self.read_pick(shelf_id, book_id).version != version:
            raise Conflict(SENTENCE_CHANGED, "PICK_CHANGED")
        self.picks.update_pick(shelf_id, book_id, sentence)
        self.audit.record("pick_shelf.sentence_changed", shelf_id, None, {"book": book_id})

    def remove(self, shelf_id: int, book_id: int) -> None:
        """Take a book off a shelf; raises NotFound."""
        _require(self.picks.lock_shelf(shelf_id))
        if not self.picks.delete_pick(shelf_id, book_id):
            raise _pick_not_found()
        self.audit.record("pick_shelf.book_removed", shelf_id, {"book": book_id})

    def move(self, shelf_id: int, book_id: int, *, up: bool) -> None:
        """Move a book before the one above it, or after the one below it; raises NotFound."""
        _require(self.picks.lock_shelf(shelf_id))
        places = self.picks.list_places(shelf_id)
        if book_id not in [place.id for place in places]:
            raise _pick_not_found()
        if moved := _moved(places, book_id, up=up):
            self.picks.place_picks(shelf_id, moved)
            after = {"book": book_id, "direction": "up" if up else "down"}
            self.audit.record("pick_shelf.book_moved", shelf_id, None, after)

    def _check_on_sale(self, book_id: int) -> None:
        found = BookRepository(self.session).list_stocked([book_id])
        if not found or found[0].removed_at is not None:
            raise book_not_found()
        if found[0].withdrawn_at is not None:
            raise Conflict("This book has been withdrawn. Put it back on sale first.", "PICK_WITHDRAWN")


def _row(values: Mapping[str, Any]) -> dict[str, Any]:
    return {**values, "introduction": values["introduction"] or "", "name_key": values["name"].casefold()}


def _logged(values: Mapping[str, Any]) -> dict[str, Any]:
    return {"name": values["name"], "state": values["state"]}


def _moved(places: Sequence[Place], key: int, *, up: bool) -> dict[int, int]:
    """Return the new positions, by id, of what changes its place; nothing if `key` is at that end already."""
    ids = [place.id for place in places]
    here = ids.index(key)
    there = here - 1 if up else here + 1
    if not 0 <= there < len(ids):
        return {}
    ids[here], ids[there] = ids[there], ids[here]
    before = {place.id: place.position for place in places}
    return {id_: number for number, id_ in enumerate(ids, 1) if before[id_] != number}


def _require(shelf: Shelf | None) -> Shelf:
    if shelf is None:
        raise _shelf_not_found()
    return shelf


def _name_taken() -> Conflict:
    return Conflict("There is a shelf with this name. Choose another one.", "PICK_SHELF_EXISTS")


def _shelf_not_found() -> NotFound:
    return NotFound("There is no such shelf. It may have been deleted meanwhile.", "PICK_SHELF_NOT_FOUND")


def _pick_not_found() -> NotFound:
    return NotFound("This book is not on the shelf. It may have been removed meanwhile.", "PICK_NOT_FOUND")
