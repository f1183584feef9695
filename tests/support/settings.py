"""The settings of the shop in tests."""

from tempfile import TemporaryDirectory

from bookshop.config import Settings

SECRET_KEY = "a key for tests only, long enough"
COVERS = TemporaryDirectory(prefix="bookshop-covers-")
IMPORTS = TemporaryDirectory(prefix="bookshop-imports-")
MAIL = TemporaryDirectory(prefix="bookshop-mail-")


def settings_for(url: str, **changes: object) -> Settings:
    """Return the settings of the test shop; its limits are too high to matter unless a test sets them."""
    limits = {"login_limit": "100000 per minute", "api_limit": "10000000 per minute", "max_open_orders": 10_000}
    defaults = {"secret_key": SECRET_KEY, "database_url": url, "database_pool": 100, "ratelimit_storage": "memory://"}
    folders = {"covers": COVERS.name, "imports": IMPORTS.name, "mail_folder": MAIL.name}
    return Settings.model_validate({**folders, **limits, **defaults, **changes})
