"""The pages of the second factor: setting it up, logging in with it, and what happens without it."""

import time

import pytest

from bookshop.accounts import pending_login
from bookshop.web import services
from tests.support.clients import ApiClient, WebClient, text_of
from tests.support.factories import PASSWORD
from tests.support.second_factors import recovery_codes_on, scan, set_up

pytestmark = pytest.mark.one_postgresql_case

BEA, OWNER = "staff@example.com", "owner@example.com"
NEW = "three other words"
LOGIN_CODE = "/login/code"
TOO_LATE = "The code has to follow within 10 minutes."


@pytest.fixture
def bea(shop, web_client):
    """The browser of a bookseller, user 1, with her phone and recovery codes; her first code can be used again."""
    shop.staff()
    browser = web_client(BEA)
    return browser, *set_up(browser, shop)


@pytest.fixture
def required(app, monkeypatch):
    """Require a second factor of staff."""
    settings = app.config["SETTINGS"].model_copy(update={"staff_second_factor": True})
    monkeypatch.setitem(app.config, "SETTINGS", settings)


def is_logged_in(browser):
    return browser.get("/account/password").status_code == 200


def logins(shop):
    return shop.rows("SELECT second_factor FROM login_sessions WHERE user_id = 1")


def actions(shop):
    return shop.rows("SELECT action FROM audit_entries WHERE user_id = 1 ORDER BY id")


def enter_code(browser, code, **fields):
    return browser.submit(LOGIN_CODE, code=code, **fields)


# ---------------------------------------------------------------- setting up


def test_setting_up_stores_nothing_until_a_code_proves_it_and_ends_other_logins(shop, web_client):
    shop.staff()
    browser, elsewhere = web_client(BEA), web_client(BEA)
    page = browser.get("/account/second-factor")
    phone = scan(page.text)
    assert 'src="data:image/svg+xml' in page.text
    assert scan(browser.get("/account/second-factor").text) == phone  # as long as this browser session lasts
    refused = browser.submit("/account/second-factor", code="000000", key="k" * 22)
    assert ("does not belong to this QR code" in text_of(refused), scan(refused.text)) == (True, phone)
    assert shop.rows("SELECT count(*) FROM second_factors") == [0]
    codes = recovery_codes_on(browser.submit("/account/second-factor", code=phone.code(), key="k" * 22).text)
    assert len(set(codes)) == 10
    assert (is_logged_in(browser), is_logged_in(elsewhere), [bool(passed) for passed in logins(shop)]) == (
        True,
        False,
        [True],
    )
    assert "You have 10 recovery codes left." in text_of(browser.get("/account/second-factor"))


def test_a_double_click_shows_the_same_recovery_codes(shop, web_client):
    shop.staff()
    browser = web_client(BEA)
    phone = scan(browser.get("/account/second-factor").text)
    form = {"code": phone.code(), "key": "k" * 22, "csrf_token": browser.csrf_token("/account/second-factor")}
    pages = [browser.post("/account/second-factor", **form) for _click in range(2)]
    assert [page.status_code for page in pages] == [201, 201]
    assert recovery_codes_on(pages[0].text) == recovery_codes_on(pages[1].text) != []
    assert actions(shop) == ["user.second_factor_set_up"]


def test_new_recovery_codes_and_turning_off(bea, shop):
    browser, _phone, codes = bea
    page = "/account/second-factor"
    fresh = recovery_codes_on(browser.submit(f"{page}/recovery-codes", page=page, key="n" * 22).text)
    assert (len(fresh), set(fresh) & set(codes)) == (10, set())
    assert browser.submit(f"{page}/turn-off", page=page).status_code == 303
    assert shop.rows("SELECT count(*) FROM second_factors") + shop.rows("SELECT count(*) FROM recovery_codes") == [0, 0]
    assert [bool(passed) for passed in logins(shop)] == [False]
    done = ["second_factor_set_up", "recovery_codes_created", "second_factor_turned_off"]
    assert actions(shop) == [f"user.{name}" for name in done]


def test_the_data_of_staff_say_that_there_is_a_second_factor_but_not_its_secret(bea):
    browser, phone, _codes = bea
    data = browser.get("/account/data.json")
    assert (len(data.json["second_factors"]), [login["second_factor"] for login in data.json["logins"]]) == (1, [True])
    assert phone.secret not in data.text


def test_customers_have_no_second_factor(shop, web_client):
    shop.customer()
    assert web_client("ada@example.com").get("/account/second-factor").status_code == 403


# ---------------------------------------------------------------- logging in


