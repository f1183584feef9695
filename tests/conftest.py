"""Every test that takes `app` runs twice: on SQLite and on a real PostgreSQL, both built by the migrations."""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from typing import Any

import flask_migrate
import pytest
import trustme
from argon2 import PasswordHasher
from flask import Flask
from jinja2 import FileSystemBytecodeCache

from bookshop import create_app
from bookshop.accounts import passwords
from bookshop.extensions import db
from tests.support.clients import ApiClient, WebClient
from tests.support.databases import drop_everything, empty, folder_in_memory, new_database
from tests.support.factories import Shop
from tests.support.hostile import Target
from tests.support.postbox import Postbox
from tests.support.postgresql import NoServer, server
from tests.support.receiver import Hooks, Receiver
from tests.support.settings import settings_for
from tests.support.smtp import Post, Sink
from tests.support.stand import Stand
from tests.support.world import World, world_of

pytest_plugins = ["tests.support.cases"]
GIVEN = "BOOKSHOP_TEST_DATABASE_URL"
# Each template is compiled once for all applications.
Flask.jinja_options = {"bytecode_cache": FileSystemBytecodeCache()}
passwords.hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
servers = ExitStack()  # of the process that starts the workers of pytest-xdist


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Start one server for all workers of pytest-xdist; where none can be started, each worker says so itself."""
    with suppress(NoServer):
        node.workerinput["postgresql"] = shared_server()


@cache
def shared_server() -> str:
    return os.environ.get(GIVEN) or servers.enter_context(server())


def pytest_collection_finish() -> None:
    """Let the garbage collector pass over what stays for the whole run: it would look through it again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def pytest_unconfigure() -> None:
    servers.close()


@pytest.fixture(scope="session")
def postgresql_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A PostgreSQL database: BOOKSHOP_TEST_DATABASE_URL, or one of a temporary server; each worker has its own."""
    with ExitStack() as resources:
        try:
            shared = getattr(request.config, "workerinput", {}).get("postgresql")
            url = shared or os.environ.get(GIVEN) or resources.enter_context(server())
        except NoServer as error:
            if os.environ.get("CI"):
                pytest.fail(f"CI needs PostgreSQL: {error}")
            pytest.skip(f"NOT TESTED ON POSTGRESQL: {error}")
        yield resources.enter_context(new_database(url, "bookshop_tests")) if shared else url


@pytest.fixture(scope="session")
def sqlite_url() -> Iterator[str]:
    """An SQLite file, in memory if the machine has a memory-backed folder: it need not survive a crash."""
    with folder_in_memory("bookshop-sqlite-") as folder:
        yield f"sqlite:///{folder}/shop.db"


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(scope="session")
def app_on() -> Iterator[Callable[[str], Flask]]:
    """One application per database, on a schema that the migrations built: made once, however often it is asked for."""
    made: dict[str, Flask] = {}

    def app_on(url: str) -> Flask:
        if url not in made:
            if url.startswith("postgres"):
                drop_everything(url)
            made[url] = create_app(settings_for(url))
            with made[url].app_context():
                flask_migrate.upgrade()
        return made[url]

    yield app_on
    for app in made.values():
        with app.app_context():
            db.engine.dispose()


@pytest.fixture(scope="session")
def shared_app(app_on: Callable[[str], Flask], database_url: str) -> Flask:
    return app_on(database_url)


@pytest.fixture
def app(shared_app: Flask) -> Flask:
    """The application with empty tables. No context is left open: an uncommitted change must not be seen."""
    empty(shared_app)
    return shared_app


@pytest.fixture
def shop(app: Flask) -> Shop:
    """Makes users, books and reservations, and tells what is in the database."""
    return Shop(app)


@pytest.fixture
def web_client(app: Flask) -> Callable[..., WebClient]:
    """A browser of its own: `web_client()` anonymous, `web_client("ada@example.com")` logged in."""
    return lambda email=None: WebClient(app, email)


@pytest.fixture
def api_client(app: Flask) -> Callable[..., ApiClient]:
    """A script with a token: `api_client("ada@example.com")`, or with few scopes, or without: `api_client()`."""
    return lambda email=None, scopes=None: ApiClient(app, email, scopes)


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


@pytest.fixture
def world(app: Flask) -> World:
    """A shop in which there is some of everything, and all ways to call it."""
    return world_of(app)


@pytest.fixture(scope="module")
def stand(shared_app: Flask) -> Stand:
    return Stand(shared_app)


@pytest.fixture
def nothing_stored(stand: Stand) -> Iterator[None]:
    """The test must leave the database as it was."""
    before = stand.shop.everything()
    yield
    assert stand.shop.everything() == before


@pytest.fixture(scope="module")
def target(shared_app: Flask) -> Target:
    return Target(shared_app)


@pytest.fixture
def nothing_changes(target: Target) -> Iterator[None]:
    """The test must leave all tables of the target as they were."""
    yield
    before, target.rows = target.rows, target.tables()
    assert target.rows == before


@pytest.fixture(params=["sqlite", "postgresql"])
def own_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A new and empty database that nothing but the test and the server that it kills looks at."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/shop.db"
        return
    with new_database(request.getfixturevalue("postgresql_url"), "bookshop_kills") as url:
        yield url
