"""Sign-up, logins, passwords and API tokens."""

import hashlib
import hmac
import secrets
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bookshop.accounts.authentication import Authentication, Identity, new_token, token_hash
from bookshop.accounts.devices import storable_user_agent
from bookshop.accounts.emails import normal_email
from bookshop.accounts.models import CUSTOMER, TOKEN_NAME_MAX, USER_AGENT_MAX, ApiToken, LoginSession, User
from bookshop.accounts.notices import notify
from bookshop.accounts.passwords import hash_password, needs_rehash, password_matches, problem_in_password
from bookshop.accounts.repository import UserRepository
from bookshop.accounts.scopes import chosen_scopes
from bookshop.accounts.second_factor import SecondFactorService
from bookshop.audit.service import AuditService
from bookshop.idempotency.repository import SentFormRepository
from bookshop.kit.database import Page, now
from bookshop.kit.exceptions import Conflict, Invalid, NotAuthenticated, NotFound, WrongPassword
from bookshop.kit.text import EMAIL_MAX, problem_in, tidy
from bookshop.mail.models import CONFIRMATION, FORMER_ADDRESS, NEW_LOGIN, PASSWORD_CHANGED, TOKEN_CREATED
from bookshop.mail.service import MailService

TOKENS_MAX = 20
DAYS_MAX = 3650
EMAIL_TAKEN = "EMAIL_TAKEN"
DOUBLE_CLICK = timedelta(seconds=10)  # within which the same form is one login
SHOWN_FOR = timedelta(minutes=1)  # how long a form that is sent again still shows its new token
WRONG_LOGIN = "The e-mail address or the password is wrong."


class CheckedPassword(NamedTuple):
    """A user whose password matched this hash; plain values, which survive a rollback."""

    user_id: int
    password_hash: str


class LoginAttempt(NamedTuple):
    """What came with a login: what was entered, and from where; `form_key` identifies a form that is sent twice."""

    password: str | None = None
    code: str | None = None
    form_key: str = ""
    user_agent: str | None = None
    known_device: bool = False


