"""Settings are strict: an invalid, missing or unknown one stops the start with a sentence that names it."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from bookshop import config, create_app
from bookshop.config import Settings, settings_from
from bookshop.kit.exceptions import SettingsError
from tests.support.clients import WebClient
from tests.support.settings import SECRET_KEY, settings_for

pytestmark = pytest.mark.one_postgresql_case

WRONG = [
    ("BOOKSHOP_SECRET_KEY", "too short"),
    ("BOOKSHOP_DEMO", "perhaps"),
    ("BOOKSHOP_DATABASE_URL", ""),
    ("BOOKSHOP_DATABASE_URL", "shop.db"),
    ("BOOKSHOP_DATABASE_URL", "mysql://root@localhost/shop"),
    ("BOOKSHOP_DATABASE_URL", "postgresql+psycopg2://localhost/shop"),
    ("BOOKSHOP_DATABASE_URL", "postgresql://localhost:port/shop"),
    ("BOOKSHOP_DATABASE_URL", "postgresql://db1:5432,db2:port/shop"),
    ("BOOKSHOP_DATABASE_URL", "postgresql://db1:5432,/shop"),
    ("BOOKSHOP_DATABASE_POOL", "0"),
    ("BOOKSHOP_DATABASE_POOL", "many"),
    ("BOOKSHOP_REQUEST_SECONDS", "0"),
    ("BOOKSHOP_DATABASE_PGBOUNCER", "sometimes"),
    ("BOOKSHOP_COVERS", ""),
    ("BOOKSHOP_COVERS", "/dev/null"),
    ("BOOKSHOP_COVERS", "setup.cfg/covers"),
    ("BOOKSHOP_COVERS", "s3://"),
    ("BOOKSHOP_COVERS", "s3://bucket?key=x"),
    ("BOOKSHOP_COVERS", "s3://bucket?endpoint=s3.example.com"),
    ("BOOKSHOP_COVERS", "s3://key:secret@bucket/covers"),
    ("BOOKSHOP_IMPORTS", ""),
    ("BOOKSHOP_BACKUPS", ""),
    ("BOOKSHOP_BACKUPS", "/dev/null"),
    ("BOOKSHOP_KEEP_BACKUPS", "0"),
    ("BOOKSHOP_MAX_WAITING", "0"),
    ("BOOKSHOP_MAX_WAITING", "-1"),
    ("BOOKSHOP_MAX_WAITING", "fifty"),
    ("BOOKSHOP_MAX_WAITING", "1.5"),
    ("BOOKSHOP_MAX_OPEN_ORDERS", "0"),
    ("BOOKSHOP_CART_LINES", "0"),
    ("BOOKSHOP_CART_LINES", "51"),
    ("BOOKSHOP_CART_COPIES", "0"),
    ("BOOKSHOP_SESSION_DAYS", "0"),
    ("BOOKSHOP_SESSION_DAYS", "366"),
    ("BOOKSHOP_KEEP_LOGINS", "-1"),
    ("BOOKSHOP_KEEP_LINKS", "for ever"),
    ("BOOKSHOP_KEEP_TOKENS", "-1"),
    ("BOOKSHOP_KEEP_RESPONSES", "0"),
    ("BOOKSHOP_KEEP_DELIVERIES", "0"),
    ("BOOKSHOP_KEEP_EVENTS", "0"),
    ("BOOKSHOP_KEEP_EVENTS", "36501"),
    ("BOOKSHOP_KEEP_MESSAGES", "0"),
    ("BOOKSHOP_KEEP_MAIL_FILES", "0"),
    ("BOOKSHOP_KEEP_AUDIT", "0"),
    ("BOOKSHOP_KEEP_IMPORTS", "0"),
    ("BOOKSHOP_LOGIN_LIMIT", "often"),
    ("BOOKSHOP_LOGIN_LIMIT", ""),
    ("BOOKSHOP_API_LIMIT", "often"),
    ("BOOKSHOP_API_LIMIT", ""),
    ("BOOKSHOP_API_LIMIT", "0 per minute"),
    ("BOOKSHOP_RATELIMIT_STORAGE", "disk://here"),
    ("BOOKSHOP_BASE_URL", "books.example.com"),
    ("BOOKSHOP_BASE_URL", "ftp://books.example.com"),
    ("BOOKSHOP_BASE_URL", "https://books.example.com/?shop=1"),
    ("BOOKSHOP_BASE_URL", "https://books.example.com:port"),
    ("BOOKSHOP_BASE_URL", "https://books.example.com/my shop"),
    ("BOOKSHOP_BASE_URL", "https://books.example.com/\r\nBcc:"),
    ("BOOKSHOP_BASE_URL", "https://books.example.com/<shop>"),
    ("BOOKSHOP_BASE_URL", "https://bücher.example.com"),
    ("BOOKSHOP_SMTP_URL", "mail.example.com"),
    ("BOOKSHOP_SMTP_URL", "smtp://"),
    ("BOOKSHOP_SMTP_URL", "smtp://mail.example.com:port"),
    ("BOOKSHOP_SMTP_URL", "smtp://mail.example.com/inbox"),
    ("BOOKSHOP_SMTP_URL", "smtp://mail example.com"),
    ("BOOKSHOP_SMTP_URL", "smtps://:secret@mail.example.com"),
    ("BOOKSHOP_SMTP_URL", "smtp://shop:secret@mail.example.com"),
    ("BOOKSHOP_MAIL_FROM", "the shop"),
    ("BOOKSHOP_MAIL_FROM", "Shop <shop@example.com>"),
    ("BOOKSHOP_MAIL_FROM", "jürgen@example.com"),
    ("BOOKSHOP_LOG_FORMAT", "xml"),
    ("BOOKSHOP_METRICS_TOKEN", "too short"),
    ("BOOKSHOP_METRICS_TOKEN", "sixteen characters"),
    ("BOOKSHOP_SECURITY_CONTACT", "the owner"),
    ("BOOKSHOP_SECURITY_CONTACT", "http://books.example.com/security"),
    ("BOOKSHOP_WEBHOOK_PRIVATE", "somewhat"),
    ("BOOKSHOP_STAFF_SECOND_FACTOR", "sometimes"),
    ("BOOKSHOP_MAIL_FOLDER", ""),
    ("BOOKSHOP_MAIL_FOLDER", "/dev/null"),
    ("BOOKSHOP_TRUSTED_PROXIES", "-1"),
    ("BOOKSHOP_TRUSTED_PROXIES", "11"),
]
RIGHT = [
    ("DEMO", "1", True),
    ("DATABASE_POOL", "200", 200),
    ("DATABASE_PGBOUNCER", "true", True),
    ("COVERS", "instance/pictures", config.INSTANCE / "pictures"),
    ("COVERS", "/nowhere/yet", Path("/nowhere/yet")),
    ("COVERS", "s3://bucket", "s3://bucket"),
    ("COVERS", "s3://b/a/b?endpoint=http://[::1]:9000&region=x", "s3://b/a/b?endpoint=http://[::1]:9000&region=x"),
    ("BACKUPS", "/nowhere/yet", Path("/nowhere/yet")),
    ("MAX_WAITING", "1", 1),
    ("MAX_OPEN_ORDERS", "1", 1),
    ("SESSION_DAYS", "365", 365),
    ("LOGIN_LIMIT", "3 per second; 10/hour", "3 per second; 10/hour"),
    ("API_LIMIT", "3 per second; 10/hour", "3 per second; 10/hour"),
    ("RATELIMIT_STORAGE", "memory://", "memory://"),
    ("RATELIMIT_STORAGE", "database://", "database://"),
    ("TRUSTED_PROXIES", "1", 1),
    ("BASE_URL", "https://example.com:8443/shop/", "https://example.com:8443/shop"),
    ("BASE_URL", "http://[::1]:5000", "http://[::1]:5000"),
    ("SMTP_URL", "", ""),
    ("SMTP_URL", "smtp+starttls://shop:p%40ss@mail.example.com", "smtp+starttls://shop:p%40ss@mail.example.com"),
    ("SMTP_URL", "smtps://mail.example.com:465/", "smtps://mail.example.com:465/"),
    ("SMTP_URL", "smtp://shop:secret@127.0.0.1:1025", "smtp://shop:secret@127.0.0.1:1025"),
    ("SMTP_URL", "smtp://[::1]:1025", "smtp://[::1]:1025"),
    ("MAIL_FROM", "", ""),
    ("MAIL_FROM", "shop@bücher.example.com", "shop@xn--bcher-kva.example.com"),
    ("MAIL_FOLDER", "instance/post", config.INSTANCE / "post"),
    ("LOG_FORMAT", "json", "json"),
    ("METRICS_TOKEN", "", ""),
    ("SECURITY_CONTACT", "safe@bücher.example.com", "mailto:safe@xn--bcher-kva.example.com"),
    ("SECURITY_CONTACT", "https://books.example.com/safe", "https://books.example.com/safe"),
]
SENDERS = [
    ({}, "bookshop@localhost"),
    ({"BASE_URL": "https://books.example.com:8443/shop"}, "bookshop@books.example.com"),
    ({"BASE_URL": "http://[::1]:5000"}, "bookshop@localhost"),
    ({"BASE_URL": "https://books.example.com", "MAIL_FROM": "post@example.com"}, "post@example.com"),
]
URLS = [
    ("postgres://ada:p%40ss@db:5433/shop", "postgresql+psycopg://ada:p%40ss@db:5433/shop"),
    ("postgresql://db/shop?sslmode=require", "postgresql+psycopg://db/shop?sslmode=require"),
    ("postgresql+psycopg:///shop?host=/run", "postgresql+psycopg:///shop?host=%2Frun"),
    (
        "postgresql://ada:p%40ss@db1:5433,db2/shop?sslmode=require",
        "postgresql+psycopg://ada:p%40ss@/shop?host=db1%3A5433&host=db2&sslmode=require&target_session_attrs=read-write",
    ),
    (
        "postgres://db1,db2/shop?target_session_attrs=any",
        "postgresql+psycopg:///shop?host=db1&host=db2&target_session_attrs=any",
    ),
    ("sqlite:////var/lib/shop.db", "sqlite:////var/lib/shop.db"),
]


def settings(**given: str) -> Settings:
    """Return the settings of an environment with a key and these variables, named without prefix."""
    return settings_from({"BOOKSHOP_SECRET_KEY": SECRET_KEY, **{f"BOOKSHOP_{name}": given[name] for name in given}})


@pytest.mark.parametrize(("variable", "value"), WRONG)
def test_an_invalid_setting_is_refused_with_one_sentence_that_names_it(variable, value):
    with pytest.raises(SettingsError) as refused:
        settings_from({"BOOKSHOP_SECRET_KEY": SECRET_KEY, variable: value})
    assert str(refused.value).startswith(variable)
    assert "\n" not in str(refused.value)


def test_every_setting_has_an_invalid_example():
    assert {variable.removeprefix("BOOKSHOP_").lower() for variable, _value in WRONG} == set(Settings.model_fields)


@pytest.mark.parametrize(("name", "text", "value"), RIGHT)
def test_a_valid_setting_is_accepted(name, text, value):
    given = {"BASE_URL": "https://books.example.com", name: text}
    assert getattr(settings(**given), name.lower()) == value


def test_a_remote_mail_server_requires_a_base_url():
    with pytest.raises(SettingsError, match="BOOKSHOP_BASE_URL is missing"):
        settings(SMTP_URL="smtps://mail.example.com")
    assert settings(SMTP_URL="smtp://127.0.0.1:1025").base_url == "http://127.0.0.1:5000"


@pytest.mark.parametrize(("given", "address"), SENDERS)
def test_the_sender_is_the_configured_address_or_one_of_the_shops_host(given, address):
    found = settings(**given)
    assert (found.sender, found.mail_host) == (address, address.partition("@")[2])


def test_all_errors_are_reported_at_once():
    with pytest.raises(SettingsError, match=r"BOOKSHOP_MAX_WAITING .*\nBOOKSHOP_TRUSTED_PROXIES "):
        settings(MAX_WAITING="0", TRUSTED_PROXIES="-1")


@pytest.mark.parametrize("name", ["COLOUR", "DATABASE_URI", "SECRETKEY", ""])
def test_an_unknown_setting_is_refused_by_its_name(name):
    with pytest.raises(SettingsError, match=f"BOOKSHOP_{name} is not a setting"):
        settings(**{name: "x"})


def test_unrelated_and_test_variables_are_ignored():
    assert settings(TEST_DATABASE_URL="x") == settings_from({"BOOKSHOP_SECRET_KEY": SECRET_KEY, "FLASK_APP": "wsgi"})


@pytest.mark.parametrize("environment", [{}, {"BOOKSHOP_SECRET_KEY": ""}, {"BOOKSHOP_DEMO": "0"}])
def test_without_a_key_only_the_demo_starts(environment):
    with pytest.raises(SettingsError, match="BOOKSHOP_SECRET_KEY is missing"):
        settings_from(environment)
    assert settings_from({"BOOKSHOP_DEMO": "1"}).demo


@pytest.mark.parametrize("demo", ["0", "1"])
def test_a_short_key_is_refused_in_the_demo_too_and_not_shown(demo):
    with pytest.raises(SettingsError, match="too short") as refused:
        settings(SECRET_KEY="hunter2-hunter2", DEMO=demo)
    assert "hunter2" not in str(refused.value)


def test_a_refused_database_url_is_shown_without_its_password():
    with pytest.raises(SettingsError, match="BOOKSHOP_DATABASE_URL") as refused:
        settings(DATABASE_URL="mysql://root:hunter2@localhost/shop")
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(("given", "normal"), URLS)
def test_a_database_url_is_normalised_to_the_installed_driver(given, normal):
    assert settings(DATABASE_URL=given).database_url == normal


def test_settings_are_immutable():
    with pytest.raises(ValueError, match="frozen"):
        setattr(settings(), "max_waiting", 3)  # noqa: B010 - mypy refuses it too


# ---------------------------------------------------------------- a real start


START = ("-c", "from bookshop import create_app; create_app(); print('started')")
GUNICORN = ("-m", "gunicorn", "--no-control-socket", "--bind", "127.0.0.1:0", "wsgi:app")


def start(*program: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Start the application in a separate process, with only these settings."""
    others = {name: value for name, value in os.environ.items() if not name.startswith("BOOKSHOP_")}
    return subprocess.run(
        [sys.executable, *(program or START)],
        check=False,
        timeout=60,
        capture_output=True,
        text=True,
        cwd=config.ROOT,
        env={**others, **environment},
    )


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "BOOKSHOP_SECRET_KEY is missing"),
        ({"BOOKSHOP_SECRET_KEY": SECRET_KEY, "BOOKSHOP_MAX_WAITING": "0"}, "BOOKSHOP_MAX_WAITING is invalid"),
        ({"BOOKSHOP_SECRET_KEY": SECRET_KEY, "BOOKSHOP_COLOUR": "x"}, "BOOKSHOP_COLOUR is not a setting"),
    ],
)
def test_an_invalid_environment_stops_the_start_with_a_sentence_and_no_traceback(environment, sentence):
    stopped = start(**environment)
    assert (stopped.returncode, stopped.stdout) == (config.BOOT_ERROR, "")
    assert stopped.stderr.startswith(sentence)
    assert "Traceback" not in stopped.stderr


