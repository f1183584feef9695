"""Users, their logins, API tokens and password reset links."""

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from bookshop.kit.database import Base, UtcDateTime, later, now
from bookshop.kit.text import EMAIL_MAX

USER_AGENT_MAX = 300
TOKEN_NAME_MAX = 100
SCOPES_MAX = 200
CUSTOMER, STAFF = "customer", "staff"


class User(Base):
    """A customer or a member of staff; deactivated users stay in the table but cannot do anything."""

    __tablename__ = "users"
    __table_args__ = (CheckConstraint("role IN ('customer', 'staff')", name="role"),)

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

    @property
    def wants_alerts(self) -> bool:
        """Whether the user wants an e-mail when a reserved book is back in stock."""
        return self.unsubscribed_at is None


class LoginSession(Base):
    """One login on one device. Its random id is in the signed cookie; without the row the device is logged out."""

    __tablename__ = "login_sessions"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    user_agent: Mapped[str | None] = mapped_column(String(USER_AGENT_MAX))


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
