"""How commands say what the shop refuses."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click
from sqlalchemy.exc import DBAPIError

from bookshop.kit.exceptions import BookshopError


def refusals_as_messages(command: Callable[..., Any]) -> Callable[..., Any]:
    """Show what the shop refuses as a message of the command, with exit code 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except BookshopError as refused:
            raise click.ClickException(refused.sentence) from None
        except DBAPIError as error:
            raise click.ClickException(
                f"The database refused: {error.orig}. (`flask db upgrade` makes its tables.)"
            ) from None

    return run
