"""Webhooks, from the event to a real receiver that may be down, hang, drip, redirect or die."""

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from bookshop.cli.worker import webhook_thread
from bookshop.kit.backoff import MAX_ATTEMPTS
from bookshop.kit.database import now
from bookshop.mailer.worker import MailWorker
from bookshop.web import services
from bookshop.webhooks import worker as worker_module
from bookshop.webhooks.worker import WebhookWorker
from tests.support import races
from tests.support.receiver import DRIP, DROP, FAST, HANG, HANG_IN_TLS, IMPATIENT, Receiver, closed_port
from tests.support.smtp import book_with_waiting_customers

pytestmark = pytest.mark.one_postgresql_case

NUMBER = 25
REST = timedelta(seconds=45)  # of a webhook after its first failure
PATIENT = replace(IMPATIENT, timeout=2)  # long enough for a responding receiver on a busy machine
FAULTS = [500, 404, 302, 307, DROP, HANG, HANG_IN_TLS, DRIP]


def test_a_delivery_has_a_valid_standard_webhooks_signature(webhooks, receiver):
    webhook_id = webhooks.register(receiver.url + "?from=shop", "stock.*")
    (event_id,) = webhooks.make_events(1)[-1:]
    webhooks.run_worker()
    call = receiver.calls[-1]
    assert webhooks.verify(webhook_id, call) == json.loads(call.body)
    content = json.loads(call.body)
    assert (content["type"], content["data"]["id"], content["data"]["stock_quantity"]) == ("stock.changed", event_id, 2)
    assert now() - datetime.fromisoformat(content["timestamp"]) < timedelta(minutes=1)
    assert datetime.fromisoformat(content["timestamp"]).tzinfo == UTC
    assert (call.path, call.headers["webhook-id"]) == ("/hooks?from=shop", f"evt_{event_id}")
    assert call.headers["user-agent"] == "Bookshop-Webhooks"
    assert not {"cookie", "authorization"} & set(call.headers)
    assert (webhooks.states(), webhooks.shop.broken()) == ({"delivered": 2}, [])


def test_a_tampered_delivery_fails_verification(webhooks, receiver):
    webhook_id = webhooks.register(receiver.url)
    webhooks.make_events(1)
    webhooks.run_worker()
    call = receiver.calls[0]
    with pytest.raises(WebhookVerificationError):
        webhooks.verify(webhook_id, call._replace(body=call.body.replace(b'"id":1', b'"id":2')))
    with pytest.raises(WebhookVerificationError):
        Verifier("whsec_" + "A" * 32).verify(call.body, call.headers)


def test_a_webhook_receives_only_its_kinds_and_only_new_events(webhooks, receiver):
    webhooks.make_events(3)
    webhooks.register(receiver.url, "order.*", "prebooking.created")
    ada, emma = webhooks.shop.customer(), webhooks.shop.book()
    webhooks.shop.reserve(ada, emma)
    webhooks.shop.set_stock(emma, 1)
    webhooks.shop.order(ada, {emma: 1})
    webhooks.run_worker()
    assert [json.loads(call.body)["type"] for call in receiver.calls] == ["prebooking.created", "order.placed"]


def test_many_events_are_delivered_once_each_in_feed_order(webhooks, receiver):
    webhooks.make_events(1)
    webhooks.register(receiver.url)
    ids = webhooks.make_events(NUMBER)
    workers = races.run_concurrently([webhooks.run_worker] * 4)
    assert receiver.event_ids == ids
    assert sum(worker.outcomes["delivered"] for worker in workers) == NUMBER


@pytest.mark.parametrize("fault", FAULTS)
def test_a_failing_receiver_that_recovers_misses_nothing(webhooks, receiver, authority, fault):
    """And redirects are not followed."""
    webhooks.make_events(1)
    webhook_id, ids = webhooks.register(receiver.url), webhooks.make_events(3)
    with Receiver(authority) as elsewhere:
        receiver.fault, receiver.location = fault, elsewhere.url
        webhooks.run_worker(IMPATIENT)
        assert webhooks.states() == {"queued": 3}
        assert all(one.last_error for one in webhooks.deliveries() if one.attempts)
        receiver.fault = 200
        receiver.calls.clear()
        webhooks.make_all_due()
        webhooks.run_worker()
        assert (elsewhere.connections, elsewhere.calls) == (0, [])
    assert receiver.event_ids == ids
    assert all(webhooks.verify(webhook_id, call) for call in receiver.calls)
    assert ([(one.state, one.last_error) for one in webhooks.deliveries()], webhooks.shop.broken()) == (
        [("delivered", None)] * 3,
        [],
    )


