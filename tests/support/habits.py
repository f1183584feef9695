"""Files as booksellers have them, one for each habit, with what an import must make of them: tests/imports/files."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bookshop.imports.models import ADOPTED, GUESS, REFUSED, WAITING
from tests.support.factories import Shop

FOLDER = Path(__file__).resolve().parent.parent / "imports" / "files"
OF_LINES = (REFUSED, GUESS, ADOPTED)  # kinds of notes about a line
OUTCOMES = ("added", "updated", "unchanged", "refused")
# A book in a JSON file names only what differs from this.
BOOK: Mapping[str, Any] = {
    **{"isbn": None, "title": "", "authors": ""},
    **dict.fromkeys(("publisher", "language", "published_year", "description")),
    **{"price_cents": 0, "currency": "EUR", "stock_quantity": 0},
}
# What is not named in a JSON file must not happen. The texts of notes and errors may be parts of the sentences.
NOTHING: Mapping[str, Any] = {
    **{"format": "", "encoding": "", "decimal": ".", "names": "first last", "unused": [], "error": ""},
    **{"counts": {}, "books": [], "notified": [], REFUSED: {}, GUESS: {}, ADOPTED: {}, WAITING: []},
}


def files() -> list[Path]:
    """Return the files to import, without those that say what must come out."""
    return sorted(path for path in FOLDER.iterdir() if path.suffix != ".json" and not path.name.startswith("."))


def expectation_of(path: Path) -> Path:
    """Return the JSON file that says what must come out of a file."""
    return path.with_suffix(".json")


def expected_of(path: Path) -> dict[str, Any]:
    """Return what must come out of a file, with "about" and "before", and everything that it need not name."""
    written = json.loads(expectation_of(path).read_text(encoding="utf-8"))
    assert set(written) <= {*NOTHING, "about", "before"}, path
    books = [{**BOOK, **book} for book in written.get("books", [])]
    return {"before": [], **NOTHING, **written, "books": books}


def fill(shop: Shop, before: list[dict[str, Any]]) -> None:
    """Add the books that the shop has before the import, and the customers who are waiting for them."""
    customers: dict[str, int] = {}
    for entry in before:
        values = {"price_cents": 0, **entry}
        waiting, stock = values.pop("waiting", []), values.pop("stock_quantity", 0)
        withdrawn = values.pop("withdrawn", False)
        book_id = shop.book(stock=stock, **values)
        for email in waiting:
            customers[email] = customers.get(email) or shop.customer(email)
            shop.reserve(customers[email], book_id)
        if withdrawn:
            shop.withdraw(book_id)


def counts_of(job: Any) -> dict[str, int]:
    """Return how many lines had each outcome that occurred; they add up to the lines that were read."""
    counts = {outcome: getattr(job, outcome) for outcome in OUTCOMES}
    assert sum(counts.values()) == job.lines
    return {outcome: number for outcome, number in counts.items() if number}


def found_in(shop: Shop, job: Any) -> dict[str, Any]:
    """Return what has come out of an import, named as in the JSON files."""
    books = shop.rows(f"SELECT {', '.join(BOOK)} FROM books ORDER BY id")
    notified = "SELECT email FROM prebookings JOIN users ON users.id = user_id WHERE status = 'notified' ORDER BY email"
    said = {name: getattr(job, name) for name in ("format", "encoding", "decimal", "names", "error")}
    return {
        **NOTHING,
        **{name: value for name, value in said.items() if value},
        "unused": [name for name, field in zip(job.header, job.mapping, strict=True) if name and not field],
        "counts": counts_of(job),
        "books": [dict(zip(BOOK, book, strict=True)) for book in books],
        "notified": shop.rows(notified),
        **_notes_of(shop, job.id),
    }


def _notes_of(shop: Shop, job_id: int) -> dict[str, Any]:
    rows = shop.rows("SELECT kind, line, sentence FROM import_notes WHERE job_id = :job ORDER BY id", job=job_id)
    notes: dict[str, Any] = {kind: {} for kind in OF_LINES}
    for kind, line, sentence in rows:
        if kind in OF_LINES:
            notes[kind][str(line)] = "; ".join(filter(None, (notes[kind].get(str(line)), sentence)))
    return {**notes, WAITING: [sentence for kind, _line, sentence in rows if kind == WAITING]}


def shortened_as(found: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, Any]:
    """Return what has come out, with only those parts of its sentences that are expected, where they are in them."""
    shorter = dict(found)
    for kind in OF_LINES:
        parts = expected[kind]
        shorter[kind] = {line: _part(text, parts.get(line, "")) for line, text in found[kind].items()}
    shorter[WAITING] = [_part(text, part) for text, part in zip(found[WAITING], expected[WAITING], strict=False)]
    shorter[WAITING] += found[WAITING][len(shorter[WAITING]) :]
    shorter["error"] = _part(found["error"], expected["error"])
    return shorter


def _part(text: str, part: str) -> str:
    return part if part and part in text else text
