"""How often one may ask: counted for each token and each address, and said on every answer."""

import logging
import re

import pytest
from limits.storage import MemoryStorage

from bookshop import create_app
from tests.clients import Browser, Script
from tests.conftest import settings_for
from tests.factories import Shop
from tests.stand import assert_problem

ADA, STAFF = "ada@example.com", "staff@example.com"
STATE = re.compile(r'"requests";r=(\d+);t=(\d+)')


@pytest.fixture
def narrow(app, shop, database_url):
    """The same shop, with another limit: narrow("2 per minute")."""
    shop.customer(ADA)
    shop.staff(STAFF)
    shop.book("Emma")
    return lambda limit: create_app(settings_for(database_url, api_limit=limit))


def program(app, email=None):
    return Script(app, email)


def state(answer):
    """How many requests are left, and for how many seconds."""
    [(number, seconds)] = STATE.findall(answer.headers["RateLimit"])
    return int(number), int(seconds)


def left(answer):
    return state(answer)[0]


def get(script, path="/api/v1/books", **environ):
    return script.client.get(path, headers=script.headers, environ_base=environ)


def test_what_is_left_is_said_on_every_answer(narrow):
    ada = program(narrow("5 per minute"), ADA)
    found = [get(ada, path) for path in ("/api/v1/prebookings", "/api/v1/books/99", "/api/v1/reports/demand")]
    found.append(ada.client.put("/api/v1/books", headers=ada.headers))
    assert [answer.status_code for answer in found] == [200, 404, 403, 405]
    assert [left(answer) for answer in found] == [4, 3, 2, 1]
    assert {answer.headers["RateLimit-Policy"] for answer in found} == {'"requests";q=5;w=60'}
    assert all(0 < state(answer)[1] <= 60 for answer in found)


def test_one_too_many_is_a_problem_that_says_when_to_come_back(narrow):
    script = program(narrow("2 per minute"))
    assert [get(script).status_code for _time in range(2)] == [200, 200]
    answer = get(script)
    assert_problem(answer, 429, "HTTP_429")
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert f"{answer.headers['Retry-After']} second" in answer.json["detail"]
    assert answer.headers["RateLimit"] == f'"requests";r=0;t={answer.headers["Retry-After"]}'


def test_a_long_wait_is_said_in_minutes_none_too_many(narrow):
    script = program(narrow("1 per hour"))
    get(script)
    assert "try again in 60 minutes" in get(script).text


def test_each_token_counts_for_itself(narrow):
    app = narrow("2 per minute")
    first, second, staff = program(app, ADA), program(app, ADA), program(app, STAFF)
    assert [get(first).status_code for _time in range(3)] == [200, 200, 429]
    assert [get(script).status_code for script in (second, staff, program(app))] == [200, 200, 200]


def test_each_address_counts_for_itself_and_so_do_tokens_that_are_none(narrow):
    script = program(narrow("2 per minute"))
    tries = []
    for number in range(3):
        script.headers = {"Authorization": f"Bearer made-up-{number}"}
        tries.append(get(script, REMOTE_ADDR="192.0.2.1").status_code)
    assert tries == [401, 401, 429]
    script.headers = {}
    assert get(script, REMOTE_ADDR="192.0.2.1").status_code == 429
    assert get(script, REMOTE_ADDR="192.0.2.2").status_code == 200


def test_a_good_token_is_not_kept_out_by_others_at_its_address(narrow):
    app = narrow("1 per minute")
    assert [get(program(app)).status_code for _time in range(2)] == [200, 429]
    assert get(program(app, ADA)).status_code == 200


def test_a_revoked_token_has_no_limit_of_its_own_any_more(narrow, shop):
    script = program(narrow("1 per minute"), ADA)
    shop.execute("UPDATE api_tokens SET revoked_at = '2026-01-01 00:00:00.000000'")
    assert [get(script).status_code for _time in range(2)] == [401, 429]


def test_what_was_refused_for_its_number_did_nothing(narrow, shop):
    staff = program(narrow("1 per minute"), STAFF)
    assert [staff.set_stock(1, number).status_code for number in (1, 2)] == [200, 429]
    assert shop.stock(1) == 1


def test_pages_are_not_counted(narrow):
    browser = Browser(narrow("1 per minute"))
    assert [browser.get(path).status_code for path in ("/", "/books", "/login") * 2] == [200] * 6
    assert "RateLimit" not in browser.get("/books").headers


def test_a_login_counts_at_its_address(narrow):
    app = narrow("2 per minute")
    ada = Browser(app, ADA)
    assert [ada.get("/api/v1/prebookings").status_code for _time in range(3)] == [200, 200, 429]


def test_of_several_limits_the_one_that_is_nearest_is_said(narrow):
    script = program(narrow("1000 per minute; 3 per hour"))
    answers = [get(script) for _time in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"requests";q=3;w=3600'}


def test_a_shop_that_cannot_count_goes_on_and_writes_it_down(narrow, monkeypatch, caplog):
    script = program(narrow("1 per minute"))

    def fail(*_given, **_more):
        raise ConnectionError("the storage is away")

    monkeypatch.setattr(MemoryStorage, "incr", fail)
    with caplog.at_level(logging.ERROR):
        assert [get(script).status_code for _time in range(2)] == [200, 200]
    assert "requests cannot be counted just now" in caplog.text


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/v1/stock/batch"),
        ("POST", "/api/v1/orders/1/cancel"),
        ("DELETE", "/api/v1/prebookings/1"),
        ("GET", "/api/v1/books"),
        ("POST", "/api/v1/nothing"),
    ],
)
def test_a_body_of_more_than_a_megabyte_is_refused_wherever_it_goes(app, shop, method, path):
    shop.staff(STAFF)
    script = Script(app, STAFF)
    answer = script.client.open(
        path, method=method, data=b"x" * (2**20 + 1), content_type="application/json", headers=script.headers
    )
    assert_problem(answer, 413, "HTTP_413")


def test_a_body_of_a_megabyte_is_looked_at(app, shop):
    shop.staff(STAFF)
    script = Script(app, STAFF)
    body = b'{"lines": []' + b" " * (2**20 - 13) + b"}"
    answer = script.client.post(
        "/api/v1/stock/batch", data=body, content_type="application/json", headers=script.headers
    )
    assert (len(body), answer.status_code) == (2**20, 422)


def test_the_shop_keeps_counting_where_it_counted(narrow):
    """Two requests in one window count together, whatever came between."""
    app = narrow("2 per minute")
    shop = Shop(app)
    script = program(app)
    get(script)
    shop.set_stock(1, 3)
    assert left(get(script)) == 0
