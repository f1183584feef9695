"""What a customer is shown before they order: the books, and the total for each way to get them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from bookshop.cart.service import Cart
from bookshop.kit.money import Amount, totals
from bookshop.orders.models import POST
from bookshop.shop.models import TO_PAY
from bookshop.shop.postage import Postage


class OrderRules(NamedTuple):
    """Which orders the shop accepts: how many of a customer can be open, the postage (None if it posts none), and
    whether customers reserve or owe what they order (TO_RESERVE or TO_PAY).
    """

    max_open: int
    postage: Postage | None
    wording: str


@dataclass(frozen=True)
class Offer:
    """A cart with what the shop charges for it, and what ordering it means; see OrderRules."""

    cart: Cart
    postage: Postage | None
    wording: str

    def charge(self, delivery: str) -> Amount | None:
        """Return the postage, None if there is none to pay."""
        return self.postage.charge(self.cart.totals) if self.postage and delivery == POST else None

    def totals(self, delivery: str) -> Sequence[Amount]:
        """Return what the customer would pay: books and postage, one amount per currency."""
        charge = self.charge(delivery)
        return totals([*self.cart.totals, charge]) if charge else self.cart.totals

    @property
    def available(self) -> "Offer":
        """The part that can be ordered now; see `Cart.available`."""
        return replace(self, cart=self.cart.available)

    @property
    def fingerprint(self) -> str:
        """A text that changes whenever the cart, its cost or the wording does; the customer orders exactly this."""
        parts = [self.cart.fingerprint]
        if self.wording == TO_PAY:
            parts.append(self.wording)
        if self.postage:
            charge = self.charge(POST)
            parts.append(f"post {charge.cents}{charge.currency}" if charge else "post free")
        return " ".join(parts)
