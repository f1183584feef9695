"""Guessing passwords is slowed down without locking the owner out; all processes count together in the database."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bookshop import create_app
from bookshop.extensions import db, limiter
from bookshop.kit.transactions import in_transaction
from bookshop.throttle.repository import AttemptRepository
from bookshop.throttle.service import AttemptLimit
from bookshop.web import attempts, services
from tests.support import races
from tests.support.clients import WebClient, text_of
from tests.support.factories import PASSWORD
from tests.support.settings import settings_for

ADA, BEN, NOBODY = "ada@example.com", "ben@example.com", "nobody@example.com"
NEW = "four other random words"
FREE = 5


@pytest.fixture
def process(app, database_url):
    """Create another process of the shop: process(login_limit="2 per hour")."""
    made, kept = [], dict(vars(limiter))

    def start(**settings):
        made.append(create_app(settings_for(database_url, ratelimit_storage="database://", **settings)))
        return made[-1]

    yield start
    vars(limiter).update(kept)  # the limiter is shared by all applications of a process and configured by the last one
    for other in made:
        with other.app_context():
            db.engine.dispose()


def browser_at(app, network):
    browser = WebClient(app)
    browser.client.environ_base = {**browser.client.environ_base, "REMOTE_ADDR": network}
    return browser


def guess(browser, times=1, email=ADA):
    """Return the statuses of this many failed logins from one page."""
    token = browser.csrf_token()
    return [browser.post("/login", email=email, password="wrong", csrf_token=token).status_code for _ in range(times)]


def end_waits(shop):
    shop.execute("UPDATE attempts SET until = '2020-01-01 00:00:00.000000+00:00'")


# ---------------------------------------------------------------- growing waits


@pytest.mark.parametrize("email", [ADA, NOBODY])
def test_each_wrong_password_lengthens_the_wait_for_known_and_unknown_addresses(shop, app, email):
    shop.customer(ADA)
    browser, waits = WebClient(app), []
    assert guess(browser, FREE, email) == [400] * FREE
    for _time in range(11):
        refused = browser.log_in(email, "wrong")
        assert (refused.status_code, "Please try again in" in text_of(refused)) == (429, True)
        waits.append(int(refused.headers["Retry-After"]))
        end_waits(shop)
        assert guess(browser, 1, email) == [400]
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900]


def test_a_rate_limited_login_keeps_what_was_typed_and_does_not_lengthen_the_wait(shop, app):
    shop.customer(ADA)
    browser = WebClient(app)
    guess(browser, FREE)
    shop.execute("UPDATE attempts SET until = '2020-01-01 00:00:00.000000+00:00', count = 11")
    assert guess(browser, 4) == [400, 429, 429, 429]
    refused = browser.log_in(ADA, PASSWORD)
    assert (refused.status_code, f'value="{ADA}"' in refused.text) == (429, True)
    assert int(refused.headers["Retry-After"]) <= 128
    assert PASSWORD not in refused.text
    end_waits(shop)
    assert browser.log_in(ADA, PASSWORD).status_code == 303


def test_a_successful_login_is_not_counted_as_an_attempt(shop, app):
    shop.customer(ADA)
    assert [WebClient(app).log_in(ADA, PASSWORD).status_code for _time in range(3 * FREE)] == [303] * 3 * FREE
    assert set(shop.rows("SELECT count FROM attempts")) == {0}


def test_failed_attempts_are_forgotten_after_a_day(shop, app):
    shop.customer(ADA)
    browser = WebClient(app)
    assert guess(browser, FREE + 1)[-1] == 429
    shop.execute("UPDATE attempts SET forget_at = '2020-01-01 00:00:00.000000+00:00'")
    assert guess(browser, FREE + 1) == [400] * FREE + [429]
    assert len(shop.rows("SELECT key FROM attempts")) == 3


def test_a_clock_that_is_set_back_does_not_make_anyone_wait_for_hours(shop, app):
    shop.customer(ADA)
    browser = WebClient(app)
    assert guess(browser, FREE + 1)[-1] == 429
    shop.execute("UPDATE attempts SET until = '2099-01-01 00:00:00.000000+00:00'")
    assert browser.log_in(ADA, PASSWORD).status_code == 303


@pytest.mark.parametrize("path", ["/account/email", "/account/password", "/account/delete"])
def test_guesses_at_a_logged_in_users_password_are_delayed_too(shop, app, web_client, path):
    shop.customer(ADA)
    thief, owner = web_client(ADA), web_client(ADA)
    token = thief.csrf_token(path)
    fields = {"email": BEN, "new": NEW, "repeat": NEW, "csrf_token": token}
    found = [thief.post(path, current="wrong", **fields) for _time in range(FREE + 1)]
    assert [answer.status_code for answer in found] == [400] * FREE + [429]
    assert found[-1].headers["Retry-After"] == "1"
    right = {"email": BEN, "current": PASSWORD, "new": NEW, "repeat": NEW}
    assert owner.submit(path, **right).status_code == 303


def test_counted_attempts_contain_no_addresses(shop, process):
    shop.customer(ADA)
    guess(browser_at(process(), "192.0.2.1"), 2)
    found = str(shop.rows("SELECT * FROM attempts"))
    assert len(found) > 200
    assert not [name for name in (ADA, "192.0.2") if name in found]


# ---------------------------------------------------------------- shared by all processes


def test_logins_are_counted_for_all_processes_together(shop, process):
    first, second = (WebClient(process(login_limit="3 per hour")) for _process in range(2))
    assert guess(first, 2, NOBODY) == [400, 400]
    assert guess(second, 2, NOBODY) == [400, 429]
    assert guess(first, 1, NOBODY) == [429]


@pytest.mark.parametrize(("path", "page"), [("/login", "/login"), ("/books/1/reserve", "/books/1")])
def test_e_mails_are_counted_for_all_processes_together(shop, process, path, page):
    shop.book()
    browsers = [WebClient(process(login_limit="2 per hour")) for _process in range(2)]
    sent = [browser.submit(path, page=page, email=f"{n}@example.com") for n in "ab" for browser in browsers]
    assert [answer.status_code for answer in sent] == [303, 303, 429, 429]
    assert 3500 < int(sent[-1].headers["Retry-After"]) <= 3600


def test_a_limit_resets_after_its_period(shop, process):
    browser = WebClient(process(login_limit="1 per hour"))
    assert guess(browser, 2, NOBODY) == [400, 429]
    end_waits(shop)
    assert guess(browser, 2, NOBODY) == [400, 429]
    shop.execute("UPDATE attempts SET until = '2099-01-01 00:00:00.000000+00:00'")  # the clock was set back
    assert guess(browser, 1, NOBODY) == [400]


def test_expired_counts_are_deleted_on_the_way(shop, app):
    guess(browser_at(app, "192.0.2.1"), 1, NOBODY)
    shop.execute("UPDATE attempts SET forget_at = '2020-01-01 00:00:00.000000+00:00'")
    guess(browser_at(app, "192.0.2.2"), 1, BEN)
    assert len(shop.rows("SELECT key FROM attempts")) == 3


# ---------------------------------------------------------------- simultaneous guesses


def guesses_at_once(app, many=12):
    """Return how many of this many simultaneous guesses were made rather than delayed."""
    browsers = [WebClient(app) for _browser in range(many)]
    tokens = [browser.csrf_token() for browser in browsers]
    start = threading.Barrier(many)

    def attempt(browser, token):
        start.wait()
        return browser.post("/login", email=ADA, password="wrong", csrf_token=token).status_code

    with ThreadPoolExecutor(many) as pool:
        found = list(pool.map(attempt, browsers, tokens))
    assert set(found) <= {400, 429}
    return found.count(400)


def test_simultaneous_guesses_never_exceed_the_free_attempts(shop, app):
    shop.customer(ADA)
    assert guesses_at_once(app) == FREE


def test_a_count_that_changes_while_locked_includes_the_waiting_request(shop, app):
    """On PostgreSQL a blocked statement has an earlier timestamp than the one that blocked it."""

    def count(first):
        with app.app_context(), services.separate_session() as session:
            counts = AttemptRepository(session)

            def work():
                if first:
                    counts.delay("k", 0)
                    counts.delay("w", 0)
                return counts.claim("k", 900, 3600), counts.count("w", 3600, 1)

            return in_transaction(session, work)

    assert count(False) == (1, 1)
    assert races.interleave((AttemptRepository, "delay"), lambda: count(True), lambda: count(False)) == ((2, 1), (3, 2))


def test_checking_before_counting_lets_all_guesses_through(shop, app, monkeypatch):
    shop.customer(ADA)
    checked = threading.Barrier(12)

    def check_first(_limits, _form, work):
        checked.wait()  # all have checked, and none has to wait
        return work()

    monkeypatch.setattr(attempts, "with_counted_attempt", check_first)
    assert guesses_at_once(app) == 12


def test_rate_limits_are_locked_in_one_order_to_prevent_deadlocks(shop, app, caplog):
    names = [f"limit {number}" for number in range(4)]

    def take(turn):
        with app.app_context():
            attempts.with_counted_attempt(
                [AttemptLimit(name, 1000, 1) for name in (names if turn % 2 else names[::-1])], "", lambda: turn % 3
            )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take, range(80)))
    assert shop.rows("SELECT count FROM attempts") == [0] * 4
    assert "transaction rolled back" not in caplog.text
