"""The page behind the link in alerts: what a customer is waiting for, without logging in."""

import re

import pytest

from bookshop.accounts import signed_links
from tests.support.clients import text_of
from tests.support.factories import PASSWORD
from tests.support.mailbox import links

ADA, BEN = "ada@example.com", "ben@example.com"
BASE = "http://127.0.0.1:5000"
BUTTONS = ("", "/2/cancel", "/stop", "/erase")


@pytest.fixture
def ada(shop):
    """Ada's user id. Persuasion and Sanditon (reservations 2 and 3) are still out of stock, Emma is back."""
    user_id, emma = shop.customer(ADA), shop.book("Emma")
    for book_id in (emma, shop.book("Persuasion"), shop.book("Sanditon", authors="J. Austen")):
        shop.reserve(user_id, book_id)
    shop.set_stock(emma, 1)
    return user_id


@pytest.fixture
def alert(ada, mailbox):
    """The alert about Emma that was really sent to Ada."""
    [sent] = mailbox.deliver()
    return sent


@pytest.fixture
def path(alert):
    """The path of the page, from the link in the alert."""
    [link] = [link for link in links(alert)[0] if "/waiting/" in link]
    return link.removeprefix(BASE)


def press(browser, path, button):
    """Press a button of the page, and return the text of the page that follows."""
    answer = browser.submit(f"{path}/{button}", page=path)
    assert (answer.status_code, answer.location) == (303, path)
    return text_of(browser.get(path))


def statuses(shop):
    return shop.rows("SELECT status FROM prebookings ORDER BY id")


def gets_alerts(shop):
    return shop.rows("SELECT count(*) FROM users WHERE unsubscribed_at IS NULL") == [1]


# ---------------------------------------------------------------- the list


def test_the_link_in_an_alert_shows_what_is_still_waiting_without_a_login(web_client, path):
    words = text_of(web_client().get(path))
    assert re.search(r"Sanditon J\. Austen Waiting since .* Persuasion Jane Austen Waiting since", words)
    assert "Emma" not in words


def test_both_parts_of_an_alert_have_the_link_before_the_one_to_unsubscribe(alert):
    assert [["/waiting/" in link for link in found[-2:]] for found in links(alert)] == [[True, False]] * 2


def test_the_page_shows_nothing_else_of_the_account(shop, web_client, ada, path):
    shop.order(ada, {1: 1}, name="Ada Lovelace", phone="030 1234")
    page = web_client().get(path).text
    assert [secret for secret in (ADA, "example.com", "Lovelace", "030 1234", "/orders/") if secret in page] == []


def test_the_page_is_neither_cached_nor_indexed_and_sends_no_referrer(web_client, path):
    answer = web_client().get(path)
    assert (answer.headers["Cache-Control"], answer.headers["Referrer-Policy"]) == ("no-store", "same-origin")
    assert '<meta name="robots" content="noindex">' in answer.text


def test_a_long_list_has_pages_and_a_cancellation_returns_to_its_page(shop, web_client, ada, path):
    for number in range(20):
        shop.reserve(ada, shop.book(f"Volume {number}"))
    browser, second = web_client(), f"{path}?page=2"
    assert "Page 1 of 2" in text_of(browser.get(path))
    assert "Your 22 reservations will be cancelled." in text_of(browser.get(second))
    assert f'name="next" value="{second}"' in browser.get(second).text
    assert browser.submit(f"{path}/2/cancel", page=second, next=second).location == second


def test_with_nothing_left_the_page_says_so(shop, web_client, path):
    browser = web_client()
    press(browser, path, "stop")
    words = text_of(browser.get(path))
    assert "You are not waiting for any book." in words
    assert "E-mails about books that are back in stock are off." in words
    assert "Stop all" not in words


# ---------------------------------------------------------------- cancelling one


