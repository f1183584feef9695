"""The pages behind signed links in e-mails: alerts on and off. Links in older messages lead to the login page."""

import pytest

from bookshop.accounts import signed_links
from tests.support.clients import text_of
from tests.support.factories import PASSWORD
from tests.support.mailbox import links

pytestmark = pytest.mark.one_postgresql_case

ADA = "ada@example.com"
ONE_CLICK = {"List-Unsubscribe": "One-Click"}


@pytest.fixture
def ada(shop, web_client):
    """A browser in which Ada, user 1, is logged in."""
    shop.customer(ADA)
    return web_client(ADA)


def gets_alerts(shop):
    return shop.rows("SELECT count(*) FROM users WHERE unsubscribed_at IS NULL") == [1]


# ---------------------------------------------------------------- addresses from before login links


OLD = {
    "/register": "/login",
    "/register?next=/reservations": "/login?next=/reservations",
    "/register?next=//evil.example": "/login?next=//evil.example",
    "/confirm/WzEsImFkYUBleGFtcGxlLmNvbSJd.abc": "/login",
    "/password/forgot": "/login?next=/account/password",
    "/password/reset/abc": "/login?next=/account/password",
}


@pytest.mark.parametrize("path", OLD)
def test_an_old_address_leads_to_the_login_page(shop, web_client, path):
    answer = web_client().get(path)
    assert (answer.status_code, answer.location) == (303, OLD[path])


@pytest.mark.parametrize("path", ["/confirm/abc", "/password/reset/abc"])
def test_a_link_in_an_older_message_says_that_it_is_replaced_and_does_nothing(shop, web_client, path):
    shop.customer(ADA)
    browser, before = web_client(), shop.everything()
    assert "This link is from an older message. Enter your e-mail address" in text_of(browser.follow(path))
    assert browser.post(path, new=PASSWORD, repeat=PASSWORD, csrf_token=browser.csrf_token()).status_code == 405
    assert shop.everything() == before


@pytest.mark.parametrize("path", ["/register", "/password/forgot"])
def test_an_old_form_creates_nothing(shop, web_client, path):
    browser = web_client()
    answer = browser.post(path, email=ADA, password=PASSWORD, csrf_token=browser.csrf_token())
    assert (answer.status_code, shop.rows("SELECT id FROM users")) == (405, [])
    assert shop.rows("SELECT id FROM messages") == []


def test_a_forgotten_password_is_replaced_by_a_link_from_the_page_that_asks_for_it(web_client):
    page = web_client().submit("/login", email=ADA, with_password="yes")
    assert 'href="/login?next=/account/password">Get a link</a>' in page.text


# ---------------------------------------------------------------- whose link it is


def sign(app, purpose, content):
    with app.app_context():
        return signed_links.sign(purpose, content)


TAMPERED = ["x", "x.y", ".", "é", "%00", "a" * 5000, "WzEsImFkYUBleGFtcGxlLmNvbSJd.", "..%2f..", "%ff"]


@pytest.mark.parametrize("token", TAMPERED, ids=lambda token: token[:20])
def test_a_forged_link_leads_nowhere(shop, ada, token):
    before = shop.everything()
    answers = [ada.get(f"/unsubscribe/{token}"), ada.submit(f"/unsubscribe/{token}", page="/")]
    assert [answer.status_code for answer in answers] == [404, 404]
    words = text_of(answers[0])
    assert "is incomplete" in words or "nothing at this address" in words
    assert shop.everything() == before


def test_a_link_works_only_for_its_purpose(app, shop, ada):
    waiting, before = sign(app, signed_links.WAITING, [1, ADA]), shop.everything()
    assert ada.get(f"/unsubscribe/{waiting}").status_code == 404
    assert ada.submit(f"/unsubscribe/{waiting}", page="/").status_code == 404
    assert shop.everything() == before


def test_a_session_cookie_signature_does_not_make_a_valid_link(ada):
    assert ada.get(f"/unsubscribe/{ada.client.get_cookie('bookshop').value}").status_code == 404


# ---------------------------------------------------------------- unsubscribing


