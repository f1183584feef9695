"""The JSON API of webhooks."""

from flask import Response, url_for

from bookshop.accounts.scopes import WEBHOOKS
from bookshop.kit.pagination import page_of_rows
from bookshop.web import services
from bookshop.web.access import current_identity, fresh_login_required, staff_required
from bookshop.web.contract import contract, json_response, list_response, page_request
from bookshop.web.schemas import ListOf, PageQuery
from bookshop.webhooks import bp
from bookshop.webhooks.schemas import (
    DeliveryOut,
    DeliveryQuery,
    ListedWebhookOut,
    NewWebhook,
    WebhookWithSecretOut,
    delivery_out,
    listed_out,
    webhook_out,
)

REDELIVER_PROBLEMS = ("WEBHOOK_NOT_FOUND", "WEBHOOK_DELIVERY_NOT_FOUND", "WEBHOOK_DELIVERY_SENDING")
COMMON = {"tag": "Webhooks", "scope": WEBHOOKS}
WEBHOOK = "/api/v1/webhooks/<int:webhook_id>"


@bp.post("/api/v1/webhooks")
@staff_required
@fresh_login_required
@contract("WEBHOOK_LIMIT", **COMMON, HTTP_201=WebhookWithSecretOut)
def api_register(json: NewWebhook) -> Response:
    """Register an https address that receives events from now on; the response has the secret for signatures."""
    webhook_id = services.register_webhook(current_identity().user_id, json.url, json.kinds)
    location = url_for("webhooks.api_webhook", webhook_id=webhook_id)
    return json_response(webhook_out(services.webhooks().get(webhook_id)), 201, {"Location": location})


@bp.get("/api/v1/webhooks")
@staff_required
@contract(**COMMON, HTTP_200=ListOf[ListedWebhookOut])
def api_webhooks(query: PageQuery) -> Response:
    """List all webhooks, oldest first, without their secrets."""
    found = page_of_rows(
        {status.webhook.id: status for status in services.webhooks().list_all()}, page_request(query), query.size
    )
    return list_response(found, [listed_out(status) for status in found.items])


@bp.get(WEBHOOK)
@staff_required
@fresh_login_required
@contract("WEBHOOK_NOT_FOUND", **COMMON, HTTP_200=WebhookWithSecretOut)
def api_webhook(webhook_id: int) -> Response:
    """Show a webhook with its secret."""
    return json_response(webhook_out(services.webhooks().get(webhook_id)))


@bp.delete(WEBHOOK)
@staff_required
@fresh_login_required
@contract("WEBHOOK_NOT_FOUND", **COMMON, HTTP_204=None)
def api_delete(webhook_id: int) -> Response:
    """Delete a webhook, its queued deliveries and its log."""
    services.commit(lambda: services.webhooks().delete(webhook_id))
    return Response(status=204)


@bp.get(f"{WEBHOOK}/deliveries")
@staff_required
@contract("WEBHOOK_NOT_FOUND", **COMMON, HTTP_200=ListOf[DeliveryOut])
def api_deliveries(webhook_id: int, query: DeliveryQuery) -> Response:
    """List the deliveries of a webhook, newest first."""
    states = [query.state] if query.state else []
    found = services.webhooks().list_deliveries(webhook_id, states, page_request(query), query.size)
    return list_response(found, [delivery_out(row) for row in found.items])


@bp.post(f"{WEBHOOK}/deliveries/<int:delivery_id>/redeliver")
@staff_required
@fresh_login_required
@contract(*REDELIVER_PROBLEMS, **COMMON, HTTP_200=DeliveryOut)
def api_redeliver(webhook_id: int, delivery_id: int) -> Response:
    """Queue a delivery for immediate sending, whether it failed, is queued or was delivered before."""
    return json_response(delivery_out(services.commit(lambda: services.webhooks().redeliver(webhook_id, delivery_id))))
