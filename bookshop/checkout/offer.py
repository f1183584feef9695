"""What a customer is shown before they order: the books, and the total for each way to get them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bookshop.cart.service import Cart
from bookshop.kit.money import Amount, totals
from bookshop.orders.models import POST
from bookshop.shop.postage import Postage


class OrderRules(NamedTuple):
    """Which orders the shop accepts: how many of a customer can be open, and for what postage; None if none by post."""

    max_open: int
    postage: Postage | None


@dataclass(frozen=True)
class Offer:
    """A cart with what the shop charges for it. `postage` is None if the shop does not post orders."""

    cart: Cart
    postage: Postage | None

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
        return Offer(self.cart.available, self.postage)

    @property
    def fingerprint(self) -> str:
        """A text that changes whenever the cart or what it costs does; the customer orders exactly this."""
        if self.postage is None:
            return self.cart.fingerprint
        charge = self.charge(POST)
        return f"{self.cart.fingerprint} post {f'{charge.cents}{charge.currency}' if charge else 'free'}"
