"""What a token may do: its scopes, as OAuth 2.0 writes them (RFC 6749, 3.3)."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from bookshop.accounts.models import CUSTOMER, STAFF
from bookshop.kit.exceptions import Invalid

CATALOG_READ = "catalog:read"  # is open: every token has it, and so has who has none
PREBOOKINGS = "prebookings"
ORDERS = "orders"
STOCK_WRITE = "stock:write"
CATALOG_WRITE = "catalog:write"
REPORTS_READ = "reports:read"
WEBHOOKS = "webhooks"


class Scope(NamedTuple):
    """What a scope allows, in words, and to whom."""

    words: str
    roles: Collection[str]


SCOPES: Mapping[str, Scope] = {
    CATALOG_READ: Scope("read the catalogue", (CUSTOMER, STAFF)),
    PREBOOKINGS: Scope("reserve books, list and cancel reservations", (CUSTOMER,)),
    ORDERS: Scope("fill the cart, order and cancel; for staff: list orders and change their state", (CUSTOMER, STAFF)),
    STOCK_WRITE: Scope("change stocks", (STAFF,)),
    CATALOG_WRITE: Scope("add and change books", (STAFF,)),
    REPORTS_READ: Scope("read ledgers, who waits, demand and events", (STAFF,)),
    WEBHOOKS: Scope("register addresses that are told of events", (STAFF,)),
}


def scopes_of(role: str) -> list[str]:
    """All scopes that a token of such a user may have."""
    return [name for name, scope in SCOPES.items() if role in scope.roles]


def chosen_scopes(role: str, names: Collection[str] | None) -> str:
    """The scopes as a token keeps them, in one order and with those that everybody has; all of the role's if None.

    Raises Invalid for one that is unknown or not for this role.
    """
    may = scopes_of(role)
    wanted = set(may if names is None else names) | {CATALOG_READ}
    if wrong := sorted(wanted - set(may)):
        raise Invalid(f"The scope '{wrong[0]}' is not for this account; it may have {', '.join(may)}.", "scopes")
    return " ".join(name for name in may if name in wanted)
