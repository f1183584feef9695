"""Limit the e-mails that anybody can have sent to an address, so that no inbox is flooded."""

import re

from sqlalchemy.orm import Session

from bookshop.throttle.service import ThrottleService

INTERVAL = 5 * 60  # seconds between two e-mails
DAY, DAILY = 24 * 3600, 5
SUB_ADDRESS = re.compile(r"\+[^@]*@")  # ada+books@example.com is the mailbox of ada@example.com (RFC 5233)


class MailAllowance:
    """Counts the e-mails to each recipient, across all accounts and reasons; never commits.

    Messages about the recipient's own orders and alerts, and security notices, do not count, except acknowledgements
    of a return that are sent again.
    """

    def __init__(self, session: Session, secret: str) -> None:
        self.throttle = ThrottleService(session, secret)

    def take(self, email_key: str, device: str = "") -> bool:
        """Use up one e-mail to this address; returns False if it already had one in 5 minutes, or 5 in 24 hours.

        A `device` on which its account has logged in before has 5 minutes of its own, and all such devices together
        have 5 e-mails of their own, so that strangers cannot use up the owner's. Locks the address's counters until the
        transaction ends.
        """
        # A device has a new id after each login, which must not bring new e-mails.
        return self._take(f"mail to {_mailbox(email_key)}", device, "known devices" if device else "others")

    def take_invitation(self, email_key: str) -> bool:
        """Use up one invitation to this address; returns False if it already had one in 5 minutes, or 5 in 24 hours.

        Invitations are counted apart from other e-mails, because a colleague who reads one asks for a login link at
        once. Locks the address's counters for invitations until the transaction ends.
        """
        return self._take(f"invitation to {_mailbox(email_key)}", "", "all")

    def _take(self, key: str, device: str, whose: str) -> bool:
        if self.throttle.count(f"{key} {device}", INTERVAL) > 1:
            return False
        # One counter for each e-mail of the day, free again 24 hours after it: never more than 5 in any 24 hours.
        return any(self.throttle.count(f"{key} for {whose} {number}", DAY) == 1 for number in range(DAILY))


def _mailbox(email_key: str) -> str:
    return SUB_ADDRESS.sub("@", email_key)
