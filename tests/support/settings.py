"""The settings of the shop in tests."""

from tempfile import TemporaryDirectory

from bookshop.config import Settings

SECRET_KEY = "a key for tests only, long enough"
COVERS = TemporaryDirectory(prefix="bookshop-covers-")
MAIL = TemporaryDirectory(prefix="bookshop-mail-")


def settings_for(url: str, **changes: object) -> Settings:
    """Return the settings of the test shop; its rate limits are too high to matter unless a test sets them."""
    limits = {"login_limit": "100000 per minute", "api_limit": "10000000 per minute", "ratelimit_storage": "memory://"}
    defaults = {"secret_key": SECRET_KEY, "database_url": url, "database_pool": 100, **limits}
    return Settings.model_validate({"covers": COVERS.name, "mail_folder": MAIL.name, **defaults, **changes})
