"""The shape of webhooks in JSON."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field

from bookshop.events.kinds import NAMES, WANTED_MAX, matching
from bookshop.web.schemas import Body, PageQuery, written
from bookshop.webhooks.addresses import URL_MAX
from bookshop.webhooks.models import Webhook
from bookshop.webhooks.service import State as Listed

State = Literal["queued", "sending", "delivered", "failed"]


def _known(name: str) -> str:
    matching([name])
    return name


Kind = Annotated[str, AfterValidator(_known), Field(json_schema_extra={"enum": list(NAMES)})]


class NewWebhook(Body):
    """An https address, and the kinds of events of which it is told: `stock.changed`, `order.*`, or `*` for all."""

    url: Annotated[str, Field(min_length=1, max_length=URL_MAX), written("^https://[!-~]+$")]
    kinds: Annotated[list[Kind], Field(min_length=1, max_length=WANTED_MAX)]


class WebhookOut(BaseModel):
    """A webhook. While its receiver cannot be reached it rests until `rests_until`."""

    id: int
    url: str
    kinds: list[str]
    rests_until: datetime | None
    created_at: datetime


class WebhookWithSecretOut(WebhookOut):
    """A webhook with the secret by which its receiver verifies the signatures."""

    secret: str


class ListedWebhookOut(WebhookOut):
    """A webhook and how it goes: how many deliveries wait and how many failed, and the last error of these."""

    waiting: int
    failed: int
    last_error: str | None


class DeliveryQuery(PageQuery):
    """Which deliveries: those in a state, or all."""

    state: State | None = None


class DeliveryOut(BaseModel):
    """One event for one webhook; `event_id` is its `id` in the feed, `last_status` what the receiver answered last."""

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
    """A webhook in JSON with its secret."""
    return WebhookWithSecretOut(secret=webhook.secret, **_members(webhook))


def listed_out(found: Listed) -> ListedWebhookOut:
    """A webhook of a list in JSON."""
    members = {name: getattr(found, name) for name in ("waiting", "failed", "last_error")}
    return ListedWebhookOut(**_members(found.webhook), **members)


def _members(webhook: Webhook) -> dict[str, Any]:
    members = {name: getattr(webhook, name) for name in WebhookOut.model_fields if name != "kinds"}
    return {**members, "kinds": webhook.wanted}


def delivery_out(row: Any) -> DeliveryOut:
    """A delivery in JSON, of a row of WebhookRepository."""
    delivery = row.Delivery
    names = ("id", "state", "attempts", "last_status", "last_error", "queued_at", "delivered_at")
    members = {name: getattr(delivery, name) for name in names}
    due = delivery.next_attempt_at if delivery.state == "queued" else None
    return DeliveryOut(event_id=row.position, kind=row.kind, next_attempt_at=due, **members)
