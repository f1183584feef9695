"""Private logs: they show where an error occurred and its type, but never user input or stored data.

They are text or JSON: one line for each record in text (with the traceback below it), one object for each in JSON.
"""

import json
import logging
import re
import traceback
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy.exc import DBAPIError

EMAIL = re.compile(r"[^\s<>()\[\]\"',;:]+@[^\s<>()\[\]\"',;:]+")
VERB = re.compile(r"(INSERT INTO|UPDATE|DELETE FROM) \w+|\w+")  # the start of a statement, which contains no values
# Errors whose messages contain only names from the code, never values.
SAFE_ERRORS = (AttributeError, ImportError, NameError, TypeError)
LogFormat = Literal["text", "json"]
TEXT = "%(asctime)s %(levelname)s %(message)s"
FIELDS = "fields"  # of a record: further members of its JSON object
SERVING_PATH = re.compile(r"( while serving) .*")  # how waitress ends a message: the path may be a secret link

_factory = logging.getLogRecordFactory()
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)  # of the request that this thread serves


def configure(log_format: LogFormat, level: int) -> None:
    """Write what this process logs to stderr: of the shop from this level on, of libraries from warnings on.

    Does nothing if the logs of the process have been configured elsewhere.
    """
    if logging.root.handlers:
        return
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(log_format))
    logging.root.addHandler(handler)
    logging.getLogger("bookshop").setLevel(level)
    logging.getLogger("waitress").addFilter(_hide_path)
    logging.getLogger("werkzeug").addFilter(_is_no_request_line)


def formatter(log_format: str) -> logging.Formatter:
    return JsonFormatter() if log_format == "json" else logging.Formatter(TEXT)


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time (UTC), level, logger, message, and as far as it is known request_id and others."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": request_id.get(),
            **getattr(record, FIELDS, {}),
            "exception": record.exc_text or (record.exc_info and self.formatException(record.exc_info)),
        }
        return json.dumps({name: value for name, value in line.items() if value is not None}, ensure_ascii=False)


def _hide_path(record: logging.LogRecord) -> bool:
    record.msg = SERVING_PATH.sub(r"\1 a request", str(record.msg))
    return True


def _is_no_request_line(record: logging.LogRecord) -> bool:
    """Drop the lines about requests that werkzeug's server writes for `flask run`: they contain the path."""
    return '"%s" %s %s' not in str(record.msg)


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
