"""The rules of returns."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from bookshop.accounts.allowance import MailAllowance
from bookshop.accounts.emails import key_of
from bookshop.accounts.models import User
from bookshop.accounts.repository import UserRepository
from bookshop.audit.service import AuditService
from bookshop.kit.exceptions import NotFound
from bookshop.mail.service import MailService
from bookshop.returns.models import Return
from bookshop.returns.repository import ReturnRepository

MAX_OPEN = 5  # open returns of an order; beyond them only one of all its books is received


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What somebody declares: the number of an order and its customer's address; without `books`, all of them."""

    number: str
    email: str
    name: str
    books: str | None = None


class ReturnService:
    """Receives returns from anybody, and marks them as handled for staff; never commits."""

    def __init__(self, session: Session, mail: MailService, allowance: MailAllowance) -> None:
        self.mail = mail
        self.allowance = allowance
        self.audit = AuditService(session)
        self.users = UserRepository(session)
        self.returns = ReturnRepository(session)

    def receive(self, declared: Declaration) -> None:
        """Store a declaration and queue its acknowledgement to the customer.

        Does nothing, and tells the caller nothing, unless there is such an order by post and the address is that of its
        account, or the one that it was confirmed to: otherwise anyone could find out who has ordered. A deactivated
        account can still return. What an open return says already is not stored again; it is acknowledged again, within
        the allowance of the address. Locks the customer's row, so that the account cannot be deleted meanwhile and the
        limit of open returns is exact.
        """
        order = self.returns.find_posted(declared.number)
        user = self._lock_customer(order.user_id) if order else None
        if order is None or user is None or not self._is_known(declared.email, order.id, user):
            return
        open_ones = [one for one in self.returns.list_by_order(order.id) if one.handled_at is None]
        same = next((one for one in open_ones if _says(one, declared.books)), None)
        if same is not None:
            self._acknowledge_again(same.id, order.id, user)
        elif declared.books is None or len(open_ones) < MAX_OPEN:
            return_id = self.returns.insert(order.id, declared.name, declared.books)
            self.audit.record("order.returned", order.id, after={"return": return_id})
            self.mail.queue_acknowledgement(return_id, order.id, user.id, user.email)

    def _lock_customer(self, user_id: int) -> User | None:
        """Lock a customer and return the account; None if it has been deleted."""
        self.users.lock(user_id)
        user = self.users.get(user_id)
        return None if user is None or user.deleted_at else user

    def _is_known(self, email: str, order_id: int, user: User) -> bool:
        """Return whether the customer has this address, or had it when the order was confirmed."""
        return key_of(email) in {user.email_key, key_of(self.mail.confirmed_to(order_id))}

    def _acknowledge_again(self, return_id: int, order_id: int, user: User) -> None:
        if self.allowance.take(user.email_key):
            self.mail.queue_acknowledgement(return_id, order_id, user.id, user.email, again=True)

    def handle(self, return_id: int) -> None:
        """Mark a return as handled, on behalf of staff, unless it is already; raises NotFound."""
        order_id = self.returns.handle(return_id)
        if order_id is not None:
            self.audit.record("order.return_handled", order_id, after={"return": return_id})
        elif not self.returns.exists(return_id):
            raise NotFound("There is no such return.", "RETURN_NOT_FOUND")


def _says(one: Return, books: str | None) -> bool:
    """Return whether a return is about all of the order, or about these books."""
    return one.books is None or _words(one.books) == _words(books or "")


def _words(books: str) -> list[str]:
    """Return what was written, for comparing: whoever writes the same again may use other spaces and capitals."""
    return books.casefold().split()
