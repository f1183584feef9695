"""Who asks, as a cookie or a token proves it."""

from dataclasses import dataclass

from bookshop.accounts.models import CUSTOMER, STAFF


@dataclass(frozen=True)
class Identity:
    """Who asks: the user, and the login (or, for a token, none) that proves it.

    `token_id` is the token that proves it, `scopes` what it may do (None for a login, which may do everything), and
    `token_to_note` the token again, if its use was not written down for an hour. Whether the address is confirmed, and
    whether the user wants no e-mail about reserved books, is told of a login only.
    """

    user_id: int
    email: str
    role: str
    login_id: str | None = None
    token_id: int | None = None
    token_to_note: int | None = None
    scopes: frozenset[str] | None = None
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

    def may(self, scope: str) -> bool:
        """Whether the login or token lets its user do what this scope is for."""
        return self.scopes is None or scope in self.scopes

    @property
    def gets_alerts(self) -> bool:
        """Whether e-mail about reserved books that are back goes out to this user."""
        return self.email_confirmed and not self.unsubscribed

    def get_id(self) -> str | None:
        """What Flask-Login keeps in the cookie: the login's random id, so that deleting its row ends it."""
        return self.login_id
