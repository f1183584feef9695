"""A login by password or link whose code is still missing, in the cookie session.

It gives access to nothing. It expires after ten minutes, and as soon as the account's address or password changes.
"""

from time import time
from typing import NamedTuple

from flask import current_app, session

from bookshop.accounts.service import CheckedUser
from bookshop.web import services

KEY = "pending_login"
LIFETIME = 600  # seconds


class PendingLogin(NamedTuple):
    """A login that has begun at a time, as a timestamp; `link_id` is the link that was used, 0 after a password.

    `shared` is whether the login should end with the browser. The mark (`AccountService.account_mark`) is keyed for
    this purpose: that of a known device's cookie is not accepted.
    """

    email: str
    mark: str
    begun_at: int
    link_id: int = 0
    shared: bool = False

    def check(self) -> CheckedUser:
        """Return the account as it was when the login began; raises NotAuthenticated if it has changed."""
        return services.accounts().check_mark(self.email, _secret(), self.mark)


def begin(email: str, link_id: int = 0, *, shared: bool = False) -> None:
    """Remember that the right password was entered, or this link used, for the account with this address."""
    session[KEY] = [email, services.accounts().account_mark(email, _secret()), int(time()), link_id, shared]


def get() -> PendingLogin | None:
    """Return the pending login of this browser; None if there is none, or it has expired."""
    stored = session.get(KEY)
    if not isinstance(stored, list) or [type(value) for value in stored] != [str, str, int, int, bool]:
        return None
    pending = PendingLogin(*stored)
    return pending if 0 <= time() - pending.begun_at < LIFETIME else None


def end() -> None:
    """Forget the pending login."""
    session.pop(KEY, None)


def _secret() -> str:
    return "pending login " + str(current_app.secret_key)
