"""The settings of the shop, one `BOOKSHOP_*` variable each, validated before anything starts."""

import logging
import os
import re
import secrets
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote, urlsplit

from email_validator import EmailNotValidError, validate_email
from limits import parse_many
from limits.errors import ConfigurationError
from limits.storage import storage_from_string
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from bookshop.kit.exceptions import SettingsError
from bookshop.kit.logs import LogFormat
from bookshop.kit.storage import SCHEME, checked_url

log = logging.getLogger(__name__)

PREFIX = "BOOKSHOP_"
BOOT_ERROR = 3  # gunicorn stops when a worker exits with this code, instead of starting another worker
TEST_PREFIX = "BOOKSHOP_TEST_"
SECRET = {"SECRET_KEY", "DATABASE_URL", "RATELIMIT_STORAGE", "SMTP_URL", "METRICS_TOKEN"}  # not shown
ROOT = Path(__file__).resolve().parent.parent
INSTANCE = ROOT / "instance"

NO_KEY = (
    "BOOKSHOP_SECRET_KEY is missing: set it to a random text of at least 32 characters, for example the output of "
    "`python3 -c 'import secrets; print(secrets.token_hex(32))'`, and do not change it later. (For "
    "the demo shop of `make run`, set BOOKSHOP_DEMO=1 instead.)"
)
DATABASES = {
    "sqlite": "sqlite",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
}


# host1:5432,host2:5432 as libpq writes a primary and its standbys, which SQLAlchemy reads from the query only
SEVERAL_HOSTS = re.compile(r"(?P<start>[\w+]+://(?:[^@]*@)?)(?P<hosts>[\w.:-]+(?:,[\w.:-]+)+)(?P<end>[/?].*)?")
HOST_AND_PORT = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?")


def _parsed_url(text: str) -> URL:
    found = SEVERAL_HOSTS.fullmatch(text)
    if not found:
        return make_url(text)
    hosts = found["hosts"].split(",")
    if not all(HOST_AND_PORT.fullmatch(host) for host in hosts):
        raise ValueError
    url = make_url(found["start"] + (found["end"] or ""))
    return url.set(query={"target_session_attrs": "read-write", **url.query, "host": tuple(hosts)})


def _database_url(text: str) -> str:
    """Normalise the URL; `postgres://`, as many hosts write it, selects the psycopg driver."""
    try:
        url = _parsed_url(text)
    except (ArgumentError, ValueError):
        raise ValueError("is not a database URL such as postgresql://user:password@host/bookshop") from None
    if url.drivername not in DATABASES:
        raise ValueError(f"has the unknown scheme '{url.drivername}'; use sqlite:/// or postgresql://")
    if url.drivername == "sqlite" and url.database in {None, "", ":memory:"}:
        raise ValueError("needs a file, such as sqlite:////path/to/shop.db")
    return url.set(drivername=DATABASES[url.drivername]).render_as_string(hide_password=False)


def _limits(text: str) -> str:
    try:
        if not all(rate.amount for rate in parse_many(text)):
            raise ValueError
    except ValueError:
        raise ValueError("is not a rate such as '10 per minute; 100 per hour'") from None
    return text


def _folder(path: Path) -> Path:
    """Return the absolute path of a folder, which need not exist yet; relative paths start at the project's root."""
    if path == Path():
        raise ValueError("is empty; it needs the path of a folder")
    folder = ROOT / os.path.expanduser(path)
    nearest = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    if not os.path.isdir(nearest):
        raise ValueError(f"cannot be a folder because {nearest} is not one")
    return folder


def _folder_or_bucket(location: Path | str) -> Path | str:
    """Return the absolute path of a folder, or the URL of a bucket."""
    text = str(location).strip()
    return checked_url(text) if text.startswith(SCHEME) else _folder(Path(text))


DATABASE_STORAGE = "database://"  # the value of BOOKSHOP_RATELIMIT_STORAGE for the shop's own database


def _storage(text: str) -> str:
    if text == DATABASE_STORAGE:
        return text
    try:
        storage_from_string(text)
    except ConfigurationError as error:
        raise ValueError(f"cannot be used: {error}") from None
    return text


