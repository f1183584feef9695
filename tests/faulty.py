"""Shops that break their contract, for who must notice: `gunicorn "tests.faulty:status"`."""

from collections.abc import Callable
from typing import Any

from flask import Flask

from bookshop import create_app

PATH = "/api/v1/books/isbn/<isbn>"


def _answering(view: Callable[..., Any]) -> Flask:
    """The shop with another view of a book."""
    app = create_app()
    endpoint = "catalog.api_book_by_isbn"
    view.__dict__.update(vars(app.view_functions[endpoint]))  # it promises the same
    app.view_functions[endpoint] = view
    return app


def _of_another_type(isbn: str) -> tuple[dict[str, Any], int]:
    return {"id": isbn}, 200


def _with_a_bug(isbn: str) -> None:
    raise RuntimeError(isbn)


def _with_another_status(isbn: str) -> tuple[dict[str, Any], int]:
    return {"isbn": isbn}, 410


def __getattr__(name: str) -> Flask:
    return _answering({"type": _of_another_type, "bug": _with_a_bug, "status": _with_another_status}[name])
