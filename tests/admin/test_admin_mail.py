"""Staff's e-mail pages: waiting and failed messages, retrying, dropping, and undoing a restock."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from bookshop.accounts.login_links import LinkRequest
from bookshop.mail.models import FORMER_KINDS
from bookshop.mail.repository import MessageRepository
from bookshop.web import services
from tests.support.clients import text_of
from tests.support.factories import PASSWORD
from tests.support.mailbox import Mailbox
from tests.support.races import interleave, without_lock

pytestmark = pytest.mark.one_postgresql_case

ADA, STAFF = "ada@example.com", "staff@example.com"
REFUSED = "550 No such user here"
CHANGES = {
    "queued": "state = 'queued', attempts = 2, last_error = '451 Try later'",
    "sending": "state = 'sending', lease = 'of a worker'",
    "sent": "state = 'sent', sent_at = created_at",
    "failed": f"state = 'failed', attempts = 3, last_error = '{REFUSED}'",
    "suppressed": "state = 'suppressed', reason = 'dropped'",
}
TABS = {"queued": "to_send", "sending": "to_send", "sent": "sent", "failed": "failed", "suppressed": "suppressed"}


@pytest.fixture
def staff(shop, web_client):
    shop.staff(STAFF)
    return web_client(STAFF)


@pytest.fixture
def make_mailbox(app, tmp_path, monkeypatch):
    """Create the folder that receives the shop's messages, with any changed settings."""
    monkeypatch.setitem(app.config, "SETTINGS", app.config["SETTINGS"])
    return lambda **changes: Mailbox(app, tmp_path / "mail", **changes)


@pytest.fixture
def emma(shop):
    """A book that is out of stock."""
    return shop.book("Emma <b>")


@pytest.fixture
def alerts(shop, emma):
    """Create alerts about Emma to this many customers, in this state; return their ids."""

    def make(number=1, state=None):
        for user_id in shop.customers(number):
            shop.reserve(user_id, emma)
        shop.set_stock(emma, 5)
        ids = shop.rows("SELECT id FROM messages WHERE kind = 'restock' ORDER BY id")
        for message_id in ids if state else ():
            set_state(shop, message_id, state)
        return ids

    return make


def set_state(shop, message_id, state):
    shop.execute(f"UPDATE messages SET {CHANGES[state]} WHERE id = :id", id=message_id)


def make_older(shop, minutes):
    """Make all messages queued, and due, this many minutes earlier."""
    ago = str(datetime.now(UTC) - timedelta(minutes=minutes))
    shop.execute("UPDATE messages SET created_at = :ago, next_attempt_at = :ago", ago=ago)


def states(shop):
    return shop.rows("SELECT state FROM messages ORDER BY id")


def listed_ids(page):
    """Return the ids of the messages listed on a page, in order."""
    return [int(found) for found in re.findall(r'href="/admin/mail/(\d+)"', page.text)]


def press(staff, button, **fields):
    """Press a button; return the text of the next page."""
    answer = staff.submit(f"/admin/mail/{button}", page="/admin", **fields)
    assert (answer.status_code, answer.location.partition("?")[0]) == (303, fields.get("next", "/admin/mail"))
    return text_of(staff.get(answer.location))


# ---------------------------------------------------------------- lists


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("queued", "Next attempt in 1 minute , after 2 attempts , message 1 to customer0@example.com 451 Try later"),
        ("sending", "Being sent; if the worker has stopped, next attempt in 1 minute , message"),
        ("sent", "Sent "),
        ("failed", f"Failed after 3 attempts , message 1 to customer0@example.com {REFUSED}"),
        ("suppressed", "Stopped , message 1 to customer0@example.com Staff chose not to send this."),
    ],
)
def test_each_status_tab_shows_what_happened_to_its_messages(staff, alerts, state, words):
    ids = alerts(state=state)
    for tab in set(TABS.values()):
        assert listed_ids(staff.get(f"/admin/mail?status={tab}")) == (ids if tab == TABS[state] else [])
    assert words.replace(" ,", ",") in text_of(staff.get(f"/admin/mail?status={TABS[state]}")).replace(" ,", ",")


@pytest.mark.parametrize("query", ["", "?status=nonsense", "?status="])
def test_failed_messages_are_listed_first_otherwise_those_to_send(shop, staff, alerts, query):
    first, second = alerts(2)
    assert listed_ids(staff.get(f"/admin/mail{query}")) == [first, second]
    set_state(shop, second, "failed")
    assert listed_ids(staff.get(f"/admin/mail{query}")) == [second]


