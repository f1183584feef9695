"""What the log says of a failure: where it was and of which kind, but never what people typed or what is stored."""

import logging
import re
import traceback
from collections.abc import Iterator
from typing import Any

from sqlalchemy.exc import DBAPIError

EMAIL = re.compile(r"[^\s<>()\[\]\"',;:]+@[^\s<>()\[\]\"',;:]+")
VERB = re.compile(r"(INSERT INTO|UPDATE|DELETE FROM) \w+|\w+")  # how much of a statement holds no value
# Whose words are about the program: names of its own, never values.
OUTSPOKEN = (AttributeError, ImportError, NameError, TypeError)

_factory = logging.getLogRecordFactory()


def keep_private() -> None:
    """Let the log of this process hold no exception's own words, which may quote anything; may be called again.

    A database's error quotes the row, a mail server's the address, and a wrong value itself.
    """
    logging.setLogRecordFactory(_record)


def _record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record = _factory(*args, **kwargs)
    if record.exc_info and record.exc_info[1]:
        record.exc_text = described(record.exc_info[1])  # which formatters write instead of the traceback
    return record


def described(error: BaseException) -> str:
    """The traceback of an error and of those that it came from, with the kind of each instead of its words."""
    return "\n".join(_described(error))


def _described(error: BaseException) -> Iterator[str]:
    earlier = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if earlier is not None:
        yield from _described(earlier)
        yield "\nThen:\n"
    yield "".join(traceback.format_tb(error.__traceback__)).rstrip()
    yield kind_of(error)


def kind_of(error: BaseException) -> str:
    """What kind of error it is: its class and, of a database's, the code, the constraint and the statement."""
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    if isinstance(error, OUTSPOKEN):
        return f"{name}: {error}"
    if isinstance(error, DBAPIError):
        statement = VERB.match(error.statement or "")
        cause = kind_of(error.orig) if error.orig else "no cause"
        return f"{name} ({cause}) in {statement[0] if statement else 'a statement'}"
    diagnosis = getattr(error, "diag", None)
    parts = [getattr(error, "sqlstate", None), getattr(error, "sqlite_errorname", None)]
    parts += [getattr(diagnosis, part, None) for part in ("table_name", "column_name", "constraint_name")]
    return " ".join([name, *(part for part in parts if part)])


def without_addresses(words: str) -> str:
    """Words of another server as the log may hold them."""
    return EMAIL.sub("...", words)
