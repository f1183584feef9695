"""The rules of returns."""

from dataclasses import dataclass

from sqlalchemy.orm import Session

from bookshop.accounts.authentication import Authentication
from bookshop.accounts.emails import key_of
from bookshop.audit.service import AuditService
from bookshop.kit.exceptions import NotFound
from bookshop.mail.service import MailService
from bookshop.returns.repository import ReturnRepository


@dataclass(frozen=True, kw_only=True)
class Declaration:
    """What somebody declares: the number of an order and the address of its account; without `books`, all of them."""

    number: str
    email: str
    name: str
    books: str | None = None


class ReturnService:
    """Receives returns from anybody, and marks them as handled for staff; never commits."""

    def __init__(self, session: Session, authentication: Authentication, mail: MailService) -> None:
        self.authentication = authentication
        self.mail = mail
        self.audit = AuditService(session)
        self.returns = ReturnRepository(session)

    def receive(self, declared: Declaration) -> None:
        """Store a declaration and queue its acknowledgement to the customer.

        Does nothing, and tells the caller nothing, unless there is such an order by post and the address is that of its
        active account: otherwise anybody could find out who has ordered. What an open return of the order says already
        is not stored again either. Locks the customer's row, so that the account cannot be deleted meanwhile.
        """
        order = self.returns.find_posted(declared.number)
        user = self.authentication.lock_active(order.user_id) if order else None
        if order is None or user is None or key_of(user.email) != key_of(declared.email):
            return
        if self._is_received(order.id, declared.books):
            return
        return_id = self.returns.insert(order.id, declared.name, declared.books)
        self.audit.record("order.returned", order.id, after={"return": return_id})
        self.mail.queue_acknowledgement(return_id, order.id, user.id, user.email)

    def _is_received(self, order_id: int, books: str | None) -> bool:
        """Return whether an open return of the order is about all of it, or about the same books."""
        open_ones = [one for one in self.returns.list_by_order(order_id) if one.handled_at is None]
        return any(one.books is None or _words(one.books) == _words(books or "") for one in open_ones)

    def handle(self, return_id: int) -> None:
        """Mark a return as handled, on behalf of staff, unless it is already; raises NotFound."""
        order_id = self.returns.handle(return_id)
        if order_id is not None:
            self.audit.record("order.return_handled", order_id, after={"return": return_id})
        elif not self.returns.exists(return_id):
            raise NotFound("There is no such return.", "RETURN_NOT_FOUND")


def _words(books: str) -> list[str]:
    """Return what was written, for comparing: whoever writes the same again may use other spaces and capitals."""
    return books.casefold().split()
