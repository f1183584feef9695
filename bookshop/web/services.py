"""The services, bound to the request's database session and the settings; shared by pages and JSON."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar, cast

from flask import current_app, g, has_request_context
from flask_login import current_user
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from bookshop.accounts.address_changes import AddressChangeService
from bookshop.accounts.allowance import MailAllowance
from bookshop.accounts.authentication import Authentication
from bookshop.accounts.login_links import LoginLinkService
from bookshop.accounts.second_factor import SecondFactorService
from bookshop.accounts.service import AccountService
from bookshop.accounts.staff import StaffService
from bookshop.alerts.service import AlertService
from bookshop.audit.service import Actor, AuditService, set_actor
from bookshop.cart.service import CartService
from bookshop.catalog.service import CatalogService
from bookshop.checkout.offer import OrderRules
from bookshop.checkout.service import CheckoutService
from bookshop.content.service import ContentService
from bookshop.events.repository import EventRepository
from bookshop.extensions import db, is_read_only, settings, without_transactions, writer
from bookshop.feed.service import FeedService
from bookshop.idempotency.service import FormResponse, IdempotencyService, SentFormResponse, SentFormService
from bookshop.imports.service import ImportService
from bookshop.inventory.service import BookService
from bookshop.kit import transactions
from bookshop.kit.exceptions import BookshopError, Invalid, NotAuthenticated
from bookshop.mail.service import MailService
from bookshop.mailer.service import MailerService
from bookshop.orders.service import OrderService
from bookshop.people.link_actions import LinkActionService
from bookshop.people.service import PeopleService
from bookshop.picks.service import PickService
from bookshop.prebookings.service import PreBookService
from bookshop.reference.service import ReferenceService
from bookshop.retention.service import RetentionService
from bookshop.returns.service import ReturnService
from bookshop.shelf.service import ShelfService
from bookshop.shop.service import NEW_SHOP, Details, ShopService
from bookshop.throttle.service import ThrottleService
from bookshop.webhooks.addresses import AddressNotAllowed, parse_url, resolve_allowed
from bookshop.webhooks.service import WebhookService

log = logging.getLogger(__name__)

T = TypeVar("T")
S = TypeVar("S")

SHOP_NAME = "bookshop_name"  # key in `app.extensions`
SERVICES = "bookshop_services"  # key in `session.info`

DNS_TIMEOUT = 5  # seconds, for the host name of a webhook


def once_per_session(make: Callable[[], S]) -> Callable[[], S]:
    """Create the service on first use and cache it for the lifetime of the request's session."""

    @wraps(make)
    def cached() -> S:
        return _cached(make, make)

    return cached


def repository(kind: Callable[[Session], S]) -> S:
    """Return a repository on the request's session, for reading and locking; writes go through services."""
    return _cached(kind, lambda: kind(db.session()))


def _cached(key: object, make: Callable[[], S]) -> S:
    cache: dict[object, Any] = db.session().info.setdefault(SERVICES, {})
    if key not in cache:
        cache[key] = make()
    return cast(S, cache[key])


@once_per_session
def authentication() -> Authentication:
    return Authentication(db.session())


@once_per_session
def accounts() -> AccountService:
    return AccountService(db.session(), authentication(), mail(), second_factor(), settings().session_days)


def second_factor(session: Session | None = None) -> SecondFactorService:
    config, used = settings(), session or db.session()
    outbox = MailService(used, config.mail_host)
    return SecondFactorService(used, str(current_app.secret_key), outbox, required=config.staff_second_factor)


@once_per_session
def audit() -> AuditService:
    return AuditService(db.session())


@once_per_session
def people() -> PeopleService:
    return PeopleService(db.session(), accounts(), checkout(), mail())


@once_per_session
def login_links() -> LoginLinkService:
    return LoginLinkService(db.session(), str(current_app.secret_key), accounts(), mail(), mail_allowance())


@once_per_session
def address_changes() -> AddressChangeService:
    return AddressChangeService(db.session(), accounts(), login_links(), mail())