def test_messages_due_next_come_first(shop, staff, alerts):
    first, second = alerts(2)
    shop.execute("UPDATE messages SET next_attempt_at = created_at WHERE id = :id", id=second)
    assert listed_ids(staff.get("/admin/mail")) == [second, first]


def test_a_row_names_the_book_or_order_and_links_to_it(shop, staff, alerts, emma):
    alerts()
    order_id = shop.order(shop.customer(ADA), {emma: 1})
    page, number = staff.get("/admin/mail"), shop.rows("SELECT number FROM orders")[0]
    assert f'Back in stock: <a href="/admin/books/{emma}/stock"><bdi>Emma &lt;b&gt;</bdi>' in page.text
    assert f'Order placed: <a class="order-number" href="/admin/orders/{order_id}">{number}</a>' in page.text


def test_account_messages_explain_their_purpose(shop, staff):
    ada = shop.staff(ADA)
    shop.commit(lambda: services.login_links().request(LinkRequest(ADA)))
    shop.commit(lambda: services.address_changes().request(ada, LinkRequest("new@example.com"), PASSWORD))
    shop.commit(lambda: services.mail().queue_invitation(ada, ADA))
    words = text_of(staff.get("/admin/mail"))
    assert all(title in words for title in ("Login link", "Link to a new e-mail address", "Invitation to the staff"))


@pytest.mark.parametrize("kind", FORMER_KINDS)
def test_account_messages_from_before_login_links_are_still_listed(shop, staff, kind):
    shop.commit(lambda: services.mail().queue_invitation(1, STAFF))
    shop.execute("UPDATE messages SET kind = :kind, state = 'suppressed', reason = 'too_old'", kind=kind)
    assert "It is too old to be sent." in text_of(staff.get("/admin/mail?status=suppressed"))


def test_a_link_that_was_not_sent_because_another_one_was_used_says_so(shop, staff):
    shop.commit(lambda: services.login_links().request(LinkRequest(ADA)))
    shop.execute("UPDATE messages SET state = 'suppressed', reason = 'link_ended'")
    assert "The link in it has been used, or is not valid any more." in text_of(
        staff.get("/admin/mail?status=suppressed")
    )


def test_the_figures_show_waiting_and_failed_messages_and_the_oldest(shop, staff, alerts):
    alerts(4)
    set_state(shop, 1, "failed")
    set_state(shop, 2, "sent")
    shop.execute("UPDATE messages SET created_at = :ago", ago=str(datetime.now(UTC) - timedelta(hours=3)))
    words = text_of(staff.get("/admin/mail"))
    assert "2 to be sent 3 hours longest wait 1 failed" in words


@pytest.mark.parametrize("tab", ["to_send", "failed", "sent", "suppressed"])
def test_an_empty_list_says_so(staff, tab):
    page = staff.get(f"/admin/mail?status={tab}")
    assert (page.status_code, "<table" in page.text, "ago" in text_of(page)) == (200, False, False)


def test_a_long_list_is_paginated(staff, alerts):
    ids = alerts(51, "sent")
    page = staff.get("/admin/mail?status=sent")
    assert (listed_ids(page), "Page 1 of 2" in text_of(page)) == (ids[:0:-1], True)
    assert listed_ids(staff.get("/admin/mail?status=sent&page=2")) == ids[:1]


def test_the_page_shows_whether_messages_are_really_sent(staff, make_mailbox):
    make_mailbox()
    assert "No mail server is set up, so e-mails are not delivered" in text_of(staff.get("/admin/mail"))
    make_mailbox(smtp_url="smtp://127.0.0.1:2525")
    assert "are not delivered" not in text_of(staff.get("/admin/mail"))


@pytest.mark.parametrize(("minutes", "late"), [(14, False), (17, True)])
def test_overdue_messages_warn_staff_that_the_worker_may_not_run(shop, staff, alerts, minutes, late):
    alerts()
    make_older(shop, minutes)
    pages = [text_of(staff.get(path)) for path in ("/admin", "/admin/mail")]
    assert ["(the worker) may not be running" in words for words in pages] == [late, late]


def test_staff_see_why_the_mail_server_rejects_everything(shop, staff, alerts):
    first, _second = alerts(2, "queued")
    set_state(shop, first, "failed")
    make_older(shop, 17)
    desk, words = (text_of(staff.get(path)) for path in ("/admin", "/admin/mail"))
    assert "1 e-mail could not be sent E-mails have been waiting" in desk
    assert "because the mail server does not accept them. Go to Mail" in desk
    assert "because the mail server does not accept them. Last response: 451 Try later" in words
    assert "(the worker)" not in desk + words


