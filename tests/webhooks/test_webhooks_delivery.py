"""Webhooks, from the event to a real receiver that may be away, hang, drip, redirect or die."""

import json
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import trustme
from standardwebhooks import Webhook as Verifier
from standardwebhooks import WebhookVerificationError

from bookshop.cli.worker import beside
from bookshop.kit.backoff import MOST_ATTEMPTS
from bookshop.kit.database import now
from bookshop.mailer.worker import Worker
from bookshop.web import services
from bookshop.webhooks import worker as worker_module
from bookshop.webhooks.worker import WebhookWorker
from tests.support import races
from tests.support.receiver import DRIP, DROP, HANG, HANG_IN_TLS, HASTY, QUICK, Receiver, closed_port
from tests.support.smtp import waiting

pytestmark = pytest.mark.one_postgresql_case

NUMBER = 25
REST = timedelta(seconds=45)  # of a webhook after its first miss
PATIENT = replace(HASTY, timeout=2)  # where one receiver never answers and another does, on a busy machine too
FAULTS = [500, 404, 302, 307, DROP, HANG, HANG_IN_TLS, DRIP]


def test_an_event_is_delivered_signed_as_the_library_of_receivers_verifies_it(hooks, receiver):
    webhook_id = hooks.register(receiver.url + "?from=shop", "stock.*")
    (event_id,) = hooks.happen(1)[-1:]
    hooks.work()
    call = receiver.calls[-1]
    assert hooks.verify(webhook_id, call) == json.loads(call.body)
    said = json.loads(call.body)
    assert (said["type"], said["data"]["id"], said["data"]["stock_quantity"]) == ("stock.changed", event_id, 2)
    assert now() - datetime.fromisoformat(said["timestamp"]) < timedelta(minutes=1)
    assert datetime.fromisoformat(said["timestamp"]).tzinfo == UTC
    assert (call.path, call.headers["webhook-id"]) == ("/hooks?from=shop", f"evt_{event_id}")
    assert call.headers["user-agent"] == "Bookshop-Webhooks"
    assert not {"cookie", "authorization"} & set(call.headers)
    assert (hooks.states(), hooks.shop.broken()) == ({"delivered": 2}, [])


def test_what_was_changed_on_the_way_is_not_verified(hooks, receiver):
    webhook_id = hooks.register(receiver.url)
    hooks.happen(1)
    hooks.work()
    call = receiver.calls[0]
    with pytest.raises(WebhookVerificationError):
        hooks.verify(webhook_id, call._replace(body=call.body.replace(b'"id":1', b'"id":2')))
    with pytest.raises(WebhookVerificationError):
        Verifier("whsec_" + "A" * 32).verify(call.body, call.headers)


def test_a_webhook_is_told_of_its_kinds_alone_and_of_nothing_that_was_before_it(hooks, receiver):
    hooks.happen(3)
    hooks.register(receiver.url, "order.*", "prebooking.created")
    ada, emma = hooks.shop.customer(), hooks.shop.book()
    hooks.shop.reserve(ada, emma)
    hooks.shop.set_stock(emma, 1)
    hooks.shop.order(ada, {emma: 1})
    hooks.work()
    assert [json.loads(call.body)["type"] for call in receiver.calls] == ["prebooking.created", "order.placed"]


def test_each_of_many_is_delivered_once_and_in_the_order_of_the_feed(hooks, receiver):
    hooks.happen(1)
    hooks.register(receiver.url)
    ids = hooks.happen(NUMBER)
    workers = races.together([hooks.work] * 4)
    assert receiver.event_ids == ids
    assert sum(worker.done["delivered"] for worker in workers) == NUMBER


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_lost_with_a_receiver_that_fails_and_recovers(hooks, receiver, authority, fault):
    """And nothing is sent to where a redirect leads."""
    hooks.happen(1)
    webhook_id, ids = hooks.register(receiver.url), hooks.happen(3)
    with Receiver(authority) as elsewhere:
        receiver.fault, receiver.location = fault, elsewhere.url
        hooks.work(HASTY)
        assert hooks.states() == {"queued": 3}
        assert all(one.last_error for one in hooks.deliveries() if one.attempts)
        receiver.fault = 200
        receiver.calls.clear()
        hooks.end_the_wait()
        hooks.work()
        assert (elsewhere.connections, elsewhere.calls) == (0, [])
    assert receiver.event_ids == ids
    assert all(hooks.verify(webhook_id, call) for call in receiver.calls)
    assert ([(one.state, one.last_error) for one in hooks.deliveries()], hooks.shop.broken()) == (
        [("delivered", None)] * 3,
        [],
    )


