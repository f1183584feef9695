"""Rate limits of the JSON API: counted by token or address, shown on every response, then 429."""

import re
import time

import pytest

from bookshop import create_app
from bookshop.extensions import client_network, db
from bookshop.web.rate_limits import JSON_COUNTER
from tests.support.bad_input import assert_problem
from tests.support.clients import ApiClient
from tests.support.settings import settings_for

pytestmark = pytest.mark.one_postgresql_case

ADA, STAFF = "ada@example.com", "staff@example.com"
BOOKS = "/api/v1/books"
LEFT = re.compile(r'^"requests";r=(\d+);t=(\d+)$')


@pytest.fixture
def limited(database_url, app, shop):
    """Create a shop with a rate limit: limited("3 per hour")."""
    made = []

    def make(limit, **settings):
        made.append(create_app(settings_for(database_url, api_limit=limit, **settings)))
        return made[-1]

    shop.customer(ADA)
    yield make
    for other in made:
        with other.app_context():
            db.engine.dispose()


def limit_left(answer):
    """Return the remaining requests and the seconds until reset from a response."""
    ((requests, seconds),) = LEFT.findall(answer.headers["RateLimit"])
    return int(requests), int(seconds)


def statuses(api_client, number, path=BOOKS):
    return [api_client.get(path).status_code for _request in range(number)]


# ---------------------------------------------------------------- counting


def test_beyond_the_limit_the_response_is_429_with_retry_after(limited):
    nobody = ApiClient(limited("3 per hour"))
    answers = [nobody.get(BOOKS) for _request in range(3)]
    assert [limit_left(answer)[0] for answer in answers] == [2, 1, 0]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"requests";q=3;w=3600'}
    assert not any("Retry-After" in answer.headers for answer in answers)
    for _again in range(2):
        refused = nobody.get(BOOKS)
        assert_problem(refused, 429, "HTTP_429")
        assert limit_left(refused) == (0, int(refused.headers["Retry-After"]))
        assert 3500 < int(refused.headers["Retry-After"]) <= 3600
        assert "60 minutes" in refused.text


def test_each_token_has_its_own_rate_limit_even_of_one_user(limited):
    app = limited("2 per hour")
    first, second, nobody = ApiClient(app, ADA), ApiClient(app, ADA), ApiClient(app)
    for api_client in (first, second, nobody):
        assert statuses(api_client, 3) == [200, 200, 429]


@pytest.mark.parametrize("token", ["made-up-{}", "", "bookshop_{}", "x" * 9_000])
def test_invented_tokens_count_for_the_address(limited, token):
    app = limited("3 per hour")
    found = []
    for number in range(4):
        guesser = ApiClient(app)
        guesser.headers = {"Authorization": f"Bearer {token.format(number)}"}
        found.append(guesser.get(BOOKS).status_code)
    assert found == [401, 401, 401, 429]
    assert (statuses(ApiClient(app), 1), statuses(ApiClient(app, ADA), 1)) == ([429], [200])


def test_a_revoked_or_expired_token_counts_for_the_address(limited, shop):
    app = limited("2 per hour")
    api_client = ApiClient(app, ADA)
    assert statuses(api_client, 2) == [200, 200]
    shop.execute("UPDATE api_tokens SET revoked_at = created_at")
    assert statuses(api_client, 3) == [401, 401, 429]


def test_cookie_logins_and_visitors_are_counted_by_address(limited):
    app = limited("2 per hour")
    client = app.test_client()

    def ask(address):
        return client.get(BOOKS, environ_base={"REMOTE_ADDR": address}).status_code

    assert [ask("192.0.2.1") for _request in range(3)] == [200, 200, 429]
    assert (ask("192.0.2.2"), ask("2001:db8::1")) == (200, 200)


def test_without_a_proxy_forwarded_headers_are_ignored(limited):
    client = limited("2 per hour").test_client()
    found = [client.get(BOOKS, headers={"X-Forwarded-For": f"192.0.2.{n}"}).status_code for n in range(3)]
    assert found == [200, 200, 429]


def test_behind_a_proxy_its_forwarded_address_is_used(limited):
    client = limited("1 per hour", trusted_proxies=1).test_client()
    found = [client.get(BOOKS, headers={"X-Forwarded-For": f"9.9.9.9, 192.0.2.{n}"}).status_code for n in (1, 2, 1)]
    assert found == [200, 200, 429]


def test_pages_are_not_rate_limited(limited):
    app = limited("1 per hour")
    client = app.test_client()
    assert [client.get(path).status_code for path in ("/", "/books", "/login", "/robots.txt")] == [200] * 4
    assert "RateLimit" not in client.get("/books").headers
    assert [client.get(BOOKS).status_code, client.get(BOOKS).status_code] == [200, 429]
    assert client.get("/books").status_code == 200


