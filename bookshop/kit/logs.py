"""Private logs: they show where an error occurred and its type, but never user input or stored data."""

import logging
import re
import traceback
from collections.abc import Iterator
from typing import Any

from sqlalchemy.exc import DBAPIError

EMAIL = re.compile(r"[^\s<>()\[\]\"',;:]+@[^\s<>()\[\]\"',;:]+")
VERB = re.compile(r"(INSERT INTO|UPDATE|DELETE FROM) \w+|\w+")  # the start of a statement, which contains no values
# Errors whose messages contain only names from the code, never values.
SAFE_ERRORS = (AttributeError, ImportError, NameError, TypeError)

_factory = logging.getLogRecordFactory()


def hide_exception_messages() -> None:
    """Keep exception messages out of this process's logs; safe to call again.

    Database errors quote the row, mail server errors the address, and value errors the value.
    """
    logging.setLogRecordFactory(_record)


def _record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record = _factory(*args, **kwargs)
    if record.exc_info and record.exc_info[1]:
        record.exc_text = format_error(record.exc_info[1])  # formatters use this instead of the traceback
    return record


def format_error(error: BaseException) -> str:
    """Format the traceback of an error and its causes, with the type of each instead of its message."""
    return "\n".join(_format_chain(error))


def _format_chain(error: BaseException) -> Iterator[str]:
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if earlier is not None:
        yield from _format_chain(earlier)
        yield "\nThen:\n"
    yield "".join(traceback.format_tb(error.__traceback__)).rstrip()
    yield error_kind(error)


def error_kind(error: BaseException) -> str:
    """Return the class of an error and, for a database error, its code, constraint and kind of statement."""
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    if isinstance(error, SAFE_ERRORS):
        return f"{name}: {error}"
    if isinstance(error, DBAPIError):
        statement = VERB.match(error.statement or "")
        cause = error_kind(error.orig) if error.orig else "no cause"
        return f"{name} ({cause}) in {statement[0] if statement else 'a statement'}"
    diagnosis = getattr(error, "diag", None)
    parts = [getattr(error, "sqlstate", None), getattr(error, "sqlite_errorname", None)]
    parts += [getattr(diagnosis, part, None) for part in ("table_name", "column_name", "constraint_name")]
    return " ".join([name, *(part for part in parts if part)])


def redact_addresses(text: str) -> str:
    """Replace e-mail addresses in a text from another server, so that it may be logged."""
    return EMAIL.sub("...", text)
