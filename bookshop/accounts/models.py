"""Users, their logins on devices, their API tokens, and the links with which they get a new password."""

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
    """A customer or a member of staff; deactivated users stay, but can do nothing."""

    __tablename__ = "users"
    __table_args__ = (CheckConstraint("role IN ('customer', 'staff')", name="role"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(String(EMAIL_MAX))
    email_key: Mapped[str] = mapped_column(String(EMAIL_MAX), unique=True)  # the address without regard to case
    password_hash: Mapped[str] = mapped_column(String(255))
    role: Mapped[str] = mapped_column(String(10), default=CUSTOMER)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    deactivated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # the person is forgotten, what happened is kept
    email_confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # else nobody knows whose address it is
    unsubscribed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)  # wants no restock alerts
    notified_seen: Mapped[int] = mapped_column(default=0)  # how many notified pre-bookings the user has looked at

    @property
    def wants_alerts(self) -> bool:
        """Whether the user wants e-mail about reserved books that are back."""
        return self.unsubscribed_at is None


class LoginSession(Base):
    """One login on one device; its random id is in that device's signed cookie, and no row means logged out."""

    __tablename__ = "login_sessions"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    user_agent: Mapped[str | None] = mapped_column(String(USER_AGENT_MAX))


class PasswordReset(Base):
    """A link that was sent to a user, good for one new password; its secret is stored as its SHA-256."""

    __tablename__ = "password_resets"

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=later(0))


class ApiToken(Base):
    """A script's key to one user's account, stored as its SHA-256; the token itself is shown once."""

    __tablename__ = "api_tokens"

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    name: Mapped[str] = mapped_column(String(TOKEN_NAME_MAX))
    token_hash: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[str] = mapped_column(String(SCOPES_MAX), server_default="")  # their names, with blanks between
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=now)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
