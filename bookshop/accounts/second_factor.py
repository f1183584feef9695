"""The second factor of staff: codes from an authenticator app (TOTP, RFC 6238) and recovery codes that work once.

Neither secrets nor codes are stored: they are derived from the shop's secret key and random nonces. A dump of the
database alone therefore gives nobody a code.
"""

import base64
import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from datetime import datetime, timedelta

import pyotp
from sqlalchemy.orm import Session

from bookshop.accounts.authentication import Authentication, Identity, is_fresh, token_hash
from bookshop.accounts.models import STAFF_ROLES, SecondFactor
from bookshop.accounts.notices import notify
from bookshop.accounts.passwords import password_matches
from bookshop.accounts.repository import UserRepository
from bookshop.audit.service import AuditService
from bookshop.idempotency.repository import SentFormRepository
from bookshop.kit.database import now
from bookshop.kit.exceptions import Conflict, Forbidden, Invalid, NotAuthenticated, WrongPassword
from bookshop.mail.models import SECOND_FACTOR
from bookshop.mail.service import MailService

STEP = 30  # seconds for which an app shows a code
DRIFT = (0, -1, 1)  # steps by which the clock of a phone may differ
DIGITS = re.compile(r"[0-9]{6}")
CODES = 10  # recovery codes of a user
CODE_LENGTH = 10  # characters of 5 bits each
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32, without letters that look like digits
LOOKALIKES = str.maketrans("OIL", "011")
TYPED_MAX = 50
SHOWN_FOR = timedelta(minutes=1)  # how long a form that is sent again still shows its recovery codes
WRONG_CODE = "This code is not valid. Enter the 6 digits that your app shows now, or an unused recovery code."
USED_CODE = "This code has already been used. Wait until your app shows the next one."
WRONG_FIRST_CODE = (
    "This code does not belong to this QR code. Enter the 6 digits that your app shows now, and check that the clock "
    "of your phone is right."
)


