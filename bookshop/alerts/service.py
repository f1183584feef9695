"""Restock alerts: queued when customers are notified, stopped when the book is sold out, queued again later."""

import secrets
from collections import Counter
from collections.abc import Collection

from sqlalchemy.orm import Session

from bookshop.alerts.repository import AlertRepository
from bookshop.inventory.service import Notified
from bookshop.shop.service import ShopService


class AlertService:
    """Queues and stops restock alerts in the caller's transaction; never commits.

    `host` is the domain of the Message-IDs. How long alerts wait before they may be sent is one of the shop's details,
    which are read only when there are alerts.
    """

    def __init__(self, session: Session, host: str, shop: ShopService) -> None:
        self.alerts = AlertRepository(session)
        self.host = host
        self.shop = shop

    def queue(self, notified: Notified) -> None:
        """Queue a restock alert to each customer notified by a stock change, in one statement.

        Call this in the transaction that notified them, so that there is an alert if and only if they were notified.
        Alerts for these books that were stopped as sold out are queued again and counted in `notified.again`.
        """
        if notified:
            self.alerts.insert(notified.restocks, self.shop.details.mail_delay, f".{secrets.token_hex(8)}@{self.host}>")
        if notified.restocks:
            notified.again = self.queue_again(notified.restocks.values())

    def queue_again(self, book_ids: Collection[int]) -> Counter[int]:
        """Queue again the alerts for these books that were stopped as sold out, if the book is on sale and in stock.

        Returns the count for each book. Leaves out alerts that were sent or are being sent, and those of customers who
        have bought the book, reserved it again or unsubscribed, or whose account is no longer active. The books' rows
        must be locked.
        """
        return Counter(self.alerts.queue_again(book_ids, self.shop.details.mail_delay))

    def stop(self, book_ids: Collection[int]) -> int:
        """Suppress the queued alerts for those of these books that are out of stock again; return how many.

        The reservations stay notified, and the alerts are queued again when the book is back in stock.
        """
        return self.alerts.stop(book_ids)
