"""Every test that uses `app` runs twice: on SQLite and on a real PostgreSQL, both created by the migrations."""

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
from bookshop.opening.service import OpeningService
from tests.support.bad_input import XssShop
from tests.support.clients import ApiClient, WebClient
from tests.support.databases import drop_everything, empty, folder_in_memory, new_database
from tests.support.factories import Shop
from tests.support.hostile import Target
from tests.support.mailbox import Mailbox
from tests.support.postgresql import NoServer, server
from tests.support.receiver import Receiver, Webhooks
from tests.support.sample_shop import SampleShop, sample_shop_of
from tests.support.settings import settings_for
from tests.support.smtp import MailQueue, SmtpServer

pytest_plugins = ["tests.support.cases"]
DATABASE_URL_VARIABLE = "BOOKSHOP_TEST_DATABASE_URL"
# Compile each template once for all applications.
Flask.jinja_options = {"bytecode_cache": FileSystemBytecodeCache()}
passwords.hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
# A shop without accounts counts as one that is open, except in tests/opening.
IS_NEW = OpeningService.is_new
OpeningService.is_new = lambda _service: False  # type: ignore[assignment,method-assign]
servers = ExitStack()  # belongs to the process that starts the pytest-xdist workers


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Start one server for all pytest-xdist workers; if that fails, each worker reports it itself."""
    with suppress(NoServer):
        node.workerinput["postgresql"] = shared_server()


@cache
def shared_server() -> str:
    return os.environ.get(DATABASE_URL_VARIABLE) or servers.enter_context(server())


def pytest_collection_finish() -> None:
    """Exclude objects that live for the whole run from garbage collection, which would scan them repeatedly."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def pytest_unconfigure() -> None:
    servers.close()


@pytest.fixture(scope="session")
def postgresql_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A PostgreSQL database per worker: BOOKSHOP_TEST_DATABASE_URL, or one on a temporary server."""
    with ExitStack() as resources:
        try:
            shared = getattr(request.config, "workerinput", {}).get("postgresql")
            url = shared or os.environ.get(DATABASE_URL_VARIABLE) or resources.enter_context(server())
        except NoServer as error:
            if os.environ.get("CI"):
                pytest.fail(f"CI needs PostgreSQL: {error}")
            pytest.skip(f"NOT TESTED ON POSTGRESQL: {error}")
        yield resources.enter_context(new_database(url, "bookshop_tests")) if shared else url


@pytest.fixture(scope="session")
def sqlite_url() -> Iterator[str]:
    """An SQLite file, in a memory-backed folder if there is one: it need not survive a crash."""
    with folder_in_memory("bookshop-sqlite-") as folder:
        yield f"sqlite:///{folder}/shop.db"


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture(scope="session")
def app_on() -> Iterator[Callable[[str], Flask]]:
    """Return the application for a database URL, created once, on a schema built by the migrations."""
    apps: dict[str, Flask] = {}

    def app_on(url: str) -> Flask:
        if url not in apps:
            if url.startswith("postgres"):
                drop_everything(url)
            apps[url] = create_app(settings_for(url))
            with apps[url].app_context():
                flask_migrate.upgrade()
        return apps[url]

    yield app_on
    for app in apps.values():
        with app.app_context():
            db.engine.dispose()


@pytest.fixture(scope="session")
def shared_app(app_on: Callable[[str], Flask], database_url: str) -> Flask:
    return app_on(database_url)


@pytest.fixture
def app(shared_app: Flask) -> Flask:
    """The application with empty tables. No context is left open, so uncommitted changes stay invisible."""
    empty(shared_app)
    return shared_app


@pytest.fixture
def shop(app: Flask) -> Shop:
    """Creates users, books and reservations, and reads the database."""
    return Shop(app)


@pytest.fixture
def web_client(app: Flask) -> Callable[..., WebClient]:
    """Create a web client: `web_client()` is not logged in, `web_client("ada@example.com")` is."""
    return lambda email=None: WebClient(app, email)


@pytest.fixture
def api_client(app: Flask) -> Callable[..., ApiClient]:
    """Create an API client: with an address it has a token, by default with all scopes; without one it has none."""
    return lambda email=None, scopes=None: ApiClient(app, email, scopes)


@pytest.fixture
def mailbox(app: Flask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mailbox:
    """The folder in which the shop's e-mails arrive."""
    monkeypatch.setitem(app.config, "SETTINGS", app.config["SETTINGS"])
    return Mailbox(app, tmp_path / "mail")


@pytest.fixture
def smtp_server() -> Iterator[SmtpServer]:
    """A real mail server that can be told to fail."""
    with SmtpServer() as smtp_server:
        yield smtp_server


@pytest.fixture
def mail_queue(app: Flask, smtp_server: SmtpServer, monkeypatch: pytest.MonkeyPatch) -> MailQueue:
    """The shop's outbox, sent through `smtp_server`."""
    return MailQueue(app, smtp_server, monkeypatch)


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """The certificate authority of the receivers."""
    return trustme.CA()


@pytest.fixture
def receiver(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A real webhook receiver that the shop trusts and that can be told to fail."""
    authority.cert_pem.write_to_path(str(tmp_path / "authority.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    with Receiver(authority) as receiver:
        yield receiver


@pytest.fixture
def webhooks(app: Flask, monkeypatch: pytest.MonkeyPatch) -> Webhooks:
    """The shop's webhooks, allowed to call this machine."""
    return Webhooks(app, monkeypatch)


@pytest.fixture
def repository_root() -> Path:
    return Path(__file__).resolve().parent.parent


@pytest.fixture
def sample_shop(app: Flask) -> SampleShop:
    """A shop with some of everything, and clients of every role."""
    return sample_shop_of(app)


@pytest.fixture(scope="module")
def xss_shop(shared_app: Flask) -> XssShop:
    """A shop with a script in every text, shared by a module because no test may change it."""
    return XssShop(shared_app)


@pytest.fixture
def nothing_stored(xss_shop: XssShop) -> Iterator[None]:
    """Fail the test if it changes the database of `xss_shop`."""
    before = xss_shop.shop.everything()
    yield
    assert xss_shop.shop.everything() == before


@pytest.fixture(scope="module")
def target(shared_app: Flask) -> Target:
    """A sample shop for hostile requests, shared by a module because no test may change it."""
    return Target(shared_app)


@pytest.fixture
def nothing_changes(target: Target) -> Iterator[None]:
    """Fail the test if it changes any table of `target`."""
    yield
    before, target.rows = target.rows, target.tables()
    assert target.rows == before


@pytest.fixture(params=["sqlite", "postgresql"])
def own_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A new and empty database, used only by the test and the server that it kills."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/shop.db"
        return
    with new_database(request.getfixturevalue("postgresql_url"), "bookshop_kills") as url:
        yield url
