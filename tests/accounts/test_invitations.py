"""The invitation to a new member of staff, who logs in with a link."""

import pytest

from bookshop.accounts.models import BOOKSELLER
from bookshop.web import services
from tests.accounts.test_notices import notices, sent
from tests.support.clients import WebClient, text_of
from tests.support.links import link_in, press

pytestmark = pytest.mark.one_postgresql_case

STAFF = "staff@example.com"
NINA = "nina@example.com"
OUTCOME = "SELECT state, reason FROM messages WHERE kind = 'invitation'"


@pytest.fixture
def invited(shop):
    """Invite Nina, user 1, to the staff."""
    shop.commit(lambda: services.staff().add(NINA, BOOKSELLER))


def test_an_invited_bookseller_logs_in_with_a_link_and_works(shop, app, invited, mailbox):
    assert sent(mailbox.deliver()) == [(NINA, "invitation")]
    browser = WebClient(app)
    browser.submit("/login", email=NINA, link="yes")
    [link] = mailbox.deliver()
    press(browser, link_in(link))
    assert browser.get("/admin/mail").status_code == 200
    assert (notices(shop), shop.broken()) == ([], [])


def test_an_invitation_is_listed_but_staff_cannot_read_it(shop, invited, mailbox, web_client):
    mailbox.deliver()
    shop.staff(STAFF)
    staff = web_client(STAFF)
    assert "Invitation to the staff" in text_of(staff.get("/admin/mail?status=sent"))
    assert "You can choose one later" not in staff.get("/admin/mail/1").text
    assert staff.get("/admin/mail/1/message.eml").status_code == 404


def test_an_invitation_outlasts_a_long_failure_of_the_mail_server(shop, invited, mailbox):
    shop.execute("UPDATE messages SET created_at = '2026-01-01 00:00:00.000000+00:00'")
    assert sent(mailbox.deliver()) == [(NINA, "invitation")]


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("UPDATE users SET role = 'customer'", "not_staff"),
        ("UPDATE users SET email = 'x@example.com', email_key = 'x@example.com'", "address_changed"),
        ("UPDATE users SET deactivated_at = created_at", "closed"),
    ],
)
def test_an_invitation_is_not_sent_once_it_is_untrue_or_pointless(shop, invited, mailbox, sql, reason):
    shop.execute(sql)
    assert mailbox.deliver() == []
    assert shop.rows(OUTCOME) == [("suppressed", reason)]