SMTP_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
HOST = re.compile(r"(?!-)[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*|[0-9a-f:]+", re.IGNORECASE)  # a name or an IP address
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


def _smtp_url(text: str) -> str:
    """Check the URL of a mail server; '' for none. A password needs TLS unless the server is on this machine."""
    if not text:
        return text
    try:
        url = urlsplit(text)
        valid = url.scheme in SMTP_PORTS and HOST.fullmatch(url.hostname or "") and url.port != 0
    except ValueError:
        valid = False
    if not valid or url.path not in {"", "/"} or url.query or url.fragment or bool(url.username) != bool(url.password):
        raise ValueError("is not the URL of a mail server, such as smtp+starttls://user:password@mail.example.com:587")
    if url.password and url.scheme == "smtp" and url.hostname not in LOOPBACK:
        raise ValueError("would send the password unencrypted; use smtp+starttls:// or smtps://")
    return text


IN_A_LINK = re.compile(r"[!#-;=?-~]+")  # ASCII without spaces, quotes and angle brackets, which would end a link


def _base_url(text: str) -> str:
    try:
        url = urlsplit(text)
        valid = url.scheme in {"http", "https"} and url.hostname and url.port != 0 and IN_A_LINK.fullmatch(text)
    except ValueError:
        valid = False
    if not valid or url.query or url.fragment or url.username or len(text) > 200:
        raise ValueError("is not the address of a website, such as https://books.example.com")
    return text.rstrip("/")


def _sender(text: str) -> str:
    """Return the address in ASCII, because not every mail server supports others; '' for none."""
    try:
        address = validate_email(text, check_deliverability=False).ascii_email if text else ""
    except EmailNotValidError as error:
        raise ValueError(f"is not an e-mail address: {error}") from None
    if address is None:
        raise ValueError("is not an address that every mail server accepts: use only ASCII characters before the @")
    return address


TOKEN = re.compile(r"[\x21-\x7e]{16,200}")  # fits into a header


def _token(text: str) -> str:
    if text and not TOKEN.fullmatch(text):
        raise ValueError("needs 16 to 200 ASCII characters without spaces, such as `openssl rand -hex 16` prints")
    return text


def _contact(text: str) -> str:
    """Return the contact as a URL (RFC 9116, 2.5.3); '' for none."""
    if not text or text.startswith("https://"):
        return text and _base_url(text)
    try:
        return f"mailto:{quote(_sender(text.removeprefix('mailto:')), safe='@!$*+-._~')}"
    except ValueError:
        raise ValueError("is neither an e-mail address nor an address that begins with https://") from None


KEEP_MAX = 36_500  # days


