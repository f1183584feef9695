"""Staff's page about one message: its content, and who may see it."""

import re

import pytest

from bookshop.accounts.login_links import LinkRequest
from bookshop.web import services
from tests.support.clients import text_of
from tests.support.mailbox import Mailbox

pytestmark = pytest.mark.one_postgresql_case

ADA, STAFF = "ada@example.com", "staff@example.com"


@pytest.fixture
def staff(shop, web_client):
    shop.staff(STAFF)
    return web_client(STAFF)


@pytest.fixture
def emma(shop):
    """A book that is out of stock."""
    return shop.book("Emma <b>")


@pytest.fixture
def alert(shop, emma):
    """The first message: an alert about Emma to one customer."""
    shop.reserve(*shop.customers(1), emma)
    shop.set_stock(emma, 5)


def test_a_message_in_the_folder_can_be_read_and_its_links_followed(staff, mailbox, alert, emma):
    [sent] = mailbox.deliver()
    page = staff.get("/admin/mail/1")
    words = text_of(page)
    assert ("Back in stock: Emma <b>" in words, "To customer0@example.com" in words, "State Sent" in words) == (
        True,
    ) * 3
    assert "Emma <b> is back in stock Good news" in words
    assert re.search(rf'<a href="http://127.0.0.1:5000/books/{emma}/emma-b"[^>]*>http', page.text)
    assert ("<b>" in page.text, str(sent["Message-ID"]) in words) == (False, True)


def test_the_link_in_a_message_unsubscribes(staff, web_client, mailbox, alert):
    mailbox.deliver()
    [link] = re.findall(r'href="http://127.0.0.1:5000(/unsubscribe[^"]*)"', staff.get("/admin/mail/1").text)
    assert web_client().get(link).status_code == 200


def test_a_message_is_downloaded_as_it_was_sent(staff, mailbox, alert):
    mailbox.deliver()
    answer = staff.get("/admin/mail/1/message.eml")
    assert (answer.mimetype, answer.data) == ("message/rfc822", next(iter(mailbox.folder.glob("*.eml"))).read_bytes())
    assert answer.headers["Content-Disposition"] == "attachment; filename=message-1.eml"


def test_an_unsent_message_cannot_be_read(staff, mailbox, alert):
    assert "The text is written when the message is sent." in text_of(staff.get("/admin/mail/1"))
    assert staff.get("/admin/mail/1/message.eml").status_code == 404


def test_messages_sent_to_a_mail_server_are_not_stored_as_files(shop, staff, mailbox, alert):
    mailbox.deliver()
    Mailbox(shop.app, mailbox.folder, smtp_url="smtp://127.0.0.1:2525")
    page = staff.get("/admin/mail/1")
    assert ("does not keep" in text_of(page), "Jane Austen" in page.text) == (True, False)
    assert staff.get("/admin/mail/1/message.eml").status_code == 404


@pytest.mark.parametrize(
    "message_id",
    ["<../secret@x>", "../secret", "<sub/../../secret@x>", "<{outside}@x>", "<..@x>", "<@x>", "", f"<{'a' * 300}@x>"],
)
def test_no_message_id_escapes_the_folder(shop, staff, mailbox, alert, message_id):
    mailbox.deliver()
    outside = mailbox.folder.parent / "secret"
    (mailbox.folder / "sub").mkdir()
    outside.with_suffix(".eml").write_text("Subject: x\n\nNot for your eyes")
    shop.execute("UPDATE messages SET message_id = :id", id=message_id.format(outside=outside))
    page = staff.get("/admin/mail/1")
    assert (page.status_code, "is not in the mail folder" in text_of(page)) == (200, True)
    assert staff.get("/admin/mail/1/message.eml").status_code == 404


@pytest.mark.parametrize("demo", [False, True])
def test_staff_can_read_a_secret_link_only_in_the_demo(shop, staff, mailbox, demo):
    shop.commit(lambda: services.login_links().request(LinkRequest(ADA)))
    Mailbox(shop.app, mailbox.folder, demo=demo).deliver()
    page = staff.get("/admin/mail/1")
    assert ("/login/link/" in page.text, "only the recipient may read it" in text_of(page)) == (demo, not demo)
    assert staff.get("/admin/mail/1/message.eml").status_code == (200 if demo else 404)


def test_messages_to_a_deleted_account_cannot_be_read(shop, staff, mailbox, alert):
    mailbox.deliver()
    shop.commit(lambda: services.mail().anonymise(shop.id_of("customer0@example.com"), "deleted-1", []))
    page = staff.get("/admin/mail/1")
    assert ("The account has been deleted" in text_of(page), "Jane Austen" in page.text) == (True, False)
    assert staff.get("/admin/mail/1/message.eml").status_code == 404


@pytest.mark.parametrize("path", ["/admin/mail/4711", "/admin/mail/4711/message.eml"])
def test_an_unknown_message_is_404(staff, path):
    assert staff.get(path).status_code == 404
