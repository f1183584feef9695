"""Webhooks in JSON: registering, reading, the log, redelivering."""

from functools import partial

import pytest
from werkzeug.test import TestResponse

from bookshop.webhooks.models import MAX_WEBHOOKS
from tests.support import races
from tests.support.bad_input import assert_problem
from tests.support.clients import ApiClient
from tests.support.receiver import IMPATIENT

pytestmark = pytest.mark.one_postgresql_case

WEBHOOKS = "/api/v1/webhooks"
URL = "https://1.1.1.1/hooks"


@pytest.fixture
def staff(app, webhooks):
    return ApiClient(app, "staff@example.com")


def test_a_webhook_is_registered_listed_without_its_secret_and_deleted(staff):
    made = staff.post(WEBHOOKS, {"url": URL, "kinds": ["order.*", "stock.changed", "order.*"]})
    assert (made.status_code, made.headers["Location"]) == (201, f"{WEBHOOKS}/1")
    body = made.get_json()
    assert (body["url"], body["kinds"], body["rests_until"]) == (URL, ["order.*", "stock.changed"], None)
    assert (body["secret"].startswith("whsec_"), len(body["secret"])) == (True, 38)
    assert staff.get(f"{WEBHOOKS}/1").get_json() == body
    listed = staff.get(WEBHOOKS)
    assert (listed.get_json()["total"], body["secret"] in listed.text) == (1, False)
    assert listed.get_json()["items"][0].items() >= {"id": 1, "waiting": 0, "failed": 0, "last_error": None}.items()
    assert staff.delete(f"{WEBHOOKS}/1").status_code == 204
    for answer in (staff.get(f"{WEBHOOKS}/1"), staff.delete(f"{WEBHOOKS}/1"), staff.get(f"{WEBHOOKS}/1/deliveries")):
        assert_problem(answer, 404, "WEBHOOK_NOT_FOUND")


def test_each_webhook_has_a_secret_of_its_own(staff):
    secrets = {staff.post(WEBHOOKS, {"url": URL, "kinds": ["*"]}).get_json()["secret"] for _again in range(3)}
    assert len(secrets) == 3


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"url": URL}, "#/kinds"),
        ({"url": URL, "kinds": []}, "#/kinds"),
        ({"url": URL, "kinds": "*"}, "#/kinds"),
        ({"url": URL, "kinds": ["order.placed", "stock.moved"]}, "#/kinds/1"),
        ({"url": URL, "kinds": ["order.placed,*"]}, "#/kinds/0"),
        ({"url": URL, "kinds": ["*"] * 21}, "#/kinds"),
        ({"url": "", "kinds": ["*"]}, "#/url"),
        ({"url": 5, "kinds": ["*"]}, "#/url"),
        ({"url": "https://example.com/\x00", "kinds": ["*"]}, "#/url"),
        ({"url": URL, "kinds": ["*"], "secret": "mine"}, "#/secret"),
    ],
)
def test_an_invalid_webhook_is_refused_at_the_wrong_member(webhooks, staff, body, pointer):
    answer = staff.post(WEBHOOKS, body)
    assert_problem(answer, 422, "VALIDATION_ERROR")
    assert [error["pointer"] for error in answer.get_json()["errors"]] == [pointer]
    assert webhooks.shop.rows("SELECT count(*) FROM webhooks") == [0]


def test_concurrent_registrations_never_exceed_20_webhooks(app, webhooks):
    scripts = [ApiClient(app, "staff@example.com") for _script in range(4)]
    answers: list[TestResponse] = []

    def register(api_client):
        answers.extend(api_client.post(WEBHOOKS, {"url": URL, "kinds": ["*"]}) for _time in range(7))

    races.run_concurrently([partial(register, api_client) for api_client in scripts])
    refused = [answer for answer in answers if answer.status_code != 201]
    assert len(answers) - len(refused) == MAX_WEBHOOKS
    for answer in refused:
        assert_problem(answer, 409, "WEBHOOK_LIMIT")
    assert webhooks.shop.rows("SELECT count(*) FROM webhooks") == [MAX_WEBHOOKS]