# ---------------------------------------------------------------- headers


def test_every_json_response_shows_the_remaining_requests(limited, shop, monkeypatch):
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
        assert 0 < limit_left(answer)[0] < 100
        assert 0 < limit_left(answer)[1] <= 3600


def test_a_rate_limited_request_does_nothing(limited, shop):
    shop.staff(STAFF)
    staff = ApiClient(limited("1 per hour"), STAFF)
    statuses(staff, 1)
    before = shop.everything()
    assert_problem(staff.post(BOOKS, {"title": "A", "authors": "B", "price_cents": 1}), 429, "HTTP_429")
    assert_problem(staff.get("/api/v1/nothing"), 429, "HTTP_429")
    assert shop.everything() == before


def test_the_stricter_of_two_limits_is_shown_and_the_longer_wait_when_both_are_reached(limited):
    nobody = ApiClient(limited("3 per second; 5 per hour"))
    assert nobody.get(BOOKS).headers["RateLimit-Policy"] == '"requests";q=3;w=1'
    found = nobody.get(BOOKS)
    while limit_left(found)[0] or "w=1" in found.headers["RateLimit-Policy"]:
        found = nobody.get(BOOKS)
    assert found.headers["RateLimit-Policy"] == '"requests";q=5;w=3600'
    refused = [nobody.get(BOOKS) for _request in range(5)]
    for answer in refused:
        assert_problem(answer, 429, "HTTP_429")
        assert int(answer.headers["Retry-After"]) > 3000


def test_waiting_the_announced_time_is_enough(limited):
    nobody = ApiClient(limited("2 per 2 seconds"))
    while (refused := nobody.get(BOOKS)).status_code == 200:
        pass
    time.sleep(int(refused.headers["Retry-After"]))
    assert nobody.get(BOOKS).status_code == 200


# ---------------------------------------------------------------- unavailable storage


@pytest.mark.parametrize("method", ["hit", "get_window_stats"])
def test_rate_limit_storage_failures_are_logged_and_requests_answered(limited, monkeypatch, caplog, method):
    nobody = ApiClient(limited("1 per hour"))

    def fail(*_asked):
        raise ConnectionError("the storage is away")

    monkeypatch.setattr(nobody.client.application.extensions[JSON_COUNTER], method, fail)
    answers = [nobody.get(BOOKS) for _request in range(3)]
    assert [answer.status_code for answer in answers] == [200] * 3
    assert "cannot count requests" in caplog.text


# ---------------------------------------------------------------- request size


@pytest.mark.parametrize("size", [2**20, 2**20 + 1])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", BOOKS), ("POST", BOOKS), ("PATCH", f"{BOOKS}/1"), ("PATCH", f"{BOOKS}/1/stock")),
        *(("POST", "/api/v1/stock/batch"), ("DELETE", "/api/v1/prebookings/1"), ("POST", "/api/v1/orders/1/cancel")),
        *(("POST", "/api/v1/admin/orders/1/ready"), ("POST", "/api/v1/nothing"), ("PUT", BOOKS)),
    ],
)
def test_a_body_above_a_megabyte_is_413_even_on_routes_that_read_no_body(shop, api_client, size, *, method, path):
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
def test_an_ipv6_network_is_counted_as_one_address(app, address, counted):
    with app.test_request_context(environ_base={"REMOTE_ADDR": address}):
        assert client_network() == counted


def test_an_ipv6_network_shares_one_limit(limited):
    app = limited("3 per hour", login_limit="3 per hour")
    attempts = [
        app.test_client().get(BOOKS, environ_base={"REMOTE_ADDR": f"2001:db8::{number}"}).status_code
        for number in range(1, 5)
    ]
    tried = [
        app.test_client().post("/login", environ_base={"REMOTE_ADDR": f"2001:db8:0:1::{number}"}).status_code
        for number in range(1, 5)
    ]
    assert (attempts, tried) == ([200, 200, 200, 429], [400, 400, 400, 429])


@pytest.mark.parametrize(("proxies", "times"), [(0, 1), (1, 0)])
def test_an_unconfigured_proxy_is_logged_once(limited, caplog, proxies, times):
    app = limited("100 per hour", trusted_proxies=proxies)
    for _request in range(3):
        app.test_client().get("/robots.txt", headers={"X-Forwarded-For": "203.0.113.7"})
    assert caplog.text.count("BOOKSHOP_TRUSTED_PROXIES is 0") == times
    assert "203.0.113.7" not in caplog.text