def test_the_dashboard_reports_only_failures(shop, staff, alerts):
    first, second = alerts(2)
    assert "could not be sent" not in text_of(staff.get("/admin"))
    set_state(shop, first, "failed")
    assert '<a href="/admin/mail?status=failed"><strong>1</strong> e-mail could not be sent' in staff.get("/admin").text
    set_state(shop, second, "failed")
    assert "2 e-mails could not be sent" in text_of(staff.get("/admin"))


def test_a_deleted_account_leaves_no_address(shop, staff, web_client, alerts):
    alerts()
    shop.commit(lambda: services.mail().anonymise(shop.id_of("customer0@example.com"), "deleted-1", []))
    page = staff.get("/admin/mail?status=suppressed")
    assert ("to deleted account" in text_of(page), "deleted-1" in page.text) == (True, False)


# ---------------------------------------------------------------- retrying and dropping


@pytest.mark.parametrize("state", ["failed", "queued", "suppressed"])
def test_failed_waiting_and_stopped_messages_are_sent_when_staff_retry(shop, staff, make_mailbox, alerts, state):
    alerts(state=state)
    assert "1 message will be sent now." in press(staff, "retry", only="1")
    make_mailbox().run_worker()
    assert shop.rows("SELECT state, attempts FROM messages") == [("sent", 1)]


@pytest.mark.parametrize("state", ["failed", "queued"])
def test_dropped_messages_are_not_sent(shop, staff, make_mailbox, alerts, state):
    alerts(state=state)
    assert "1 message will not be sent." in press(staff, "drop", message="1", next="/admin/mail/1")
    assert make_mailbox().deliver() == []
    assert shop.rows("SELECT state, reason FROM messages") == [("suppressed", "dropped")]
    assert shop.broken() == []


BUTTONS = {"failed": ["Try again", "Don't send"], "queued": ["Send now", "Don't send"], "suppressed": ["Send anyway"]}


@pytest.mark.parametrize("state", CHANGES)
def test_a_message_has_only_the_buttons_its_state_allows(staff, alerts, state):
    alerts(state=state)
    for path in ("/admin/mail/1", f"/admin/mail?status={TABS[state]}"):
        found = re.findall(r'<button class="btn btn-(?:outline-)?\w+" form="\w+"[^>]*>(\w[^<]*)<', staff.get(path).text)
        if state in BUTTONS or path.endswith("/1"):
            assert found == BUTTONS.get(state, [])


def test_a_message_is_checked_once_more_before_it_is_sent_after_all(shop, staff, make_mailbox, emma, alerts):
    alerts(state="suppressed")
    shop.set_stock(emma, 0)
    press(staff, "retry", only="1")
    assert (make_mailbox().deliver(), states(shop)) == ([], ["suppressed"])


DONE = {"sent": "already sent", "suppressed": "already stopped", "sending": "being sent now"}


@pytest.mark.parametrize(
    ("button", "state"), [("retry", "sent"), ("retry", "sending"), *(("drop", state) for state in DONE)]
)
def test_messages_already_sent_or_in_progress_are_left_alone_and_staff_see_why(shop, staff, alerts, button, state):
    alerts(state=state)
    before = shop.everything()
    words = press(staff, button, only="1")
    assert f"Not changed: the message to customer0@example.com ({DONE[state]})." in words
    assert shop.everything() == before


def test_messages_sent_meanwhile_are_named_among_the_ticked_ones(shop, staff, alerts):
    alerts(8, "failed")
    for message_id in range(3, 9):
        set_state(shop, message_id, "sent")
    words = press(staff, "retry", message=[str(number) for number in range(1, 9)])
    third, *_others, seventh = shop.rows("SELECT recipient FROM messages WHERE id BETWEEN 3 AND 7 ORDER BY id")
    assert f"2 messages will be sent now. Not changed: the message to {third}" in words
    assert f"{seventh} (already sent), and 1 more." in words
    assert states(shop) == ["queued"] * 2 + ["sent"] * 6


def test_a_link_ticks_all_on_a_page(staff, alerts):
    alerts(3, "failed")
    page = staff.get("/admin/mail?status=failed&ticked=all").text
    assert re.findall(r'name="message" value="(\d)" checked', page) == ["3", "2", "1"]
    assert re.findall(r'name="only" value="(\d)" formaction="/admin/mail/drop"', page) == ["3", "2", "1"]


