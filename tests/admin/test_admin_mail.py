"""Staff's pages about e-mail: what waits, what failed and why, sending or dropping it, and taking a restock back."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from bookshop.mail.repository import MessageRepository
from bookshop.web import services
from tests.support.clients import text_of
from tests.support.postbox import Postbox
from tests.support.races import overtake, unlocked

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
def box(app, tmp_path, monkeypatch):
    """The folder to which the shop's messages go; other settings may be given."""
    monkeypatch.setitem(app.config, "SETTINGS", app.config["SETTINGS"])
    return lambda **changes: Postbox(app, tmp_path / "mail", **changes)


@pytest.fixture
def emma(shop):
    """A book that is out of stock."""
    return shop.book("Emma <b>")


@pytest.fixture
def alerts(shop, emma):
    """Lets so many customers be told that Emma is back, and puts the messages into a state; returns their ids."""

    def make(number=1, state=None):
        for user_id in shop.customers(number):
            shop.reserve(user_id, emma)
        shop.set_stock(emma, 5)
        ids = shop.rows("SELECT id FROM messages WHERE kind = 'restock' ORDER BY id")
        for message_id in ids if state else ():
            put(shop, message_id, state)
        return ids

    return make


def put(shop, message_id, state):
    shop.execute(f"UPDATE messages SET {CHANGES[state]} WHERE id = :id", id=message_id)


def age(shop, minutes):
    """Let all messages have been queued, and due, so many minutes earlier."""
    ago = str(datetime.now(UTC) - timedelta(minutes=minutes))
    shop.execute("UPDATE messages SET created_at = :ago, next_attempt_at = :ago", ago=ago)


def states(shop):
    return shop.rows("SELECT state FROM messages ORDER BY id")


def listed(page):
    """The ids of the messages that a page lists, in order."""
    return [int(found) for found in re.findall(r'href="/admin/mail/(\d+)"', page.text)]


def press(staff, button, **fields):
    """Press a button; returns the page that follows, as words."""
    answer = staff.submit(f"/admin/mail/{button}", page="/admin", **fields)
    assert (answer.status_code, answer.location.partition("?")[0]) == (303, fields.get("next", "/admin/mail"))
    return text_of(staff.get(answer.location))


# ---------------------------------------------------------------- the lists


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("queued", "Once more in 1 minute , after 2 attempts , message 1 to customer0@example.com 451 Try later"),
        ("sending", "Being sent; if its worker died, it is due again in 1 minute , message"),
        ("sent", "Sent "),
        ("failed", f"Failed after 3 attempts , message 1 to customer0@example.com {REFUSED}"),
        ("suppressed", "Not sent , message 1 to customer0@example.com Dropped by staff."),
    ],
)
def test_each_state_has_a_list_that_says_what_became_of_a_message(staff, alerts, state, words):
    ids = alerts(state=state)
    for tab in set(TABS.values()):
        assert listed(staff.get(f"/admin/mail?status={tab}")) == (ids if tab == TABS[state] else [])
    assert words.replace(" ,", ",") in text_of(staff.get(f"/admin/mail?status={TABS[state]}")).replace(" ,", ",")


@pytest.mark.parametrize("query", ["", "?status=nonsense", "?status="])
def test_what_failed_is_listed_first_and_if_nothing_did_what_is_to_be_sent(shop, staff, alerts, query):
    first, second = alerts(2)
    assert listed(staff.get(f"/admin/mail{query}")) == [first, second]
    put(shop, second, "failed")
    assert listed(staff.get(f"/admin/mail{query}")) == [second]


def test_what_goes_next_comes_first(shop, staff, alerts):
    first, second = alerts(2)
    shop.execute("UPDATE messages SET next_attempt_at = created_at WHERE id = :id", id=second)
    assert listed(staff.get("/admin/mail")) == [second, first]