def test_only_the_status_of_a_response_is_stored(webhooks, receiver):
    webhooks.register(receiver.url)
    webhooks.make_events(1)
    receiver.fault = 500
    webhooks.run_worker()
    one = webhooks.deliveries()[0]
    assert (one.last_status, one.last_error, one.attempts) == (500, "The receiver answered 500.", 1)


@pytest.mark.parametrize(
    "fault",
    [HANG, "down", *(pytest.param(fault, marks=pytest.mark.prove) for fault in (HANG_IN_TLS, DRIP))],
)
def test_a_dead_receiver_costs_one_attempt_and_blocks_no_other(webhooks, receiver, authority, fault):
    webhooks.make_events(1)
    with Receiver(authority) as other, closed_port() as nowhere:
        receiver.fault = fault
        dead = webhooks.register(nowhere if fault == "down" else receiver.url)
        webhooks.register(other.url)
        ids, begun = webhooks.make_events(NUMBER), now()
        webhooks.run_worker(PATIENT)
        assert other.event_ids == ids
    assert [one.attempts for one in webhooks.deliveries(dead)] == [1] + [0] * (NUMBER - 1)
    assert (receiver.connections, webhooks.states(dead)) == (0 if fault == "down" else 1, {"queued": NUMBER})
    assert begun + REST <= webhooks.webhook(dead).rests_until <= now() + REST


def test_a_hanging_receiver_does_not_hold_up_other_events(webhooks, receiver):
    """After the rest, other events are delivered first."""
    webhooks.make_events(1)
    webhook_id, ids = webhooks.register(receiver.url), webhooks.make_events(NUMBER)
    receiver.faults = {ids[0]: HANG}
    webhooks.run_worker(IMPATIENT)
    rested = webhooks.webhook(webhook_id).rests_until
    webhooks.shop.execute("UPDATE webhooks SET rests_until = created_at")
    assert rested < webhooks.deliveries()[0].next_attempt_at
    webhooks.run_worker()
    assert receiver.event_ids == ids
    assert webhooks.states() == {"queued": 1, "delivered": NUMBER - 1}
    assert (webhooks.webhook(webhook_id).misses, webhooks.webhook(webhook_id).rests_until) == (0, None)


def test_a_receiver_with_an_untrusted_certificate_is_sent_nothing(webhooks, receiver):
    with Receiver(trustme.CA()) as impostor:
        webhooks.register(impostor.url)
        webhooks.make_events(1)
        webhooks.run_worker()
        assert impostor.calls == []
    assert "certificate verify failed" in str(webhooks.deliveries()[0].last_error)


def test_410_ends_a_delivery_at_once(webhooks, receiver):
    webhooks.register(receiver.url)
    webhooks.make_events(1)
    receiver.fault = 410
    webhooks.run_worker()
    assert [(one.state, one.attempts) for one in webhooks.deliveries()] == [("failed", 1)] * 3


@pytest.mark.parametrize("fault", [500, DROP, HANG])
def test_a_delivery_fails_after_3_days(webhooks, receiver, fault):
    webhooks.make_events(1)
    webhooks.register(receiver.url)
    webhooks.make_events(1)
    receiver.fault = fault
    webhooks.run_worker(IMPATIENT)
    webhooks.shop.execute("UPDATE webhook_deliveries SET attempts = :attempts", attempts=MAX_ATTEMPTS - 1)
    webhooks.make_all_due()
    webhooks.run_worker(IMPATIENT)
    (one,) = webhooks.deliveries()
    assert (one.state, one.attempts) == ("failed", MAX_ATTEMPTS)
    assert str(one.last_error).startswith("Given up after 3 days. The receiver ")