class Settings(BaseModel):
    """The settings; each field has the name of its variable, in lower case and without the prefix."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)

    secret_key: str = Field("", description="signs cookies; required, at least 32 random characters")
    demo: bool = Field(False, description="runs the demo of `make run`, with a secret key created in instance/")
    database_url: Annotated[str, AfterValidator(_database_url)] = f"sqlite:///{INSTANCE / 'bookshop.db'}"
    database_pool: int = Field(8, ge=1, le=200)
    database_pgbouncer: bool = False
    request_seconds: float = Field(10, ge=1, le=300, description="time limit of a request, answered with 503")
    covers: Annotated[Path | str, BeforeValidator(_folder_or_bucket)] = Field(
        INSTANCE / "covers", description="the folder or bucket for uploaded covers"
    )
    imports: Annotated[Path, AfterValidator(_folder)] = Field(
        INSTANCE / "imports", description="the folder for files that are being imported"
    )
    backups: Annotated[Path, AfterValidator(_folder)] | None = Field(
        None, description="the folder for nightly backups; none without one"
    )
    keep_backups: int = Field(7, ge=1, le=KEEP_MAX, description="how many backups are kept in that folder")
    max_waiting: int = Field(50, ge=1, le=10_000)
    max_open_orders: int = Field(10, ge=1, le=10_000)
    cart_lines: int = Field(20, ge=1, le=50)
    cart_copies: int = Field(10, ge=1, le=1000)
    session_days: int = Field(30, ge=1, le=365)
    staff_second_factor: bool = Field(False, description="requires a second factor of all staff")
    login_limit: Annotated[str, AfterValidator(_limits)] = "10 per minute; 100 per hour"
    api_limit: Annotated[str, AfterValidator(_limits)] = "6000 per minute"
    ratelimit_storage: Annotated[str, AfterValidator(_storage)] = DATABASE_STORAGE
    trusted_proxies: int = Field(0, ge=0, le=10)
    base_url: Annotated[str, AfterValidator(_base_url)] = Field(
        "http://127.0.0.1:5000", description="the shop's public address, used for the links in its e-mails"
    )
    smtp_url: Annotated[str, AfterValidator(_smtp_url)] = ""
    mail_from: Annotated[str, AfterValidator(_sender)] = ""
    log_format: LogFormat = "text"
    metrics_token: Annotated[str, AfterValidator(_token)] = Field("", description="allows to read /metrics")
    security_contact: Annotated[str, AfterValidator(_contact)] = ""
    webhook_private: bool = Field(False, description="allows webhooks to private networks and this machine")
    keep_logins: int = Field(0, ge=0, le=KEEP_MAX, description="days after which an expired login is deleted")
    keep_links: int = Field(0, ge=0, le=KEEP_MAX, description="days after which an expired link is deleted")
    keep_tokens: int = Field(90, ge=0, le=KEEP_MAX, description="days after which an ended API token is deleted")
    keep_responses: int = Field(1, ge=1, le=KEEP_MAX, description="days for which a repeated request is recognised")
    keep_deliveries: int = Field(30, ge=1, le=KEEP_MAX, description="days for which webhook deliveries are kept")
    keep_events: int = Field(365, ge=1, le=KEEP_MAX, description="days for which events are kept in the feed")
    keep_messages: int = Field(90, ge=1, le=KEEP_MAX, description="days for which recipients of messages are kept")
    keep_mail_files: int = Field(30, ge=1, le=KEEP_MAX, description="days for which files in the mail folder are kept")
    keep_audit: int = Field(730, ge=1, le=KEEP_MAX, description="days for which entries of the audit log are kept")
    keep_imports: int = Field(90, ge=1, le=KEEP_MAX, description="days for which the reports of imports are kept")
    mail_folder: Annotated[Path, AfterValidator(_folder)] = Field(
        INSTANCE / "mail", description="the folder for messages when there is no mail server"
    )

    @model_validator(mode="after")
    def _require_base_url(self) -> "Settings":
        if (
            self.smtp_url
            and urlsplit(self.smtp_url).hostname not in LOOPBACK
            and "base_url" not in self.model_fields_set
        ):
            raise ValueError(
                "BOOKSHOP_BASE_URL is missing: with a mail server, set it to the shop's public address for links in "
                "e-mails, such as https://books.example.com"
            )
        return self

    @property
    def mail_host(self) -> str:
        """The domain of the shop's e-mail, from `mail_from` or else from `base_url`; `localhost` for an IP address."""
        host = self.mail_from.rpartition("@")[2] or urlsplit(self.base_url).hostname or ""
        return host if any(letter.isalpha() for letter in host) and ":" not in host else "localhost"

    @property
    def sender(self) -> str:
        """The sender address of the shop's e-mail."""
        return self.mail_from or f"bookshop@{self.mail_host}"

    @model_validator(mode="after")
    def _require_secret_key(self) -> "Settings":
        if len(self.secret_key) >= 32 or (self.demo and not self.secret_key):
            return self
        if self.secret_key:
            raise ValueError("BOOKSHOP_SECRET_KEY is too short: it needs at least 32 characters")
        raise ValueError(NO_KEY)


# Settings of earlier releases that owners now edit on a page; those that are still set are ignored.
MOVED = frozenset(("shop_name", "currency", "post_orders", "collect_days", "mail_delay"))