def test_a_row_names_the_book_or_the_order_and_leads_there(shop, staff, alerts, emma):
    alerts()
    order_id = shop.order(shop.customer(ADA), {emma: 1})
    page, number = staff.get("/admin/mail"), shop.rows("SELECT number FROM orders")[0]
    assert f'Back in stock: <a href="/admin/books/{emma}/stock"><bdi>Emma &lt;b&gt;</bdi>' in page.text
    assert f'Order placed: <a class="order-number" href="/admin/orders/{order_id}">{number}</a>' in page.text


def test_messages_about_accounts_say_what_they_are_for(shop, staff):
    ada = shop.customer(ADA)
    for kind in ("confirmation", "known_address", "password_reset"):
        shop.commit(lambda kind=kind: services.mail().queue_of_account(kind, ada, ADA))
    words = text_of(staff.get("/admin/mail"))
    assert all(said in words for said in ("To confirm an address", "registered already", "choose a new password"))


def test_the_figures_tell_how_many_wait_since_when_and_how_many_failed(shop, staff, alerts):
    alerts(4)
    put(shop, 1, "failed")
    put(shop, 2, "sent")
    shop.execute("UPDATE messages SET created_at = :ago", ago=str(datetime.now(UTC) - timedelta(hours=3)))
    words = text_of(staff.get("/admin/mail"))
    assert "2 to be sent 3 hours the oldest has waited 1 failed" in words


@pytest.mark.parametrize("tab", ["to_send", "failed", "sent", "suppressed"])
def test_an_empty_list_says_so(staff, tab):
    page = staff.get(f"/admin/mail?status={tab}")
    assert (page.status_code, "<table" in page.text, "ago" in text_of(page)) == (200, False, False)


def test_a_long_list_has_pages(staff, alerts):
    ids = alerts(51, "sent")
    page = staff.get("/admin/mail?status=sent")
    assert (listed(page), "Page 1 of 2" in text_of(page)) == (ids[:0:-1], True)
    assert listed(staff.get("/admin/mail?status=sent&page=2")) == ids[:1]


def test_the_page_says_whether_messages_reach_anybody(staff, box):
    box()
    assert "No mail server is set, so messages reach nobody" in text_of(staff.get("/admin/mail"))
    box(smtp_url="smtp://127.0.0.1:2525")
    assert "reach nobody" not in text_of(staff.get("/admin/mail"))


@pytest.mark.parametrize(("minutes", "late"), [(14, False), (17, True)])
def test_when_messages_are_long_due_staff_read_that_the_worker_may_not_run(shop, staff, alerts, minutes, late):
    alerts()
    age(shop, minutes)
    pages = [text_of(staff.get(path)) for path in ("/admin", "/admin/mail")]
    assert ["Perhaps the worker does not run" in words for words in pages] == [late, late]


def test_when_the_mail_server_takes_nothing_staff_read_what_it_says(shop, staff, alerts):
    first, _second = alerts(2, "queued")
    put(shop, first, "failed")
    age(shop, 17)
    desk, words = (text_of(staff.get(path)) for path in ("/admin", "/admin/mail"))
    assert "1 e-mail could not be sent. E-mails have been waiting" in desk
    assert "the mail server does not take them. Look at the e-mail" in desk
    assert "the mail server does not take them. Last answer: 451 Try later" in words
    assert "Perhaps the worker" not in desk + words


def test_the_dashboard_tells_of_failures_and_of_nothing_else(shop, staff, alerts):
    first, second = alerts(2)
    assert 'class="alert-link" href="/admin/mail"' not in staff.get("/admin").text
    put(shop, first, "failed")
    assert "1 e-mail could not be sent. Look at the e-mail" in text_of(staff.get("/admin"))
    put(shop, second, "failed")
    assert "2 e-mails could not be sent." in text_of(staff.get("/admin"))


def test_a_deleted_account_leaves_no_address(shop, staff, web_client, alerts):
    alerts()
    shop.commit(lambda: services.mail().forget(shop.id_of("customer0@example.com"), "deleted-1"))
    page = staff.get("/admin/mail?status=suppressed")
    assert ("to deleted account" in text_of(page), "deleted-1" in page.text) == (True, False)


# ---------------------------------------------------------------- sending again and dropping