def test_the_log_shows_the_outcome_of_each_delivery_newest_first(webhooks, staff, receiver):
    webhooks.make_events(1)
    webhook_id = webhooks.register(receiver.url)
    ids = webhooks.make_events(3)
    receiver.faults = {ids[1]: 410, ids[2]: 500}
    webhooks.run_worker()
    log = staff.get(f"{WEBHOOKS}/{webhook_id}/deliveries").get_json()
    outcomes = [
        (one["event_id"], one["kind"], one["state"], one["last_status"], one["attempts"]) for one in log["items"]
    ]
    assert outcomes == [
        (ids[2], "stock.changed", "queued", 500, 1),
        (ids[1], "stock.changed", "failed", 410, 1),
        (ids[0], "stock.changed", "delivered", 200, 1),
    ]
    assert [one["next_attempt_at"] is None for one in log["items"]] == [False, True, True]
    failed = staff.get(f"{WEBHOOKS}/{webhook_id}/deliveries", state="failed").get_json()
    assert (failed["total"], failed["items"]) == (1, [log["items"][1]])
    second = staff.get(f"{WEBHOOKS}/{webhook_id}/deliveries", page=2, size=2).get_json()
    assert (second["items"], second["total"]) == (log["items"][2:], 3)
    (listed,) = staff.get(WEBHOOKS).get_json()["items"]
    assert (listed["waiting"], listed["failed"], listed["last_error"]) == (1, 1, "The receiver answered 500.")


def redeliver(staff, delivery_id, webhook_id=1):
    return staff.post(f"{WEBHOOKS}/{webhook_id}/deliveries/{delivery_id}/redeliver")


def test_failed_waiting_and_delivered_events_are_redelivered_under_the_same_id(webhooks, staff, receiver):
    webhooks.make_events(1)
    webhooks.register(receiver.url)
    ids = webhooks.make_events(3)
    receiver.faults = {ids[1]: 410, ids[2]: 500}
    webhooks.run_worker()
    receiver.faults = {}
    receiver.calls.clear()
    for number in (1, 2, 3):
        answer = redeliver(staff, number)
        assert (answer.status_code, answer.get_json()["state"], answer.get_json()["attempts"]) == (200, "queued", 0)
        assert (answer.get_json()["last_status"], answer.get_json()["delivered_at"]) == (None, None)
    webhooks.run_worker()
    assert [call.headers["webhook-id"] for call in receiver.calls] == [f"evt_{event_id}" for event_id in ids]
    assert (webhooks.states(), webhooks.shop.broken()) == ({"delivered": 3}, [])


def test_redelivering_ends_the_receivers_rest(webhooks, staff, receiver):
    webhooks.make_events(1)
    webhooks.register(receiver.url)
    webhooks.make_events(2)
    receiver.fault = "hang"
    webhooks.run_worker(IMPATIENT)
    assert staff.get(f"{WEBHOOKS}/1").get_json()["rests_until"]
    receiver.fault = 200
    redeliver(staff, 1)
    assert staff.get(f"{WEBHOOKS}/1").get_json()["rests_until"] is None
    webhooks.run_worker()
    assert webhooks.states() == {"delivered": 2}


def test_a_message_being_sent_is_left_alone(webhooks, staff, receiver):
    webhooks.register(receiver.url)
    webhooks.make_events(1)
    receiver.fault = 500
    webhooks.run_worker()
    webhooks.shop.execute("UPDATE webhook_deliveries SET state = 'sending', lease = 'x' WHERE id = 1")
    assert_problem(redeliver(staff, 1), 409, "WEBHOOK_DELIVERY_SENDING")
    assert webhooks.deliveries()[0].lease == "x"


def test_a_delivery_of_another_webhook_is_not_found(webhooks, staff, receiver):
    webhooks.register(receiver.url, "order.placed")
    webhooks.register(receiver.url, "stock.changed")
    webhooks.make_events(1)
    webhooks.run_worker()
    assert_problem(redeliver(staff, 1, webhook_id=1), 404, "WEBHOOK_DELIVERY_NOT_FOUND")
    assert_problem(redeliver(staff, 99, webhook_id=2), 404, "WEBHOOK_DELIVERY_NOT_FOUND")
    assert_problem(redeliver(staff, 1, webhook_id=9), 404, "WEBHOOK_NOT_FOUND")
    assert webhooks.states() == {"delivered": 2}
