"""Sign-up, logins, passwords and API tokens."""

import hashlib
import hmac
import secrets
from collections.abc import Collection, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bookshop.accounts.authentication import Authentication, Identity, new_login_id, new_token, token_hash
from bookshop.accounts.devices import storable_user_agent
from bookshop.accounts.emails import key_of, key_of_typed, normal_email
from bookshop.accounts.link_repository import LinkRepository
from bookshop.accounts.models import ADDRESS, CUSTOMER, TOKEN_NAME_MAX, USER_AGENT_MAX, ApiToken, LoginSession, User
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
from bookshop.mail.models import NEW_LOGIN, PASSWORD_CHANGED, TOKEN_CREATED
from bookshop.mail.service import MailService

TOKENS_MAX = 20
DAYS_MAX = 3650
EMAIL_TAKEN, EMAIL_RESERVED = "EMAIL_TAKEN", "EMAIL_RESERVED"
DOUBLE_CLICK = timedelta(seconds=10)  # within which the same form is one login
SHOWN_FOR = timedelta(minutes=1)  # how long a form that is sent again still shows its new token
WRONG_LOGIN = "The e-mail address or the password is wrong. You can also log in with a link, without a password."
RESERVED = (
    "This was the address of an account until a few days ago, and its owner can still undo the change. Use the link in"
    " our message about the change, or enter a different address."
)


class EndedAccess(NamedTuple):
    """How many logins and tokens were ended."""

    logins: int
    tokens: int

    def sentence(self, device: str = "other device") -> str:
        """Say what was ended; `device` is what was logged out."""
        sentence = f"{_counted(self.logins, device)} logged out, and {_counted(self.tokens, 'API token')} revoked."
        return sentence[0].upper() + sentence[1:]


class CheckedUser(NamedTuple):
    """A user whose password or link was checked, with their password hash; plain values, which survive a rollback."""

    user_id: int
    password_hash: str | None