@pytest.mark.parametrize("state", ["failed", "queued", "suppressed"])
def test_what_failed_or_waits_or_was_stopped_is_sent_when_staff_say_so(shop, staff, box, alerts, state):
    alerts(state=state)
    assert "1 message is to be sent now." in press(staff, "retry", only="1")
    box().work()
    assert shop.rows("SELECT state, attempts FROM messages") == [("sent", 1)]


@pytest.mark.parametrize("state", ["failed", "queued"])
def test_what_failed_or_waits_is_not_sent_once_it_is_dropped(shop, staff, box, alerts, state):
    alerts(state=state)
    assert "1 message is not sent any more." in press(staff, "drop", message="1", next="/admin/mail/1")
    assert box().deliver() == []
    assert shop.rows("SELECT state, reason FROM messages") == [("suppressed", "dropped")]
    assert shop.broken() == []


BUTTONS = {"failed": ["Try again", "Drop"], "queued": ["Send now", "Drop"], "suppressed": ["Send after all"]}


@pytest.mark.parametrize("state", CHANGES)
def test_the_buttons_of_a_message_are_those_that_its_state_allows(staff, alerts, state):
    alerts(state=state)
    for path in ("/admin/mail/1", f"/admin/mail?status={TABS[state]}"):
        found = re.findall(r'<button class="btn btn-(?:outline-)?\w+" form="\w+"[^>]*>(\w[^<]*)<', staff.get(path).text)
        if state in BUTTONS or path.endswith("/1"):
            assert found == BUTTONS.get(state, [])


def test_what_is_sent_after_all_is_checked_once_more(shop, staff, box, emma, alerts):
    alerts(state="suppressed")
    shop.set_stock(emma, 0)
    press(staff, "retry", only="1")
    assert (box().deliver(), states(shop)) == ([], ["suppressed"])


DONE = {"sent": "sent already", "suppressed": "not sent any more", "sending": "just being sent"}


@pytest.mark.parametrize(
    ("button", "state"), [("retry", "sent"), ("retry", "sending"), *(("drop", state) for state in DONE)]
)
def test_what_is_done_or_on_its_way_is_left_alone_and_staff_read_why(shop, staff, alerts, button, state):
    alerts(state=state)
    before = shop.everything()
    words = press(staff, button, only="1")
    assert f"Left as it was: the message to customer0@example.com, which is {DONE[state]}." in words
    assert shop.everything() == before


def test_of_those_that_are_ticked_the_ones_sent_meanwhile_are_named(shop, staff, alerts):
    alerts(8, "failed")
    for message_id in range(3, 9):
        put(shop, message_id, "sent")
    words = press(staff, "retry", message=[str(number) for number in range(1, 9)])
    third, *_others, seventh = shop.rows("SELECT recipient FROM messages WHERE id BETWEEN 3 AND 7 ORDER BY id")
    assert f"2 messages are to be sent now. Left as they were: the message to {third}" in words
    assert f"{seventh}, which is sent already; and 1 more." in words
    assert states(shop) == ["queued"] * 2 + ["sent"] * 6


def test_all_on_a_page_are_ticked_by_a_link(staff, alerts):
    alerts(3, "failed")
    page = staff.get("/admin/mail?status=failed&ticked=all").text
    assert re.findall(r'name="message" value="(\d)" checked', page) == ["3", "2", "1"]
    assert re.findall(r'name="only" value="(\d)" formaction="/admin/mail/drop"', page) == ["3", "2", "1"]


def test_everything_that_failed_is_tried_again_with_one_button(shop, staff, alerts):
    alerts(3, "failed")
    put(shop, 3, "suppressed")
    assert "Try all 2 again" in text_of(staff.get("/admin/mail"))
    assert "2 messages are to be sent now." in press(staff, "retry-failed")
    assert states(shop) == ["queued", "queued", "suppressed"]
    assert "No message has failed any more." in press(staff, "retry-failed")


