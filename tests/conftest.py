"""Every test that takes `app` runs twice: on SQLite and on a real PostgreSQL, both built by the migrations."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import flask_migrate
import pytest
import trustme
from argon2 import PasswordHasher
from flask import Flask
from sqlalchemy import create_engine, make_url, text

from bookshop import create_app
from bookshop.accounts import passwords
from bookshop.config import Settings
from bookshop.extensions import db, limiter
from tests.clients import Browser, Script
from tests.factories import Shop, empty
from tests.postbox import Postbox
from tests.postgresql import NoServer, server
from tests.receiver import Hooks, Receiver
from tests.smtp import Post, Sink
from tests.stand import Stand

SECRET_KEY = "a key for tests only, long enough"
COVERS = TemporaryDirectory(prefix="bookshop-covers-")
MAIL = TemporaryDirectory(prefix="bookshop-mail-")
passwords.hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    """A PostgreSQL database: BOOKSHOP_TEST_DATABASE_URL, or one of a temporary server."""
    given = os.environ.get("BOOKSHOP_TEST_DATABASE_URL")
    if given:
        yield given
        return
    try:
        with server() as url:
            yield url
    except NoServer as error:
        if os.environ.get("CI"):
            pytest.fail(f"CI needs PostgreSQL: {error}")
        pytest.skip(f"NOT TESTED ON POSTGRESQL: {error}")


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path_factory.mktemp('sqlite')}/shop.db"
    url: str = request.getfixturevalue("postgresql_url")
    return url


def settings_for(url: str, **changes: object) -> Settings:
    """The settings of the test shop; its limits are out of the way unless a test sets them."""
    limits = {"login_limit": "100000 per minute", "api_limit": "10000000 per minute"}
    given = {"secret_key": SECRET_KEY, "database_url": url, "database_pool": 40, **limits}
    return Settings.model_validate({"covers": COVERS.name, "mail_folder": MAIL.name, **given, **changes})


@pytest.fixture(scope="session")
def shared_app(database_url: str) -> Iterator[Flask]:
    """One application per database, on a schema that the migrations built."""
    _empty(database_url)
    app = create_app(settings_for(database_url))
    with app.app_context():
        flask_migrate.upgrade()
    yield app
    with app.app_context():
        db.engine.dispose()


def _empty(url: str) -> None:
    """Drop whatever is in a PostgreSQL database that was handed to us."""
    if url.startswith("postgres"):
        engine = create_engine(Settings(secret_key=SECRET_KEY, database_url=url).database_url)
        with engine.begin() as connection:
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        engine.dispose()


@pytest.fixture
def app(shared_app: Flask) -> Flask:
    """The application with empty tables. No context is left open: an uncommitted change must not be seen."""
    empty(shared_app)
    with shared_app.app_context():
        limiter.reset()
    return shared_app


@pytest.fixture
def shop(app: Flask) -> Shop:
    """Makes users, books and reservations, and tells what is in the database."""
    return Shop(app)


@pytest.fixture
def visitor(app: Flask) -> Callable[..., Browser]:
    """A browser of its own: `visitor()` anonymous, `visitor("ada@example.com")` logged in."""
    return lambda email=None: Browser(app, email)


@pytest.fixture
def script(app: Flask) -> Callable[..., Script]:
    """A script with a token: `script("ada@example.com")`, or with few scopes, or without: `script()`."""
    return lambda email=None, scopes=None: Script(app, email, scopes)


@pytest.fixture
def box(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Postbox:
    """Where the messages of the shop arrive."""
    monkeypatch.setitem(app.config, "SETTINGS", app.config["SETTINGS"])
    return Postbox(app, tmp_path / "mail")


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A real mail server, which can be told to fail."""
    with Sink() as sink:
        yield sink


@pytest.fixture
def post(app: Flask, sink: Sink, monkeypatch: pytest.MonkeyPatch) -> Post:
    """The shop with this mail server, and messages to send."""
    return Post(app, sink, monkeypatch)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Who vouches for the certificates of receivers."""
    return trustme.CA()


@pytest.fixture
def receiver(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A real receiver of webhooks, which the shop trusts and which can be told to fail."""
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    with Receiver(authority) as receiver:
        yield receiver


@pytest.fixture
def hooks(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Hooks:
    """The shop with webhooks that may go to this machine."""
    return Hooks(app, monkeypatch)


@pytest.fixture
def repository_root() -> Path:
    return Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def stand(shared_app: Flask) -> Stand:
    return Stand(shared_app)


@pytest.fixture
def nothing_stored(stand: Stand) -> Iterator[None]:
    """The test must leave the database as it was."""
    before = stand.shop.everything()
    yield
    assert stand.shop.everything() == before


@pytest.fixture(params=["sqlite", "postgresql"])
def own_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A new and empty database that nothing but the test and the server that it kills looks at."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/shop.db"
        return
    with new_database(request.getfixturevalue("postgresql_url"), "bookshop_kills") as url:
        yield url


@contextmanager
def new_database(server_url: str, name: str) -> Iterator[str]:
    """An empty database beside the one at this address of PostgreSQL, gone at the end; yields its address."""
    url = make_url(settings_for(server_url).database_url)
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    yield url.set(database=name).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    engine.dispose()