def test_nothing_of_an_answer_is_kept_but_its_status(hooks, receiver):
    hooks.register(receiver.url)
    hooks.happen(1)
    receiver.fault = 500
    hooks.work()
    one = hooks.deliveries()[0]
    assert (one.last_status, one.last_error, one.attempts) == (500, "The receiver answered 500.", 1)


@pytest.mark.parametrize(
    "fault",
    [HANG, "down", *(pytest.param(fault, marks=pytest.mark.prove) for fault in (HANG_IN_TLS, DRIP))],
)
def test_a_receiver_that_is_dead_costs_one_attempt_and_keeps_no_other(hooks, receiver, authority, fault):
    hooks.happen(1)
    with Receiver(authority) as other, closed_port() as nowhere:
        receiver.fault = fault
        dead = hooks.register(nowhere if fault == "down" else receiver.url)
        hooks.register(other.url)
        ids, begun = hooks.happen(NUMBER), now()
        hooks.work(PATIENT)
        assert other.event_ids == ids
    assert [one.attempts for one in hooks.deliveries(dead)] == [1] + [0] * (NUMBER - 1)
    assert (receiver.connections, hooks.states(dead)) == (0 if fault == "down" else 1, {"queued": NUMBER})
    assert begun + REST <= hooks.webhook(dead).rests_until <= now() + REST


def test_an_event_at_which_a_receiver_hangs_does_not_hold_up_the_others(hooks, receiver):
    """After the rest, the others go first."""
    hooks.happen(1)
    webhook_id, ids = hooks.register(receiver.url), hooks.happen(NUMBER)
    receiver.faults = {ids[0]: HANG}
    hooks.work(HASTY)
    rested = hooks.webhook(webhook_id).rests_until
    hooks.shop.execute("UPDATE webhooks SET rests_until = created_at")
    assert rested < hooks.deliveries()[0].next_attempt_at
    hooks.work()
    assert receiver.event_ids == ids
    assert hooks.states() == {"queued": 1, "delivered": NUMBER - 1}
    assert (hooks.webhook(webhook_id).misses, hooks.webhook(webhook_id).rests_until) == (0, None)


def test_a_certificate_that_nobody_vouches_for_is_not_talked_to(hooks, receiver):
    with Receiver(trustme.CA()) as impostor:
        hooks.register(impostor.url)
        hooks.happen(1)
        hooks.work()
        assert impostor.calls == []
    assert "certificate verify failed" in str(hooks.deliveries()[0].last_error)


def test_410_ends_a_delivery_at_once(hooks, receiver):
    hooks.register(receiver.url)
    hooks.happen(1)
    receiver.fault = 410
    hooks.work()
    assert [(one.state, one.attempts) for one in hooks.deliveries()] == [("failed", 1)] * 3


@pytest.mark.parametrize("fault", [500, DROP, HANG])
def test_after_3_days_a_delivery_has_failed(hooks, receiver, fault):
    hooks.happen(1)
    hooks.register(receiver.url)
    hooks.happen(1)
    receiver.fault = fault
    hooks.work(HASTY)
    hooks.shop.execute("UPDATE webhook_deliveries SET attempts = :attempts", attempts=MOST_ATTEMPTS - 1)
    hooks.end_the_wait()
    hooks.work(HASTY)
    (one,) = hooks.deliveries()
    assert (one.state, one.attempts) == ("failed", MOST_ATTEMPTS)
    assert str(one.last_error).startswith("Given up after 3 days. The receiver ")


