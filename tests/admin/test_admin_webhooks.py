"""Staff's pages about webhooks."""

import pytest

from tests.support.clients import WebClient, text_of
from tests.support.receiver import IMPATIENT

pytestmark = pytest.mark.one_postgresql_case

PAGE = "/admin/webhooks"


@pytest.fixture
def staff(app, webhooks):
    return WebClient(app, "staff@example.com")


def test_a_webhook_is_registered_in_the_form_and_its_page_shows_the_secret(webhooks, staff, receiver):
    assert "There are no webhooks yet." in text_of(staff.get(PAGE))
    answer = staff.submit(PAGE, url=receiver.url, kinds=["stock.changed", "order.placed"])
    assert (answer.status_code, answer.location) == (303, f"{PAGE}/1")
    page = text_of(staff.get(answer.location))
    for words in (
        receiver.url,
        "stock.changed, order.placed",
        webhooks.webhook(1).secret,
        "Enter its secret in the receiving program",
    ):
        assert words in page
    assert f"{receiver.url} stock.changed, order.placed Registered" in text_of(staff.get(PAGE))
    assert "by staff@example.com" in text_of(staff.get(PAGE))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"url": "", "kinds": "order.placed"}, "Enter the address."),
        ({"url": "https://1.1.1.1/"}, "Choose at least one."),
        ({"url": "https://1.1.1.1/", "kinds": "stock.moved"}, "not a valid choice"),
        ({"url": "http://1.1.1.1/", "kinds": "order.placed"}, "The address must begin with https://."),
        ({"url": "https://169.254.169.254/", "kinds": "order.placed"}, "leads to a private network"),
    ],
)
def test_an_invalid_form_is_shown_again_with_what_was_typed(webhooks, staff, fields, words):
    answer = staff.submit(PAGE, **fields)
    assert (answer.status_code, words in text_of(answer)) == (400, True)
    assert f'value="{fields["url"]}"' in answer.text
    assert webhooks.shop.rows("SELECT count(*) FROM webhooks") == [0]


def test_the_lists_show_waiting_and_failed_deliveries_with_reasons(webhooks, staff, receiver):
    webhooks.make_events(1)
    webhooks.register(receiver.url)
    ids = webhooks.make_events(3)
    receiver.faults = {ids[1]: 410, ids[2]: 500}
    webhooks.run_worker()
    assert "Last error: The receiver answered 500. 1 1 Register another webhook" in text_of(staff.get(PAGE))
    log = text_of(staff.get(f"{PAGE}/1"))
    for words in ("Delivered", "Failed after 1 attempt", "Next attempt", f"event {ids[0]}", "answered 410."):
        assert words in log
    failed = text_of(staff.get(f"{PAGE}/1?state=failed"))
    assert (f"event {ids[1]}," in failed, f"event {ids[0]}," in failed) == (True, False)
    assert "There are no events to deliver." not in text_of(staff.get(f"{PAGE}/1?state=waiting"))


def test_the_redeliver_button_redelivers_and_returns_to_the_page(webhooks, staff, receiver):
    webhooks.make_events(1)
    webhooks.register(receiver.url)
    (event_id,) = webhooks.make_events(1)
    receiver.fault = 410
    webhooks.run_worker()
    receiver.fault = 200
    here = f"{PAGE}/1?state=failed"
    answer = staff.submit(f"{PAGE}/1/deliveries/1/redeliver", page=here, next=here)
    assert answer.location == here
    assert f"Event {event_id} will be delivered now." in text_of(staff.get(here))
    webhooks.run_worker()
    assert webhooks.states() == {"delivered": 1}


def test_a_resting_receiver_is_shown_on_its_page(webhooks, staff, receiver):
    webhooks.register(receiver.url)
    webhooks.make_events(1)
    receiver.fault = "hang"
    webhooks.run_worker(IMPATIENT)
    page = text_of(staff.get(f"{PAGE}/1"))
    assert "because the receiver could not be reached" in page
    assert "The receiver did not answer in time." in page


def test_a_webhook_is_deleted_with_its_log(webhooks, staff, receiver):
    webhooks.register(receiver.url)
    webhooks.make_events(1)
    webhooks.run_worker()
    answer = staff.submit(f"{PAGE}/1/delete", page=f"{PAGE}/1")
    assert (answer.status_code, answer.location, webhooks.deliveries()) == (303, PAGE, [])
    assert "The webhook has been deleted." in text_of(staff.get(PAGE))
    assert staff.get(f"{PAGE}/1").status_code == 404


def test_mail_and_dashboard_link_to_the_webhooks(webhooks, staff):
    for page in ("/admin/mail", "/admin"):
        assert f'href="{PAGE}"' in staff.get(page).text