def test_gunicorn_exits_with_the_sentence_instead_of_restarting_workers():
    stopped = start(*GUNICORN)
    assert stopped.returncode == config.BOOT_ERROR
    assert "BOOKSHOP_SECRET_KEY is missing" in stopped.stderr


def test_a_valid_environment_starts(tmp_path):
    started = start(BOOKSHOP_SECRET_KEY=SECRET_KEY, BOOKSHOP_DATABASE_URL=f"sqlite:///{tmp_path}/shop.db")
    assert (started.returncode, started.stdout, started.stderr) == (0, "started\n", "")


def test_a_rate_limit_storage_without_its_driver_is_reported_before_the_start(tmp_path):
    url = f"sqlite:///{tmp_path}/shop.db"
    tried = start(
        BOOKSHOP_SECRET_KEY=SECRET_KEY, BOOKSHOP_DATABASE_URL=url, BOOKSHOP_RATELIMIT_STORAGE="redis://localhost:6379"
    )
    assert tried.stderr.startswith("BOOKSHOP_RATELIMIT_STORAGE cannot be used")
    assert tried.stdout == ""


# ---------------------------------------------------------------- the demo's key


@pytest.fixture
def instance(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "INSTANCE", tmp_path)
    return tmp_path


def demo_key() -> str:
    given: str = config.flask_config(Settings(demo=True))["SECRET_KEY"]
    return given


