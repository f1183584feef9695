"""What it costs to have an order posted."""

from collections.abc import Iterable
from typing import NamedTuple

from bookshop.kit.money import Amount


class Postage(NamedTuple):
    """A flat rate in minor units of the shop's currency; `free_from` is the total of the books from which it is 0."""

    cents: int
    free_from: int | None
    currency: str

    @property
    def rate(self) -> Amount:
        """The flat rate as an amount."""
        return Amount(self.cents, self.currency)

    @property
    def free_from_amount(self) -> Amount | None:
        """The total from which postage is free, None if it never is, or always."""
        return Amount(self.free_from, self.currency) if self.cents and self.free_from is not None else None

    def charge(self, books: Iterable[Amount]) -> Amount | None:
        """Return the postage for books with these totals, None if it is free; other currencies do not count."""
        total = sum(amount.cents for amount in books if amount.currency == self.currency)
        is_free = not self.cents or (self.free_from is not None and total >= self.free_from)
        return None if is_free else self.rate
