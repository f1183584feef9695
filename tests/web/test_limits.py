"""How many requests for JSON are answered: counted by token or address, said on every answer, and then 429."""

import re
import time

import pytest

from bookshop import create_app
from bookshop.extensions import client_network, db
from bookshop.web.rate_limits import JSON_COUNTER
from tests.support.clients import ApiClient
from tests.support.settings import settings_for
from tests.support.stand import assert_problem

pytestmark = pytest.mark.one_postgresql_case

ADA, STAFF = "ada@example.com", "staff@example.com"
BOOKS = "/api/v1/books"
LEFT = re.compile(r'^"requests";r=(\d+);t=(\d+)$')


@pytest.fixture
def limited(database_url, app, shop):
    """Makes a shop with such a limit: limited("3 per hour")."""
    made = []

    def make(limit, **settings):
        made.append(create_app(settings_for(database_url, api_limit=limit, **settings)))
        return made[-1]

    shop.customer(ADA)
    yield make
    for other in made:
        with other.app_context():
            db.engine.dispose()


def left(answer):
    """How many requests the answer says are left, and for how many seconds."""
    ((requests, seconds),) = LEFT.findall(answer.headers["RateLimit"])
    return int(requests), int(seconds)


def statuses(api_client, number, path=BOOKS):
    return [api_client.get(path).status_code for _request in range(number)]


# ---------------------------------------------------------------- who is counted


def test_after_the_last_request_that_there_is_come_429_and_when_to_go_on(limited):
    nobody = ApiClient(limited("3 per hour"))
    answers = [nobody.get(BOOKS) for _request in range(3)]
    assert [left(answer)[0] for answer in answers] == [2, 1, 0]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"requests";q=3;w=3600'}
    assert not any("Retry-After" in answer.headers for answer in answers)
    for _again in range(2):
        refused = nobody.get(BOOKS)
        assert_problem(refused, 429, "HTTP_429")
        assert left(refused) == (0, int(refused.headers["Retry-After"]))
        assert 3500 < int(refused.headers["Retry-After"]) <= 3600
        assert "60 minutes" in refused.text


def test_each_token_has_a_limit_of_its_own_also_of_one_user(limited):
    app = limited("2 per hour")
    first, second, nobody = ApiClient(app, ADA), ApiClient(app, ADA), ApiClient(app)
    for api_client in (first, second, nobody):
        assert statuses(api_client, 3) == [200, 200, 429]


@pytest.mark.parametrize("token", ["made-up-{}", "", "bookshop_{}", "x" * 9_000])
def test_tokens_that_are_made_up_count_for_the_address(limited, token):
    app = limited("3 per hour")
    found = []
    for number in range(4):
        guesser = ApiClient(app)
        guesser.headers = {"Authorization": f"Bearer {token.format(number)}"}
        found.append(guesser.get(BOOKS).status_code)
    assert found == [401, 401, 401, 429]
    assert (statuses(ApiClient(app), 1), statuses(ApiClient(app, ADA), 1)) == ([429], [200])


def test_a_token_that_is_revoked_or_expired_counts_for_the_address(limited, shop):
    app = limited("2 per hour")
    api_client = ApiClient(app, ADA)
    assert statuses(api_client, 2) == [200, 200]
    shop.execute("UPDATE api_tokens SET revoked_at = created_at")
    assert statuses(api_client, 3) == [401, 401, 429]


def test_logins_by_cookie_and_visitors_count_for_the_address_and_each_address_for_itself(limited):
    app = limited("2 per hour")
    client = app.test_client()

    def ask(address):
        return client.get(BOOKS, environ_base={"REMOTE_ADDR": address}).status_code

    assert [ask("192.0.2.1") for _request in range(3)] == [200, 200, 429]
    assert (ask("192.0.2.2"), ask("2001:db8::1")) == (200, 200)


def test_an_address_that_a_header_names_is_that_of_no_request_without_a_proxy(limited):
    client = limited("2 per hour").test_client()
    found = [client.get(BOOKS, headers={"X-Forwarded-For": f"192.0.2.{n}"}).status_code for n in range(3)]
    assert found == [200, 200, 429]


def test_behind_a_proxy_the_address_is_that_which_the_proxy_names(limited):
    client = limited("1 per hour", trusted_proxies=1).test_client()
    found = [client.get(BOOKS, headers={"X-Forwarded-For": f"9.9.9.9, 192.0.2.{n}"}).status_code for n in (1, 2, 1)]
    assert found == [200, 200, 429]


def test_pages_are_not_counted_and_stay_open(limited):
    app = limited("1 per hour")
    client = app.test_client()
    assert [client.get(path).status_code for path in ("/", "/books", "/login", "/robots.txt")] == [200] * 4
    assert "RateLimit" not in client.get("/books").headers
    assert [client.get(BOOKS).status_code, client.get(BOOKS).status_code] == [200, 429]
    assert client.get("/books").status_code == 200


# ---------------------------------------------------------------- what is said, and where


