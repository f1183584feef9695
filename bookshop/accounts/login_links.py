"""Links in e-mails that log in: an account is an address that its owner has confirmed by one."""

import base64
import hashlib
import hmac
import secrets
from typing import NamedTuple

from sqlalchemy.orm import Session

from bookshop.accounts.allowance import MailAllowance
from bookshop.accounts.authentication import token_hash
from bookshop.accounts.emails import key_of, normal_email
from bookshop.accounts.link_repository import LinkRepository
from bookshop.accounts.models import ADDRESS, LOGIN, UNDO, LoginLink, User
from bookshop.accounts.repository import UserRepository
from bookshop.accounts.service import EMAIL_TAKEN, AccountService, EndedAccess
from bookshop.audit.service import AuditService
from bookshop.kit.database import now
from bookshop.kit.exceptions import Conflict, NotFound
from bookshop.mail.models import ADDRESS_LINK, LOGIN_LINK
from bookshop.mail.service import MailService

DEACTIVATED = "This account has been deactivated. If you think that this is a mistake, contact the shop."


class LinkNotValid(NotFound):
    """The link has been used or is too old. `can_be_renewed` means that a new one can be sent to the same address."""

    def __init__(self, *, can_be_renewed: bool, purpose: str = LOGIN) -> None:
        age = "7 days" if purpose == UNDO else "30 minutes"
        super().__init__(f"This link has been used, is older than {age} or is incomplete.", "LINK_NOT_FOUND")
        self.can_be_renewed = can_be_renewed


class LinkRequest(NamedTuple):
    """A request for a link to this address.

    `browser` is the hash of the random id of the browser, '' for a script; `device` is the id of the device if the
    account with this address has logged in on it, else ''; `next` is the page to go to afterwards.
    """

    email: str
    browser: str = ""
    device: str = ""
    next: str = "/"


class UsedLink(NamedTuple):
    """The account behind a link that was used; `ended` is what it has ended.

    A login link ends nothing, unless it is the first confirmation of an old account.
    """

    user: User
    link_id: int
    ended: EndedAccess | None