def test_one_reservation_is_cancelled(shop, web_client, path):
    words = press(web_client(), path, "2/cancel")
    assert "Your reservation of Persuasion is cancelled." in words
    assert (statuses(shop), gets_alerts(shop)) == (["notified", "cancelled", "waiting"], True)
    assert shop.rows("SELECT prebooking_id FROM events WHERE kind = 'prebooking.cancelled'") == [2]


@pytest.mark.parametrize(
    ("prebook_id", "sentence"),
    [(1, "This book is back in stock, so there is nothing to cancel."), (2, "has already been cancelled.")],
)
def test_a_button_pressed_too_late_says_why_nothing_was_cancelled(shop, web_client, path, prebook_id, sentence):
    shop.cancel(1, 2)
    assert sentence in press(web_client(), path, f"{prebook_id}/cancel")
    assert statuses(shop) == ["notified", "cancelled", "waiting"]


def test_a_reservation_of_another_customer_is_not_found(shop, web_client, path):
    foreign = shop.reserve(shop.customer(BEN), 2)
    assert web_client().submit(f"{path}/{foreign}/cancel", page=path).status_code == 404
    assert statuses(shop)[foreign - 1] == "waiting"


# ---------------------------------------------------------------- stopping all


def test_the_page_says_beforehand_what_the_button_stops(web_client, path):
    words = text_of(web_client().get(path))
    assert "Your 2 reservations will be cancelled. We'll no longer e-mail you when a book is back in stock." in words


def test_stop_all_cancels_every_reservation_and_turns_alerts_off(shop, web_client, path):
    words = press(web_client(), path, "stop")
    assert "Your 2 reservations are cancelled. We'll no longer e-mail you when a book is back in stock." in words
    assert (statuses(shop), gets_alerts(shop)) == (["notified", "cancelled", "cancelled"], False)
    assert shop.rows("SELECT prebooking_id FROM events WHERE kind = 'prebooking.cancelled' ORDER BY id") == [2, 3]
    assert shop.broken() == []


def test_stop_all_stops_an_alert_that_has_not_been_sent_yet(shop, web_client, mailbox, path):
    shop.set_stock(2, 1)
    press(web_client(), path, "stop")
    assert mailbox.deliver() == []
    assert shop.rows("SELECT state, reason FROM messages ORDER BY id DESC LIMIT 1") == [("suppressed", "unsubscribed")]


def test_stop_all_changes_nothing_for_other_customers(shop, web_client, path):
    shop.reserve(shop.customer(BEN), 2)
    press(web_client(), path, "stop")
    assert statuses(shop)[3:] == ["waiting"]
    assert shop.rows("SELECT email FROM users WHERE unsubscribed_at IS NULL") == [BEN]


def test_stop_all_pressed_again_says_that_nothing_was_left(shop, web_client, path):
    browser = web_client()
    press(browser, path, "stop")
    before = shop.everything()
    assert "You had no reservations to cancel." in press(browser, path, "stop")
    assert shop.everything() == before


def test_what_a_member_of_staff_cancels_through_a_link_is_in_the_audit_log(shop, web_client, path):
    staff = shop.staff()
    browser = web_client("staff@example.com")
    for button in ("2/cancel", "stop"):
        press(browser, path, button)
    assert shop.rows("SELECT action, subject_id FROM audit_entries WHERE user_id = :id ORDER BY id", id=staff) == [
        ("prebooking.cancelled", 2),
        ("user.stopped_waiting", 1),
        ("user.alerts_changed", 1),
    ]


# ---------------------------------------------------------------- erasing


def test_erase_my_data_e_mails_a_link_to_the_account_and_erases_nothing(shop, web_client, mailbox, path):
    words = press(web_client(), path, "erase")
    assert "We've sent a link to the address of the account," in words
    [sent] = mailbox.deliver()
    assert (sent["To"], shop.rows("SELECT email, next FROM login_links")) == (ADA, [(ADA, "/account/delete")])
    assert shop.rows("SELECT deleted_at FROM users") == [None]


