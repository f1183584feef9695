"""Restock alerts: queued with what notified their customers, stopped when the book has gone, queued again later."""

import secrets
from collections import Counter
from collections.abc import Collection

from sqlalchemy.orm import Session

from bookshop.alerts.repository import AlertRepository
from bookshop.inventory.service import Notified


class AlertService:
    """Queues and stops restock alerts in the caller's transaction; never commits.

    `host` is the domain of Message-IDs, `delay` for how many seconds alerts wait before they may be sent.
    """

    def __init__(self, session: Session, host: str, delay: int) -> None:
        self.alerts = AlertRepository(session)
        self.host = host
        self.delay = delay

    def queue(self, notified: Notified) -> None:
        """Queue a restock alert to each customer whom a change of stock notified; one statement for all.

        To be called in the transaction that notified them: so there is an alert if, and only if, they were notified.
        Alerts about these books that were stopped as gone are queued again, and counted in `notified.again`.
        """
        if notified:
            self.alerts.insert(notified.restocks, self.delay, f".{secrets.token_hex(8)}@{self.host}>")
        if notified.restocks:
            notified.again = self.queue_again(notified.restocks.values())

    def queue_again(self, book_ids: Collection[int]) -> Counter[int]:
        """Queue the alerts about these books again that were stopped as gone, if a copy can be had now.

        Returns how many of each book. Never again: an alert that was sent or is being sent, or whose customer has
        bought the book, reserved it again, unsubscribed or left. The books' rows must be locked.
        """
        return Counter(self.alerts.queue_again(book_ids, self.delay))

    def stop(self, book_ids: Collection[int]) -> int:
        """Suppress the alerts about those of these books that are out of stock again, as far as none is on its way.

        Returns how many. The reservations stay notified; the alerts are queued again when the book is back.
        """
        return self.alerts.stop(book_ids)
