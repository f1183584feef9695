"""A shop that breaks its contract in ways that fuzzing must detect: `gunicorn "tests.support.faulty:shop()"`."""

from collections.abc import Callable
from typing import Any, NamedTuple

from flask import Flask

from bookshop import create_app
from bookshop.kit.exceptions import Invalid


def _wrong_type(book_id: int) -> tuple[dict[str, Any], int]:
    return {"id": str(book_id)}, 200


def _bug(book_id: int) -> None:
    raise RuntimeError(book_id)


def _undocumented_status(isbn: str) -> tuple[dict[str, Any], int]:
    return {"isbn": isbn}, 410


def _wrong_refusal(book_id: int) -> None:
    raise Invalid(f"Book {book_id} stays as it is.", "delta")


class Fault(NamedTuple):
    """A view that breaks the contract of its route."""

    route: str
    endpoint: str
    view: Callable[..., Any]


FAULTS = {
    "type": Fault("GET /api/v1/books/{book_id}", "catalog.api_book", _wrong_type),
    "bug": Fault("GET /api/v1/books/{book_id}/movements", "admin.api_movements", _bug),
    "status": Fault("GET /api/v1/books/isbn/{isbn}", "catalog.api_book_by_isbn", _undocumented_status),
    "refusal": Fault("PATCH /api/v1/books/{book_id}/stock", "admin.api_update_stock", _wrong_refusal),
}


def shop() -> Flask:
    """Create the shop with faulty views under the same contract."""
    app = create_app()
    for _route, endpoint, view in FAULTS.values():
        vars(view).update(vars(app.view_functions[endpoint]))
        app.view_functions[endpoint] = view
    return app