class LoginLinkService:
    """Sends links and uses them; never commits.

    Nothing about the account is looked up when a link is requested: known and unknown addresses get the same answer in
    the same time.
    """

    def __init__(
        self, session: Session, secret_key: str, accounts: AccountService, mail: MailService, allowance: MailAllowance
    ) -> None:
        self.secret_key = secret_key.encode()
        self.accounts = accounts
        self.mail = mail
        self.allowance = allowance
        self.links = LinkRepository(session)
        self.users = UserRepository(session)
        self.audit = AuditService(session)

    def request(self, request: LinkRequest) -> str:
        """E-mail a login link to an address, if it may get another e-mail now; returns the address as it is stored.

        Raises Invalid for a bad address.
        """
        address = normal_email(request.email)
        if self.allowance.take(key_of(address), request.device):
            self.links.end_unsent(key_of(address), request.browser)  # or a failed mail server sends them all at once
            link = self.add(LOGIN, address, browser=request.browser, next=request.next)
            self.mail.queue_link(LOGIN_LINK, link.id, address)
        return address

    def request_for_user(self, user_id: int, next: str) -> None:
        """E-mail a login link to the address of a user, which leads to the page `next`; raises NotFound."""
        self.request(LinkRequest(self.accounts.get_user(user_id).email, next=next))

    def start(self, request: LinkRequest, kind: str, book_id: int = 0, details: str = "{}") -> str:
        """Store what a visitor has started, to be done when a link to this address is used; returns the address.

        It joins the link that this browser has already asked for, or else a link is sent. Raises Invalid for a bad
        address.
        """
        address = normal_email(request.email)
        key = key_of(address)
        values = {"email_key": key, "browser": request.browser, "kind": kind, "book_id": book_id, "details": details}
        self.links.put_action(values)
        if not self.links.has_valid(key, request.browser):
            self.request(request)
        return address

    def correct(self, request: LinkRequest, instead_of: str) -> str:
        """E-mail a login link to a corrected address, and move there what this browser has started for the other.

        Raises Invalid for a bad address.
        """
        address = normal_email(request.email)
        self.links.move_actions(key_of(instead_of), key_of(address), request.browser)
        return self.request(request)

    def find_to_renew(self, token: str) -> LoginLink:
        """Return a login link, even if it is not valid any more; raises LinkNotValid for any other."""
        found = self.links.find(token_hash(token))
        if found is None or found[0].purpose != LOGIN:
            raise LinkNotValid(can_be_renewed=False)
        return found[0]

    def renew(self, link: LoginLink, device: str) -> None:
        """E-mail a new link instead of this one; what was started with it comes along."""
        self.request(LinkRequest(link.email, link.browser, device, link.next))

    def add(
        self, purpose: str, address: str, *, user_id: int | None = None, browser: str = "", next: str = "/"
    ) -> LoginLink:
        """Create a link; its token is derived again when it is sent."""
        nonce = secrets.token_urlsafe(16)
        link = LoginLink(purpose=purpose, email=address, email_key=key_of(address), user_id=user_id, nonce=nonce)
        link.browser, link.next, link.token_hash = browser, next, token_hash(self._token(nonce))
        return self.links.add(link)

    def token_to_send(self, link_id: int) -> str:
        """Return the token of a link that is being sent; from now on, its lifetime counts.

        A second attempt at the same message has the same token. Raises LinkNotValid if the link was deleted meanwhile.
        """
        link = self.links.get(link_id)
        if link is None:
            raise LinkNotValid(can_be_renewed=False)
        self.links.mark_sent(link_id)
        return self._token(link.nonce)

    def _token(self, nonce: str) -> str:
        digest = hmac.digest(self.secret_key, f"login link {nonce}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")

    def find(self, token: str, purpose: str) -> LoginLink:
        """Return a valid link with this purpose; raises LinkNotValid."""
        found = self.links.find(token_hash(token))
        if found is None or found[0].purpose != purpose:
            raise LinkNotValid(can_be_renewed=False, purpose=purpose)
        link, is_valid = found
        if not is_valid:
            raise LinkNotValid(can_be_renewed=purpose == LOGIN, purpose=purpose)
        return link

    def use(self, token: str) -> UsedLink:
        """Use a login link: confirm the address, and create its account if there is none. Ends all other login links.

        The first confirmation of an old account erases its password and ends its logins and tokens. Locks the user's
        row, then the link, so that of two requests with the same link, or with links to the same address, one wins.
        Raises LinkNotValid, or Conflict if the account is deactivated or the address is reserved.
        """
        link = self.find(token, LOGIN)
        user = self._locked_account(link.email)
        if not self.links.use(link.id):
            raise LinkNotValid(can_be_renewed=True)
        self.links.end(email_key=link.email_key, purposes=(LOGIN,))
        return UsedLink(user, link.id, self._confirm(user))

    def _locked_account(self, address: str) -> User:
        """Return the account with this address, with its row locked; creates it if there is none."""
        user = self.users.lock_by_email(address)
        if user is None:
            try:
                return self.accounts.register(address)
            except Conflict as taken:
                if taken.code != EMAIL_TAKEN:
                    raise
            user = self.users.lock_by_email(address)
        if user is None:  # it was deleted meanwhile
            raise LinkNotValid(can_be_renewed=True)
        if user.deactivated_at is not None:
            raise Conflict(DEACTIVATED, "USER_DEACTIVATED")
        return user

    def _confirm(self, user: User) -> EndedAccess | None:
        """Confirm the address of an old account, which a stranger may have created and used; None for any other."""
        if not user.never_confirmed:
            return None
        confirmed = {"email_confirmed_at": now(), "never_confirmed": False, "password_hash": None}
        self.users.update(user.id, **confirmed)
        self.audit.record("user.address_confirmed", user.id, by=user.audited_id)
        return self.accounts.end_access(user.id)

    def request_address(self, user_id: int, address: str, browser: str, device: str) -> None:
        """E-mail a link to the new address of a user, which changes to it when the link is used."""
        if self.allowance.take(key_of(address), device):
            link = self.add(ADDRESS, address, user_id=user_id, browser=browser, next="/account")
            self.mail.queue_link(ADDRESS_LINK, link.id, address)
