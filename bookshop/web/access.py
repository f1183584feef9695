"""The authentication of requests, and the decorators that restrict views by role."""

import logging
from collections.abc import Callable, Collection
from functools import wraps
from typing import Any, TypeVar, cast

from flask import Request, request
from flask_login import AnonymousUserMixin, current_user
from sqlalchemy.exc import DBAPIError

from bookshop.accounts.authentication import Identity
from bookshop.accounts.models import CUSTOMER, OWNER, STAFF_ROLES
from bookshop.extensions import db, login_manager, settings
from bookshop.kit.exceptions import Forbidden, FreshLoginRequired, NotAuthenticated, SecondFactorRequired
from bookshop.web import fresh_login, services

log = logging.getLogger(__name__)

View = TypeVar("View", bound=Callable[..., Any])


class Anonymous(AnonymousUserMixin):  # type: ignore[misc]
    """A visitor who is not logged in."""

    is_staff = False
    is_owner = False
    is_customer = False


def current_identity() -> Identity:
    """Return the logged-in user; only for views behind a guard such as `login_required`."""
    return cast(Identity, current_user._get_current_object())  # the proxy would look it up for each attribute


def is_api() -> bool:
    """Whether this request is for the JSON API, which returns errors as JSON."""
    return request.path == "/api" or request.path.startswith("/api/")


def for_pages(hook: Callable[..., Any]) -> Callable[..., Any]:
    """Make a before- or after-request hook skip JSON requests."""

    @wraps(hook)
    def hooked(*response: Any) -> Any:
        return next(iter(response), None) if is_api() else hook(*response)

    return hooked


def bearer_token(request: Request) -> str | None:
    """Return the Bearer token (RFC 6750), '' if it is empty, or None if the request does not use the Bearer scheme."""
    try:
        authorization = request.authorization
    except ValueError:  # another scheme, with a value that is not ASCII
        return None
    if authorization is None or authorization.type != "bearer":
        return None
    return authorization.token or ""


@login_manager.user_loader  # type: ignore[untyped-decorator]
def load_login(login_id: str) -> Identity | None:
    identity = services.authentication().by_login(login_id, settings().session_days)
    if identity and not identity.is_seen:
        user_id = identity.user_id
        _record(f"that user {user_id} was seen", lambda: services.authentication().record_seen(user_id))
    return identity


@login_manager.request_loader  # type: ignore[untyped-decorator]
def load_token(request: Request) -> Identity | None:
    token = bearer_token(request)
    identity = services.authentication().by_token(token) if token and is_api() else None
    if identity and identity.unrecorded_token_id is not None:
        token_id = identity.unrecorded_token_id
        _record(f"the use of token {token_id}", lambda: services.authentication().record_token_use(token_id))
    return identity


def _record(what: str, write: Callable[[], None]) -> None:
    """Record the use of a token or login, in its own transaction, before the request's work begins.

    It tries once and never waits, so it does not use `services.commit`; if the row or database is locked, the next
    request records it.
    """
    try:
        write()
        db.session.commit()
    except DBAPIError as error:
        db.session.rollback()
        log.warning("%s was not recorded: %s", what, type(error.orig).__name__)


def login_required(view: View) -> View:
    """Require a logged-in user; raises NotAuthenticated."""
    return _guard(view)


def customer_required(view: View) -> View:
    """Require a customer; raises NotAuthenticated or Forbidden."""
    return _guard(view, (CUSTOMER,), "This is for customers only. Your account is a staff account.")


def customers_and_visitors(view: View) -> View:
    """Allow customers and visitors who are not logged in; raises Forbidden for staff."""
    return _not_for_staff(view, "This is for customers only. Your account is a staff account.")


def not_for_staff(view: View) -> View:
    """Allow customers and visitors to use a cart; raises Forbidden for staff."""
    return _not_for_staff(view, "Staff accounts have no cart. Log in with a customer account to buy books.")


def _not_for_staff(view: View, sentence: str) -> View:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if current_user.is_staff:
            raise Forbidden(sentence)
        return view(*args, **kwargs)

    return cast(View, guarded)


def staff_required(view: View) -> View:
    """Require a member of staff; raises NotAuthenticated or Forbidden."""
    return _guard(view, STAFF_ROLES, "This is for the shop's staff only.")


def owner_required(view: View) -> View:
    """Require an owner of the shop; raises NotAuthenticated or Forbidden."""
    return _guard(view, (OWNER,), "This is for the shop's owners only.")


def fresh_login_required(view: View) -> View:
    """Require a fresh login, like `require_fresh_login`; put it below the decorator for the role."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        require_fresh_login()
        return view(*args, **kwargs)

    vars(guarded)["fresh"] = True  # for the OpenAPI document
    return cast(View, guarded)


def fresh_or_password(view: View) -> View:
    """Require a fresh login, like `require_fresh_login`, unless the form asks for the password.

    Users who logged in with a second factor need both.
    """

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        me = current_identity()
        if me.second_factor or not me.needs_password:
            require_fresh_login()
        return view(*args, **kwargs)

    return cast(View, guarded)


def require_fresh_login() -> None:
    """Require that a password, a code or a link was used in this login within the last 15 minutes.

    On a page, raises FreshLoginRequired, which asks for it: a GET comes back afterwards, and a POST is sent again with
    everything that was typed. Scripts with a Bearer token are not asked. Raises NotAuthenticated for visitors.
    """
    identity = current_identity()
    if not identity.is_authenticated:
        raise NotAuthenticated("Please log in first.")
    if identity.login_id is None or identity.is_fresh:
        return
    if is_api():
        raise FreshLoginRequired
    fresh_login.confirm_by_form(identity)


def require_second_factor() -> None:
    """Raise SecondFactorRequired for a login of staff without a second factor, if the shop requires one.

    Scripts with a Bearer token have no second factor. The account pages do not call this: users set it up there.
    """
    if current_identity().is_staff and not sees_staff_data():
        raise SecondFactorRequired


def sees_staff_data() -> bool:
    """Whether this is a member of staff, with a second factor if the shop requires one of logins."""
    user = current_identity()
    if not user.is_staff:
        return False
    return user.second_factor or user.login_id is None or not settings().staff_second_factor


def _guard(view: View, roles: Collection[str] = (), sentence: str = "") -> View:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        identity = current_identity()
        if not identity.is_authenticated:
            raise NotAuthenticated("Please log in first.")
        if roles and identity.role not in roles:
            raise Forbidden(sentence)
        if roles:
            require_second_factor()
        return view(*args, **kwargs)

    vars(guarded)["roles"] = roles  # for the OpenAPI document
    return cast(View, guarded)
