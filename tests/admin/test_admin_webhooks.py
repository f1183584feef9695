"""Staff's pages about webhooks."""

import pytest

from tests.support.clients import WebClient, text_of
from tests.support.receiver import HASTY

pytestmark = pytest.mark.one_postgresql_case

PAGE = "/admin/webhooks"


@pytest.fixture
def staff(app, hooks):
    return WebClient(app, "staff@example.com")


def test_a_webhook_is_registered_in_the_form_and_its_page_says_the_secret(hooks, staff, receiver):
    assert "There is none yet." in text_of(staff.get(PAGE))
    answer = staff.submit(PAGE, url=receiver.url, kinds=["stock.changed", "order.placed"])
    assert (answer.status_code, answer.location) == (303, f"{PAGE}/1")
    page = text_of(staff.get(answer.location))
    for words in (
        receiver.url,
        "stock.changed, order.placed",
        hooks.webhook(1).secret,
        "Give its secret to the program",
    ):
        assert words in page
    assert f"{receiver.url} stock.changed, order.placed Registered" in text_of(staff.get(PAGE))
    assert "by staff@example.com" in text_of(staff.get(PAGE))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"url": "", "kinds": "order.placed"}, "Please give the address."),
        ({"url": "https://1.1.1.1/"}, "Please choose at least one."),
        ({"url": "https://1.1.1.1/", "kinds": "stock.moved"}, "not a valid choice"),
        ({"url": "http://1.1.1.1/", "kinds": "order.placed"}, "The address must begin with https://."),
        ({"url": "https://169.254.169.254/", "kinds": "order.placed"}, "leads to a private network"),
    ],
)
def test_a_form_that_cannot_be_right_is_shown_again_with_what_was_typed(hooks, staff, fields, words):
    answer = staff.submit(PAGE, **fields)
    assert (answer.status_code, words in text_of(answer)) == (400, True)
    assert f'value="{fields["url"]}"' in answer.text
    assert hooks.shop.rows("SELECT count(*) FROM webhooks") == [0]


def test_the_lists_say_what_waits_what_failed_and_why(hooks, staff, receiver):
    hooks.happen(1)
    hooks.register(receiver.url)
    ids = hooks.happen(3)
    receiver.faults = {ids[1]: 410, ids[2]: 500}
    hooks.work()
    assert "Last error: The receiver answered 500. 1 1 Register another webhook" in text_of(staff.get(PAGE))
    log = text_of(staff.get(f"{PAGE}/1"))
    for words in ("Delivered", "Failed after 1 attempt", "Once more", f"event {ids[0]}", "The receiver answered 410."):
        assert words in log
    failed = text_of(staff.get(f"{PAGE}/1?state=failed"))
    assert (f"event {ids[1]}," in failed, f"event {ids[0]}," in failed) == (True, False)
    assert "Nothing waits." not in text_of(staff.get(f"{PAGE}/1?state=waiting"))


def test_the_button_beside_a_delivery_delivers_it_again_and_leads_back(hooks, staff, receiver):
    hooks.happen(1)
    hooks.register(receiver.url)
    (event_id,) = hooks.happen(1)
    receiver.fault = 410
    hooks.work()
    receiver.fault = 200
    here = f"{PAGE}/1?state=failed"
    answer = staff.submit(f"{PAGE}/1/deliveries/1/redeliver", page=here, next=here)
    assert answer.location == here
    assert f"Event {event_id} is to be delivered again now." in text_of(staff.get(here))
    hooks.work()
    assert hooks.states() == {"delivered": 1}


def test_while_a_receiver_rests_its_page_says_so(hooks, staff, receiver):
    hooks.register(receiver.url)
    hooks.happen(1)
    receiver.fault = "hang"
    hooks.work(HASTY)
    page = text_of(staff.get(f"{PAGE}/1"))
    assert "as the receiver could not be reached" in page
    assert "The receiver did not answer in time." in page


def test_a_webhook_is_deleted_with_its_log(hooks, staff, receiver):
    hooks.register(receiver.url)
    hooks.happen(1)
    hooks.work()
    answer = staff.submit(f"{PAGE}/1/delete", page=f"{PAGE}/1")
    assert (answer.status_code, answer.location, hooks.deliveries()) == (303, PAGE, [])
    assert "The webhook is deleted." in text_of(staff.get(PAGE))
    assert staff.get(f"{PAGE}/1").status_code == 404


def test_mail_and_desk_lead_to_the_webhooks(hooks, staff):
    for page in ("/admin/mail", "/admin"):
        assert f'href="{PAGE}"' in staff.get(page).text
