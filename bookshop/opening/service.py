"""A new shop gets its details and its first owner in one transaction, from a command or with a code from the log."""

import base64
import hmac
from collections.abc import Mapping
from typing import Any

from sqlalchemy.orm import Session

from bookshop.accounts.models import OWNER, User
from bookshop.accounts.service import AccountService
from bookshop.audit.service import AuditService
from bookshop.kit.exceptions import Conflict, WrongPassword
from bookshop.opening.repository import OpeningRepository
from bookshop.shop.service import ShopService

CODE_BYTES = 10  # 80 bits, as 16 characters of base 32
GROUP = 4  # characters of the code between two hyphens
MAIL = "mail"  # the check that an e-mail has arrived
WRONG_CODE = "This is not the code. Copy it from the last line about it in the server's log."
HAS_OWNER = "This shop has an owner already. Log in, or ask an owner to add you to the staff."


class OpeningService:
    """Opens a new shop and remembers the checks that have passed; never commits."""

    def __init__(self, session: Session, secret: str, accounts: AccountService, shop: ShopService) -> None:
        self.opening = OpeningRepository(session)
        self.secret = secret.encode()
        self.accounts = accounts
        self.shop = shop
        self.audit = AuditService(session)

    def is_new(self) -> bool:
        """Whether nobody has an account yet, so that the shop can only be set up."""
        return not self.opening.has_users()

    def code(self) -> str:
        """Return the code that the log shows: the same in every process and on every machine of the shop."""
        digest = hmac.digest(self.secret, b"set up a new shop", "sha256")[:CODE_BYTES]
        letters = base64.b32encode(digest).decode()
        return "-".join(letters[start : start + GROUP] for start in range(0, len(letters), GROUP))

    def check_code(self, typed: str) -> None:
        """Raise WrongPassword unless this is the code, in capitals or not, with or without hyphens."""
        letters = "".join(typed.upper().replace("-", " ").split())
        if not hmac.compare_digest(letters.encode("utf-8", "surrogateescape"), self.code().replace("-", "").encode()):
            raise WrongPassword(WRONG_CODE, "code")

    def create(self, details: Mapping[str, Any], email: str, password: str | None, *, by_owner: bool = False) -> User:
        """Enter the shop's details and create its first owner, whose address counts as confirmed.

        `by_owner` tells the audit log that they do this themselves, not a command. Locks the first owner: of two who do
        this at once, one gets the shop. Raises Conflict if there is an owner, or what AccountService.register raises.
        """
        self.opening.lock()
        if self.opening.has_owner():
            raise Conflict(HAS_OWNER, "SHOP_HAS_OWNER")
        owner = self.accounts.register(email, password, OWNER)
        self.shop.change(details, self.shop.read().version)
        self.audit.record("shop.created", None, after={"owner": owner.id}, by=owner.id if by_owner else None)
        return owner

    def record_passed(self, name: str, fingerprint: str) -> None:
        """Record that a check has passed, for the settings with this fingerprint."""
        self.opening.record_passed(name, fingerprint)
        self.audit.record("shop.checked", None, after={"check": name})
