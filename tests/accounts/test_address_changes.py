"""Changing the address of an account: it needs a link to the new address, and the former one can undo it."""

import re
from datetime import timedelta

import pytest
from sqlalchemy import update

from bookshop.accounts.models import LoginLink
from bookshop.extensions import db
from bookshop.kit.database import now
from tests.support.clients import WebClient, text_of
from tests.support.factories import PASSWORD
from tests.support.mailbox import path_in
from tests.support.second_factors import set_up

pytestmark = pytest.mark.one_postgresql_case

ADA, NEW, BEN, STAFF = "ada@example.com", "ada.new@example.com", "ben@example.com", "staff@example.com"
CONFIRM, UNDO, LOGIN = "/address/confirm/", "/address/undo/", "/login/link/"


@pytest.fixture
def ada(shop, web_client):
    """A browser in which Ada, user 1, is logged in."""
    shop.customer(ADA)
    return web_client(ADA)


def request(browser, email, current=PASSWORD):
    return browser.submit("/account/email", email=email, current=current)


def address_of(shop, user_id=1):
    return shop.rows("SELECT email FROM users WHERE id = :id", id=user_id)[0]


def press(browser, path, **fields):
    """Open the page behind a link and press its button."""
    return browser.submit(path, key="k" * 22, **fields)


@pytest.fixture
def change(ada, mailbox):
    """A function that changes Ada's address through the pages; returns the path of the link that undoes it."""

    def change(address=NEW, browser=ada):
        assert request(browser, address).status_code == 303
        assert press(browser, path_in(mailbox.deliver(), CONFIRM)).status_code == 303
        return path_in(mailbox.deliver(), UNDO)

    return change


def age_links(shop, **age):
    """Make it this long ago that every link was sent."""
    with shop.app.app_context():
        then = now() - timedelta(**age)
        db.session.execute(update(LoginLink).values(created_at=then, sent_at=then))
        db.session.commit()


def is_logged_in(browser):
    return browser.get("/account").status_code == 200


# ---------------------------------------------------------------- asking for it


def test_a_new_address_takes_effect_only_when_its_link_is_used(shop, ada, mailbox):
    answer = request(ada, " Ada.New@EXAMPLE.com")
    assert (answer.status_code, answer.location) == (303, "/account")
    assert "We've sent a link to Ada.New@example.com." in text_of(ada.get("/account"))
    [message] = mailbox.deliver()
    link = path_in([message], CONFIRM)
    assert (message["To"], ada.get(link).status_code, address_of(shop)) == ("Ada.New@example.com", 200, ADA)
    assert press(ada, link).location == "/account"
    assert shop.rows("SELECT email, email_key FROM users") == [("Ada.New@example.com", NEW)]
    assert shop.broken() == []


def test_the_new_address_logs_in_and_the_former_one_does_not(change, web_client):
    change()
    assert [web_client().log_in(email).status_code for email in (ADA, NEW)] == [400, 303]


def test_every_address_gets_the_same_answer(shop, ada, change, web_client):
    shop.customer(BEN)
    change()  # now the former address is reserved
    other = web_client(BEN)
    pages = []
    for address in (NEW, ADA, "nobody@example.com"):
        assert request(other, address).status_code == 303
        page = re.sub(r'(name="(?:csrf_token|once)"[^>]*value=")[^"]*', r"\1", other.get("/account").text)
        pages.append(page.replace(address, "THE ADDRESS"))
    assert pages[0] == pages[1] == pages[2]


def test_a_wrong_password_sends_nothing_and_is_reported_at_its_field(shop, ada):
    answer = request(ada, NEW, current="not the password")
    errors = re.findall(r'id="current-error".*?</svg> ([^<]*)', answer.text, re.DOTALL)
    assert (answer.status_code, errors) == (400, ["This is not your current password."])
    assert shop.rows("SELECT count(*) FROM messages") == [0]


@pytest.mark.parametrize("address", ["ada", "ada@localhost", "a b@example.com", "nul\0@example.com", "", "deleted-1"])
def test_an_invalid_address_is_refused(shop, ada, address):
    assert request(ada, address).status_code == 400
    assert shop.rows("SELECT count(*) FROM login_links") == [0]


