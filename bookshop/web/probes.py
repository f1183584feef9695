"""Questions to the database that get an answer soon, whatever state it is in: for health checks and metrics."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Any, TypeVar

from flask import Flask, current_app
from sqlalchemy import Engine, NullPool, create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from bookshop.kit.database import is_sqlite
from bookshop.kit.transactions import SET_TIMEOUTS

T = TypeVar("T")

PROBES = "bookshop_probes"
CONNECT_TIMEOUT = 2  # seconds; also how long SQLite waits for a lock
STATEMENT_TIMEOUT = 5000  # milliseconds


class NoAnswer(Exception):
    """The database did not answer."""


class Probes:
    """Asks each question on a connection of its own, outside the pool, in a thread that may be given up.

    A server that is frozen or unreachable can make any call of the driver hang. A question that is still open is not
    asked again: those who ask meanwhile wait for the same answer, so that each question holds one thread at most.
    `patience` is for the hosts that are tried before the last one: without it, a primary that is gone would make a shop
    unready that works with its standby.
    """

    def __init__(self, engine: Engine, patience: float) -> None:
        self.engine, self.patience = engine, patience
        self._lock, self._asked = Lock(), dict[object, Future[Any]]()

    def ask(self, question: Callable[[Session], T], seconds: float) -> T:
        """Return the answer; raises NoAnswer after `seconds` and our patience, or if the database reports an error."""
        with self._lock:
            future: Future[T] | None = self._asked.get(question)
            if future is None or future.done():
                future = Future()
                Thread(target=self._answer, args=(question, future), daemon=True).start()
                self._asked[question] = future
        try:
            return future.result(seconds + self.patience)
        except (TimeoutError, SQLAlchemyError) as error:
            raise NoAnswer from error

    def _answer(self, question: Callable[[Session], T], future: "Future[T]") -> None:
        try:
            with Session(self.engine) as session:
                if not is_sqlite(session):
                    session.connection().exec_driver_sql(SET_TIMEOUTS % (STATEMENT_TIMEOUT, STATEMENT_TIMEOUT))
                answer = question(session)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(answer)


def init_app(app: Flask) -> None:
    options: dict[str, Any] = app.config["SQLALCHEMY_ENGINE_OPTIONS"]
    url = app.config["SQLALCHEMY_DATABASE_URI"]
    timeout = "timeout" if url.startswith("sqlite") else "connect_timeout"
    connect_args = {**options["connect_args"], timeout: CONNECT_TIMEOUT}
    engine = create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=connect_args)
    hosts = engine.url.query.get("host", "")
    app.extensions[PROBES] = Probes(engine, CONNECT_TIMEOUT * (len(hosts) - 1) if isinstance(hosts, tuple) else 0)


def ask(question: Callable[[Session], T], seconds: float) -> T:
    """Ask the application's database; see Probes.ask."""
    probes: Probes = current_app.extensions[PROBES]
    return probes.ask(question, seconds)
