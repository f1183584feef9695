"""SQL that reads messages with everything needed to check, compose and list them."""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, TextClause, bindparam, case, func, select, update
from sqlalchemy.orm import Session

from bookshop.accounts.models import LoginLink, User
from bookshop.catalog.models import Book
from bookshop.kit.database import Page, later, paginate
from bookshop.mail.models import IS_UNSENT, LINK_KINDS, NOTICE_KINDS, SENT, Message
from bookshop.mail.repository import messages
from bookshop.orders.models import Order
from bookshop.prebookings.models import PreBook
from bookshop.prebookings.repository import IS_RESERVED_AGAIN, WAS_BOUGHT

TOO_OLD = 4 * 3600  # seconds after which a link is no longer worth sending
MAX_LISTED = 10_000

# Notices and links go to the address they were queued for, all else to the current one, which may have changed since.
HAS_OWN_ADDRESS = messages.c.kind.in_((*NOTICE_KINDS, *LINK_KINDS))

# A message with everything needed for the final check and for its text.
TO_SEND = (
    select(
        *(
            messages.c[name]
            for name in ("id", "kind", "user_id", "order_id", "link_id", "message_id", "attempts", "created_at")
        ),
        messages.c.recipient.label("queued_for"),
        case((HAS_OWN_ADDRESS, messages.c.recipient), else_=User.email).label("recipient"),
        User.role,
        User.deactivated_at.is_(None).label("active"),
        User.deleted_at.is_not(None).label("deleted"),
        User.email_key,
        User.email_confirmed_at,
        User.unsubscribed_at,
        Book.id.label("book_id"),
        *(getattr(Book, name) for name in ("title", "authors", "price_cents", "currency")),
        Book.stock_quantity,
        Book.withdrawn_at,
        IS_RESERVED_AGAIN.label("reserved_again"),
        WAS_BOUGHT.label("bought"),
        Order.status.label("order_status"),
        (LoginLink.id.is_not(None) & LoginLink.used_at.is_(None) & LoginLink.ended_at.is_(None)).label("link_is_open"),
        (messages.c.created_at < later(-TOO_OLD)).label("too_old"),
    )
    .select_from(messages)
    .outerjoin(User, User.id == messages.c.user_id)
    .outerjoin(LoginLink, LoginLink.id == messages.c.link_id)
    .outerjoin(PreBook, PreBook.id == messages.c.prebooking_id)
    .outerjoin(Book, Book.id == PreBook.book_id)
    .outerjoin(Order, Order.id == messages.c.order_id)
    .where(messages.c.id == bindparam("id"), messages.c.lease == bindparam("lease"))
    .where(messages.c.next_attempt_at > later(0))  # not if the lease expired while the worker was suspended
)
MARK_SENT = (
    update(messages)
    .where(messages.c.id == bindparam("message"), messages.c.lease == bindparam("held"))
    .values(
        state=SENT,
        lease=None,
        recipient=case(
            (HAS_OWN_ADDRESS, messages.c.recipient),
            else_=select(User.email).where(User.id == messages.c.user_id).scalar_subquery(),
        ),
        attempts=messages.c.attempts + 1,
        sent_at=later(0),
        last_error=None,
    )
)

# A message with the book or the order number that staff recognise it by.
LISTED = (
    select(Message, Book.id.label("book_id"), Book.title, Order.number)
    .outerjoin(PreBook, PreBook.id == Message.prebooking_id)
    .outerjoin(Book, Book.id == PreBook.book_id)
    .outerjoin(Order, Order.id == Message.order_id)
)


class MailerRepository:
    """Reads messages with their book or order, and marks them as sent; never commits."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def get_to_send(self, message_id: int, lease: str) -> Row[*tuple[Any, ...]] | None:
        """Return a message with everything needed to send it, or None if the lease was lost; see TO_SEND."""
        return self.session.connection().execute(TO_SEND, {"id": message_id, "lease": lease}).first()

    def mark_sent(self, message_id: int, lease: str) -> bool:
        """Mark a message as sent and release it; returns False if the lease was lost."""
        result: Any = self.session.connection().execute(MARK_SENT, {"message": message_id, "held": lease})
        return bool(result.rowcount)

    def find(self, message_ids: Collection[int]) -> Sequence[Any]:
        """Return the current state of these messages, each with its book or order; see LISTED."""
        query = LISTED.where(Message.id.in_(message_ids)).order_by(Message.id)
        return self.session.execute(query, execution_options={"populate_existing": True}).all()

    def list_unsent(self, page: int, size: int) -> Page[Any]:
        """Return unsent messages in sending order; the total is counted up to 10,000. See LISTED."""
        query = LISTED.where(IS_UNSENT).order_by(Message.bulk, Message.next_attempt_at, Message.id)
        return paginate(self.session, query, page, size, self._count(IS_UNSENT))

    def list_by_state(self, state: str, page: int, size: int) -> Page[Any]:
        """Return messages in this state, newest first; the total is counted up to 10,000. See LISTED."""
        query = LISTED.where(Message.state == state).order_by(Message.id.desc())
        return paginate(self.session, query, page, size, self._count(Message.state == state))

    def _count(self, condition: ColumnElement[bool] | TextClause) -> int:
        """Count messages, but only up to 10,000: nobody pages through a list any further."""
        counted = select(Message.id).where(condition).limit(MAX_LISTED).subquery()
        return self.session.scalar(select(func.count()).select_from(counted)) or 0