def test_an_address_can_be_changed_in_case_only_without_a_link(shop, ada):
    assert request(ada, "ADA@example.com").status_code == 303
    assert "Your e-mail address is now ADA@example.com." in text_of(ada.get("/account"))
    assert shop.rows("SELECT email, email_key FROM users") == [("ADA@example.com", ADA)]
    assert shop.rows("SELECT count(*) FROM messages") == [0]


def test_an_address_gets_one_link_in_five_minutes_from_all_accounts_together(shop, ada, web_client):
    shop.customer(BEN)
    for browser in (ada, ada, web_client(BEN)):
        request(browser, NEW)
    assert shop.rows("SELECT recipient FROM messages") == [NEW]


# ---------------------------------------------------------------- pressing the button


def test_the_page_says_what_was_ended(shop, ada, change, web_client):
    others = [web_client(ADA), web_client(ADA)]
    shop.token(ADA)
    change()
    assert "2 other devices were logged out, and 1 API token was revoked." in text_of(ada.get("/account"))
    assert [is_logged_in(browser) for browser in (ada, *others)] == [True, False, False]
    assert None not in shop.rows("SELECT revoked_at FROM api_tokens")


def test_a_second_click_finds_the_address_changed(ada, mailbox):
    request(ada, NEW)
    link = path_in(mailbox.deliver(), CONFIRM)
    csrf_token = ada.csrf_token(link)
    clicks = [ada.post(link, csrf_token=csrf_token, key="k" * 22) for _click in range(2)]
    assert [(click.status_code, click.location) for click in clicks] == [(303, "/account")] * 2
    assert press(ada, link, shared="y").status_code == 404


def test_another_browser_is_asked_once_more_then_logged_in_and_the_first_one_is_logged_out(shop, ada, mailbox):
    request(ada, NEW)
    link, phone = path_in(mailbox.deliver(), CONFIRM), WebClient(shop.app)
    assert "The account's current address is ada@example.com" in text_of(phone.get(link))
    assert "Tick this box" in text_of(press(phone, link))
    assert address_of(shop) == ADA
    assert press(phone, link, confirmed="y").location == "/account"
    assert (is_logged_in(phone), is_logged_in(ada), address_of(shop)) == (True, False, NEW)


def test_confirming_in_a_browser_that_is_not_logged_in_erases_a_password_that_a_stranger_may_know(shop, ada, mailbox):
    request(ada, NEW)
    page = press(WebClient(shop.app), path_in(mailbox.deliver(), CONFIRM), confirmed="y")
    assert page.status_code == 303
    assert shop.rows("SELECT password_hash FROM users") == [None]


def test_undoing_removes_a_second_factor_that_was_set_up_since_but_no_older_one(shop, mailbox):
    shop.staff(ADA)
    browser = WebClient(shop.app, ADA)
    for created, left in (("2999-01-01", []), ("2026-01-01", [1])):
        request(browser, NEW)
        press(browser, path_in(mailbox.deliver(), CONFIRM))
        shop.execute(FACTOR, created=created)
        undo = path_in(mailbox.deliver(), UNDO)
        assert press(WebClient(shop.app), undo).status_code == 303
        assert shop.rows("SELECT user_id FROM second_factors") == left
        browser = WebClient(shop.app, ADA)
        shop.execute("DELETE FROM attempts")


FACTOR = "INSERT INTO second_factors (user_id, nonce, last_step, created_at) VALUES (1, 'n', 0, :created)"


def test_the_cart_of_another_browser_is_not_merged(shop, ada, mailbox, web_client):
    request(ada, NEW)
    link, phone = path_in(mailbox.deliver(), CONFIRM), web_client()
    phone.submit("/cart/items", page="/cart", book_id=shop.book(stock=1))
    press(phone, link, confirmed="y")
    assert (is_logged_in(phone), shop.rows("SELECT count(*) FROM cart_items")) == (True, [0])


def test_the_login_of_another_account_ends_first(shop, ada, mailbox, web_client):
    ben = shop.customer(BEN)
    request(ada, NEW)
    link, browser = path_in(mailbox.deliver(), CONFIRM), web_client(BEN)
    assert "You are logged in here as ben@example.com." in text_of(browser.get(link))
    press(browser, link, confirmed="y")
    assert NEW in text_of(browser.get("/account"))
    assert shop.rows("SELECT count(*) FROM login_sessions WHERE user_id = :ben", ben=ben) == [0]


