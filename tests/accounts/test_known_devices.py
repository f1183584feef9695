"""While others guess, owners are not locked out: on a device that is known, from another network, or with a link."""

import pytest

from bookshop.accounts.models import LOGIN, UNDO
from bookshop.web import services
from tests.accounts.test_throttle import ADA, BEN, FREE, NEW, browser_at, guess, process
from tests.support.clients import WebClient, text_of
from tests.support.factories import PASSWORD, Shop
from tests.support.links import delivered_link, press

__all__ = ["process"]  # a fixture


def sent_token(app, purpose, email, **values):
    """Return the token of a link, as sent to an address."""

    def send():
        links = services.login_links()
        return links.token_to_send(links.add(purpose, email, **values).id)

    return Shop(app).commit(send)


def link_of(app, email=ADA):
    """Return the path of a login link."""
    return f"/login/link/{sent_token(app, LOGIN, email)}"


def choose_password(browser, email=ADA):
    """Log in with a link and choose a new password; return the answer."""
    press(browser, link_of(browser.app, email), confirmed="y")
    return browser.submit("/account/password", new=NEW, repeat=NEW)


# ---------------------------------------------------------------- logging in during guessing


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


@pytest.mark.prove
def test_guesses_from_many_networks_are_delayed_by_a_minute_at_most(shop, app):
    shop.customer(ADA)
    found = [guess(browser_at(app, f"192.0.2.{n}"), 1)[0] for n in range(52)]
    assert found == [400] * 50 + [429] * 2
    shop.execute("UPDATE attempts SET until = '2020-01-01 00:00:00.000000+00:00', count = 5000 WHERE count > 5")
    assert guess(browser_at(app, "198.51.100.1")) == [400]
    refused = browser_at(app, "198.51.100.2").log_in(ADA, PASSWORD)
    assert (refused.status_code, int(refused.headers["Retry-After"]) <= 60) == (429, True)


@pytest.mark.prove
def test_an_owner_can_log_in_with_a_link_while_others_guess_everywhere(shop, app):
    shop.customer(ADA)
    owner = browser_at(app, "198.51.100.1")
    for n in range(52):
        guess(browser_at(app, f"192.0.2.{n}"), 1)
    assert owner.log_in(ADA, PASSWORD).status_code == 429
    assert press(owner, link_of(app), confirmed="y").status_code == 303
    assert owner.get("/account").status_code == 200


def test_a_login_with_a_link_makes_the_browser_a_known_device(shop, app):
    shop.customer(ADA)
    browser = WebClient(app)
    press(browser, link_of(app), confirmed="y")
    browser.submit("/logout", page="/account")
    assert guess(browser, FREE + 1) == [400] * (FREE + 1)


def test_a_login_with_a_link_on_a_shared_device_does_not(shop, app):
    shop.customer(ADA)
    browser = WebClient(app)
    press(browser, link_of(app), confirmed="y", shared="y")
    browser.submit("/logout", page="/account")
    assert guess(browser, FREE + 1) == [400] * FREE + [429]


def test_a_link_does_not_end_the_wait_for_guesses_at_the_password(shop, app):
    shop.customer(ADA)
    other = WebClient(app)
    assert guess(other, FREE + 1)[-1] == 429
    press(WebClient(app), link_of(app), confirmed="y")
    assert guess(other) == [429]


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
        choose_password(owner)
    else:
        owner.log_in(ADA, PASSWORD)
        owner.submit("/account/password", current=PASSWORD, new=NEW, repeat=NEW)
    owner.submit("/logout", page="/account")
    assert guess(former, FREE + 1) == [400] * FREE + [429]
    assert guess(owner, FREE + 1) == [400] * (FREE + 1)


def test_a_device_stays_known_with_another_address_and_for_the_other_accounts(shop, app, mailbox):
    shop.customer(ADA)
    shop.customer(BEN)
    browser = browser_on_known_device(app, BEN)
    browser.log_in(ADA, PASSWORD)
    browser.submit("/account/email", email="ada.new@example.com", current=PASSWORD)
    press(browser, delivered_link(mailbox))
    browser.submit("/logout", page="/account")
    choose_password(browser, BEN)
    browser.submit("/logout", page="/account")
    assert guess(browser, FREE + 1, "ada.new@example.com") == [400] * (FREE + 1)
    assert guess(browser, FREE + 1, BEN) == [400] * (FREE + 1)


def test_a_correct_password_is_not_counted_even_if_the_form_is_refused(shop, app, web_client):
    shop.customer(ADA)
    shop.customer(BEN)
    ada = web_client(ADA)
    bad = [ada.submit("/account/email", email="ben", current=PASSWORD).status_code for _time in range(2 * FREE)]
    weak = [ada.submit("/account/password", current=PASSWORD, new="x", repeat="x").status_code for _ in range(2 * FREE)]
    assert (set(bad), set(weak)) == ({400}, {400})
    assert shop.rows("SELECT count FROM attempts") == [0]


def test_frequent_logins_send_no_extra_e_mail(shop, app):
    """Each login is a new known device, but all of them share five e-mails a day."""
    shop.customer(ADA)
    for _login in range(7):
        browser_on_known_device(app).submit("/login", email=ADA, link="yes")
    assert shop.rows("SELECT count(*) FROM messages WHERE kind = 'login_link'") == [5]


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


@pytest.mark.parametrize("purpose", [LOGIN, UNDO])
def test_a_link_works_even_if_others_have_used_up_the_limit_of_the_network(shop, process, purpose):
    app, user_id = process(login_limit="3 per hour"), shop.customer(BEN)
    other, owner = WebClient(app), WebClient(app)
    link = link_of(app) if purpose == LOGIN else f"/address/undo/{sent_token(app, UNDO, ADA, user_id=user_id)}"
    guess(other, 4)
    assert guess(other) == [429]
    for _try in range(5):
        made_up = other.post("/login/link/made-up", csrf_token=other.csrf_token())
    assert made_up.status_code == 429
    assert press(owner, link, confirmed="y").status_code == 303


def test_one_link_can_be_tried_only_so_often(shop, process):
    app = process(login_limit="3 per hour")
    browser, link = WebClient(app), link_of(app)
    statuses = [press(browser, link).status_code for _try in range(4)]  # without the box that has to be ticked
    assert statuses == [400, 400, 400, 429]


def test_a_rate_limited_login_offers_a_link_by_e_mail(shop, app):
    shop.customer(ADA)
    browser = WebClient(app)
    guess(browser, FREE)
    assert "log in with a link , which works straight away" in text_of(browser.log_in(ADA, "wrong"))


def test_each_login_is_a_separate_device(shop, app):
    shop.customer(ADA)
    browser = browser_on_known_device(app)
    former = browser.client.get_cookie("bookshop_device").value
    browser.log_in(ADA, PASSWORD)
    assert browser.client.get_cookie("bookshop_device").value.partition(".")[0] != former.partition(".")[0]