def test_every_answer_in_json_says_what_is_left(limited, shop, monkeypatch):
    shop.staff(STAFF)
    app = limited("100 per hour")
    staff, ada = ApiClient(app, STAFF), ApiClient(app, ADA)
    book_id = shop.book("Emma")
    etag = staff.get(f"{BOOKS}/{book_id}").headers["ETag"]
    answers = [
        *(staff.get(BOOKS), staff.send("HEAD", BOOKS), staff.send("OPTIONS", BOOKS), staff.get("/api/v1/openapi.json")),
        staff.send("GET", f"{BOOKS}/{book_id}", If_None_Match=etag),
        staff.post(BOOKS, {"title": "A", "authors": "B", "price_cents": 1}),
        *(staff.get("/api/v1/nothing"), staff.get(f"{BOOKS}/999"), staff.send("PUT", BOOKS)),
        *(ada.post(BOOKS, {}), staff.post(BOOKS, {}), staff.get(BOOKS, page="x")),
        staff.send("PATCH", f"{BOOKS}/{book_id}", {"title": "C"}, If_Match='"9"'),
        *(staff.client.post(BOOKS, data="x", headers=staff.headers), ApiClient(app).get("/api/v1/orders")),
        staff.post(BOOKS, {"title": "x" * 2**20}),
    ]
    monkeypatch.setattr("bookshop.catalog.api.book_out", None)
    answers.append(staff.get(f"{BOOKS}/{book_id}"))
    expected = [200, 200, 200, 200, 304, 201, 404, 404, 405, 403, 422, 422, 412, 415, 401, 413, 500]
    assert [answer.status_code for answer in answers] == expected
    for answer in answers:
        assert answer.headers["RateLimit-Policy"] == '"requests";q=100;w=3600'
        assert 0 < left(answer)[0] < 100
        assert 0 < left(answer)[1] <= 3600


def test_a_request_that_is_refused_for_being_one_too_many_does_nothing(limited, shop):
    shop.staff(STAFF)
    staff = ApiClient(limited("1 per hour"), STAFF)
    statuses(staff, 1)
    before = shop.everything()
    assert_problem(staff.post(BOOKS, {"title": "A", "authors": "B", "price_cents": 1}), 429, "HTTP_429")
    assert_problem(staff.get("/api/v1/nothing"), 429, "HTTP_429")
    assert shop.everything() == before


def test_of_two_limits_the_narrower_is_said_and_the_longer_wait_when_both_are_reached(limited):
    nobody = ApiClient(limited("3 per second; 5 per hour"))
    assert nobody.get(BOOKS).headers["RateLimit-Policy"] == '"requests";q=3;w=1'
    found = nobody.get(BOOKS)
    while left(found)[0] or "w=1" in found.headers["RateLimit-Policy"]:
        found = nobody.get(BOOKS)
    assert found.headers["RateLimit-Policy"] == '"requests";q=5;w=3600'
    refused = [nobody.get(BOOKS) for _request in range(5)]
    for answer in refused:
        assert_problem(answer, 429, "HTTP_429")
        assert int(answer.headers["Retry-After"]) > 3000


def test_who_waits_as_long_as_was_said_is_answered_again(limited):
    nobody = ApiClient(limited("2 per 2 seconds"))
    while (refused := nobody.get(BOOKS)).status_code == 200:
        pass
    time.sleep(int(refused.headers["Retry-After"]))
    assert nobody.get(BOOKS).status_code == 200


# ---------------------------------------------------------------- when nothing can be counted


@pytest.mark.parametrize("method", ["hit", "get_window_stats"])
def test_where_the_storage_fails_requests_are_answered_and_it_is_logged(limited, monkeypatch, caplog, method):
    nobody = ApiClient(limited("1 per hour"))

    def fail(*_asked):
        raise ConnectionError("the storage is away")

    monkeypatch.setattr(nobody.client.application.extensions[JSON_COUNTER], method, fail)
    answers = [nobody.get(BOOKS) for _request in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert "requests cannot be counted just now" in caplog.text


# ---------------------------------------------------------------- how large a request may be


@pytest.mark.parametrize("size", [2**20, 2**20 + 1])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", BOOKS), ("POST", BOOKS), ("PATCH", f"{BOOKS}/1"), ("PATCH", f"{BOOKS}/1/stock")),
        *(("POST", "/api/v1/stock/batch"), ("DELETE", "/api/v1/prebookings/1"), ("POST", "/api/v1/orders/1/cancel")),
        *(("POST", "/api/v1/admin/orders/1/ready"), ("POST", "/api/v1/nothing"), ("PUT", BOOKS)),
    ],
)
def test_a_body_above_a_megabyte_is_413_also_where_none_is_read(shop, api_client, size, *, method, path):
    shop.staff(STAFF)
    staff = api_client(STAFF)
    body = b" " * size
    answer = staff.client.open(path, method=method, data=body, content_type="application/json", headers=staff.headers)
    assert (answer.status_code == 413) == (size > 2**20), answer.status_code
    if size > 2**20:
        assert_problem(answer, 413, "HTTP_413")


# ---------------------------------------------------------------- addresses and proxies


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2::7", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::7", "2001:db8:1:3::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix:", "unix:"),
        ("", "here"),
    ],
)
def test_a_line_with_ipv6_is_counted_as_one_address(app, address, counted):
    with app.test_request_context(environ_base={"REMOTE_ADDR": address}):
        assert client_network() == counted


def test_who_changes_the_end_of_an_ipv6_address_has_no_limit_of_its_own(limited):
    app = limited("3 per hour", login_limit="3 per hour")
    asked = [
        app.test_client().get(BOOKS, environ_base={"REMOTE_ADDR": f"2001:db8::{number}"}).status_code
        for number in range(1, 5)
    ]
    tried = [
        app.test_client().post("/login", environ_base={"REMOTE_ADDR": f"2001:db8:0:1::{number}"}).status_code
        for number in range(1, 5)
    ]
    assert (asked, tried) == ([200, 200, 200, 429], [400, 400, 400, 429])


@pytest.mark.parametrize(("proxies", "times"), [(0, 1), (1, 0)])
def test_a_proxy_that_no_setting_names_is_logged_once(limited, caplog, proxies, times):
    app = limited("100 per hour", trusted_proxies=proxies)
    for _request in range(3):
        app.test_client().get("/robots.txt", headers={"X-Forwarded-For": "203.0.113.7"})
    assert caplog.text.count("BOOKSHOP_TRUSTED_PROXIES is 0") == times
    assert "203.0.113.7" not in caplog.text