def settings_from(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings; raise SettingsError with one sentence per invalid, missing or unknown variable."""
    values = {
        name.removeprefix(PREFIX).lower(): value
        for name, value in environ.items()
        if name.startswith(PREFIX) and not name.startswith(TEST_PREFIX)
    }
    for name in MOVED & values.keys():
        del values[name]
        log.warning("%s%s is ignored: owners edit it on the page Settings", PREFIX, name.upper())
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError("\n".join(_sentence(problem) for problem in error.errors())) from None


def settings_or_exit() -> Settings:
    """Read the settings from the environment, or print what is wrong and exit."""
    try:
        return settings_from()
    except SettingsError as error:
        print(error, file=sys.stderr)
        sys.exit(BOOT_ERROR)


def shown_settings(settings: Settings) -> list[tuple[str, str, bool]]:
    """Return the variable of each setting, its value as text without secrets, and whether it was set."""
    return [(PREFIX + name.upper(), _shown(name, value), name in settings.model_fields_set) for name, value in settings]


def _shown(name: str, value: Any) -> str:
    if name.upper() in SECRET:
        return "set, but not shown" if value else "not set"
    if value is None:
        return "not set"
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _sentence(problem: Any) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:
        return str(message)
    name = PREFIX + str(problem["loc"][0]).upper()
    if problem["type"] == "extra_forbidden":
        return f"{name} is not a setting of the bookshop. Correct the name or remove the variable."
    if not message.startswith(("is ", "has ", "needs ", "would ", "cannot ")):
        message = f"is invalid: {message[0].lower()}{message[1:]}"
    return (
        f"{name} {message}."
        if name.removeprefix(PREFIX) in SECRET
        else f"{name} {message} (it is {problem['input']!r})."
    )


def flask_config(settings: Settings) -> dict[str, Any]:
    """Return the configuration of Flask and its extensions; creates the folder `instance/` if the settings use it."""
    if settings.demo or str(INSTANCE) in settings.database_url:
        INSTANCE.mkdir(exist_ok=True)
    return {
        "SETTINGS": settings,
        "SECRET_KEY": settings.secret_key or demo_secret_key(),
        "SQLALCHEMY_DATABASE_URI": settings.database_url,
        "SQLALCHEMY_ENGINE_OPTIONS": _engine_options(settings),
        "MAX_CONTENT_LENGTH": 1024 * 1024,
        "PERMANENT_SESSION_LIFETIME": settings.session_days * 24 * 3600,
        "SESSION_REFRESH_EACH_REQUEST": False,
        "SESSION_COOKIE_NAME": "bookshop",
        "SESSION_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "SESSION_PROTECTION": None,
        "WTF_CSRF_CHECK_DEFAULT": False,
        "WTF_CSRF_TIME_LIMIT": None,
        "RATELIMIT_STORAGE_URI": settings.ratelimit_storage,
        "COMPRESS_ALGORITHM": ["br", "gzip"],
    }


# Timeouts for a database server that is gone, so that a standby is found within 10 seconds: in seconds, the last one in
# milliseconds.
TCP_TIMEOUTS = {"connect_timeout": 3, "keepalives_idle": 3, "keepalives_interval": 2, "tcp_user_timeout": 5_000}


def _engine_options(settings: Settings) -> dict[str, Any]:
    if settings.database_url.startswith("sqlite"):
        return {"pool_size": settings.database_pool, "hide_parameters": True, "connect_args": {"timeout": 4}}
    return {
        "hide_parameters": True,
        "pool_size": settings.database_pool,
        "isolation_level": "READ COMMITTED",
        "connect_args": TCP_TIMEOUTS | ({"prepare_threshold": None} if settings.database_pgbouncer else {}),
    }


def demo_secret_key() -> str:
    """Return the demo's secret key, created once in a file that only its owner can read."""
    path = INSTANCE / "secret_key"
    if not path.exists() or not path.stat().st_size:
        path.unlink(missing_ok=True)
        temporary = INSTANCE / f"secret_key.{os.getpid()}"
        temporary.touch(mode=0o600)
        temporary.write_text(secrets.token_hex(32))
        with suppress(FileExistsError):  # if two processes start at once, the first one's key is used
            os.link(temporary, path)
        temporary.unlink()
    return path.read_text()
