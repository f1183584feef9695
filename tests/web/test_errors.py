"""Errors on pages and in JSON: format, headers, rollback, logging, and no leaked details."""

import re
import time
from collections.abc import Callable
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from bookshop import create_app
from bookshop.accounts.authentication import Authentication
from bookshop.catalog.models import Book
from bookshop.extensions import db
from bookshop.kit import transactions
from bookshop.kit.database import WRITES
from bookshop.kit.exceptions import Busy
from bookshop.kit.transactions import in_transaction
from bookshop.prebookings.repository import PreBookRepository
from tests.support.clients import ApiClient, WebClient, text_of
from tests.support.settings import settings_for

pytestmark = pytest.mark.one_postgresql_case

ADA, STAFF = "ada@example.com", "staff@example.com"
MEMBERS = {"type", "title", "status", "detail", "code"}
JSON = {"Content-Type": "application/json"}
LARGE = b'{"book_id": "' + b"9" * 1024 * 1024 + b'"}'


@pytest.fixture
def people(shop):
    """Ada, a member of staff, book 1 out of stock and book 2 in stock."""
    shop.customer(ADA)
    shop.staff(STAFF)
    return shop.book("Emma"), shop.book("Persuasion", stock=3)


# ---------------------------------------------------------------- problems in JSON

PROBLEMS = [
    (None, ("GET", "/api/v1/prebookings", {}), (401, "NOT_AUTHENTICATED")),
    (ADA, ("PATCH", "/api/v1/books/1/stock", {"json": {"quantity": 1}}), (403, "FORBIDDEN")),
    (ADA, ("GET", "/api/v1/books/999", {}), (404, "BOOK_NOT_FOUND")),
    (ADA, ("DELETE", "/api/v1/prebookings/999", {}), (404, "PREBOOK_NOT_FOUND")),
    (ADA, ("POST", "/api/v1/prebookings", {"json": {"book_id": 2}}), (409, "PREBOOK_BOOK_IN_STOCK")),
    (ADA, ("POST", "/api/v1/prebookings", {"json": {"book_id": True}}), (422, "VALIDATION_ERROR")),
    (ADA, ("POST", "/api/v1/prebookings", {"json": [1]}), (422, "VALIDATION_ERROR")),
    (STAFF, ("PATCH", "/api/v1/books/1/stock", {"json": {"delta": -1}}), (422, "VALIDATION_ERROR")),
    (ADA, ("POST", "/api/v1/prebookings", {"data": "{", "headers": JSON}), (400, "HTTP_400")),
    (ADA, ("POST", "/api/v1/prebookings", {"data": b"\xff", "headers": JSON}), (400, "HTTP_400")),
    (ADA, ("POST", "/api/v1/prebookings", {"data": "book_id=1"}), (415, "HTTP_415")),
    (ADA, ("POST", "/api/v1/prebookings", {"data": LARGE, "headers": JSON}), (413, "HTTP_413")),
    (ADA, ("PUT", "/api/v1/books", {}), (405, "HTTP_405")),
    (ADA, ("BREW", "/api/v1/books", {}), (405, "HTTP_405")),
    (None, ("GET", "/api/v1/nothing", {}), (404, "HTTP_404")),
    (None, ("POST", "/api/v1/nothing", {}), (404, "HTTP_404")),
    (None, ("GET", "/api", {}), (404, "HTTP_404")),
    (None, ("GET", "/api/v1/books/<b>", {}), (404, "HTTP_404")),
    (None, ("GET", f"/api/v1/books/{2**63}", {}), (404, "BOOK_NOT_FOUND")),
]


@pytest.mark.parametrize(("email", "request_args", "expected"), PROBLEMS)
def test_every_error_under_the_api_is_a_problem(app, people, email, request_args, expected):
    api_client, (method, path, options) = ApiClient(app, email), request_args
    headers = {**api_client.headers, **options.get("headers", {})}
    answer = api_client.client.open(path, method=method, **{**options, "headers": headers})
    problem: dict[str, Any] = answer.get_json()
    assert (answer.status_code, answer.mimetype) == (expected[0], "application/problem+json")
    assert (problem["status"], problem["code"]) == expected
    assert set(problem) == MEMBERS | ({"errors"} if expected[0] == 422 else set())
    assert all(isinstance(problem[name], str) and problem[name] for name in MEMBERS - {"status"})


