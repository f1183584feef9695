"""The demo shop in a folder of its own, as visitors find it: for screenshots and for what a browser measures."""

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
def demo_shop() -> Iterator[tuple[Shop, str]]:
    """Serve what `flask demo` makes, on SQLite; yields the shop and its address, and leaves nothing behind."""
    with TemporaryDirectory(prefix="bookshop-demo-") as folder:
        settings = Settings(
            secret_key=SECRET_KEY,
            database_url=f"sqlite:///{folder}/shop.db",
            covers=Path(folder) / "covers",
            mail_folder=Path(folder) / "mail",
            login_limit="1000 per minute",
        )
        app = create_app(settings)
        made = app.test_cli_runner().invoke(args=["demo"])
        if made.exit_code:
            raise RuntimeError(made.output)
        with started(SHOP, environment(settings)) as address:
            yield Shop(app), address
        with app.app_context():
            db.engine.dispose()
