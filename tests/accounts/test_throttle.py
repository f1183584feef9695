"""Guessing passwords is slowed down without locking the owner out; all processes count together in the database."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bookshop import create_app
from bookshop.extensions import db, limiter
from bookshop.kit.transactions import in_transaction
from bookshop.throttle.repository import AttemptRepository
from bookshop.throttle.service import AttemptLimit
from bookshop.web import services
from tests.support import races
from tests.support.clients import WebClient, text_of
from tests.support.factories import PASSWORD, Shop
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


def reset_of(app, email=ADA):
    """Return the token of a password link, as sent to its owner."""
    shop = Shop(app)
    user_id = shop.rows("SELECT id FROM users WHERE email = :email", email=email)[0]
    return shop.commit(lambda: services.email_links().create_reset(user_id, email))


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


@pytest.mark.parametrize("page", ["/register", "/password/forgot"])
def test_e_mails_are_counted_for_all_processes_together(shop, process, page):
    browsers = [WebClient(process(login_limit="2 per hour")) for _process in range(2)]
    sent = [browser.submit(page, email=f"{n}@example.com", password=PASSWORD) for n in "ab" for browser in browsers]
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

    monkeypatch.setattr(services, "with_counted_attempt", check_first)
    assert guesses_at_once(app) == 12


def test_rate_limits_are_locked_in_one_order_to_prevent_deadlocks(shop, app, caplog):
    names = [f"limit {number}" for number in range(4)]

    def take(turn):
        with app.app_context():
            services.with_counted_attempt(
                [AttemptLimit(name, 1000, 1) for name in (names if turn % 2 else names[::-1])], "", lambda: turn % 3
            )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(take, range(80)))
    assert shop.rows("SELECT count FROM attempts") == [0] * 4
    assert "transaction rolled back" not in caplog.text


# ---------------------------------------------------------------- owners are not locked out


def test_an_owner_on_a_known_device_can_log_in_during_guessing_from_the_same_network(shop, process):
    shop.customer(ADA)
    app = process(login_limit="20 per hour")
    owner, other = WebClient(app), WebClient(app)
    assert owner.log_in(ADA, PASSWORD).status_code == 303
    owner.submit("/logout", page="/account")
    for _guess in range(30):
        guess(other)
        end_waits_of_guesses(shop)
    assert guess(other) == [429]
    assert owner.log_in(ADA, PASSWORD).status_code == 303


def end_waits_of_guesses(shop):
    """Let waits of a minute end, but no limit per hour."""
    shop.execute("UPDATE attempts SET until = '2020-01-01 00:00:00.000000+00:00' WHERE forget_at <> until")


def test_an_owner_on_a_new_device_elsewhere_can_log_in_during_guessing(shop, app):
    shop.customer(ADA)
    guess(browser_at(app, "192.0.2.1"), 3 * FREE)
    assert browser_at(app, "192.0.2.2").log_in(ADA, PASSWORD).status_code == 303


def test_guesses_from_many_networks_are_delayed_by_a_minute_at_most(shop, app):
    shop.customer(ADA)
    found = [guess(browser_at(app, f"192.0.2.{n}"), 1)[0] for n in range(52)]
    assert found == [400] * 50 + [429] * 2
    shop.execute("UPDATE attempts SET until = '2020-01-01 00:00:00.000000+00:00', count = 5000 WHERE count > 5")
    assert guess(browser_at(app, "198.51.100.1")) == [400]
    refused = browser_at(app, "198.51.100.2").log_in(ADA, PASSWORD)
    assert (refused.status_code, int(refused.headers["Retry-After"]) <= 60) == (429, True)


def test_an_owner_can_log_in_by_e_mail_link_while_others_guess_everywhere(shop, app):
    shop.customer(ADA)
    owner = browser_at(app, "198.51.100.1")
    for n in range(52):
        guess(browser_at(app, f"192.0.2.{n}"), 1)
    assert owner.log_in(ADA, PASSWORD).status_code == 429
    assert owner.submit(f"/password/reset/{reset_of(app)}", new=NEW, repeat=NEW).status_code == 303
    assert owner.log_in(ADA, NEW).status_code == 303


def test_a_device_is_known_only_for_accounts_that_logged_in_on_it(shop, app):
    shop.customer(ADA)
    shop.customer(BEN)
    ben = WebClient(app)
    ben.log_in(BEN, PASSWORD)
    ben.submit("/logout", page="/account")
    assert guess(ben, FREE + 1, ADA) == [400] * FREE + [429]
    assert guess(ben, FREE + 1, BEN) == [400] * (FREE + 1)


def browser_on_known_device(app, email=ADA):
    """Return a browser that has logged in and out."""
    browser = WebClient(app)
    browser.log_in(email, PASSWORD)
    browser.submit("/logout", page="/account")
    return browser


@pytest.mark.parametrize("how", ["link", "page"])
def test_a_new_password_makes_all_other_devices_unknown(shop, app, how):
    shop.customer(ADA)
    former, owner = browser_on_known_device(app), browser_on_known_device(app)
    if how == "link":
        owner.submit(f"/password/reset/{reset_of(app)}", new=NEW, repeat=NEW)
    else:
        owner.log_in(ADA, PASSWORD)
        owner.submit("/account/password", current=PASSWORD, new=NEW, repeat=NEW)
        owner.submit("/logout", page="/account")
    assert guess(former, FREE + 1) == [400] * FREE + [429]
    assert guess(owner, FREE + 1) == [400] * (FREE + 1)


def test_a_device_stays_known_with_another_address_and_for_the_other_accounts(shop, app):
    shop.customer(ADA)
    shop.customer(BEN)
    browser = browser_on_known_device(app, BEN)
    browser.log_in(ADA, PASSWORD)
    browser.submit("/account/email", email="ada.new@example.com", current=PASSWORD)
    browser.submit("/logout", page="/account")
    browser.submit(f"/password/reset/{reset_of(app, BEN)}", new=NEW, repeat=NEW)
    assert guess(browser, FREE + 1, "ada.new@example.com") == [400] * (FREE + 1)
    assert guess(browser, FREE + 1, BEN) == [400] * (FREE + 1)


def test_a_correct_password_is_not_counted_even_if_the_form_is_refused(shop, app, web_client):
    shop.customer(ADA)
    shop.customer(BEN)
    ada = web_client(ADA)
    taken = [ada.submit("/account/email", email=BEN, current=PASSWORD).status_code for _time in range(2 * FREE)]
    weak = [ada.submit("/account/password", current=PASSWORD, new="x", repeat="x").status_code for _ in range(2 * FREE)]
    assert (set(taken), set(weak)) == ({409}, {400})
    assert shop.rows("SELECT count FROM attempts") == [0]


def test_frequent_logins_send_no_extra_e_mail(shop, process):
    shop.customer(ADA)
    app, found = process(login_limit="3 per hour"), []
    for _login in range(2):
        browser = WebClient(app, ADA)
        found += [browser.submit("/password/forgot", email=ADA).status_code for _time in range(2)]
    assert found == [303, 303, 303, 429]


@pytest.mark.parametrize("forged", ["", "x", "WyJkZXZpY2UiLFsiYSJdXQ.AAAA", "é" * 50])
def test_an_unsigned_cookie_makes_no_device_known(shop, app, forged):
    shop.customer(ADA)
    browser = WebClient(app)
    browser.client.set_cookie("bookshop_device", forged)
    assert guess(browser, FREE + 1) == [400] * FREE + [429]


def test_the_known_device_cookie_is_httponly_and_contains_no_name(shop, app):
    shop.customer(ADA)
    answer = WebClient(app).log_in(ADA, PASSWORD)
    (cookie,) = [value for value in answer.headers.getlist("Set-Cookie") if value.startswith("bookshop_device=")]
    assert all(part in cookie for part in ("Path=/;", "HttpOnly", "SameSite=Lax", "Max-Age=15552000"))
    assert "ada" not in cookie


def test_a_rate_limited_owner_can_always_get_a_link_by_e_mail(shop, process):
    shop.customer(ADA)
    app = process(login_limit="3 per hour")
    other, owner = WebClient(app), WebClient(app)
    token = reset_of(app)
    guess(other, 4)
    assert guess(other) == [429]
    for _try in range(5):
        other.submit("/password/reset/made-up", new=NEW, repeat=NEW)
    assert owner.submit(f"/password/reset/{token}", new=NEW, repeat=NEW).status_code == 303
    assert owner.log_in(ADA, NEW).status_code == 303


def test_a_rate_limited_login_offers_a_link_by_e_mail(shop, app):
    shop.customer(ADA)
    browser = WebClient(app)
    guess(browser, FREE)
    assert "choose a new password by e-mail" in text_of(browser.log_in(ADA, "wrong"))


def test_each_login_is_a_separate_device(shop, app):
    shop.customer(ADA)
    browser = browser_on_known_device(app)
    former = browser.client.get_cookie("bookshop_device").value
    browser.log_in(ADA, PASSWORD)
    assert browser.client.get_cookie("bookshop_device").value.partition(".")[0] != former.partition(".")[0]
