"""The Flask extensions, made once and bound to the application in `create_app`."""

from functools import cache
from typing import Any

from flask import current_app, has_request_context, request
from flask_bootstrap import Bootstrap5
from flask_compress import Compress
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from flask_login import LoginManager
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy
from flask_sqlalchemy.session import Session
from flask_wtf import CSRFProtect
from sqlalchemy import Connection, Engine

from bookshop.config import Settings
from bookshop.database import Base


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
        return without_transactions(engine) if only_looks() and isinstance(engine, Engine) else engine


def only_looks() -> bool:
    """Whether this is a request that changes nothing in the shop."""
    return has_request_context() and request.method in {"GET", "HEAD"}


@cache
def without_transactions(engine: Engine) -> Engine:
    """The same engine, with the same connections, that commits each statement at once; SQLite's as it is."""
    return engine if engine.dialect.name == "sqlite" else engine.execution_options(isolation_level="AUTOCOMMIT")


db = SQLAlchemy(model_class=Base, session_options={"class_": RequestSession, "expire_on_commit": False})
migrate = Migrate()
login_manager = LoginManagerWithoutRemember()
csrf = CSRFProtect()
limiter = Limiter(get_remote_address)
bootstrap = Bootstrap5()
compress = Compress()


def settings() -> Settings:
    """The settings of the running application."""
    found: Settings = current_app.config["SETTINGS"]
    return found