def test_a_validation_error_points_at_each_wrong_member(people, api_client):
    answer = api_client(STAFF).post("/api/v1/books", {"title": "", "authors": 5, "price_cents": "9", "a/b~c": 1})
    found = {error["pointer"] for error in answer.json["errors"]}
    assert found == {"#/title", "#/authors", "#/price_cents", "#/a~1b~0c"}
    assert all(error["detail"] for error in answer.json["errors"])


def test_a_rule_violation_points_at_its_member_too(people, api_client):
    answer = api_client(STAFF).patch("/api/v1/books/1/stock", {"delta": -1})
    assert [error["pointer"] for error in answer.json["errors"]] == ["#/delta"]


@pytest.mark.parametrize(("header", "challenge"), [({}, "Bearer"), ({"Authorization": "Bearer x"}, 'error="invalid')])
def test_an_anonymous_request_is_told_how_to_log_in(api_client, header, challenge):
    anybody = api_client()
    anybody.headers = header
    assert challenge in anybody.get("/api/v1/prebookings").headers["WWW-Authenticate"]


@pytest.mark.parametrize("path", ["/api/v1/books", "/books"])
def test_a_wrong_method_is_answered_with_the_allowed_ones(app, path):
    answer = ApiClient(app).client.put(path)
    assert (answer.status_code, "GET" in answer.headers["Allow"]) == (405, True)


def test_a_cookie_without_the_csrf_token_does_nothing_in_json(shop, people, web_client):
    answer = web_client(ADA).client.post("/api/v1/prebookings", json={"book_id": 1})
    assert (answer.status_code, answer.json["code"]) == (400, "HTTP_400")
    assert "X-CSRFToken" in answer.json["detail"]
    assert shop.statuses(1) == []


# ---------------------------------------------------------------- pages


@pytest.mark.parametrize(
    ("email", "request_args", "status", "sentence"),
    [
        (None, ("GET", "/nothing"), 404, "There is nothing at this address."),
        (None, ("GET", "/<script>alert(1)</script>"), 404, "There is nothing at this address."),
        (None, ("GET", "/books/999"), 404, "There is no such book."),
        (ADA, ("GET", "/admin"), 403, "This is for the shop's staff only."),
        (STAFF, ("GET", "/reservations"), 403, "This is for customers only."),
        (None, ("PUT", "/books"), 405, "This address does not accept that method"),
        (None, ("GET", "/logout"), 405, "This address does not accept that method"),
    ],
)
@pytest.mark.usefixtures("people")
def test_an_error_page_looks_like_the_shop_and_says_what_is_wrong(web_client, email, request_args, status, sentence):
    answer = web_client(email).client.open(request_args[1], method=request_args[0])
    assert (answer.status_code, answer.mimetype, sentence in text_of(answer)) == (status, "text/html", True)
    assert 'class="shop-name"' in answer.text
    assert "<script>" not in answer.text


def test_a_form_that_is_too_large_gets_an_error_page(web_client):
    answer = web_client().submit("/login", email="a" * 1024 * 1024, password="x")
    assert (answer.status_code, "This is too large." in text_of(answer)) == (413, True)


def test_a_page_for_another_role_asks_to_log_in_and_returns(web_client):
    answer = web_client().get("/reservations")
    assert (answer.status_code, answer.location) == (303, "/login?next=/reservations")


def test_a_conflict_is_explained_on_the_page_of_the_button(people, web_client):
    ada = web_client(ADA)
    answer = ada.submit("/books/2/reserve", page="/books/1")
    assert (answer.status_code, answer.location) == (303, "/books/2")
    assert "Book is in stock — add to cart instead" in text_of(ada.get("/books/2"))


@pytest.mark.parametrize("token", ["", "wrong", "é", "\0"])
def test_a_button_without_its_csrf_token_does_nothing_and_its_page_says_so(shop, people, web_client, token):
    ada = web_client(ADA)
    answer = ada.post("/books/1/reserve", csrf_token=token)
    assert (answer.status_code, answer.location, shop.statuses(1)) == (303, "/books/1", [])
    assert "open for too long, so nothing was changed" in text_of(ada.get("/books/1"))