def test_the_right_password_is_no_login_until_the_code_follows(bea, shop, web_client):
    _browser, phone, _codes = bea
    browser = web_client()
    asked = browser.log_in(BEA, next="/admin/orders")
    assert (asked.status_code, asked.location) == (303, "/login/code?next=/admin/orders")
    assert (is_logged_in(browser), browser.get("/api/v1/admin/orders").status_code) == (False, 401)
    wrong = enter_code(browser, "000000")
    assert (wrong.status_code, "This code is not valid." in text_of(wrong)) == (400, True)
    done = enter_code(browser, phone.code(), next="/admin/orders")
    assert (done.status_code, done.location, is_logged_in(browser)) == (303, "/admin/orders", True)
    assert [bool(passed) for passed in logins(shop)] == [True, True]
    assert actions(shop)[-1] == "user.logged_in"
    assert enter_code(browser, phone.code()).location == "/admin"


def test_a_double_click_logs_in_once(bea, shop, web_client):
    browser = web_client()
    browser.log_in(BEA)
    copied = WebClient(shop.app)
    copied.client.set_cookie("bookshop", browser.client.get_cookie("bookshop").value)
    form = {"code": bea[1].code(), "key": "d" * 22, "csrf_token": browser.csrf_token(LOGIN_CODE)}
    assert [window.post(LOGIN_CODE, **form).status_code for window in (browser, copied)] == [303, 303]
    assert (is_logged_in(browser), is_logged_in(copied), len(logins(shop))) == (True, True, 2)


def test_a_code_that_logged_in_once_does_not_do_so_again(bea, web_client):
    code, (first, second) = bea[1].code(), (web_client(), web_client())
    assert [browser.log_in(BEA).status_code for browser in (first, second)] == [303, 303]
    assert enter_code(first, code).status_code == 303
    refused = enter_code(second, code)
    assert (refused.status_code, "has already been used" in text_of(refused)) == (400, True)
    assert not is_logged_in(second)


def test_a_recovery_code_replaces_the_phone_once(bea, shop, web_client):
    code, (first, second) = bea[2][0], (web_client(), web_client())
    for browser in (first, second):
        browser.log_in(BEA)
    assert enter_code(first, code.lower().replace("-", " ")).status_code == 303
    assert (enter_code(second, code).status_code, is_logged_in(second)) == (400, False)
    assert "user.recovery_code_used" in actions(shop)
    assert "You have 9 recovery codes left." in text_of(first.get("/account/second-factor"))


def start_again(browser):
    """Return the sentence with which the page of the code leads back to the login page."""
    answer = browser.client.get(f"{LOGIN_CODE}?next=/admin/orders", follow_redirects=True)
    assert answer.request.full_path == "/login?next=/admin/orders"
    return text_of(answer)


def test_the_page_of_the_code_needs_a_password_of_the_last_ten_minutes(bea, web_client):
    browser = web_client()
    assert TOO_LATE in start_again(browser)
    browser.log_in(BEA)
    wait_ten_minutes(browser)
    assert TOO_LATE in start_again(browser)


def wait_ten_minutes(browser):
    """Let the time pass in which the code has to follow."""
    with browser.client.session_transaction() as cookie:
        email, mark, begun_at, *how = cookie[pending_login.KEY]
        assert abs(time.time() - begun_at) < 60
        cookie[pending_login.KEY] = [email, mark, begun_at - 601, *how]


@pytest.mark.parametrize(
    "stored",
    [1, [], ["a", "b", "c", "d"], [OWNER, "0" * 32, True, 0], [OWNER, "0" * 32, 1, None], [OWNER, "0" * 32, 1]],
)
def test_a_malformed_pending_login_is_none(app, web_client, stored):
    browser = web_client()
    with browser.client.session_transaction() as cookie:
        cookie[pending_login.KEY] = stored
    assert TOO_LATE in start_again(browser)


def test_a_pending_login_ends_with_its_password_and_a_new_one_keeps_the_second_factor(bea, shop, web_client):
    phone, browser = bea[1], web_client()
    browser.log_in(BEA)
    page = browser.get(LOGIN_CODE).text
    assert bea[0].submit("/account/password", current=PASSWORD, new=NEW, repeat=NEW).status_code == 303
    refused = browser.client.post(
        LOGIN_CODE, data={"code": phone.code(), "csrf_token": token_in(page)}, follow_redirects=True
    )
    assert "has changed since you began to log in" in text_of(refused)
    assert browser.log_in(BEA, NEW).location == LOGIN_CODE
    assert enter_code(browser, phone.code()).status_code == 303


def token_in(page):
    return page.partition('name="csrf_token"')[2].partition('value="')[2].partition('"')[0]


def test_the_pending_login_of_another_account_is_not_accepted(bea, shop, web_client):
    shop.owner()
    browser = web_client()
    browser.log_in(BEA)
    with browser.client.session_transaction() as cookie:
        cookie[pending_login.KEY] = [OWNER, *cookie[pending_login.KEY][1:]]
    assert enter_code(browser, bea[1].code()).location == "/login"
    assert not is_logged_in(browser)


LATER = "UPDATE sent_forms SET created_at = '2026-01-01 12:00:00'"


