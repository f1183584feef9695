"""Users, their logins, second factors, API tokens and the links in e-mails to them."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base, UtcDateTime, later, now
from bookshop.kit.text import EMAIL_MAX

USER_AGENT_MAX = 300
TOKEN_NAME_MAX = 100
SCOPES_MAX = 200
CUSTOMER, BOOKSELLER, OWNER = "customer", "bookseller", "owner"
STAFF_ROLES = (BOOKSELLER, OWNER)
LOGIN, ADDRESS, UNDO = "login", "address", "undo"  # purposes of links
RESERVE, ORDER = "reserve", "order"  # kinds of actions
NEXT_MAX = 2000


class User(Base):
    """A customer or a member of staff; deactivated users stay in the table but cannot do anything.

    Their address is confirmed, except that of an old account that was never confirmed: it cannot log in until a link
    in an e-mail confirms it.
    """

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint("role IN ('customer', 'bookseller', 'owner')", name="role"),
        CheckConstraint("(email_confirmed_at IS NULL) = never_confirmed", name="never_confirmed"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(EMAIL_MAX))
    email_key: Mapped[str] = mapped_column(String(EMAIL_MAX), unique=True)  # the address, case-folded
    password_hash: Mapped[str | None] = mapped_column(String(255))  # None: logs in with links only
    role: Mapped[str] = mapped_column(String(10), default=CUSTOMER)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    deactivated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # personal data is erased, the history stays
    email_confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # An account from before links. A column of its own, so that no new account can lack a confirmed address.
    never_confirmed: Mapped[bool] = mapped_column(server_default=false())
    unsubscribed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # wants no restock alerts
    notified_seen: Mapped[int] = mapped_column(default=0)  # how many notified pre-bookings the user has seen
    last_login_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_seen_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # of staff only, to within some minutes

    @property
    def wants_alerts(self) -> bool:
        """Whether the user wants an e-mail when a reserved book is back in stock."""
        return self.unsubscribed_at is None

    @property
    def is_staff(self) -> bool:
        """Whether the user is a member of staff."""
        return self.role in STAFF_ROLES

    @property
    def audited_id(self) -> int | None:
        """The id under which the audit log has what this user does without being logged in; None for customers."""
        return self.id if self.is_staff else None


class LoginSession(Base):
    """One login on one device. Its random id is in the signed cookie; without the row the device is logged out."""

    __tablename__ = "login_sessions"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    user_agent: Mapped[str | None] = mapped_column(String(USER_AGENT_MAX))
    confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when a password, code or link was last used
    second_factor: Mapped[bool] = mapped_column(server_default=false())  # whether it passed the second factor
    link_id: Mapped[int | None] = mapped_column(
        ForeignKey("login_links.id", ondelete="SET NULL"), unique=True, index=True
    )  # the link that it was last confirmed by


class SecondFactor(Base):
    """A user's second factor (TOTP, RFC 6238). Its secret is derived from `nonce` and the shop's secret key."""

    __tablename__ = "second_factors"

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True, autoincrement=False)
    nonce: Mapped[str] = mapped_column(String(64))
    last_step: Mapped[int] = mapped_column(default=0)  # of the last accepted code, which is never accepted again
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)


class RecoveryCode(Base):
    """A code that replaces the second factor once, stored as a keyed hash."""

    __tablename__ = "recovery_codes"

    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)


class LoginLink(Base):
    """A link in an e-mail, valid once: it logs in, changes an address, or undoes such a change.

    Its token is derived from `nonce` and the shop's secret key; only the token's SHA-256 is stored. `browser` is the
    hash of the random id of the browser that asked for it.
    """

    __tablename__ = "login_links"
    __table_args__ = (
        CheckConstraint("purpose IN ('login', 'address', 'undo')", name="purpose"),
        CheckConstraint("(purpose = 'login') = (user_id IS NULL)", name="user_id"),
        Index(None, "email_key", "browser"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    purpose: Mapped[str] = mapped_column(String(10))
    email: Mapped[str] = mapped_column(String(EMAIL_MAX))  # where it was sent; for UNDO, the former address
    email_key: Mapped[str] = mapped_column(String(EMAIL_MAX))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"), index=True)  # whose address it changes
    browser: Mapped[str] = mapped_column(String(64))
    next: Mapped[str] = mapped_column(String(NEXT_MAX))  # the page to go to afterwards
    nonce: Mapped[str] = mapped_column(String(64))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=later(0))
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # from when its lifetime counts
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # void: another link was used, for example


class LinkAction(Base):
    """What a visitor has started in a browser, and will be done when a link to the address is used there.

    `details` is JSON: the books and contact of an order.
    """

    __tablename__ = "link_actions"
    __table_args__ = (
        CheckConstraint("kind IN ('reserve', 'order')", name="kind"),
        UniqueConstraint("email_key", "browser", "kind", "book_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    email_key: Mapped[str] = mapped_column(String(EMAIL_MAX))
    browser: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(10))
    book_id: Mapped[int] = mapped_column(default=0)  # 0 for an order: one for each address and browser
    details: Mapped[str] = mapped_column(Text, default="{}")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=later(0), index=True)


class ApiToken(Base):
    """An API token for one user's account, stored as its SHA-256; the token itself is shown once."""

    __tablename__ = "api_tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str] = mapped_column(String(TOKEN_NAME_MAX))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[str] = mapped_column(String(SCOPES_MAX), server_default="")  # their names, separated by spaces
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
