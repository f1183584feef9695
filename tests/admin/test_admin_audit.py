"""The owners' pages about the audit log: search and download."""

import csv
import gc
import io
import json
from typing import Any

import pytest

from bookshop.audit import repository
from bookshop.extensions import db
from tests.support.clients import text_of

pytestmark = pytest.mark.one_postgresql_case

ADA, OWNER = "ada@example.com", "owner@example.com"
ENTRY = """INSERT INTO audit_entries (created_at, user_id, action, subject_id, before, after, request_id)
    VALUES (:time, :user_id, :action, :id, :before, :after, :request)"""


@pytest.fixture
def owner(shop, web_client):
    shop.owner(OWNER)
    return web_client(OWNER)


@pytest.fixture
def log(shop, owner):
    """Empty the log and add one entry at a time."""
    shop.execute("DELETE FROM audit_entries")

    def add(action="book.edited", number=1, *, user_id=1, day="2026-03-04", request=None, **values):
        before, after = (json.dumps(values[name]) if name in values else None for name in ("before", "after"))
        entry = {"action": action, "id": number, "user_id": user_id}
        shop.execute(ENTRY, time=f"{day} 12:00:00+00:00", request=request, before=before, after=after, **entry)

    return add


def listed(owner, **query):
    """Return which of the numbers 11 to 19 are on the page, newest first."""
    words = text_of(owner.get("/admin/audit", query_string=query)).split()
    return [int(word) for word in words if word in map(str, range(11, 20))]


def test_the_page_shows_who_changed_what_from_what_to_what(owner, log):
    log("book.stock_changed", 11, before={"stock": 0}, after={"stock": 5}, request="abcdef0123456789")
    words = text_of(owner.get("/admin/audit"))
    assert "4 Mar 2026 12:00:00 abcdef0123456789" in words
    assert f"{OWNER} user 1 book: stock changed book 11 stock: 0 stock: 5" in words


def test_a_deleted_account_and_a_command_are_named_as_such(shop, owner, log):
    shop.customer(ADA)
    shop.execute("UPDATE users SET email = 'deleted-2', email_key = 'deleted-2' WHERE id = 2")
    log(user_id=2)
    log(user_id=None)
    words = text_of(owner.get("/admin/audit"))
    assert ("A deleted account user 2" in words, "A command" in words) == (True, True)


SEARCHES = [
    ({}, [15, 14, 13, 12, 11]),
    ({"who": "ADA@example.com"}, [12]),
    ({"who": "2"}, [12]),
    ({"what": "order"}, [13]),
    ({"what": "_"}, []),
    ({"number": "14"}, [14]),
    ({"request": "abc"}, [15]),
    ({"since": "2026-03-05"}, [15, 14]),
    ({"until": "2026-03-04"}, [13, 12, 11]),
    ({"since": "2026-03-05", "until": "2026-03-05", "what": "edited"}, [14]),
    ({"until": "9999-12-31"}, [15, 14, 13, 12, 11]),
]


def test_owners_search_by_person_action_number_request_and_day(shop, owner, log):
    shop.customer(ADA)
    log(number=11)
    log(number=12, user_id=2)
    log("order.cancelled", 13)
    log(number=14, day="2026-03-05")
    log(number=15, day="2026-03-06", request="abc")
    assert [(query, listed(owner, **query)) for query, _found in SEARCHES] == SEARCHES


@pytest.mark.parametrize(
    "query",
    [
        {"who": "nobody@example.com"},
        {"who": "9" * 300},
        {"what": "a\0b"},
        {"what": "x" * 100},
        {"number": "2,5"},
        {"number": "9" * 19},
        {"request": "\0"},
        {"since": "yesterday"},
    ],
)
def test_a_search_that_makes_no_sense_keeps_what_was_typed_and_says_what_is_wrong(owner, log, query):
    log(number=11)
    page = owner.get("/admin/audit", query_string=query)
    assert (page.status_code, "field-error" in page.text, listed(owner, **query)) == (200, True, [])
    assert owner.get("/admin/audit.csv", query_string=query).status_code == 400


def test_the_download_has_every_entry_of_the_search_newest_first(owner, log, monkeypatch):
    monkeypatch.setattr(repository, "CHUNK", 2)
    for number in range(11, 16):
        log(number=number, before={"title": "=1+1"}, after={"title": 'A, "B"'})
    log("order.ready", 16)
    file = owner.get("/admin/audit.csv", query_string={"what": "book"})
    rows = list(csv.DictReader(io.StringIO(file.text)))
    assert [row["subject_id"] for row in rows] == ["15", "14", "13", "12", "11"]
    assert (rows[0]["user_id"], rows[0]["time"], rows[0]["action"]) == ("1", "2026-03-04T12:00:00+00:00", "book.edited")
    assert json.loads(rows[0]["after"]) == {"title": 'A, "B"'}
    assert file.headers["Content-Disposition"] == "attachment; filename=bookshop-audit.csv"
    assert OWNER not in file.text


def test_a_download_gives_its_connection_back(app, owner, log):
    log(number=11)
    gc.disable()  # it would give a forgotten connection back, sooner or later
    try:
        assert owner.get("/admin/audit.csv").text.count("\n") == 2
        with app.app_context():
            pool: Any = db.engine.pool
            assert pool.checkedout() == 0
    finally:
        gc.enable()


def test_an_empty_log_says_so(owner, shop):
    shop.execute("DELETE FROM audit_entries")
    assert "Nothing has been changed yet." in text_of(owner.get("/admin/audit"))