@once_per_session
def link_actions() -> LinkActionService:
    return LinkActionService(db.session(), login_links(), prebookings(), cart(), checkout())


@once_per_session
def staff() -> StaffService:
    return StaffService(db.session(), accounts(), mail(), mail_allowance())


@once_per_session
def mail_allowance() -> MailAllowance:
    return MailAllowance(db.session(), str(current_app.secret_key))


@once_per_session
def mail() -> MailService:
    return MailService(db.session(), settings().mail_host)


@once_per_session
def mailer() -> MailerService:
    return MailerService(db.session())


@once_per_session
def alerts() -> AlertService:
    return AlertService(db.session(), settings().mail_host, shop())


@once_per_session
def shelf() -> ShelfService:
    return ShelfService(db.session(), inventory(), alerts())


@once_per_session
def catalog() -> CatalogService:
    return CatalogService(db.session())


@once_per_session
def imports() -> ImportService:
    return ImportService(db.session(), catalog(), shelf(), shop_details().currency)


@once_per_session
def reference() -> ReferenceService:
    return ReferenceService(db.session())


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
    return OrderService(db.session(), shop_details().collect_days)


@once_per_session
def returns() -> ReturnService:
    return ReturnService(db.session(), mail(), mail_allowance())


@once_per_session
def checkout() -> CheckoutService:
    rules = OrderRules(settings().max_open_orders, shop_details().postage, shop_details().wording)
    return CheckoutService(db.session(), inventory(), mail(), alerts(), rules)


@once_per_session
def feed() -> FeedService:
    return FeedService(db.session())


@once_per_session
def webhooks() -> WebhookService:
    return WebhookService(db.session())


@once_per_session
def content() -> ContentService:
    return ContentService(db.session())


@once_per_session
def picks() -> PickService:
    return PickService(db.session())


@once_per_session
def shop() -> ShopService:
    return ShopService(db.session())


def shop_details() -> Details:
    """Return the shop's details as they were at the beginning of this request."""
    details = shop().details
    current_app.extensions[SHOP_NAME] = details.name
    return details


def last_known_name() -> str:
    """Return the name of the shop for pages without a database."""
    return str(current_app.extensions.get(SHOP_NAME, NEW_SHOP.name))


@once_per_session
def retention() -> RetentionService:
    return RetentionService(db.session(), settings(), shop())


@once_per_session
def idempotency() -> IdempotencyService:
    return IdempotencyService(db.session(), settings().keep_responses)


def sent_forms(session: Session | None = None) -> SentFormService:
    return SentFormService(session or db.session(), settings().keep_responses)


def throttle(session: Session | None = None) -> ThrottleService:
    return ThrottleService(session or db.session(), str(current_app.secret_key))


def assign_positions() -> None:
    """Assign feed positions to all committed events; waits briefly if another request is doing so. Raises Busy.

    It uses its own session and transactions, so that read-only requests can call it. It contains no business rules and
    therefore needs no service.
    """
    with separate_session() as session:
        events = EventRepository(session)
        while events.is_behind() and transactions.in_transaction(session, events.assign_positions):
            pass


def try_write(on_failure: str, work: Callable[[Session], None]) -> bool:
    """Write something that the request can do without, and return if it worked; a failure is logged as `on_failure`."""
    try:
        with separate_session() as session:
            transactions.in_transaction(session, lambda: work(session))
    except (BookshopError, SQLAlchemyError) as error:
        log.warning("%s: %s: %s", g.get("request_id"), on_failure, type(error).__name__)
        return False
    return True


@contextmanager
def reading_session() -> Iterator[Session]:
    """Open a session of its own that reads without transactions, for work outside of a request's session."""
    with Session(without_transactions(db.engine)) as session:
        yield session


@contextmanager
def separate_session() -> Iterator[Session]:
    """Open a second session, for writes that must survive if the request itself is rolled back."""
    db.session.rollback()  # returns its connection to the pool: a request never holds one while waiting for another
    with writer(), Session(db.engine) as session:
        session.info.update(db.session().info)  # the deadline of the request
        session.info.pop(SERVICES, None)
        yield session