@pytest.mark.parametrize("ids", [[], ["x"], ["0"], ["-1"], ["99999999999999999999"], ["4711"], [""]])
def test_without_a_message_that_there_is_nothing_is_changed(shop, staff, alerts, ids):
    alerts(state="failed")
    assert "Please tick the messages first" in press(staff, "drop", message=ids)
    assert states(shop) == ["failed"]


def drop_while_a_worker_takes_it(app, shop, staff):
    """Staff press the button just when a worker has taken the message and not yet said so."""
    token = staff.csrf_token("/admin")
    taken, answer = overtake(
        (MessageRepository, "claim"),
        lambda: shop.commit(lambda: services.mail().claim(9, "a lease", 60)),
        lambda: staff.post("/admin/mail/drop", csrf_token=token, only="1"),
    )
    return taken, answer.status_code, states(shop)


def test_a_message_that_a_worker_is_just_taking_cannot_be_dropped(app, shop, staff, alerts):
    alerts()
    shop.execute("UPDATE messages SET next_attempt_at = created_at")
    assert drop_while_a_worker_takes_it(app, shop, staff) == ({1: 0}, 303, ["sending"])


def test_only_the_look_at_the_state_prevents_that(app, shop, staff, alerts):
    alerts()
    shop.execute("UPDATE messages SET next_attempt_at = created_at")
    with unlocked(app, {" AND messages.state IN (": " AND '' NOT IN ("}):
        assert drop_while_a_worker_takes_it(app, shop, staff) != ({1: 0}, 303, ["sending"])


# ---------------------------------------------------------------- a book, and taking back


def test_a_books_page_counts_its_e_mails_and_no_others(shop, staff, alerts, emma):
    alerts(6)
    for message_id, state in enumerate(("sent", "sent", "failed", "suppressed", "sending", "queued"), 1):
        put(shop, message_id, state)
    other = shop.book("Persuasion")
    shop.reserve(shop.customer(ADA), other)
    shop.set_stock(other, 1)
    words = text_of(staff.get(f"/admin/books/{emma}/stock"))
    assert "E-mails sent 2 E-mails to be sent 2 E-mails that failed 1 E-mails not sent any more 1" in words
    assert 'href="/admin/mail">All e-mail' in staff.get(f"/admin/books/{emma}/stock").text


def set_stock(staff, book_id, copies, expected):
    path = f"/admin/books/{book_id}/stock"
    staff.submit(path, change="correction", copies=str(copies), expected=str(expected))
    return text_of(staff.get(path))


def test_a_restock_says_how_its_e_mails_are_stopped_and_the_way_back_that_they_were(shop, staff, emma):
    for user_id in shop.customers(2):
        shop.reserve(user_id, emma)
    words = set_stock(staff, emma, 5, 0)
    assert "2 waiting customers were notified. The e-mails leave in 60 seconds." in words
    words = set_stock(staff, emma, 0, 5)
    assert "The stock is now 0. 2 e-mails were stopped in time; they go out once the book is back." in words
    assert "The reservations stay notified. Mail, Not sent" in words
    assert (states(shop), shop.statuses(emma)) == (["suppressed"] * 2, ["notified"] * 2)


def test_a_sale_that_stops_an_e_mail_says_both(shop, staff, emma):
    shop.reserve(shop.customer(ADA), emma)
    shop.set_stock(emma, 3)
    path = f"/admin/books/{emma}/stock"
    staff.submit(path, change="sale", copies="3", expected="3")
    page = staff.get(path)
    assert "Copies sold: 3. 1 e-mail was stopped in time; it goes out once the book is back." in text_of(page)
    assert 'href="/admin/mail?status=suppressed">Mail, Not sent</a>' in page.text


def test_nobody_is_promised_to_stop_what_cannot_be_stopped(shop, staff, box, emma):
    assert "e-mails leave" not in set_stock(staff, emma, 5, 0)
    shop.set_stock(emma, 0)
    shop.reserve(shop.customer(ADA), emma)
    box(mail_delay=0)
    words = set_stock(staff, emma, 5, 0)
    assert ("1 waiting customer was notified." in words, "e-mails leave" in words) == (True, False)