class LoginAttempt(NamedTuple):
    """What came with a login: what was entered, and from where; `form_key` identifies a form that is sent twice.

    `link_id` is the link that was used instead of a password; `login_id` the id of the new login, a random one if ''.
    """

    password: str | None = None
    code: str | None = None
    form_key: str = ""
    user_agent: str | None = None
    known_device: bool = False
    link_id: int | None = None
    login_id: str = ""


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
        self.links = LinkRepository(session)
        self.forms = SentFormRepository(session)
        self.audit = AuditService(session)
        self.session_days, self.lifetime = session_days, timedelta(days=session_days)

    def register(self, email: str, password: str | None = None, role: str = CUSTOMER) -> User:
        """Create a user, whose address counts as confirmed, and who may have no password.

        Raises Invalid for a bad address or password, or Conflict if the address is taken or reserved.
        """
        address = normal_email(email)
        if password is not None and (problem := problem_in_password(password)):
            raise Invalid(problem, "password")
        user = User(
            email=address,
            email_key=key_of(address),
            password_hash=hash_password(password) if password is not None else None,
            role=role,
            email_confirmed_at=now(),
        )
        try:
            with self.session.begin_nested():
                self.users.add(user)
                # After the INSERT: it may have waited for the change that has made the address free.
                if self.links.is_reserved(user.email_key):
                    raise Conflict(RESERVED, EMAIL_RESERVED)
        except IntegrityError:
            raise Conflict(f"There is already an account with the e-mail address {address}.", EMAIL_TAKEN) from None
        self.audit.record("user.created", user.id, after={"role": role})
        return user

    def check_password(self, email: str, password: str) -> CheckedUser:
        """Return the active user with this address and password, and the hash that the password matched.

        Raises WrongPassword, with the same text and after the same time whether or not the address has an account.
        """
        user = self._find(email)
        if not password_matches(user.password_hash if user else None, password):
            raise WrongPassword(WRONG_LOGIN)
        if user is None or user.deactivated_at is not None or user.never_confirmed:
            raise WrongPassword(WRONG_LOGIN)
        return CheckedUser(user.id, user.password_hash)

    def log_in(self, checked: CheckedUser, attempt: LoginAttempt | None = None) -> Identity | None:
        """Create a login for a user who was just checked; None if the attempt lacks a code that is needed.

        A form that is sent twice, with the same `form_key`, creates one login. Locks the form and the user's row, so
        that a simultaneous deactivation or password change either ends this login or is noticed here, which raises
        WrongPassword, as a wrong code does. Raises NotAuthenticated if the link has logged in before.
        """
        attempt = attempt or LoginAttempt()
        login_id = attempt.login_id or new_login_id()
        form_key = f"{checked.user_id} {attempt.form_key}"
        earlier = self.claim_form(form_key, login_id) if attempt.form_key else None
        self.users.lock(checked.user_id)
        user = self.users.get(checked.user_id)
        if user is None or user.deactivated_at is not None or user.password_hash != checked.password_hash:
            raise WrongPassword(WRONG_LOGIN)
        if earlier is not None:
            return earlier
        if attempt.link_id is not None and self.links.has_login(attempt.link_id):
            raise NotAuthenticated("This link has logged in before. Please log in again.")
        if attempt.password is not None and user.password_hash and needs_rehash(user.password_hash):
            self.users.update(user.id, password_hash=hash_password(attempt.password))
        has_factor = self.users.has_second_factor(user.id)
        if has_factor:
            if attempt.code is None:
                return None
            self.second_factor.use(user.id, attempt.code)
        self._add_login(user, login_id, attempt, second_factor=has_factor)
        return Identity(user.id, user.email, user.role, login_id)

    def _add_login(self, user: User, login_id: str, attempt: LoginAttempt, *, second_factor: bool) -> None:
        """Record a login, and send a notice unless it is from a known device or by a link, which is a notice itself."""
        if not attempt.known_device and attempt.link_id is None and user.last_login_at is not None:
            notify(self.mail, user, NEW_LOGIN)
        self.users.update(user.id, last_login_at=now())
        self.users.end_logins(user.id, before=now() - self.lifetime)
        agent = storable_user_agent(attempt.user_agent, USER_AGENT_MAX)
        self.users.add_login(login_id, user.id, agent, second_factor=second_factor, link_id=attempt.link_id)
        self.audit.record("user.logged_in", user.id, after={"second_factor": second_factor}, by=user.audited_id)

    def claim_form(self, form_key: str, login_id: str) -> Identity | None:
        """Claim a form for this login and return None, or return the login that it created a few seconds ago.

        A form that is sent later counts as a new login, so a copy of it is useless without a new code.
        """
        return None if self.forms.claim(_hashed(form_key), None, login_id) else self.login_by_form(form_key)

    def login_by_form(self, form_key: str) -> Identity | None:
        """Return the login that a form created a few seconds ago."""
        row = self.forms.get(_hashed(form_key))
        if row is None or row[0] is None or row[2] - row[1] > DOUBLE_CLICK:
            return None
        return self.authentication.by_login(row[0], self.session_days)

    def refresh_login(self, me: Identity, link_id: int) -> Identity | None:
        """Make a login fresh by a link that was used; None if the account has a second factor. Locks the user's row.

        Raises NotAuthenticated if the login has ended.
        """
        self.authentication.lock_login(me)
        if me.login_id is None or self.users.has_second_factor(me.user_id):
            return None
        self.users.set_login_confirmed(me.login_id, link_id=link_id)
        self.audit.record("user.login_confirmed", me.user_id)
        return me

    def check_mark(self, email: str, secret: str, mark: str) -> CheckedUser:
        """Return the account with this address and mark, as if its password had been checked.

        Raises NotAuthenticated if the account, its address or its password has changed since the mark was made.
        """
        user = self._find(email)
        if user is None or not hmac.compare_digest(self.account_mark(email, secret), mark):
            raise NotAuthenticated("Your account has changed since you began to log in. Please log in again.")
        return CheckedUser(user.id, user.password_hash)

    def account_mark(self, email: str, secret: str) -> str:
        """Return a keyed hash of the account with this address and its password.

        Unknown addresses get one too, in the same time.
        """
        user_id, password_hash = self.users.mark_of(key_of_typed(email))
        account = f"{user_id} {password_hash}" if user_id else f"no account: {email}"
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
        """Change the password; end all logins except `keep_login`, and a pending change of the address.

        Locks the user's row. Raises WrongPassword, or Invalid for a bad new password.
        """
        self._set_password(self.lock_with_password(user_id, current), new)
        self.users.end_logins(user_id, except_login=keep_login)
        self.links.end(user_id=user_id, purposes=(ADDRESS,))

    def set_password(self, me: Identity, new: str) -> EndedAccess:
        """Set a password after a login by link, without the current one; end all other logins, and all tokens.

        Returns what was ended. Locks the user's row. Raises Invalid for a bad password, or NotAuthenticated if the
        login has ended.
        """
        self._set_password(self.lock_confirmed(me.user_id, me), new)
        return self.end_access(me.user_id, keep_login=me.login_id)

    def _set_password(self, user: User, new: str) -> None:
        if problem := problem_in_password(new):
            raise Invalid(problem, "new")
        self.users.update(user.id, password_hash=hash_password(new))
        notify(self.mail, user, PASSWORD_CHANGED)
        self.audit.record("user.password_changed", user.id)

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
        if self.get_user(user_id).never_confirmed:
            raise Conflict(
                "This account's address was never confirmed. Log in to it with a link first.", "USER_UNCONFIRMED"
            )
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

    def end_access(self, user_id: int, *, keep_login: str | None = None) -> EndedAccess:
        """End all logins of the user except `keep_login`, all tokens, and a pending change of the address."""
        self.links.end(user_id=user_id, purposes=(ADDRESS,))
        self.users.end_logins(user_id, before=now() - self.lifetime)
        ended = self.users.end_logins(user_id, except_login=keep_login)
        return EndedAccess(ended, len(self._revoke_tokens(user_id)))

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

    def lock_confirmed(self, user_id: int, confirmed_by: str | Identity) -> User:
        """Lock the row of a user who is confirmed by the password, or by a fresh login, which must still exist."""
        if isinstance(confirmed_by, str):
            return self.lock_with_password(user_id, confirmed_by)
        self.authentication.lock_login(confirmed_by)
        return self.get_user(user_id)

    def _find(self, email: str) -> User | None:
        try:
            return self.users.get_by_email(normal_email(email))
        except Invalid:
            return None


def _hashed(form_key: str) -> str:
    return token_hash(f"login {form_key}")


def _counted(count: int, noun: str) -> str:
    return f"1 {noun} was" if count == 1 else f"{count or 'no'} {noun}s were"
