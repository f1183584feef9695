"""The Flask extensions, created once and bound to the application in `create_app`."""

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
WRITER_TIMEOUT = 0.25  # seconds for which a request waits for a writer slot


class LoginManagerWithoutRemember(LoginManager):  # type: ignore[misc]
    """Flask-Login without remember cookies: the shop never sets one, and a forged one would cause an error."""

    def _load_user_from_remember_cookie(self, cookie: str) -> object:
        return self._load_user_from_request(request)


class RequestSession(Session):
    """A session that reads without a transaction on PostgreSQL in read-only (GET, HEAD) requests.

    This saves the round trips of BEGIN and ROLLBACK and loses nothing: under READ COMMITTED each statement sees what
    was committed when it began, with or without a transaction. On SQLite a transaction costs next to nothing.
    """

    def get_bind(self, *args: Any, **kwargs: Any) -> Engine | Connection:
        engine = super().get_bind(*args, **kwargs)
        return without_transactions(engine) if is_read_only() and isinstance(engine, Engine) else engine

    def rollback(self) -> None:
        """Roll back, ignoring a lost connection: the database then rolls back by itself."""
        with self._even_if_lost():
            super().rollback()

    def close(self) -> None:
        """Close, ignoring a lost connection: Flask-SQLAlchemy calls this at teardown, too late for an error page."""
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
    """Whether this is a GET or HEAD request, which must not write."""
    return has_request_context() and request.method in {"GET", "HEAD"}


@cache
def without_transactions(engine: Engine) -> Engine:
    """Return the engine in AUTOCOMMIT mode, with the same connection pool; a SQLite engine is returned as it is."""
    return engine if engine.dialect.name == "sqlite" else engine.execution_options(isolation_level="AUTOCOMMIT")


def client_network() -> str:
    """Return the client address for rate limits; for IPv6 its /64 network, as one subscriber usually has all of it."""
    try:
        address = ip_address(request.remote_addr or "")
    except ValueError:  # a Unix socket
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
    """Let at most half of the threads write, and limit each SQL statement to the time limit of a request."""
    config: Settings = app.config["SETTINGS"]
    app.extensions[WRITERS] = BoundedSemaphore(max(1, config.database_pool // 2))
    if db.engine.dialect.name == "sqlite":
        return

    @event.listens_for(db.engine, "connect")
    def on_connect(connection: Any, _record: Any) -> None:
        if has_request_context():  # not for commands: a migration may take hours
            connection.execute(f"SET statement_timeout = {int(1000 * config.request_seconds)}")
            connection.commit()


@contextmanager
def writer() -> Iterator[None]:
    """Hold one of the writer slots, half as many as there are threads; raises Busy if none becomes free.

    Without the limit, a single lock could block every thread, and visitors could not even read pages. Commands and
    workers have no limit.
    """
    if not has_request_context():
        yield
        return
    slots: BoundedSemaphore = current_app.extensions[WRITERS]
    if not slots.acquire(timeout=WRITER_TIMEOUT):
        raise Busy("The shop is very busy right now. Please try again in a moment.")
    try:
        yield
    finally:
        slots.release()


def settings() -> Settings:
    """Return the settings of the running application."""
    config: Settings = current_app.config["SETTINGS"]
    return config
