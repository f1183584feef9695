"""JSON schemas of webhooks."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from bookshop.events.kinds import NAMES, NAMES_MAX, expand_kinds
from bookshop.web.schemas import Body, PageQuery, schema_pattern
from bookshop.webhooks.addresses import URL_MAX
from bookshop.webhooks.models import Webhook
from bookshop.webhooks.service import WebhookStatus

State = Literal["queued", "sending", "delivered", "failed"]


def _known(name: str) -> str:
    expand_kinds([name])
    return name


Kind = Annotated[str, AfterValidator(_known), Field(json_schema_extra={"enum": list(NAMES)})]


class NewWebhook(Body):
    """An https address and the kinds of events that it receives: `stock.changed`, `order.*`, or `*` for all."""

    url: Annotated[str, Field(min_length=1, max_length=URL_MAX), schema_pattern("^https://[!-~]+$")]
    kinds: Annotated[list[Kind], Field(min_length=1, max_length=NAMES_MAX)]


class WebhookOut(BaseModel):
    """A webhook. While its receiver cannot be reached, nothing is sent until `rests_until`."""

    id: int
    url: str
    kinds: list[str]
    rests_until: datetime | None
    created_at: datetime


class WebhookWithSecretOut(WebhookOut):
    """A webhook with the secret that its receiver needs to verify signatures."""

    secret: str


class ListedWebhookOut(WebhookOut):
    """A webhook with the number of waiting and failed deliveries and their last error."""

    waiting: int
    failed: int
    last_error: str | None


class DeliveryQuery(PageQuery):
    """The deliveries in one state, or all."""

    state: State | None = None


class DeliveryOut(BaseModel):
    """One event for one webhook; `event_id` is its `id` in the feed, `last_status` the last response's HTTP status."""

    id: int
    event_id: int
    kind: str
    state: State
    attempts: int
    next_attempt_at: datetime | None
    last_status: int | None
    last_error: str | None
    queued_at: datetime
    delivered_at: datetime | None


def webhook_out(webhook: Webhook) -> WebhookWithSecretOut:
    """Convert a webhook to JSON with its secret."""
    return WebhookWithSecretOut(secret=webhook.secret, **_members(webhook))


def listed_out(status: WebhookStatus) -> ListedWebhookOut:
    """Convert a webhook and its status to JSON, without its secret."""
    members = {name: getattr(status, name) for name in ("waiting", "failed", "last_error")}
    return ListedWebhookOut(**_members(status.webhook), **members)


def _members(webhook: Webhook) -> dict[str, Any]:
    members = {name: getattr(webhook, name) for name in WebhookOut.model_fields if name != "kinds"}
    return {**members, "kinds": webhook.kind_names}


def delivery_out(row: Any) -> DeliveryOut:
    """Convert a row of WebhookRepository.list_deliveries to JSON."""
    delivery = row.Delivery
    names = ("id", "state", "attempts", "last_status", "last_error", "queued_at", "delivered_at")
    members = {name: getattr(delivery, name) for name in names}
    due = delivery.next_attempt_at if delivery.state == "queued" else None
    return DeliveryOut(event_id=row.position, kind=row.kind, next_attempt_at=due, **members)