def test_a_second_factor_is_still_asked_for_in_another_browser(shop, mailbox, web_client):
    shop.staff(STAFF)
    bea, phone = web_client(STAFF), web_client()
    app_on_phone, _codes = set_up(bea, shop)
    mailbox.deliver()
    request(bea, NEW)
    answer = press(phone, path_in(mailbox.deliver(), CONFIRM), confirmed="y")
    assert (answer.location, is_logged_in(phone)) == ("/login/code?next=/account", False)
    assert phone.submit("/login/code", code=app_on_phone.code(), next="/account").location == "/account"
    assert (is_logged_in(phone), is_logged_in(bea)) == (True, False)


def test_a_login_with_a_second_factor_stays_in_its_own_browser_but_is_not_made_fresh(shop, mailbox, web_client):
    shop.staff(STAFF)
    bea = web_client(STAFF)
    set_up(bea, shop)
    mailbox.deliver()
    request(bea, NEW)
    shop.execute("UPDATE login_sessions SET confirmed_at = NULL")
    assert press(bea, path_in(mailbox.deliver(), CONFIRM)).location == "/account"
    assert (is_logged_in(bea), bea.get("/account/data.json").status_code) == (True, 303)


def test_an_address_that_another_account_has_is_refused_and_the_link_stays_valid(shop, ada, mailbox):
    request(ada, NEW)
    link = path_in(mailbox.deliver(), CONFIRM)
    other = shop.customer(NEW)
    refused = press(ada, link)
    assert (refused.status_code, address_of(shop)) == (409, ADA)
    assert "There is already an account with the e-mail address ada.new@example.com." in text_of(refused)
    shop.execute("UPDATE users SET email = 'x@example.com', email_key = 'x@example.com' WHERE id = :id", id=other)
    assert (press(ada, link).status_code, address_of(shop)) == (303, NEW)


@pytest.mark.parametrize("path", ["/address/confirm/unknown", "/address/undo/unknown"])
def test_an_unknown_link_leads_to_a_page_that_says_so(web_client, path):
    answer = web_client().get(path)
    assert (answer.status_code, "This link does not work any more" in text_of(answer)) == (404, True)


def test_a_link_is_valid_for_30_minutes(shop, ada, mailbox):
    request(ada, NEW)
    link = path_in(mailbox.deliver(), CONFIRM)
    age_links(shop, minutes=31)
    assert (ada.get(link).status_code, press(ada, link).status_code, address_of(shop)) == (404, 404, ADA)


def test_a_link_of_one_kind_does_not_do_what_another_does(ada, mailbox, change):
    undo = change()
    request(ada, "third@example.com")
    confirm = path_in(mailbox.deliver(), CONFIRM)
    swapped = [undo.replace(UNDO, CONFIRM), undo.replace(UNDO, LOGIN), confirm.replace(CONFIRM, UNDO)]
    assert [ada.get(path).status_code for path in swapped] == [404] * 3


def new_password(ada, _shop):
    ada.submit("/account/password", current=PASSWORD, new="three other words", repeat="three other words")


def deactivation(_ada, shop):
    shop.deactivate(ADA)


@pytest.mark.parametrize("event", [new_password, deactivation])
def test_a_pending_change_ends_with_a_new_password_and_with_the_account(shop, ada, mailbox, event):
    request(ada, NEW)
    link = path_in(mailbox.deliver(), CONFIRM)
    event(ada, shop)
    assert (WebClient(shop.app).get(link).status_code, address_of(shop)) == (404, ADA)


def test_a_second_pending_change_ends_when_the_first_is_confirmed(ada, mailbox):
    for address in (NEW, "third@example.com"):
        request(ada, address)
    links = [path_in([message], CONFIRM) for message in mailbox.deliver()]
    assert [press(ada, link).status_code for link in links] == [303, 404]


# ---------------------------------------------------------------- undoing it


def test_the_former_address_is_notified_and_can_undo_the_change(shop, ada, change, web_client):
    undo, owner = change(), web_client()
    assert (owner.get(undo).status_code, address_of(shop)) == (200, NEW)
    answer = owner.submit(undo)
    assert (answer.location, address_of(shop)) == ("/login", ADA)
    words = text_of(owner.get(answer.location))
    assert (
        "Your e-mail address is ada@example.com again. 1 device was logged out, and no API tokens were revoked."
        in words
    )
    assert (is_logged_in(ada), shop.rows("SELECT password_hash FROM users")) == (False, [None])
    assert shop.broken() == []


