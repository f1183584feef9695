"""Error messages for commands."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from sqlalchemy.exc import DBAPIError

from bookshop.kit.exceptions import BookshopError


def report_errors(command: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a command to print errors of the shop and the database as messages, with exit code 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except BookshopError as error:
            raise click.ClickException(error.sentence) from None
        except DBAPIError as error:
            raise click.ClickException(
                f"The database reported an error: {error.orig}. (`flask db upgrade` creates missing tables.)"
            ) from None

    return run