class AccountService:
    """Manages accounts, logins and API tokens; never commits.

    PeopleService deactivates, deletes and exports accounts.
    """

    def __init__(
        self,
        session: Session,
        authentication: Authentication,
        mail: MailService,
        second_factor: SecondFactorService,
        session_days: int,
    ) -> None:
        self.session = session
        self.authentication = authentication
        self.mail = mail
        self.second_factor = second_factor
        self.users = UserRepository(session)
        self.forms = SentFormRepository(session)
        self.audit = AuditService(session)
        self.session_days, self.lifetime = session_days, timedelta(days=session_days)

    def register(self, email: str, password: str, role: str = CUSTOMER, *, confirmed: bool = True) -> User:
        """Create a user; raises Invalid for a bad address or password, Conflict if the address is taken.

        Pass `confirmed=False` if the address may not be theirs; see EmailLinkService.sign_up.
        """
        address = normal_email(email)
        if problem := problem_in_password(password):
            raise Invalid(problem, "password")
        user = User(
            email=address,
            email_key=address.casefold(),
            password_hash=hash_password(password),
            role=role,
            email_confirmed_at=now() if confirmed else None,
        )
        try:
            with self.session.begin_nested():
                self.users.add(user)
        except IntegrityError:
            raise Conflict(f"There is already an account with the e-mail address {address}.", EMAIL_TAKEN) from None
        self.audit.record("user.created", user.id, after={"role": role})
        return user

    def check_password(self, email: str, password: str) -> CheckedPassword:
        """Return the active user with this address and password, and the hash that the password matched.

        Raises WrongPassword, with the same text and after the same time whether or not the address has an account.
        """
        user = self._find(email)
        if not password_matches(user.password_hash if user else None, password):
            raise WrongPassword(WRONG_LOGIN)
        if user is None or user.deactivated_at is not None:
            raise WrongPassword(WRONG_LOGIN)
        return CheckedPassword(user.id, user.password_hash)

    def log_in(self, checked: CheckedPassword, attempt: LoginAttempt | None = None) -> Identity | None:
        """Create a login for a user whose password was just checked; None if the attempt lacks a code that is needed.

        A form that is sent twice, with the same `form_key`, creates one login. Locks the form and the user's row, so
        that a simultaneous deactivation or password change either ends this login or is noticed here, which raises
        WrongPassword, as a wrong code does.
        """
        attempt, login_id = attempt or LoginAttempt(), secrets.token_urlsafe(32)
        earlier_id = self._login_by_form(attempt.form_key, checked.user_id, login_id) if attempt.form_key else None
        self.users.lock(checked.user_id)
        user = self.users.get(checked.user_id)
        if user is None or user.deactivated_at is not None or user.password_hash != checked.password_hash:
            raise WrongPassword(WRONG_LOGIN)
        if earlier_id is not None:
            return Identity(user.id, user.email, user.role, earlier_id)
        if attempt.password is not None and needs_rehash(user.password_hash):
            self.users.update(user.id, password_hash=hash_password(attempt.password))
        has_factor = self.users.has_second_factor(user.id)
        if has_factor:
            if attempt.code is None:
                return None
            self.second_factor.use(user.id, attempt.code)
        self._add_login(user, login_id, attempt, second_factor=has_factor)
        return Identity(user.id, user.email, user.role, login_id)

    def _add_login(self, user: User, login_id: str, attempt: LoginAttempt, *, second_factor: bool) -> None:
        """Record a login, and send a notice unless it is from a known device."""
        if not attempt.known_device and user.last_login_at is not None:  # on the first login, every device is new
            notify(self.mail, user, NEW_LOGIN)
        self.users.update(user.id, last_login_at=now())
        self.users.end_logins(user.id, before=now() - self.lifetime)
        agent = storable_user_agent(attempt.user_agent, USER_AGENT_MAX)
        self.users.add_login(login_id, user.id, agent, second_factor=second_factor)
        self.audit.record("user.logged_in", user.id, after={"second_factor": second_factor}, by=user.audited_id)

    def _login_by_form(self, form_key: str, user_id: int, login_id: str) -> str | None:
        """Claim the form for `login_id` and return None, or return the login id of a claim a few seconds ago.

        A form that is sent later counts as a new login, so a copy of it is useless without a new code.
        """
        key = token_hash(f"login {user_id} {form_key}")
        if self.forms.claim(key, user_id, login_id):
            return None
        row = self.forms.get(key)
        if row is None or row[0] is None or row[2] - row[1] > DOUBLE_CLICK:
            return None
        return row[0] if self.authentication.by_login(row[0], self.session_days) else None

    def check_mark(self, email: str, secret: str, mark: str) -> CheckedPassword:
        """Return the account with this address and mark, as if its password had been checked.

        Raises NotAuthenticated if the account, its address or its password has changed since the mark was made.
        """
        user = self._find(email)
        if user is None or not hmac.compare_digest(self.account_mark(email, secret), mark):
            raise NotAuthenticated("Your account has changed since you entered your password. Please log in again.")
        return CheckedPassword(user.id, user.password_hash)

    def account_mark(self, email: str, secret: str) -> str:
        """Return a keyed hash of the account with this address and its password; works for unknown addresses too."""
        user = self._find(email)
        account = f"{user.id} {user.password_hash}" if user else f"no account: {email}"
        return hmac.new(secret.encode(), f"mark of {account}".encode(), hashlib.sha256).hexdigest()[:32]

    def log_out(self, login_id: str) -> None:
        """End this login, on this device only."""
        user_id = self.users.end_login(login_id)
        if user_id is not None:
            self.audit.record("user.logged_out", user_id)

    def list_logins(self, user_id: int) -> Sequence[LoginSession]:
        """List the user's valid logins, newest first."""
        return self.users.list_logins(user_id, since=now() - self.lifetime)

    def end_other_logins(self, user_id: int, login_id: str | None) -> int:
        """End all the user's logins except this one; returns how many were still valid."""
        self.users.end_logins(user_id, before=now() - self.lifetime)
        ended = self.users.end_logins(user_id, except_login=login_id)
        if ended:
            self.audit.record("user.logins_ended", user_id, after={"ended": ended})
        return ended

    def change_password(self, user_id: int, current: str, new: str, *, keep_login: str | None) -> None:
        """Change the password; end all reset links, and all logins except `keep_login`. Locks the user's row.

        Raises WrongPassword, or Invalid for a bad new password.
        """
        user = self.lock_with_password(user_id, current)
        if problem := problem_in_password(new):
            raise Invalid(problem, "new")
        self.users.update(user_id, password_hash=hash_password(new))
        notify(self.mail, user, PASSWORD_CHANGED)
        self.users.delete_resets(user_id)
        self.users.end_logins(user_id, except_login=keep_login)
        self.audit.record("user.password_changed", user_id)

    def change_email(self, user_id: int, email: str, password: str) -> str:
        """Change the address; returns it as it is stored.

        A new address has to be confirmed; queued messages are sent to it, and a notice to the former one. Locks the
        user's row. Raises Invalid for a bad address, WrongPassword, or Conflict if another account uses the address.
        """
        address = normal_email(email)
        user = self.lock_with_password(user_id, password)
        if address == user.email:
            return address
        self.audit.record("user.address_changed", user_id)
        is_other = address.casefold() != user.email_key
        if is_other:
            notify(self.mail, user, FORMER_ADDRESS)
        try:
            with self.session.begin_nested():
                self.users.update(user_id, email=address, email_key=address.casefold())
        except IntegrityError:
            raise Conflict("Another account uses this e-mail address. Enter a different one.", EMAIL_TAKEN) from None
        self.mail.change_recipient(user_id, address)
        if is_other:
            self.users.update(user_id, email_confirmed_at=None)
            self.users.delete_resets(user_id)
            self.mail.queue_account_message(CONFIRMATION, user_id, address)
        return address

    def list_users(self, q: str, page: int, size: int) -> Page[User]:
        """List users whose e-mail address contains `q`, newest first, without deleted accounts."""
        part = tidy(q)
        if len(part) > EMAIL_MAX or problem_in(part):
            return Page([], 0, page, size)
        return self.users.search(part, page, size)

    def get_user(self, user_id: int) -> User:
        """Return the user; raises NotFound if there is none or the account is deleted."""
        user = self.users.get(user_id)
        if user is None or user.deleted_at is not None:
            raise NotFound("There is no such user.", "USER_NOT_FOUND")
        return user

    def user_by_email(self, email: str) -> User:
        """Return the user with this address, ignoring case; raises NotFound."""
        user = self._find(email)
        if user is None:
            raise NotFound(f"There is no user with the e-mail address {email}.", "USER_NOT_FOUND")
        return user

    def create_token(
        self,
        user_id: int,
        name: str,
        scopes: Collection[str] | None = None,
        days: int | None = None,
        token: str | None = None,
    ) -> str:
        """Create an API token for a user and return it; only its hash is stored.

        It has the given `scopes`, or all that the user's role allows, and expires after `days`, or never. Locks the
        user's row, so that the limit is exact. To get the same token from a repeated request, pass a `token` made by
        `new_token`. Raises NotFound, Invalid for a bad name or scope, or Conflict if the user is deactivated, already
        has the maximum number of tokens, or was shown this token before.
        """
        owner = self.authentication.lock_active(user_id)
        if not owner:
            raise Conflict(
                f"{self.get_user(user_id).email} is deactivated. Reactivate the account first.", "USER_DEACTIVATED"
            )
        if token and (existing := self.users.get_token_by_hash(user_id, token_hash(token))):
            if existing.revoked_at is not None or existing.created_at < now() - SHOWN_FOR:
                raise Conflict("This token was created earlier and cannot be shown again. Create another one.")
            return token
        self._check_new_token(user_id, name)
        token = token or new_token(secrets.token_bytes(32))
        expires_at = now() + timedelta(days=days) if days else None
        token_row = ApiToken(
            user_id=user_id,
            name=name,
            token_hash=token_hash(token),
            scopes=chosen_scopes(owner.role, scopes),
            expires_at=expires_at,
        )
        self.users.add_token(token_row)
        after = {"user": user_id, "scopes": token_row.scopes.split(), "days": days}
        self.audit.record("token.created", token_row.id, after=after)
        notify(self.mail, self.get_user(user_id), TOKEN_CREATED)
        return token

    def _check_new_token(self, user_id: int, name: str) -> None:
        if not 1 <= len(name) <= TOKEN_NAME_MAX or problem_in(name):
            raise Invalid(f"A token name needs 1 to {TOKEN_NAME_MAX} characters.", "name")
        if self.users.count_tokens(user_id) >= TOKENS_MAX:
            raise Conflict(
                f"This account has {TOKENS_MAX} tokens, which is the maximum. Revoke one first.", "TOKEN_LIMIT_REACHED"
            )

    def revoke_token(self, user_id: int, token_id: int) -> None:
        """Revoke one of the user's tokens; raises NotFound if there is no such token or it is already revoked."""
        if not self._revoke_tokens(user_id, token_id=token_id):
            raise NotFound("You have no such token. It may have been revoked already.", "TOKEN_NOT_FOUND")

    def revoke_tokens(self, user_id: int, name: str) -> int:
        """Revoke the user's tokens with this name; returns how many."""
        return len(self._revoke_tokens(user_id, name=name))

    def end_access(self, user_id: int) -> None:
        """End all logins of the user and revoke all tokens."""
        self.users.end_logins(user_id)
        self._revoke_tokens(user_id)

    def _revoke_tokens(self, user_id: int, **which: Any) -> Sequence[int]:
        revoked = self.users.revoke_tokens(user_id, **which)
        self.audit.record_all("token.revoked", dict.fromkeys(revoked, ({"user": user_id}, None)))
        return revoked

    def notified_seen(self, user_id: int) -> int:
        """Return how many notified pre-bookings the user had seen at the last logout."""
        user = self.users.get(user_id)
        return user.notified_seen if user else 0

    def remember_notified_seen(self, user_id: int, count: int) -> None:
        """Store how many notified pre-bookings the user has seen; the number never goes down."""
        if count > self.notified_seen(user_id):
            self.users.update(user_id, notified_seen=count)

    def lock_with_password(self, user_id: int, password: str) -> User:
        """Lock the user's row and check their password; raises WrongPassword, or NotAuthenticated if deactivated."""
        if not self.authentication.lock_active(user_id):
            raise NotAuthenticated("Please log in first.")
        user = self.get_user(user_id)
        if not password_matches(user.password_hash, password):
            raise WrongPassword("This is not your current password.", "current")
        return user

    def _find(self, email: str) -> User | None:
        try:
            return self.users.get_by_email(normal_email(email))
        except Invalid:
            return None
