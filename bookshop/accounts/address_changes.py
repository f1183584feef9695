"""Changes of an account's address: confirmed by a link to the new one, undone by a link to the former one."""

from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from bookshop.accounts.authentication import Identity
from bookshop.accounts.emails import key_of, normal_email
from bookshop.accounts.link_repository import LinkRepository
from bookshop.accounts.login_links import DEACTIVATED, LinkNotValid, LinkRequest, LoginLinkService, UsedLink
from bookshop.accounts.models import ADDRESS, LOGIN, UNDO, LoginLink, User
from bookshop.accounts.notices import notify
from bookshop.accounts.repository import UserRepository
from bookshop.accounts.service import EMAIL_RESERVED, EMAIL_TAKEN, RESERVED, AccountService
from bookshop.audit.service import AuditService
from bookshop.kit.exceptions import Conflict
from bookshop.mail.models import FORMER_ADDRESS
from bookshop.mail.service import MailService

CHANGED, UNDONE = "user.address_changed", "user.address_change_undone"


class AddressChangeService:
    """Starts, confirms and undoes changes of an address; never commits.

    Nothing about the new address is looked up when a change is requested: every address gets the same answer in the
    same time. All methods lock the user's row first, then links.
    """

    def __init__(
        self, session: Session, accounts: AccountService, login_links: LoginLinkService, mail: MailService
    ) -> None:
        self.session = session
        self.accounts = accounts
        self.login_links = login_links
        self.mail = mail
        self.users = UserRepository(session)
        self.links = LinkRepository(session)
        self.audit = AuditService(session)

    def request(self, user_id: int, wanted: LinkRequest, confirmed_by: str | Identity) -> str:
        """E-mail a link to a new address, which becomes that of the account when the link is used; returns the address.

        If the address differs from the current one in upper and lower case only, it changes at once. See
        `AccountService.lock_confirmed` for `confirmed_by`. Raises Invalid for a bad address, WrongPassword, or
        NotAuthenticated if the login has ended.
        """
        address = normal_email(wanted.email)
        user = self.accounts.lock_confirmed(user_id, confirmed_by)
        if key_of(address) != user.email_key:
            self.login_links.request_address(user.id, address, wanted.browser, wanted.device)
        elif address != user.email:
            self.users.update(user.id, email=address)
            self.audit.record(CHANGED, user.id, by=user.audited_id)
        return address

    def confirm(self, token: str, *, keep_login: str | None) -> UsedLink:
        """Change to the address that a link was sent to. The former address can undo it for 7 days.

        Ends all logins except `keep_login`, all tokens, and the login links to the former address. Without `keep_login`
        it also erases the password, which somebody else may know. Raises LinkNotValid, or Conflict if the address is
        taken or reserved, or the account is deactivated.
        """
        user, link = self._use(token, ADDRESS)
        former = user.email_key
        undo = self.login_links.add(UNDO, user.email, user_id=user.id)
        notify(self.mail, user, FORMER_ADDRESS, undo.id)
        # An account that goes back to an earlier address needs no link to undo the change from it.
        self.links.end(user_id=user.id, email_key=link.email_key, purposes=(UNDO,))
        self.links.end(email_key=former, purposes=(LOGIN,))
        if keep_login is None:
            self.users.update(user.id, password_hash=None)
        return self._change(user, link, CHANGED, keep_login)

    def undo(self, token: str) -> UsedLink:
        """Change back to the former address; erase the password, and a second factor that was set up since.

        A thief may have them. Ends all logins and tokens, and the links to undo later changes. Raises LinkNotValid, or
        Conflict if the account is deactivated.
        """
        user, link = self._use(token, UNDO)
        notify(self.mail, user, FORMER_ADDRESS)
        self.links.end(user_id=user.id, after=link.id, purposes=(UNDO,))
        self.users.update(user.id, password_hash=None)
        factor = self.users.get_second_factor(user.id)
        if factor is not None and factor.created_at > link.created_at:
            self.users.delete_second_factor(user.id)
        return self._change(user, link, UNDONE, None)

    def _use(self, token: str, purpose: str) -> tuple[User, LoginLink]:
        """Use a link of this purpose and lock its user; of two requests at the same time, the second waits here."""
        link = self.login_links.find(token, purpose)
        self.users.lock(link.user_id or 0)
        user = self.users.get(link.user_id or 0)
        if user is None or user.deleted_at is not None:
            raise LinkNotValid(can_be_renewed=False, purpose=purpose)
        if user.deactivated_at is not None:
            raise Conflict(DEACTIVATED, "USER_DEACTIVATED")
        if not self.links.use(link.id):  # another link was used, or the account changed, while this waited
            raise LinkNotValid(can_be_renewed=False, purpose=purpose)
        return user, link

    def _change(self, user: User, link: LoginLink, action: str, keep_login: str | None) -> UsedLink:
        """Give a locked user the address of this link, and end what was logged in before."""
        self._set_address(user.id, link)
        self.mail.change_recipient(user.id, link.email)
        ended = self.accounts.end_access(user.id, keep_login=keep_login)
        self.audit.record(action, user.id, by=user.audited_id)
        return UsedLink(self.accounts.get_user(user.id), link.id, ended)

    def _set_address(self, user_id: int, link: LoginLink) -> None:
        try:
            with self.session.begin_nested():
                self.users.update(user_id, email=link.email, email_key=link.email_key)
        except IntegrityError:
            raise Conflict(
                f"There is already an account with the e-mail address {link.email}. Log in to it, or choose a different"
                " address.",
                EMAIL_TAKEN,
            ) from None
        # After the UPDATE: it may have waited for the change that has made the address free.
        if self.links.is_reserved(link.email_key, user_id):
            raise Conflict(RESERVED, EMAIL_RESERVED)
