"""Shops that break their contract, for who must notice: `gunicorn "tests.faulty:shop('status')"`."""

from collections.abc import Callable
from typing import Any

from flask import Flask

from bookshop import create_app
from bookshop.exceptions import Invalid


def _another_type(isbn: str) -> tuple[dict[str, Any], int]:
    return {"id": isbn}, 200


def _a_bug(isbn: str) -> None:
    raise RuntimeError(isbn)


def _another_status(isbn: str) -> tuple[dict[str, Any], int]:
    return {"isbn": isbn}, 410


def _a_refusal(book_id: int) -> None:
    raise Invalid(f"Book {book_id} stays as it is.", "delta")


FAULTS: dict[str, tuple[str, Callable[..., Any]]] = {
    "type": ("catalog.api_book_by_isbn", _another_type),
    "bug": ("catalog.api_book_by_isbn", _a_bug),
    "status": ("catalog.api_book_by_isbn", _another_status),
    "refusal": ("admin.api_update_stock", _a_refusal),
}


def shop(fault: str) -> Flask:
    """The shop with another view, which promises the same."""
    endpoint, view = FAULTS[fault]
    app = create_app()
    vars(view).update(vars(app.view_functions[endpoint]))
    app.view_functions[endpoint] = view
    return app
