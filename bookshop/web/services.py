"""What pages and JSON share: the services, bound to this request's database session and to the settings."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

from flask import current_app, g
from flask_login import current_user
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from bookshop.accounts.authentication import Authentication
from bookshop.accounts.email_links import EmailLinkService
from bookshop.accounts.service import AccountService
from bookshop.alerts.service import AlertService
from bookshop.cart.service import CartService
from bookshop.catalog.service import CatalogService
from bookshop.checkout.service import CheckoutService
from bookshop.events.repository import EventRepository
from bookshop.extensions import db, is_read_only, settings, writer
from bookshop.feed.service import FeedService
from bookshop.idempotency.service import FormAnswer, FormSent, IdempotencyService, SentFormService
from bookshop.inventory.service import BookService
from bookshop.kit import transactions
from bookshop.kit.exceptions import BookshopError, Invalid, WrongPassword
from bookshop.mail.service import MailService
from bookshop.mailer.service import MailerService
from bookshop.orders.service import OrderService
from bookshop.people.service import PeopleService
from bookshop.prebookings.service import PreBookService
from bookshop.shelf.service import ShelfService
from bookshop.throttle.service import AttemptLimit, ThrottleService
from bookshop.webhooks.addresses import AddressNotAllowed, read_url, vetted
from bookshop.webhooks.service import WebhookService

log = logging.getLogger(__name__)

T = TypeVar("T")
S = TypeVar("S")

MADE = "bookshop_services"

LOOK_UP = 5  # seconds in which the name of a receiver must be found


def once_per_session(make: Callable[[], S]) -> Callable[[], S]:
    """A service that is made when it is first asked for, and then kept for as long as the session of the request."""

    @wraps(make)
    def kept() -> S:
        return _kept(make, make)

    return kept


def repository(kind: Callable[[Session], S]) -> S:
    """A repository on the session of this request, to read or to lock by; whatever writes is a service's."""
    return _kept(kind, lambda: kind(db.session()))


def _kept(key: object, make: Callable[[], S]) -> S:
    made: dict[object, Any] = db.session().info.setdefault(MADE, {})
    if key not in made:
        made[key] = make()
    return cast(S, made[key])


@once_per_session
def authentication() -> Authentication:
    return Authentication(db.session())


@once_per_session
def accounts() -> AccountService:
    return AccountService(db.session(), authentication(), mail(), settings().session_days)


@once_per_session
def people() -> PeopleService:
    return PeopleService(db.session(), accounts(), checkout(), mail())


@once_per_session
def email_links() -> EmailLinkService:
    return EmailLinkService(db.session(), accounts(), mail())


@once_per_session
def mail() -> MailService:
    return MailService(db.session(), settings().mail_host, settings().mail_delay)


@once_per_session
def mailer() -> MailerService:
    return MailerService(db.session())


@once_per_session
def alerts() -> AlertService:
    return AlertService(db.session(), settings().mail_host, settings().mail_delay)


@once_per_session
def shelf() -> ShelfService:
    return ShelfService(db.session(), inventory(), alerts())


@once_per_session
def catalog() -> CatalogService:
    return CatalogService(db.session())


@once_per_session
def inventory() -> BookService:
    return BookService(db.session())


@once_per_session
def prebookings() -> PreBookService:
    return PreBookService(db.session(), authentication(), settings().max_waiting)


@once_per_session
def cart() -> CartService:
    return CartService(db.session(), authentication(), prebookings(), settings().cart_lines, settings().cart_copies)


@once_per_session
def orders() -> OrderService:
    return OrderService(db.session(), settings().collect_days)


@once_per_session
def checkout() -> CheckoutService:
    return CheckoutService(db.session(), inventory(), mail(), alerts(), post_orders=settings().post_orders)


@once_per_session
def feed() -> FeedService:
    return FeedService(db.session())


@once_per_session
def webhooks() -> WebhookService:
    return WebhookService(db.session())


@once_per_session
def idempotency() -> IdempotencyService:
    return IdempotencyService(db.session())


def sent_forms(session: Session | None = None) -> SentFormService:
    return SentFormService(session or db.session())


def throttle(session: Session | None = None) -> ThrottleService:
    return ThrottleService(session or db.session(), str(current_app.secret_key))