def test_a_form_without_its_csrf_token_is_shown_again_with_what_was_typed(shop, people, web_client):
    answer = web_client(STAFF).post("/admin/books/new", title="Sanditon", authors="Jane Austen", price="9.50")
    assert (answer.status_code, 'value="Sanditon"' in answer.text) == (400, True)
    assert "What you typed is still here: send it again." in text_of(answer)
    assert len(shop.rows("SELECT id FROM books")) == 2


# ---------------------------------------------------------------- bugs


@pytest.fixture
def users(app, people):
    """Ada and staff, logged in and with tokens."""
    return SimpleNamespace(
        ada=WebClient(app, ADA),
        staff=WebClient(app, STAFF),
        ada_script=ApiClient(app, ADA),
        staff_script=ApiClient(app, STAFF),
    )


@pytest.fixture
def bug(shop, users, monkeypatch):
    """Make restocks fail with a bug after stock and ledger were written; return all previous rows."""

    def fail(*_given):
        raise RuntimeError("a detail that nobody may see")

    shop.reserve(1, 1)
    monkeypatch.setattr(PreBookRepository, "notify_waiting_by_book", fail)
    return shop.everything()


def restock_by_page(users: SimpleNamespace) -> TestResponse:
    answer: TestResponse = users.staff.submit("/admin/books/1/stock", change="received", copies=5, expected=0)
    return answer


def restock_by_script(users: SimpleNamespace) -> TestResponse:
    answer: TestResponse = users.staff_script.set_stock(1, 5)
    return answer


@pytest.mark.parametrize("restock", [restock_by_page, restock_by_script])
def test_a_bug_is_rolled_back_and_shows_no_details(shop, users, bug, restock):
    answer = restock(users)
    assert (answer.status_code, shop.everything()) == (500, bug)
    assert "detail that" not in answer.text
    assert "Traceback" not in answer.text


@pytest.mark.parametrize("restock", [restock_by_page, restock_by_script])
def test_a_bug_is_logged_with_the_request_id_of_its_response(users, bug, caplog, restock):
    request_id = restock(users).headers["X-Request-Id"]
    [record] = [record for record in caplog.records if request_id in record.getMessage()]
    assert record.exc_info
    assert "a detail that nobody may see" in str(record.exc_info[1])


def test_a_bug_is_a_problem_in_json_and_a_page_that_shows_the_request_id(users, bug):
    assert restock_by_script(users).get_json()["code"] == "HTTP_500"
    page = restock_by_page(users)
    assert page.mimetype == "text/html"
    assert page.headers["X-Request-Id"] in text_of(page)


def test_every_request_has_an_id_of_its_own(web_client):
    ids = {web_client().get(path).headers["X-Request-Id"] for path in ("/", "/login", "/nothing", "/api/v1/books")}
    assert len(ids) == 4
    assert all(re.fullmatch("[0-9a-f]{16}", found) for found in ids)


# ---------------------------------------------------------------- lock timeouts


@pytest.fixture
def short_timeouts(app, monkeypatch):
    """Shorten lock timeouts, and skip the pauses between retries."""
    monkeypatch.setattr(transactions, "LOCK_TIMEOUT", 0.02)
    monkeypatch.setattr(transactions, "time", InterferingTime(lambda: None))
    with app.app_context():
        return db.engine