def test_deliveries_expire_after_3_days_of_an_unreachable_receiver(webhooks):
    webhooks.make_events(1)
    with closed_port() as nowhere:
        webhooks.register(nowhere)
        webhooks.make_events(4)
        webhooks.run_worker()
        webhooks.shop.execute("UPDATE webhooks SET misses = :misses", misses=MAX_ATTEMPTS - 1)
        webhooks.shop.execute(
            "UPDATE webhook_deliveries SET queued_at = :old WHERE id < 4", old=now() - timedelta(days=4)
        )
        webhooks.make_all_due()
        webhooks.run_worker()
    assert [one.state for one in webhooks.deliveries()] == ["failed", "failed", "failed", "queued"]
    assert str(webhooks.deliveries()[1].last_error).startswith(
        "Given up after 3 days. The receiver could not be reached"
    )


def test_a_webhook_deleted_during_a_call_disappears_with_its_log(webhooks, receiver):
    webhooks.make_events(1)
    webhook_id = webhooks.register(receiver.url)
    webhooks.make_events(3)
    receiver.fault = HANG
    working = threading.Thread(target=webhooks.run_worker)
    working.start()
    assert receiver.hangs.wait(races.LONG)
    webhooks.shop.commit(lambda: services.webhooks().delete(webhook_id))
    receiver.fault = 200
    working.join(races.LONG)
    assert (webhooks.deliveries(), len(receiver.calls), webhooks.shop.broken()) == ([], 1, [])


def test_a_stopping_worker_finishes_its_delivery_and_releases_the_others(webhooks, receiver):
    webhooks.make_events(1)
    webhooks.register(receiver.url)
    ids = webhooks.make_events(3)
    receiver.fault, worker = HANG, WebhookWorker(FAST)
    working = threading.Thread(target=webhooks.run_worker, kwargs={"worker": worker})
    working.start()
    assert receiver.hangs.wait(races.LONG)
    worker.stop()
    receiver.fault = 200
    working.join(races.LONG)
    assert [(one.state, one.attempts) for one in webhooks.deliveries()][1:] == [("queued", 0)] * 2
    webhooks.make_all_due()
    webhooks.run_worker()
    assert set(receiver.event_ids) == set(ids)


def test_e_mail_is_sent_while_a_webhook_receiver_hangs(app, webhooks, receiver, mail_queue, smtp_server):
    webhooks.register(receiver.url)
    emails = webhooks.shop.set_stock(book_with_waiting_customers(webhooks.shop, 5), 1)
    receiver.fault = HANG
    mail, calls = MailWorker(), WebhookWorker(FAST)
    with app.app_context(), webhook_thread(mail, calls, once=False):
        assert receiver.hangs.wait(races.LONG)
        assert mail.run_once()
        assert (smtp_server.recipients, len(receiver.calls)) == (dict.fromkeys(emails, 1), 1)
        receiver.fault = 200
    assert calls.stopping


def test_an_unexpected_webhook_error_stops_the_worker(app, webhooks, monkeypatch):
    """So that the system restarts it."""

    def fails(_self):
        raise LookupError("unexpected")

    monkeypatch.setattr(WebhookWorker, "send_batch", fails)
    mail = MailWorker()
    with app.app_context(), pytest.raises(LookupError), webhook_thread(mail, WebhookWorker(), once=False):
        mail.run()
    assert mail.stopping


def test_an_unwritable_message_does_not_block_the_others(webhooks, receiver, monkeypatch):
    webhooks.make_events(1)
    webhooks.register(receiver.url)
    ids = webhooks.make_events(3)
    body_of = worker_module.body_of

    def written(found):
        if found.position == ids[0]:
            raise LookupError("unexpected")
        return body_of(found)

    monkeypatch.setattr(worker_module, "body_of", written)
    webhooks.run_worker()
    assert (receiver.event_ids, webhooks.states()) == (ids[1:], {"queued": 1, "delivered": 2})
    assert webhooks.deliveries()[0].last_error == "The request could not be prepared: unexpected"


def test_proxy_environment_variables_are_ignored(webhooks, receiver, monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    webhooks.register(receiver.url)
    webhooks.make_events(1)
    webhooks.run_worker()
    assert webhooks.states() == {"delivered": 3}
