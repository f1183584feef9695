"""Error messages for commands."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from sqlalchemy.exc import DBAPIError

from bookshop.kit.exceptions import BookshopError, reason_of

MISSING = ("42P01", "42703")  # a table or a column, on PostgreSQL


def report_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command to print errors of the shop and the database as messages, with exit code 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except (BookshopError, DBAPIError) as error:
            raise click.ClickException(sentence_of(error)) from None

    return run


def sentence_of(error: BookshopError | DBAPIError) -> str:
    """Return what to tell the operator about an error of the shop or of the database."""
    if isinstance(error, BookshopError):
        return error.sentence
    reason = reason_of(error)
    is_missing = "no such" in reason or getattr(error.orig, "sqlstate", None) in MISSING
    advice = " (`flask db upgrade` creates missing tables.)" if is_missing else ""
    return f"The database reported an error: {reason}.{advice}"