def test_the_address_that_is_given_up_hears_of_it_without_a_link(change, mailbox, web_client):
    web_client().submit(change())
    [message] = mailbox.deliver()
    assert (message["To"], UNDO in message.as_string()) == (NEW, False)


def test_a_double_click_undoes_it_once_and_is_answered_twice(change, web_client):
    undo, owner = change(), web_client()
    csrf_token = owner.csrf_token(undo)
    clicks = [owner.post(undo, csrf_token=csrf_token, once="o" * 22) for _click in range(2)]
    assert [click.location for click in clicks] == ["/login"] * 2
    assert owner.get(undo).status_code == 404


def test_undoing_ends_later_changes_and_their_links(shop, ada, change, mailbox, web_client):
    first, second = change("thief@example.com"), change("thief.again@example.com")
    request(ada, "third@example.com")
    pending = path_in(mailbox.deliver(), CONFIRM)
    assert web_client().submit(first).status_code == 303
    assert [web_client().get(link).status_code for link in (second, pending)] == [404, 404]
    assert address_of(shop) == ADA


def test_undoing_the_later_change_leaves_the_link_of_the_earlier_one(shop, change, web_client):
    first, second = change(), change("third@example.com")
    addresses = []
    for link in (second, first):
        web_client().submit(link)
        addresses.append(address_of(shop))
    assert addresses == [NEW, ADA]


def test_an_account_that_went_back_by_itself_has_nothing_left_to_undo(change, web_client):
    first, _second = change(), change(ADA)
    assert web_client().get(first).status_code == 404


def test_a_change_can_be_undone_for_seven_days(shop, change, web_client):
    undo = change()
    age_links(shop, days=7, minutes=1)
    late = web_client().get(undo)
    assert (late.status_code, "is older than 7 days" in text_of(late)) == (404, True)
    age_links(shop, days=6, hours=23)
    assert (web_client().submit(undo).status_code, address_of(shop)) == (303, ADA)


def test_a_deactivated_account_keeps_its_address(shop, change, web_client):
    undo = change()
    shop.deactivate(NEW)
    refused = web_client().submit(undo)
    assert (refused.status_code, "This account has been deactivated." in text_of(refused)) == (409, True)
    assert address_of(shop) == NEW


def test_a_deleted_account_leaves_no_former_address(shop, ada, change, web_client):
    undo = change()
    assert ada.submit("/account/delete", current=PASSWORD).status_code == 303
    assert web_client().get(undo).status_code == 404
    assert "@example.com" not in str(shop.rows("SELECT * FROM login_links")) + str(shop.rows("SELECT * FROM messages"))


# ---------------------------------------------------------------- the reserved address


def log_in_by_link(browser, mailbox, email):
    """Ask for a login link and press its button."""
    browser.submit("/login", email=email)
    return press(browser, path_in(mailbox.deliver(), LOGIN))


def test_nobody_gets_an_account_with_the_former_address_for_seven_days(shop, change, mailbox, web_client):
    change()
    refused = log_in_by_link(web_client(), mailbox, ADA)
    assert (refused.status_code, shop.rows("SELECT count(*) FROM users")) == (409, [1])
    assert "its owner can still undo the change" in text_of(refused)
    age_links(shop, days=7, minutes=1)
    shop.execute("DELETE FROM attempts")
    assert log_in_by_link(web_client(), mailbox, ADA).status_code == 303


def test_a_login_link_sent_to_the_former_address_ends_with_the_change(shop, change, mailbox, web_client):
    other = web_client()
    other.submit("/login", email=ADA)
    link = path_in(mailbox.deliver(), LOGIN)
    change()
    assert (press(other, link).status_code, shop.rows("SELECT count(*) FROM users")) == (404, [1])


def test_no_other_account_changes_to_the_former_address(shop, change, mailbox, web_client):
    change()
    ben = shop.customer(BEN)
    browser = web_client(BEN)
    request(browser, ADA)
    refused = press(browser, path_in(mailbox.deliver(), CONFIRM))
    assert (refused.status_code, address_of(shop, ben)) == (409, BEN)


def test_the_account_itself_can_change_back(shop, change):
    change()
    change(ADA)
    assert address_of(shop) == ADA
