"""Staff's page about one message: what it says, and to whom that is shown."""

import re

import pytest

from bookshop.web import services
from tests.support.clients import text_of
from tests.support.postbox import Postbox

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
    """The first message: one customer is told that Emma is back."""
    shop.reserve(*shop.customers(1), emma)
    shop.set_stock(emma, 5)


def test_a_message_in_the_folder_is_read_with_links_to_follow(staff, box, alert, emma):
    [sent] = box.deliver()
    page = staff.get("/admin/mail/1")
    words = text_of(page)
    assert ("Back in stock: Emma <b>" in words, "To customer0@example.com" in words, "State Sent" in words) == (
        True,
    ) * 3
    assert "Emma <b> is back in stock Good news" in words
    assert re.search(rf'<a href="http://127.0.0.1:5000/books/{emma}/emma-b"[^>]*>http', page.text)
    assert ("<b>" in page.text, str(sent["Message-ID"]) in words) == (False, True)


def test_the_link_in_a_message_unsubscribes(staff, web_client, box, alert):
    box.deliver()
    [link] = re.findall(r'href="http://127.0.0.1:5000(/unsubscribe[^"]*)"', staff.get("/admin/mail/1").text)
    assert web_client().get(link).status_code == 200


def test_a_message_is_downloaded_as_it_left(staff, box, alert):
    box.deliver()
    answer = staff.get("/admin/mail/1/message.eml")
    assert (answer.mimetype, answer.data) == ("message/rfc822", next(iter(box.folder.glob("*.eml"))).read_bytes())
    assert answer.headers["Content-Disposition"] == "attachment; filename=message-1.eml"


def test_before_it_is_sent_there_is_nothing_to_read(staff, box, alert):
    assert "It is written when it is sent." in text_of(staff.get("/admin/mail/1"))
    assert staff.get("/admin/mail/1/message.eml").status_code == 404


def test_what_went_to_a_mail_server_is_not_kept(shop, staff, box, alert):
    box.deliver()
    Postbox(shop.app, box.folder, smtp_url="smtp://127.0.0.1:2525")
    page = staff.get("/admin/mail/1")
    assert ("does not keep" in text_of(page), "Jane Austen" in page.text) == (True, False)
    assert staff.get("/admin/mail/1/message.eml").status_code == 404


@pytest.mark.parametrize(
    "message_id",
    ["<../secret@x>", "../secret", "<sub/../../secret@x>", "<{outside}@x>", "<..@x>", "<@x>", "", f"<{'a' * 300}@x>"],
)
def test_no_message_id_leads_out_of_the_folder(shop, staff, box, alert, message_id):
    box.deliver()
    outside = box.folder.parent / "secret"
    (box.folder / "sub").mkdir()
    outside.with_suffix(".eml").write_text("Subject: x\n\nNot for your eyes")
    shop.execute("UPDATE messages SET message_id = :id", id=message_id.format(outside=outside))
    page = staff.get("/admin/mail/1")
    assert (page.status_code, "Its file is not in the folder" in text_of(page)) == (200, True)
    assert staff.get("/admin/mail/1/message.eml").status_code == 404


@pytest.mark.parametrize("demo", [False, True])
def test_a_secret_link_is_read_by_staff_in_the_demo_alone(shop, staff, box, demo):
    ada = shop.customer(ADA)
    shop.commit(lambda: services.mail().queue_of_account("password_reset", ada, ADA))
    Postbox(shop.app, box.folder, demo=demo).deliver()
    page = staff.get("/admin/mail/1")
    assert ("/reset/" in page.text, "only its recipient may read it" in text_of(page)) == (demo, not demo)
    assert staff.get("/admin/mail/1/message.eml").status_code == (200 if demo else 404)


def test_what_was_sent_to_an_account_is_not_read_once_that_is_deleted(shop, staff, box, alert):
    box.deliver()
    shop.commit(lambda: services.mail().forget(shop.id_of("customer0@example.com"), "deleted-1"))
    page = staff.get("/admin/mail/1")
    assert ("Its account is deleted" in text_of(page), "Jane Austen" in page.text) == (True, False)
    assert staff.get("/admin/mail/1/message.eml").status_code == 404


@pytest.mark.parametrize("path", ["/admin/mail/4711", "/admin/mail/4711/message.eml"])
def test_a_message_that_there_is_not_is_404(staff, path):
    assert staff.get(path).status_code == 404