def test_the_demo_creates_a_key_once_and_keeps_it(instance):
    first = demo_key()
    assert len(first) >= 32
    assert demo_key() == first == (instance / "secret_key").read_text()


def test_the_demos_key_file_is_readable_only_by_its_owner(instance):
    before = os.umask(0)
    try:
        demo_key()
    finally:
        os.umask(before)
    assert stat.S_IMODE((instance / "secret_key").stat().st_mode) == 0o600


def test_two_shops_do_not_share_the_demos_key(instance, tmp_path_factory, monkeypatch):
    first = demo_key()
    monkeypatch.setattr(config, "INSTANCE", tmp_path_factory.mktemp("another"))
    assert demo_key() != first


def test_a_key_file_left_empty_by_a_crash_is_not_used(instance):
    (instance / "secret_key").touch()
    assert len(demo_key()) >= 32


def test_the_demo_uses_a_given_secret_key_and_creates_none(instance):
    assert config.flask_config(settings(DEMO="1"))["SECRET_KEY"] == SECRET_KEY
    assert not (instance / "secret_key").exists()


# ---------------------------------------------------------------- effects of settings


def test_a_setting_that_owners_edit_on_a_page_now_is_ignored():
    moved = {"SHOP_NAME": "Müller & Söhne", "CURRENCY": "x", "POST_ORDERS": "x", "COLLECT_DAYS": "x", "MAIL_DELAY": "x"}
    assert settings(**moved) == settings()


@pytest.mark.parametrize(("proxies", "secure"), [(0, False), (1, True)])
def test_forwarded_headers_are_trusted_only_with_a_proxy(tmp_path, proxies, secure):
    app = create_app(settings_for(f"sqlite:///{tmp_path}/shop.db", trusted_proxies=proxies))
    answer = WebClient(app).get("/login", headers={"X-Forwarded-Proto": "https"})
    assert ("Secure" in answer.headers["Set-Cookie"]) is secure


def test_prepared_statements_are_off_behind_pgbouncer():
    options = config.flask_config(settings(DATABASE_URL="postgresql:///shop", DATABASE_PGBOUNCER="1"))
    assert options["SQLALCHEMY_ENGINE_OPTIONS"]["connect_args"].items() >= {"prepare_threshold": None}.items()
