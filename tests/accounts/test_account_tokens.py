"""API tokens: creating and revoking them, recording their use, and the data export."""

import json
import re
import time
from contextlib import contextmanager
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, update

from bookshop.accounts.models import ApiToken
from bookshop.accounts.service import TOKENS_MAX
from bookshop.extensions import db
from bookshop.kit.database import WRITES, now
from tests.support.clients import ApiClient, text_of

pytestmark = pytest.mark.one_postgresql_case

ADA, STAFF = "ada@example.com", "staff@example.com"
TOKEN = re.compile(r"bookshop_[\w-]{43}")


@pytest.fixture
def ada(shop, web_client):
    """A browser in which Ada is logged in."""
    shop.customer(ADA)
    return web_client(ADA)


def create(browser, name="till"):
    return browser.submit("/account/tokens", name=name, scopes=["prebookings", "orders"])


def revoke(browser, token_id):
    return browser.submit(f"/account/tokens/{token_id}/revoke", page="/account/tokens")


def shown_token(answer):
    """Return the token shown on a page, '' if there is none."""
    found = TOKEN.search(answer.text)
    return found[0] if found else ""


def client_with(app, token):
    script = ApiClient(app)
    script.headers = {"Authorization": f"Bearer {token}"}
    return script


# ---------------------------------------------------------------- creating and revoking


def test_a_created_token_gives_access_to_the_json_api(app, ada):
    answer = create(ada)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (201, "no-store")
    assert client_with(app, shown_token(answer)).get("/api/v1/prebookings").status_code == 200


def test_a_token_is_shown_once_and_never_in_a_cookie(shop, ada):
    answer = create(ada, "my reader")
    token = shown_token(answer)
    with ada.client.session_transaction() as session:
        assert token not in str(dict(session))
    page = ada.get("/account/tokens")
    assert ("my reader" in text_of(page), shown_token(page), len(token)) == (True, "", 52)
    assert token not in str(shop.everything())


@pytest.mark.parametrize("name", ["", "  ", "n" * 101, "nul\0", "two\nlines", "caf\ufffd"])
def test_an_invalid_name_creates_no_token(shop, ada, name):
    assert create(ada, name).status_code == 400
    assert shop.rows("SELECT id FROM api_tokens") == []


def test_a_user_has_at_most_20_tokens_and_can_replace_a_revoked_one(shop, ada):
    for _token in range(TOKENS_MAX):
        shop.token(ADA)
    refused = ada.post("/account/tokens", name="one more", csrf_token=ada.csrf_token("/account"))
    assert refused.status_code == 409
    assert "This account has 20 tokens, which is the maximum." in text_of(refused)
    revoke(ada, 7)
    assert create(ada).status_code == 201


def test_a_revoked_token_is_refused_at_once_and_no_longer_listed(app, ada):
    script = client_with(app, shown_token(create(ada, "my reader")))
    assert revoke(ada, 1).location == "/account/tokens"
    assert script.get("/api/v1/prebookings").status_code == 401
    assert "my reader" not in text_of(ada.get("/account/tokens"))


def test_another_users_token_is_neither_listed_nor_revoked(shop, ada, api_client):
    shop.customer("ben@example.com")
    ben = api_client("ben@example.com")
    revoke(ada, 1)
    assert "You have no such token" in text_of(ada.get("/account/tokens"))
    assert ben.get("/api/v1/prebookings").status_code == 200


# ---------------------------------------------------------------- recording the use


def set_last_use(shop, moment):
    with shop.app.app_context():
        db.session.execute(update(ApiToken).values(last_used_at=moment))
        db.session.commit()


def last_use(shop):
    with shop.app.app_context():
        return db.session.scalar(select(ApiToken.last_used_at))


@contextmanager
def locked_tokens(app):
    """Lock every token's row (SQLite: the database)."""
    with app.app_context():
        engine = db.engine
    with engine.connect().execution_options(**{WRITES: True}) as connection:
        connection.execute(update(ApiToken).values(name=ApiToken.name))
        yield


def test_the_first_use_of_a_token_is_recorded_and_shown(shop, ada, api_client):
    script = api_client(ADA)
    assert "never used" in text_of(ada.get("/account/tokens"))
    script.get("/api/v1/books")
    assert now() - last_use(shop) < timedelta(minutes=1)
    assert "last used on" in text_of(ada.get("/account/tokens"))


