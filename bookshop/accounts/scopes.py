"""The scopes of API tokens, in the notation of OAuth 2.0 (RFC 6749, section 3.3)."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from bookshop.accounts.models import CUSTOMER, STAFF_ROLES
from bookshop.kit.exceptions import Invalid

CATALOG_READ = "catalog:read"  # open to everyone, so every token has it
PREBOOKINGS = "prebookings"
ORDERS = "orders"
STOCK_WRITE = "stock:write"
CATALOG_WRITE = "catalog:write"
REPORTS_READ = "reports:read"
WEBHOOKS = "webhooks"


class Scope(NamedTuple):
    """What a scope allows, in words, and the roles that may have it."""

    words: str
    roles: Collection[str]


SCOPES: Mapping[str, Scope] = {
    CATALOG_READ: Scope("read the catalogue", (CUSTOMER, *STAFF_ROLES)),
    PREBOOKINGS: Scope("reserve books; list and cancel reservations", (CUSTOMER,)),
    ORDERS: Scope(
        "fill the cart, place and cancel orders; for staff: list orders and change their state",
        (CUSTOMER, *STAFF_ROLES),
    ),
    STOCK_WRITE: Scope("change stock", STAFF_ROLES),
    CATALOG_WRITE: Scope("add and edit books", STAFF_ROLES),
    REPORTS_READ: Scope("read stock movements, waiting reservations, demand and events", STAFF_ROLES),
    WEBHOOKS: Scope("register webhooks for events", STAFF_ROLES),
}


def scopes_of(role: str) -> list[str]:
    """Return all scopes that a user with this role may give a token."""
    return [name for name, scope in SCOPES.items() if role in scope.roles]


def chosen_scopes(role: str, names: Collection[str] | None) -> str:
    """Return scopes as a token stores them, in a fixed order and with `catalog:read`; if None, all of the role's.

    Raises Invalid for a scope that is unknown or not for this role.
    """
    allowed = scopes_of(role)
    chosen = set(allowed if names is None else names) | {CATALOG_READ}
    if wrong := sorted(chosen - set(allowed)):
        raise Invalid(f"This account cannot use the scope '{wrong[0]}'. Choose from {', '.join(allowed)}.", "scopes")
    return " ".join(name for name in allowed if name in chosen)
