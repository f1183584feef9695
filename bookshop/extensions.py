"""The Flask extensions, made once and bound to the application in `create_app`."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from ipaddress import IPv6Address, IPv6Network, ip_address
from threading import BoundedSemaphore
from typing import Any

from flask import Flask, current_app, has_request_context, request
from flask_bootstrap import Bootstrap5
from flask_compress import Compress
from flask_limiter import Limiter
from flask_login import LoginManager
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from flask_wtf import CSRFProtect
from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError

from bookshop.config import Settings
from bookshop.kit.database import Base
from bookshop.kit.exceptions import Busy

log = logging.getLogger(__name__)

WRITERS = "bookshop_writers"
LONGEST_QUEUE = 0.25  # seconds for which a request waits to become one of those that write


class LoginManagerWithoutRemember(LoginManager):  # type: ignore[misc]
    """Flask-Login without remember cookies: the shop never sets one, and a forged one would stop the program."""

    def _load_user_from_remember_cookie(self, cookie: str) -> object:
        return self._load_user_from_request(request)


class RequestSession(Session):
    """A session that lets a request that only looks read without a transaction on PostgreSQL.

    BEGIN and ROLLBACK are each a message there and back, and nothing is lost without them: under READ COMMITTED each
    statement sees what was committed when it began, in a transaction or not. On SQLite a transaction costs next to
    nothing.
    """

    def get_bind(self, *args: Any, **kwargs: Any) -> Engine | Connection:
        engine = super().get_bind(*args, **kwargs)
        return without_transactions(engine) if is_read_only() and isinstance(engine, Engine) else engine

    def rollback(self) -> None:
        """Take back what was not committed; where the connection is lost, the database does so by itself."""
        with self._even_if_lost():
            super().rollback()

    def close(self) -> None:
        """End whatever is under way, as `rollback` does; Flask-SQLAlchemy closes it where no error page helps."""
        with self._even_if_lost():
            super().close()

    @contextmanager
    def _even_if_lost(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            log.warning("a connection was lost before its rollback: %s", type(error.orig).__name__)
            self.invalidate()


def is_read_only() -> bool:
    """Whether this is a request that changes nothing in the shop."""
    return has_request_context() and request.method in {"GET", "HEAD"}


@cache
def without_transactions(engine: Engine) -> Engine:
    """The same engine, with the same connections, that commits each statement at once; SQLite's as it is."""
    return engine if engine.dialect.name == "sqlite" else engine.execution_options(isolation_level="AUTOCOMMIT")


def client_network() -> str:
    """The address that a request comes from, by which it is counted; of IPv6 its /64, as one line has a whole one."""
    try:
        address = ip_address(request.remote_addr or "")
    except ValueError:  # of a socket in the file system
        return request.remote_addr or "here"
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or IPv6Network((int(address) >> 64 << 64, 64)))
    return str(address)


db = SQLAlchemy(model_class=Base, session_options={"class_": RequestSession, "expire_on_commit": False})
migrate = Migrate()
login_manager = LoginManagerWithoutRemember()
csrf = CSRFProtect()
limiter = Limiter(client_network)
bootstrap = Bootstrap5()
compress = Compress()


def limit_requests(app: Flask) -> None:
    """Let at most half of a process's threads write, and no statement of a request take longer than a request may."""
    given: Settings = app.config["SETTINGS"]
    app.extensions[WRITERS] = BoundedSemaphore(max(1, given.database_pool // 2))
    if db.engine.dialect.name == "sqlite":
        return

    @event.listens_for(db.engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        if has_request_context():  # not for commands: an update of the database may take hours
            connection.execute(f"SET statement_timeout = {int(1000 * given.request_seconds)}")
            connection.commit()


@contextmanager
def writer() -> Iterator[None]:
    """Be one of the requests that write, of which there are at most half as many as threads; raises Busy.

    Otherwise one lock that is held would stop all threads, and nobody could even look at a book.
    """
    if not has_request_context():
        yield
        return
    slots: BoundedSemaphore = current_app.extensions[WRITERS]
    if not slots.acquire(timeout=LONGEST_QUEUE):
        raise Busy("Too many others are changing something just now. Please try again in a moment.")
    try:
        yield
    finally:
        slots.release()


def settings() -> Settings:
    """The settings of the running application."""
    found: Settings = current_app.config["SETTINGS"]
    return found
