"""Who asks, as a cookie or a token proves it."""

from dataclasses import dataclass

from bookshop.accounts.models import CUSTOMER, STAFF


@dataclass(frozen=True)
class Identity:
    """Who asks: the user, and the login (or, for a token, none) that proves it.

    `token_to_note` is the token that proves it, if its use was not written down for an hour. Whether the address is
    confirmed, and whether the user wants no e-mail about reserved books, is told of a login only.
    """

    user_id: int
    email: str
    role: str
    login_id: str | None = None
    token_to_note: int | None = None
    email_confirmed: bool = False
    unsubscribed: bool = False

    is_authenticated = True
    is_active = True
    is_anonymous = False

    @property
    def is_staff(self) -> bool:
        """Whether this is one of the shop's staff."""
        return self.role == STAFF

    @property
    def is_customer(self) -> bool:
        """Whether this is a customer."""
        return self.role == CUSTOMER

    @property
    def gets_alerts(self) -> bool:
        """Whether e-mail about reserved books that are back goes out to this user."""
        return self.email_confirmed and not self.unsubscribed

    def get_id(self) -> str | None:
        """What Flask-Login keeps in the cookie: the login's random id, so that deleting its row ends it."""
        return self.login_id
