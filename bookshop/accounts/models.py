"""Users, their logins, second factors, API tokens and password reset links."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, String, false
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base, UtcDateTime, later, now
from bookshop.kit.text import EMAIL_MAX

USER_AGENT_MAX = 300
TOKEN_NAME_MAX = 100
SCOPES_MAX = 200
CUSTOMER, BOOKSELLER, OWNER = "customer", "bookseller", "owner"
STAFF_ROLES = (BOOKSELLER, OWNER)


class User(Base):
    """A customer or a member of staff; deactivated users stay in the table but cannot do anything."""

    __tablename__ = "users"
    __table_args__ = (CheckConstraint("role IN ('customer', 'bookseller', 'owner')", name="role"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(EMAIL_MAX))
    email_key: Mapped[str] = mapped_column(String(EMAIL_MAX), unique=True)  # the address, case-folded
    password_hash: Mapped[str] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(10), default=CUSTOMER)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    deactivated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # personal data is erased, the history stays
    email_confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # None: we do not know that it is theirs
    unsubscribed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # wants no restock alerts
    notified_seen: Mapped[int] = mapped_column(default=0)  # how many notified pre-bookings the user has seen
    last_login_at: Mapped[datetime | None] = mapped_column(UtcDateTime)

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
    confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # when a password or code was last entered
    second_factor: Mapped[bool] = mapped_column(server_default=false())  # whether it passed the second factor


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


class PasswordReset(Base):
    """A password reset link, valid once; only the SHA-256 of its secret is stored."""

    __tablename__ = "password_resets"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=later(0))


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
