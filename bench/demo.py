"""The demo shop in a temporary folder, for screenshots and for measurements in a browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.shop import SECRET_KEY
from bookshop import create_app
from bookshop.cli.demo import DEMO_ACCOUNTS
from bookshop.config import Settings
from bookshop.extensions import db
from tests.browser.server import SHOP, environment, started
from tests.support.factories import Shop

ACCOUNTS = {email.partition("@")[0]: (email, password) for email, (password, _role) in DEMO_ACCOUNTS.items()}


@contextmanager
def demo_shop(*options: str) -> Iterator[tuple[Shop, str]]:
    """Serve the shop that `flask demo` creates, on SQLite; yields the shop and its URL, then removes everything.

    `options` are gunicorn's, by default those of `make run`.
    """
    with TemporaryDirectory(prefix="bookshop-demo-") as folder:
        settings = Settings(
            secret_key=SECRET_KEY,
            database_url=f"sqlite:///{folder}/shop.db",
            covers=Path(folder) / "covers",
            imports=Path(folder) / "imports",
            mail_folder=Path(folder) / "mail",
            login_limit="1000 per minute",
        )
        app = create_app(settings)
        result = app.test_cli_runner().invoke(args=["demo"])
        if result.exit_code:
            raise RuntimeError(result.output)
        with started(SHOP, environment(settings), *options) as address:
            yield Shop(app), address
        with app.app_context():
            db.engine.dispose()