def register_webhook(user_id: int, url: str, kinds: Sequence[str]) -> int:
    """Register a webhook for events from now on, and commit; returns its id.

    First resolves the address, with no transaction open. Raises Invalid or Conflict.
    """
    address = parse_url(url)
    db.session.rollback()
    try:
        resolve_allowed(address, private=settings().webhook_private, timeout=DNS_TIMEOUT)
    except AddressNotAllowed as error:
        raise Invalid(str(error), "url") from None
    assign_positions()
    return commit(lambda: webhooks().register(user_id, str(address), kinds)).id


def commit(work: Callable[[], T], *, lock_role: bool = True) -> T:
    """Run one service call in its own writing transaction and commit it; see `transactions.in_transaction`.

    It also claims the form of a page, and raises AlreadySent if it was sent before; see web/sent_forms.py. For staff it
    keeps their role from being taken away until the commit, and raises NotAuthenticated if that has just happened; pass
    `lock_role=False` if the service locks accounts, theirs among them. Not for GET or HEAD requests, which have no
    transactions on PostgreSQL; see `extensions.RequestSession`.
    """
    if is_read_only():
        raise RuntimeError("a GET or HEAD request must not write")
    with writer():
        result = transactions.in_transaction(db.session(), _once(_as_actor(work, lock_role=lock_role)))
    g.form_claimed = "form_key" in g
    return result


def form_response(key: str) -> SentFormResponse:
    """Return the committed response to a form that was sent before, and its age."""
    db.session.rollback()
    return sent_forms().get(key)


def form_was_sent(key: str) -> bool:
    """Whether a form has taken effect and committed; False while the database is unavailable."""
    try:
        db.session.rollback()
        return sent_forms().was_sent(key)
    except SQLAlchemyError as error:
        log.warning("%s: cannot check for repeated forms: %s", g.get("request_id"), type(error).__name__)
        return False


def store_form_response(key: str, response: FormResponse) -> None:
    """Store the response to a form that has taken effect."""
    try_write("the response to a form was not stored", lambda session: sent_forms(session).store(key, response))


def keep_text(key: str, text: str) -> bool:
    """Keep a text for some minutes; returns whether that has worked."""
    user_id = getattr(current_user, "user_id", None)
    return try_write("a form was not kept", lambda session: sent_forms(session).keep(key, user_id, text))


def kept_text(key: str) -> str | None:
    """Return a text that was kept; None if it is no longer, or while the database is unavailable."""
    try:
        return sent_forms().kept(key)
    except SQLAlchemyError as error:
        log.warning("%s: cannot read a kept form: %s", g.get("request_id"), type(error).__name__)
        return None


def actor() -> Actor:
    """Return who is behind this request, for the audit log; outside of requests, a command."""
    if not has_request_context():
        return Actor(None, None, is_audited=True)
    user: Any = current_user._get_current_object()
    return Actor(getattr(user, "user_id", None), g.get("request_id"), is_audited=user.is_staff)


def _as_actor(work: Callable[[], T], *, lock_role: bool) -> Callable[[], T]:
    """Tell the audit log who is behind the session, and return `work` that, for staff, first locks their role."""
    set_actor(db.session(), actor())
    user: Any = current_user._get_current_object() if has_request_context() else None
    if user is None or not (user.is_staff and lock_role):
        return work

    def lock_and_work() -> T:
        if authentication().lock_role(user.user_id) != user.role:
            raise NotAuthenticated("Your account has changed. Please log in again.")
        return work()

    return lock_and_work


def _once(work: Callable[[], T]) -> Callable[[], T]:
    """Return `work` that first claims the request's form, unless an earlier commit of this request has done so."""
    if "form_key" not in g or g.get("form_claimed"):
        return work
    key, user_id = g.form_key, getattr(current_user, "user_id", None)

    def claim_and_work() -> T:
        sent_forms().claim(key, user_id)
        return work()

    return claim_and_work