def test_one_button_retries_everything_that_failed(shop, staff, alerts):
    alerts(3, "failed")
    set_state(shop, 3, "suppressed")
    assert "Try all 2 again" in text_of(staff.get("/admin/mail"))
    assert "2 messages will be sent now." in press(staff, "retry-failed")
    assert states(shop) == ["queued", "queued", "suppressed"]
    assert "There are no failed messages to retry." in press(staff, "retry-failed")


@pytest.mark.parametrize("ids", [[], ["x"], ["0"], ["-1"], ["99999999999999999999"], ["4711"], [""]])
def test_an_unknown_message_changes_nothing(shop, staff, alerts, ids):
    alerts(state="failed")
    assert "Tick the messages first" in press(staff, "drop", message=ids)
    assert states(shop) == ["failed"]


def drop_while_a_worker_takes_it(app, shop, staff):
    """Press the button after a worker has selected the message but before it commits the claim."""
    token = staff.csrf_token("/admin")
    taken, answer = interleave(
        (MessageRepository, "claim"),
        lambda: shop.commit(lambda: services.mail().claim(9, "a lease", 60)),
        lambda: staff.post("/admin/mail/drop", csrf_token=token, only="1"),
    )
    return taken, answer.status_code, states(shop)


def test_a_message_being_claimed_by_a_worker_cannot_be_dropped(app, shop, staff, alerts):
    alerts()
    shop.execute("UPDATE messages SET next_attempt_at = created_at")
    assert drop_while_a_worker_takes_it(app, shop, staff) == ({1: 0}, 303, ["sending"])


def test_without_rereading_the_status_a_message_being_claimed_is_dropped(app, shop, staff, alerts):
    alerts()
    shop.execute("UPDATE messages SET next_attempt_at = created_at")
    with without_lock(app, {" AND messages.state IN (": " AND '' NOT IN ("}):
        assert drop_while_a_worker_takes_it(app, shop, staff) != ({1: 0}, 303, ["sending"])


# ---------------------------------------------------------------- one book, and undoing a restock


def test_the_stock_page_counts_only_the_e_mails_of_its_book(shop, staff, alerts, emma):
    alerts(6)
    for message_id, state in enumerate(("sent", "sent", "failed", "suppressed", "sending", "queued"), 1):
        set_state(shop, message_id, state)
    other = shop.book("Persuasion")
    shop.reserve(shop.customer(ADA), other)
    shop.set_stock(other, 1)
    words = text_of(staff.get(f"/admin/books/{emma}/stock"))
    assert "E-mails sent 2 E-mails to be sent 2 E-mails that failed 1 E-mails stopped 1" in words
    assert 'href="/admin/mail">See all e-mails' in staff.get(f"/admin/books/{emma}/stock").text


def set_stock(staff, book_id, copies, expected):
    path = f"/admin/books/{book_id}/stock"
    staff.submit(path, change="correction", copies=str(copies), expected=str(expected))
    return text_of(staff.get(path))


def test_a_restock_shows_stopped_e_mails_and_a_return_shows_that_they_were_stopped(shop, staff, emma):
    for user_id in shop.customers(2):
        shop.reserve(user_id, emma)
    words = set_stock(staff, emma, 5, 0)
    assert "2 waiting customers were notified. The e-mails will be sent in 60 seconds." in words
    words = set_stock(staff, emma, 0, 5)
    assert "The stock is now 0. 2 e-mails were stopped and will be sent when the book is back in stock." in words
    assert "The customers still count as notified. See stopped e-mails" in words
    assert (states(shop), shop.statuses(emma)) == (["suppressed"] * 2, ["notified"] * 2)


def test_a_sale_that_stops_an_e_mail_shows_both(shop, staff, emma):
    shop.reserve(shop.customer(ADA), emma)
    shop.set_stock(emma, 3)
    path = f"/admin/books/{emma}/stock"
    staff.submit(path, change="sale", copies="3", expected="3")
    page = staff.get(path)
    assert "Copies sold: 3. 1 e-mail was stopped and will be sent when the book is back in stock." in text_of(page)
    assert 'href="/admin/mail?status=suppressed">See stopped e-mails</a>' in page.text


def test_no_stop_is_promised_for_messages_that_cannot_be_stopped(shop, staff, emma):
    assert "e-mails will be sent" not in set_stock(staff, emma, 5, 0)
    shop.set_stock(emma, 0)
    shop.reserve(shop.customer(ADA), emma)
    shop.describe(mail_delay=0)
    words = set_stock(staff, emma, 5, 0)
    assert ("1 waiting customer was notified." in words, "e-mails will be sent" in words) == (True, False)