def test_erase_my_data_pressed_again_says_the_same_and_sends_no_second_link(web_client, mailbox, path):
    answers = [press(web_client(), path, "erase") for _time in range(2)]
    assert (len(set(answers)), len(mailbox.deliver())) == (1, 1)


# ---------------------------------------------------------------- what the link cannot do


def assert_leads_nowhere(shop, browser, path, sentence):
    before = shop.everything()
    answers = [browser.get(path), *(browser.submit(path + button, page="/login") for button in BUTTONS[1:])]
    assert [answer.status_code for answer in answers] == [404] * len(BUTTONS)
    assert all(sentence in text_of(answer) for answer in answers)
    assert shop.everything() == before


def test_a_scanner_that_opens_every_address_changes_nothing(shop, app, alert, path):
    before, scanner = shop.everything(), app.test_client(use_cookies=False)
    addresses = [link.removeprefix(BASE) for link in (*links(alert)[0], *(path + button for button in BUTTONS))]
    for method in ("GET", "HEAD"):
        assert {scanner.open(address, method=method).status_code for address in addresses} <= {200, 301, 303, 405}
    assert shop.everything() == before


def test_a_button_without_the_csrf_token_changes_nothing(shop, app, web_client, path):
    before = shop.everything()
    for browser in (app.test_client(use_cookies=False), web_client().client):
        assert {browser.post(path + button).status_code for button in BUTTONS[1:]} == {303}
    assert shop.everything() == before


def test_a_forwarded_link_logs_nobody_in(web_client, path):
    browser = web_client()
    press(browser, path, "2/cancel")
    for private in ("/account", "/reservations", "/orders", "/account/data.json"):
        assert browser.get(private).location == f"/login?next={private}"


def test_the_token_works_for_no_other_link_and_no_other_token_works_here(shop, app, web_client, alert, path):
    token, browser = path.removeprefix("/waiting/"), web_client()
    [unsubscribe] = {link.rpartition("/")[2] for link in links(alert)[0] if "/unsubscribe/" in link}
    assert [browser.get(f"/unsubscribe/{token}").status_code, browser.post(f"/unsubscribe/{token}").status_code] == [
        404,
        404,
    ]
    assert gets_alerts(shop)
    assert_leads_nowhere(shop, browser, f"/waiting/{unsubscribe}", "This link is incomplete.")


@pytest.mark.parametrize("token", ["x", "x.y", ".", "a" * 5000, "WzEsImFkYUBleGFtcGxlLmNvbSJd."])
def test_a_forged_link_leads_nowhere(shop, web_client, ada, token):
    assert_leads_nowhere(shop, web_client(), f"/waiting/{token}", "This link is incomplete.")


def test_the_link_is_void_once_the_address_has_changed(shop, web_client, path):
    shop.execute("UPDATE users SET email = 'new@example.com', email_key = 'new@example.com'")
    assert_leads_nowhere(shop, web_client(), path, "the account has another e-mail address now")


def test_the_link_stays_valid_for_the_address_in_another_case(shop, web_client, path):
    shop.execute("UPDATE users SET email = 'ADA@example.com'")
    assert web_client().get(path).status_code == 200


def test_the_link_of_a_deactivated_account_leads_nowhere(shop, web_client, path):
    shop.deactivate(ADA)
    assert_leads_nowhere(shop, web_client(), path, "or it has been closed.")


def test_the_link_of_a_deleted_account_leads_nowhere(shop, web_client, path):
    assert web_client(ADA).submit("/account/delete", current=PASSWORD).status_code == 303
    assert_leads_nowhere(shop, web_client(), path, "or it has been closed.")


def test_the_address_in_a_link_must_be_that_of_its_user(shop, app, web_client, ada):
    shop.customer(BEN)
    with app.app_context():
        token = signed_links.sign(signed_links.WAITING, [ada, BEN])
    assert_leads_nowhere(shop, web_client(), f"/waiting/{token}", "This link no longer works")