def test_a_form_with_a_code_that_is_sent_later_is_refused(bea, shop, web_client):
    code, form = bea[1].code(), {"key": "k" * 22, "next": ""}
    victim, thief = web_client(), web_client()
    victim.log_in(BEA)
    assert enter_code(victim, code, **form).status_code == 303
    shop.execute(LATER)
    thief.log_in(BEA)
    assert enter_code(thief, code, **form).status_code == 400
    assert not is_logged_in(thief)


def test_a_recovery_code_does_not_come_back_when_its_form_is_sent_again(bea, shop, web_client):
    def create():
        return bea[0].submit("/account/second-factor/recovery-codes", page="/account/second-factor", key="k" * 22)

    before = recovery_codes_on(create().text)
    shop.execute("DELETE FROM sent_forms")  # as the purge does
    after = recovery_codes_on(create().text)
    assert (len(after), set(before) & set(after)) == (10, set())


@pytest.mark.parametrize("page", ["email", "password", "delete"])
def test_the_password_alone_does_not_change_an_account_with_a_second_factor(bea, shop, page):
    shop.execute("UPDATE login_sessions SET confirmed_at = NULL")
    asked = bea[0].get(f"/account/{page}")
    assert (asked.status_code, asked.location) == (303, f"/account/confirm-login?next=/account/{page}")


# ---------------------------------------------------------------- guessing


def test_guessing_codes_is_slowed_down_but_does_not_lock_out_the_owner_on_a_known_device(bea, shop, web_client):
    known, stranger, phone = web_client(), web_client(), bea[1]
    known.log_in(BEA)
    enter_code(known, bea[2][0])
    known.submit("/logout", page="/account")
    for network in ("198.51.100.1", "198.51.100.2"):
        stranger.client.environ_base["REMOTE_ADDR"] = network
        stranger.log_in(BEA)
        statuses = [enter_code(stranger, "000000").status_code for _guess in range(5)]
        assert statuses == ([400] * 5 if network.endswith("1") else [429] * 5)
    assert known.log_in(BEA).location == LOGIN_CODE
    assert enter_code(known, phone.code()).status_code == 303


def test_a_code_that_is_sent_again_counts_again_as_it_may_be_right_by_then(bea, web_client):
    browser = web_client()
    browser.log_in(BEA)
    statuses = [enter_code(browser, "000000", key="k" * 22).status_code for _guess in range(6)]
    assert statuses == [400] * 5 + [429]


def test_a_confirmation_that_is_sent_again_counts_again(bea, shop, web_client):
    browser = web_client(BEA)
    shop.execute("UPDATE login_sessions SET confirmed_at = NULL")
    token = browser.csrf_token("/account")
    form = {"confirmation": "000000", "once": "o" * 22, "csrf_token": token}
    statuses = [browser.post("/account/second-factor/turn-off", **form).status_code for _guess in range(6)]
    assert statuses == [400] * 5 + [429]


# ---------------------------------------------------------------- when the shop requires it


def test_staff_without_a_required_second_factor_have_only_their_account_pages(required, shop, web_client):
    shop.staff()
    shop.book()
    browser = web_client(BEA)
    led = browser.get("/admin/orders")
    assert (led.status_code, led.location) == (303, "/account/second-factor")
    assert "Staff of this shop log in with a second factor." in text_of(browser.get("/account/second-factor"))
    refused = browser.get("/api/v1/admin/orders")
    assert (refused.status_code, refused.json["code"]) == (403, "SECOND_FACTOR_REQUIRED")
    assert "stock_quantity" not in browser.get("/api/v1/books/1").json  # what everybody sees
    no_token = browser.submit("/account/tokens", name="till", key="k" * 22)
    assert (no_token.location, shop.rows("SELECT count(*) FROM api_tokens")) == ("/account/second-factor", [0])
    assert browser.get("/account/sessions").status_code == 200
    set_up(browser)
    assert browser.get("/admin/orders").status_code == 200
    assert "stock_quantity" in browser.get("/api/v1/books/1").json
    assert "so you can't turn it off" in text_of(browser.get("/account/second-factor"))
    kept = browser.submit("/account/second-factor/turn-off", page="/account/second-factor")
    assert (kept.status_code, shop.rows("SELECT count(*) FROM second_factors")) == (303, [1])


def test_scripts_and_customers_do_not_need_a_second_factor(required, app, shop, web_client):
    shop.staff()
    shop.customer()
    assert ApiClient(app, BEA).get("/api/v1/admin/orders").status_code == 200
    assert web_client("ada@example.com").get("/orders").status_code == 200


def test_a_new_login_after_the_second_factor_is_removed_needs_the_password_alone(bea, shop, web_client):
    owner, browser = shop.owner(), bea[0]
    shop.commit(lambda: services.staff().remove_second_factor(1, by=owner))
    assert not is_logged_in(browser)
    assert web_client().log_in(BEA, PASSWORD).location == "/admin"