class SecondFactorService:
    """Sets up, checks and removes second factors; never commits. `required` staff cannot turn theirs off."""

    def __init__(self, session: Session, secret_key: str, mail: MailService, *, required: bool = False) -> None:
        self.users = UserRepository(session)
        self.authentication = Authentication(session)
        self.forms = SentFormRepository(session)
        self.audit = AuditService(session)
        self.mail = mail
        self.secret_key = secret_key.encode()
        self.required = required

    def secret(self, user_id: int, nonce: str) -> str:
        """Return the secret of a user's app in base 32, as people type it."""
        return base64.b32encode(self._digest("second factor", user_id, nonce)[:20]).decode()

    def codes_left(self, user_id: int) -> int:
        """Return how many recovery codes the user has left."""
        return len(self.users.recovery_code_hashes(user_id))

    def set_up(
        self, me: Identity, nonce: str, code: str, form_key: str, *, at: datetime | None = None
    ) -> Sequence[str]:
        """Set up the second factor that `nonce` belongs to, and return its recovery codes.

        The `code` proves that the app works, and never works again. Ends the user's other logins. A form that is sent
        twice, with the same random `form_key`, returns the same codes for a minute. Locks the form and the user's row.
        Raises Invalid for a wrong code or a missing `nonce`, Conflict if there is a second factor, or Forbidden for
        customers.
        """
        user_id = me.user_id
        codes, is_repeated = self._claim(user_id, form_key)
        if is_repeated:
            return codes
        self._lock(me)
        if self.users.has_second_factor(user_id):
            raise Conflict("You already have a second factor. Turn it off before you set up another.")
        step = matching_step(self.secret(user_id, nonce), code, at or now())
        if step is None or not nonce:
            raise Invalid(WRONG_FIRST_CODE, "code")
        self.users.add_second_factor(SecondFactor(user_id=user_id, nonce=nonce, last_step=step))
        self._store_codes(user_id, codes)
        self.users.end_logins(user_id, except_login=me.login_id)
        self.users.set_second_factor_passed(user_id, passed=True)
        self._changed(user_id, "user.second_factor_set_up")
        return codes

    def replace_codes(self, me: Identity, form_key: str) -> Sequence[str]:
        """Replace the user's recovery codes and return the new ones; handles and locks a form as `set_up` does.

        Raises Conflict if the user has no second factor.
        """
        user_id = me.user_id
        codes, is_repeated = self._claim(user_id, form_key)
        if is_repeated:
            return codes
        self._lock(me)
        if not self.users.has_second_factor(user_id):
            raise Conflict("You have no second factor. Set it up first.")
        self._store_codes(user_id, codes)
        self._changed(user_id, "user.recovery_codes_created")
        return codes

    def turn_off(self, me: Identity) -> None:
        """Delete the user's second factor and recovery codes. Locks the user's row.

        Raises Conflict if the user has none, or the shop requires one.
        """
        self._lock(me)
        if self.required:
            raise Conflict("This shop requires a second factor of its staff, so you cannot turn it off.")
        if not self.users.delete_second_factor(me.user_id):
            raise Conflict("You have no second factor.")
        self.users.set_second_factor_passed(me.user_id, passed=False)
        self._changed(me.user_id, "user.second_factor_turned_off")

    def use(self, user_id: int, typed: str, *, at: datetime | None = None) -> None:
        """Accept a code of the app or a recovery code, which then never works again; raises WrongPassword."""
        factor = self.users.get_second_factor(user_id)
        code = _without_separators(typed)
        if factor is not None and DIGITS.fullmatch(code):
            self._use_totp(factor, code, at or now())
        elif factor is None or not self.users.use_recovery_code(user_id, self._hashed(user_id, code)):
            raise WrongPassword(WRONG_CODE, "code")
        else:
            self.audit.record("user.recovery_code_used", user_id, None, {"left": self.codes_left(user_id)}, by=user_id)

    def confirm_login(self, user_id: int, login_id: str, typed: str) -> None:
        """Make a login fresh by a code or, without a second factor, by the password. Locks the user's row.

        If it is fresh already, nothing is checked: a form that is sent twice contains a code that worked once. Raises
        WrongPassword, or NotAuthenticated if the login has ended.
        """
        active = self.authentication.lock_active(user_id)
        login = self.users.get_login(login_id)
        if active is None or login is None or login.user_id != user_id:
            raise NotAuthenticated("Please log in first.")
        if is_fresh(login.confirmed_at):
            return
        if self.users.has_second_factor(user_id):
            self.use(user_id, typed)
        else:
            self._check_password(user_id, typed)
        self.users.set_login_confirmed(login_id)
        self.audit.record("user.login_confirmed", user_id)

    def _changed(self, user_id: int, action: str) -> None:
        """Record a change of the second factor, and send a notice about it."""
        self.audit.record(action, user_id, by=user_id)
        if user := self.users.get(user_id):
            notify(self.mail, user, SECOND_FACTOR)

    def _check_password(self, user_id: int, password: str) -> None:
        user = self.users.get(user_id)
        if user is not None and user.password_hash is None:
            raise WrongPassword("Your account has no password. Use a link instead.")
        if not password_matches(user.password_hash if user else None, password):
            raise WrongPassword("This is not your current password.")

    def _use_totp(self, factor: SecondFactor, code: str, at: datetime) -> None:
        step = matching_step(self.secret(factor.user_id, factor.nonce), code, at)
        if step is None:
            raise WrongPassword(WRONG_CODE, "code")
        if not self.users.use_step(factor.user_id, step):
            raise WrongPassword(USED_CODE, "code")

    def _lock(self, me: Identity) -> None:
        """Lock the row of a member of staff whose login has not just been ended, as by a new password."""
        if self.authentication.lock_login(me).role not in STAFF_ROLES:
            raise Forbidden("A second factor is for the shop's staff only.")

    def _claim(self, user_id: int, form_key: str) -> tuple[Sequence[str], bool]:
        """Claim the form; return its recovery codes, and whether it created them less than a minute ago.

        Raises Conflict if it did earlier.
        """
        key, nonce = token_hash(f"recovery codes {user_id} {form_key}"), secrets.token_urlsafe(16)
        if self.forms.claim(key, user_id, nonce):
            return self._derived_codes(user_id, nonce), False
        row = self.forms.get(key)
        if row is not None and row[0] is not None and row[2] - row[1] < SHOWN_FOR:
            codes = self._derived_codes(user_id, row[0])
            if set(self.users.recovery_code_hashes(user_id)) == set(self._all_hashed(user_id, codes)):
                return codes, True
        raise Conflict("These recovery codes were shown earlier and cannot be shown again. Create new ones.")

    def _derived_codes(self, user_id: int, nonce: str) -> Sequence[str]:
        return [_spelled(self._digest("recovery code", user_id, f"{nonce} {number}")) for number in range(CODES)]

    def _store_codes(self, user_id: int, codes: Sequence[str]) -> None:
        self.users.replace_recovery_codes(user_id, self._all_hashed(user_id, codes))

    def _all_hashed(self, user_id: int, codes: Sequence[str]) -> Sequence[str]:
        return [self._hashed(user_id, code.replace("-", "")) for code in codes]

    def _hashed(self, user_id: int, code: str) -> str:
        """Hash a recovery code for storage, however its letters were typed."""
        return self._digest("stored recovery code", user_id, code.upper().translate(LOOKALIKES)).hex()

    def _digest(self, purpose: str, user_id: int, text: str) -> bytes:
        message = f"{purpose} {user_id} {text}".encode("utf-8", "surrogateescape")
        return hmac.digest(self.secret_key, message, hashlib.sha256)


def matching_step(secret: str, typed: str, at: datetime) -> int | None:
    """Return the number of the time step whose code was typed, one step either way; None if it is none of them."""
    code, step, totp = _without_separators(typed), int(at.timestamp()) // STEP, pyotp.TOTP(secret)
    if not DIGITS.fullmatch(code):
        return None
    return next((step + drift for drift in DRIFT if hmac.compare_digest(totp.generate_otp(step + drift), code)), None)


def _without_separators(typed: str) -> str:
    return re.sub(r"[\s-]", "", typed[:TYPED_MAX])


def _spelled(digest: bytes) -> str:
    """Spell the beginning of a digest as a recovery code, such as 7Q3M9-X0KTE."""
    letters = [ALPHABET[byte % len(ALPHABET)] for byte in digest[:CODE_LENGTH]]
    return f"{''.join(letters[:5])}-{''.join(letters[5:])}"