@pytest.mark.parametrize(("minutes", "is_written"), [(55, False), (65, True)])
def test_the_use_of_a_token_is_recorded_once_an_hour(shop, ada, api_client, minutes, is_written):
    script, before = api_client(ADA), now() - timedelta(minutes=minutes)
    set_last_use(shop, before)
    script.get("/api/v1/books")
    assert (last_use(shop) > before) is is_written


def test_a_refused_token_is_not_recorded_as_used(shop, ada, api_client):
    script = api_client(ADA)
    revoke(ada, 1)
    script.get("/api/v1/books")
    assert last_use(shop) is None


@pytest.mark.usefixtures("ada")
def test_a_request_does_not_wait_to_record_the_use_of_its_token(app, shop, api_client):
    script, began = api_client(ADA), time.monotonic()
    with locked_tokens(app):
        assert script.get("/api/v1/books").status_code == 200
    assert time.monotonic() - began < 10  # SQLite's own lock timeout is 20 seconds, PostgreSQL's is infinite
    assert last_use(shop) is None
    script.get("/api/v1/books")
    assert last_use(shop) is not None


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.usefixtures("ada")
def test_writing_down_a_tokens_use_leaves_the_connections_lock_timeout_unchanged(app, shop, api_client):
    script = api_client(ADA)
    with app.app_context():
        db.engine.dispose()  # so that one connection serves everything below
    before = shop.rows("PRAGMA busy_timeout")
    script.get("/api/v1/books")
    assert last_use(shop) is not None
    assert shop.rows("PRAGMA busy_timeout") == before != [0]


# ---------------------------------------------------------------- data export


def download(browser):
    return browser.get("/account/data.json")


def test_a_data_export_is_a_readable_file_that_is_never_cached(ada):
    answer = download(ada)
    assert (answer.mimetype, answer.headers["Cache-Control"]) == ("application/json", "no-store")
    assert answer.headers["Content-Disposition"] == "attachment; filename=bookshop-data.json"
    assert answer.text.startswith('{\n  "account": {\n    "email": "ada@example.com",\n')


def test_a_data_export_contains_the_account_reservations_logins_and_tokens(shop, ada, web_client):
    emma, sanditon = shop.book("Emma"), shop.book("Sanditon")
    shop.cancel(1, shop.reserve(1, emma))
    shop.reserve(1, sanditon)
    web_client(ADA)
    create(ada, "kept")
    create(ada, "revoked")
    revoke(ada, 2)
    data = download(ada).json
    assert {name: len(rows) for name, rows in data.items()} == {
        "account": 7, "reservations": 2, "orders": 0, "cart": 0, "logins": 2, "second_factors": 0, "tokens": 2,
        "links": 0, "started": 0, "movements": 0, "messages": 2, "returns": 0,
    }  # fmt: skip
    assert [(made["book_title"], made["status"]) for made in data["reservations"]] == [
        ("Sanditon", "waiting"),
        ("Emma", "cancelled"),
    ]
    assert [(token["name"], token["revoked_at"] is None) for token in data["tokens"]] == [
        ("revoked", False),
        ("kept", True),
    ]


def test_the_times_in_a_data_export_are_in_utc(ada):
    created = download(ada).json["account"]["created_at"]
    assert created.endswith("Z")
    assert timedelta(0) <= now() - datetime.fromisoformat(created) < timedelta(minutes=5)


def test_a_staff_export_contains_only_their_own_ledger_entries(shop, web_client, api_client):
    for email in (STAFF, "grace@example.com"):
        shop.staff(email)
    book_id = shop.book("Emma")
    api_client(STAFF).set_stock(book_id, 3)
    api_client("grace@example.com").set_stock(book_id, 5)
    [line] = download(web_client(STAFF)).json["movements"]
    assert (line["book_title"], line["delta"], line["quantity_after"]) == ("Emma", 3, 3)


def test_an_export_contains_no_secrets_and_nothing_of_others(shop, ada, web_client):
    shop.customer("ben@example.com")
    web_client("ben@example.com")
    create(ada)
    text = download(ada).text
    secrets = shop.rows("SELECT id FROM login_sessions UNION ALL SELECT token_hash FROM api_tokens")
    assert [secret for secret in [*secrets, *shop.rows("SELECT password_hash FROM users")] if secret in text] == []
    assert ("ben@example.com" in text, len(json.loads(text)["logins"])) == (False, 1)