def test_what_has_waited_for_3_days_for_a_receiver_that_was_away_as_long_is_given_up_with_it(hooks):
    hooks.happen(1)
    with closed_port() as nowhere:
        hooks.register(nowhere)
        hooks.happen(4)
        hooks.work()
        hooks.shop.execute("UPDATE webhooks SET misses = :misses", misses=MOST_ATTEMPTS - 1)
        hooks.shop.execute("UPDATE webhook_deliveries SET queued_at = :old WHERE id < 4", old=now() - timedelta(days=4))
        hooks.end_the_wait()
        hooks.work()
    assert [one.state for one in hooks.deliveries()] == ["failed", "failed", "failed", "queued"]
    assert str(hooks.deliveries()[1].last_error).startswith("Given up after 3 days. The receiver could not be reached")


def test_a_webhook_that_is_deleted_while_it_is_called_is_gone_with_its_log(hooks, receiver):
    hooks.happen(1)
    webhook_id = hooks.register(receiver.url)
    hooks.happen(3)
    receiver.fault = HANG
    working = threading.Thread(target=hooks.work)
    working.start()
    assert receiver.hangs.wait(races.LONG)
    hooks.shop.commit(lambda: services.webhooks().delete(webhook_id))
    receiver.fault = 200
    working.join(races.LONG)
    assert (hooks.deliveries(), len(receiver.calls), hooks.shop.broken()) == ([], 1, [])


def test_who_is_told_to_stop_finishes_the_delivery_in_hand_and_gives_back_the_others(hooks, receiver):
    hooks.happen(1)
    hooks.register(receiver.url)
    ids = hooks.happen(3)
    receiver.fault, worker = HANG, WebhookWorker(QUICK)
    working = threading.Thread(target=hooks.work, kwargs={"worker": worker})
    working.start()
    assert receiver.hangs.wait(races.LONG)
    worker.stop()
    receiver.fault = 200
    working.join(races.LONG)
    assert [(one.state, one.attempts) for one in hooks.deliveries()][1:] == [("queued", 0)] * 2
    hooks.end_the_wait()
    hooks.work()
    assert set(receiver.event_ids) == set(ids)


def test_e_mail_leaves_while_a_receiver_hangs(app, hooks, receiver, post, sink):
    hooks.register(receiver.url)
    emails = hooks.shop.set_stock(waiting(hooks.shop, 5), 1)
    receiver.fault = HANG
    mail, calls = Worker(), WebhookWorker(QUICK)
    with app.app_context(), beside(mail, calls, once=False):
        assert receiver.hangs.wait(races.LONG)
        assert mail.run_once()
        assert (sink.recipients, len(receiver.calls)) == (dict.fromkeys(emails, 1), 1)
        receiver.fault = 200
    assert calls.stopping


def test_what_ends_the_calls_ends_the_worker(app, hooks, monkeypatch):
    """So that the system starts it again."""

    def fails(_self):
        raise LookupError("nobody foresaw this")

    monkeypatch.setattr(WebhookWorker, "send_batch", fails)
    mail = Worker()
    with app.app_context(), pytest.raises(LookupError), beside(mail, WebhookWorker(), once=False):
        mail.run()
    assert mail.stopping


def test_what_cannot_be_written_does_not_keep_the_others(hooks, receiver, monkeypatch):
    hooks.happen(1)
    hooks.register(receiver.url)
    ids = hooks.happen(3)
    body_of = worker_module.body_of

    def written(found):
        if found.position == ids[0]:
            raise LookupError("nobody foresaw this")
        return body_of(found)

    monkeypatch.setattr(worker_module, "body_of", written)
    hooks.work()
    assert (receiver.event_ids, hooks.states()) == (ids[1:], {"queued": 1, "delivered": 2})
    assert hooks.deliveries()[0].last_error == "It cannot be written: nobody foresaw this"


def test_proxies_of_the_environment_are_not_used(hooks, receiver, monkeypatch):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    hooks.register(receiver.url)
    hooks.happen(1)
    hooks.work()
    assert hooks.states() == {"delivered": 3}