def assign_positions() -> None:
    """Give all events that are committed by now their places in the feed; waits its turn, a moment, if others do it.

    In transactions of its own on a session of its own, so that a request that only looks may ask for it, too: what it
    writes is nothing that anybody decided. There is no rule in it, hence no service. Raises Busy.
    """
    with separate_session() as session:
        events = EventRepository(session)
        while events.is_behind() and transactions.in_transaction(session, events.assign_positions):
            pass


def with_counted_attempt(limits: Sequence[AttemptLimit], form: str, work: Callable[[], T]) -> T:
    """Do what asks for a password, counted as an attempt until it is known that the password is right.

    The same `form` once more, if it has a name, is the same attempt. Raises TooManyAttempts, before any work.
    """

    def count() -> bool:
        is_first = not form or sent_forms(session).claim_attempt(form)
        if is_first:
            throttle(session).claim(limits)
        return is_first

    with separate_session() as session:
        counted = transactions.in_transaction(session, count)
    try:
        done = work()
    except WrongPassword:
        raise
    except BookshopError:
        _forgive(counted, limits)
        raise
    _forgive(counted, limits)
    return done


def _forgive(counted: bool, limits: Sequence[AttemptLimit]) -> None:
    if counted:
        _beside("an attempt stays counted", lambda session: throttle(session).forgive(limits))


def _beside(failing: str, work: Callable[[Session], None]) -> None:
    """Write something without which the request has succeeded as well; where that fails, the log says so."""
    try:
        with separate_session() as session:
            transactions.in_transaction(session, lambda: work(session))
    except (BookshopError, SQLAlchemyError) as error:
        log.warning("%s: %s: %s", g.get("request_id"), failing, type(error).__name__)


@contextmanager
def separate_session() -> Iterator[Session]:
    """A session for what a request writes beside what it is asked for, and what no refusal takes back."""
    db.session.rollback()  # gives its connection back: nobody holds one while waiting for a second
    with writer(), Session(db.engine) as session:
        session.info.update(db.session().info)  # the deadline of the request
        session.info.pop(MADE, None)
        yield session


def register_webhook(user_id: int, url: str, wanted: Sequence[str]) -> int:
    """Register a webhook for what happens from now on, and commit; returns its id.

    Looks first where the address leads, with no transaction open meanwhile. Raises Invalid or Conflict.
    """
    address = read_url(url)
    db.session.rollback()
    try:
        vetted(address, private=settings().webhook_private, timeout=LOOK_UP)
    except AddressNotAllowed as refused:
        raise Invalid(str(refused), "url") from None
    assign_positions()
    return commit(lambda: webhooks().register(user_id, str(address), wanted)).id


def commit(work: Callable[[], T]) -> T:
    """Run one service call in a writing transaction of its own and commit it; see transactions.in_transaction.

    A form of a page is claimed in it, and raises SentBefore if it was sent before; see web/sent_forms.py. Not in a
    request that only looks, which has no transactions on PostgreSQL; see extensions.RequestSession.
    """
    if is_read_only():
        raise RuntimeError("a request that only looks (GET, HEAD) does not write")
    with writer():
        done = transactions.in_transaction(db.session(), _once(work))
    g.form_claimed = "form_key" in g
    return done


def form_answer(key: str) -> FormSent:
    """How a form was answered that was sent before, and when, by what is committed by now."""
    db.session.rollback()
    return sent_forms().get(key)


def form_was_sent(key: str) -> bool:
    """Whether a form has had its effect, by what is committed by now; not, while the database does not answer."""
    try:
        db.session.rollback()
        return sent_forms().was_sent(key)
    except SQLAlchemyError as error:
        log.warning("%s: forms cannot be looked up: %s", g.get("request_id"), type(error).__name__)
        return False


def keep_answer(key: str, answer: FormAnswer) -> None:
    """Keep how a form was answered that has had its effect."""
    _beside("the answer to a form is not kept", lambda session: sent_forms(session).keep(key, answer))


def _once(work: Callable[[], T]) -> Callable[[], T]:
    """The work of a form, done only if nobody has claimed that before; where a request commits twice, the first."""
    if "form_key" not in g or g.get("form_claimed"):
        return work
    key, user_id = g.form_key, getattr(current_user, "user_id", None)

    def first() -> T:
        sent_forms().claim(key, user_id)
        return work()

    return first