class InterferingTime:
    """A time module that interferes instead of sleeping."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self, interfere):
        self.interfere = interfere

    def sleep(self, _seconds):
        self.interfere()


@contextmanager
def locked_book(engine):
    """Lock book 1 (SQLite: the database) without releasing it; yield the connection."""
    with engine.connect().execution_options(**{WRITES: True}) as other:
        other.execute(select(Book.id).where(Book.id == 1).with_for_update())
        yield other
        other.rollback()


def reserve_by_page(users: SimpleNamespace) -> TestResponse:
    answer: TestResponse = users.ada.submit("/books/1/reserve", page="/books/1")
    return answer


def reserve_by_script(users: SimpleNamespace) -> TestResponse:
    answer: TestResponse = users.ada_script.reserve(1)
    return answer


CHANGES = [reserve_by_page, reserve_by_script, restock_by_page, restock_by_script]


@pytest.mark.parametrize("change", CHANGES)
def test_a_lock_timeout_is_a_503_with_retry_after(shop, users, short_timeouts, change):
    before = shop.everything()
    with locked_book(short_timeouts):
        answer = change(users)
    assert (answer.status_code, int(answer.headers["Retry-After"]) > 0) == (503, True)
    assert "Please try again in a moment." in text_of(answer)
    assert shop.everything() == before


@pytest.mark.parametrize("change", CHANGES)
def test_a_lock_released_between_two_tries_is_acquired(shop, users, short_timeouts, monkeypatch, change):
    tries = []
    with locked_book(short_timeouts) as other:
        monkeypatch.setattr(transactions, "time", InterferingTime(lambda: tries.append(other.rollback())))
        assert change(users).status_code < 400
    assert len(tries) == 1
    assert shop.stock(1) == 5 or shop.statuses(1) == ["waiting"]


def test_readers_do_not_wait_for_a_lock(app, people, short_timeouts):
    with locked_book(short_timeouts):
        assert WebClient(app).get("/books/1").status_code == 200
        assert ApiClient(app).get("/api/v1/books").status_code == 200


# ---------------------------------------------------------------- retried transactions


@pytest.fixture
def session(postgresql_url):
    engine = create_engine(settings_for(postgresql_url).database_url)
    with Session(engine) as opened:
        yield opened
    engine.dispose()


def failing(session: Session, sqlstate: str, *, times: int) -> tuple[Callable[[], int], list[str]]:
    """Create work that the database fails with this SQLSTATE this many times; return it, and the list of its tries."""
    tries: list[str] = []

    def work() -> int:
        tries.append(sqlstate)
        if len(tries) <= times:
            session.execute(text(f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}'; END $$"))
        return len(tries)

    return work, tries


@pytest.mark.parametrize("sqlstate", ["40001", "40P01", "55P03"])
def test_a_transient_deadlock_or_lock_timeout_is_retried(session, monkeypatch, sqlstate):
    monkeypatch.setattr(transactions, "time", InterferingTime(lambda: None))
    work, _tries = failing(session, sqlstate, times=transactions.ATTEMPTS - 1)
    assert in_transaction(session, work) == transactions.ATTEMPTS


def test_retries_are_given_up_after_a_few_tries(session, monkeypatch):
    monkeypatch.setattr(transactions, "time", InterferingTime(lambda: None))
    work, tries = failing(session, "40P01", times=100)
    with pytest.raises(Busy):
        in_transaction(session, work)
    assert len(tries) == transactions.ATTEMPTS


@pytest.mark.parametrize("sqlstate", ["23505", "42P01", "22003", "P0001"])
def test_permanent_errors_are_not_retried(session, sqlstate):
    work, tries = failing(session, sqlstate, times=100)
    with pytest.raises(DBAPIError):
        in_transaction(session, work)
    assert len(tries) == 1


@pytest.mark.parametrize("url", ["sqlite:////nowhere/shop.db", "postgresql:///shop?host=/nowhere"])
def test_an_unreachable_database_is_a_503_without_details(url):
    app = create_app(settings_for(url))
    page, answer = WebClient(app).get("/"), ApiClient(app).get("/api/v1/books")
    assert (page.status_code, answer.status_code, answer.get_json()["code"]) == (503, 503, "HTTP_503")
    assert all(found.headers["Retry-After"] for found in (page, answer))
    assert "nowhere" not in page.text + answer.text


def test_a_logged_in_user_gets_the_error_page_when_the_database_is_unreachable(shop, web_client, monkeypatch):
    shop.customer("ada@example.com")
    ada = web_client("ada@example.com")
    lost = OperationalError("SELECT", {}, Exception("the server is away"))
    monkeypatch.setattr(Authentication, "by_login", lambda *_given, **_named: raised(lost))
    for address in ("/", "/account", "/nothing"):
        answer = ada.get(address)
        assert (answer.status_code, "Please try again in a moment" in answer.text) == (503, True), address
        assert answer.headers["Retry-After"]


def raised(error):
    raise error