@pytest.fixture
def unsubscribe(shop, mailbox):
    """The path of the unsubscribe link in an alert to Ada; visitors follow it."""
    user_id, book_id = shop.customer(ADA), shop.book()
    shop.reserve(user_id, book_id)
    shop.set_stock(book_id, 3)
    [alert] = mailbox.deliver()
    [link] = [link for link in links(alert)[0] if "/unsubscribe/" in link]
    return link.removeprefix("http://127.0.0.1:5000")


def test_opening_the_link_only_asks_and_its_button_ends_the_alerts(shop, web_client, unsubscribe):
    browser = web_client()
    assert "Turn off back-in-stock e-mails?" in text_of(browser.get(unsubscribe))
    assert gets_alerts(shop)
    answer = browser.post(unsubscribe)
    assert (answer.status_code, gets_alerts(shop)) == (200, False)
    assert "Your reservations stay" in text_of(answer)


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data"])
@pytest.mark.parametrize("origin", ["http://localhost", "https://localhost"])
def test_a_mail_program_ends_the_alerts_in_one_click(shop, app, unsubscribe, kind, origin):
    program = app.test_client(use_cookies=False)
    for _time in range(2):
        answer = program.post(unsubscribe, data=ONE_CLICK, content_type=kind, base_url=origin)
        assert (answer.status_code, answer.headers.getlist("Set-Cookie")) == (200, [])
    assert not gets_alerts(shop)


def test_the_link_of_a_deleted_account_is_no_error(web_client, unsubscribe):
    web_client(ADA).submit("/account/delete", current=PASSWORD)
    assert web_client().post(unsubscribe).status_code == 200


def set_alerts(browser, wanted):
    return browser.submit("/account/alerts", page="/account", wanted=wanted)


def test_alerts_can_be_turned_off_and_on_in_the_account(shop, ada):
    assert "E-mails when a reserved book is back in stock: on ." in text_of(ada.get("/account"))
    assert set_alerts(ada, "no").location == "/account"
    assert "We'll no longer e-mail you" in text_of(ada.get("/account"))
    assert not gets_alerts(shop)
    assert "E-mails when a reserved book is back in stock: off ." in text_of(ada.get("/account"))
    set_alerts(ada, "yes")
    assert gets_alerts(shop)


@pytest.mark.parametrize("wanted", ["", "maybe", "YES"])
def test_an_unclear_choice_changes_nothing(shop, ada, wanted):
    assert set_alerts(ada, wanted).status_code == 303
    assert "Choose whether you want these e-mails." in text_of(ada.get("/account"))
    assert gets_alerts(shop)


def test_staff_are_not_asked_about_alerts(shop, web_client):
    shop.staff()
    assert "E-mails when a reserved book" not in text_of(web_client("staff@example.com").get("/account"))


def reservation_text(browser, shop, link=""):
    """Return what a reservation says about e-mail, with this link, and check that the link works."""
    path = f"/books/{shop.book()}"
    browser.submit(f"{path}/reserve", page=path)
    response = browser.get(path)
    assert f'href="{link}' in response.text
    assert not link or f'id="{link.partition("#")[2]}"' in browser.get("/account").text
    return text_of(response)


def test_a_customer_is_told_whether_alerts_are_sent_and_where_to_change_it(shop, ada):
    assert "We'll e-mail you" in reservation_text(ada, shop)
    set_alerts(ada, "no")
    off = "You have turned off e-mails about books that are back in stock."
    assert off in reservation_text(ada, shop, link="/account#mail")


def test_a_data_export_contains_the_alert_setting_and_the_messages(shop, ada, mailbox):
    set_alerts(ada, "no")
    shop.order(1, {shop.book(stock=1): 1})
    mailbox.deliver()
    data = ada.get("/account/data.json").json
    [message] = data["messages"]
    assert message.keys() == {"kind", "recipient", "state", "created_at", "sent_at"}
    assert (data["account"]["wants_alerts"], message["kind"], message["recipient"]) == (False, "order_placed", ADA)
    assert message["sent_at"] >= message["created_at"]
