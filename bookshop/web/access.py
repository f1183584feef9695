"""Who is asking, and who may: the guards that views wear."""

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from flask import Request, request
from flask_login import AnonymousUserMixin, current_user
from sqlalchemy.exc import DBAPIError

from bookshop.accounts.authentication import Identity
from bookshop.accounts.models import CUSTOMER, STAFF
from bookshop.extensions import db, login_manager, settings
from bookshop.kit.exceptions import Forbidden, NotAuthenticated
from bookshop.web import services

log = logging.getLogger(__name__)

View = TypeVar("View", bound=Callable[..., Any])


class Anonymous(AnonymousUserMixin):  # type: ignore[misc]
    """A visitor who is not logged in."""

    is_staff = False
    is_customer = False


def current_identity() -> Identity:
    """Who is logged in; only for views that wear a guard."""
    return cast(Identity, current_user._get_current_object())  # not the proxy, which looks it up for each attribute


def is_api() -> bool:
    """Whether this request is for JSON and gets its errors in JSON."""
    return request.path == "/api" or request.path.startswith("/api/")


def for_pages(hook: Callable[..., Any]) -> Callable[..., Any]:
    """A hook before or after requests that is left out where the request is for JSON."""

    @wraps(hook)
    def hooked(*response: Any) -> Any:
        return next(iter(response), None) if is_api() else hook(*response)

    return hooked


def bearer_token(asked: Request) -> str | None:
    """The token of the Authorization header (RFC 6750), '' if it names none, None if it is no Bearer request."""
    try:
        authorization = asked.authorization
    except ValueError:  # another scheme, and its value is not even ASCII
        return None
    if authorization is None or authorization.type != "bearer":
        return None
    return authorization.token or ""


@login_manager.user_loader  # type: ignore[untyped-decorator]
def load_login(login_id: str) -> Identity | None:
    return services.authentication().by_login(login_id, settings().session_days)


@login_manager.request_loader  # type: ignore[untyped-decorator]
def load_token(asked: Request) -> Identity | None:
    token = bearer_token(asked)
    identity = services.authentication().by_token(token) if token and is_api() else None
    if identity and identity.token_to_note is not None:
        _note_token_use(identity.token_to_note)
    return identity


def _note_token_use(token_id: int) -> None:
    """Write down that a token is in use, in a transaction of its own that is over before the request's work begins.

    One try that waits for nobody, therefore without `services.commit`: where others write just now, it is left to the
    next request.
    """
    try:
        services.authentication().note_token_use(token_id)
        db.session.commit()
    except DBAPIError as error:
        db.session.rollback()
        log.warning("the use of token %d is not written down: %s", token_id, type(error.orig).__name__)


def login_required(view: View) -> View:
    """Let in who is logged in; raises NotAuthenticated."""
    return _guard(view)


def customer_required(view: View) -> View:
    """Let in customers; raises NotAuthenticated or Forbidden."""
    return _guard(view, CUSTOMER, "This is for customers' accounts; yours is for staff.")


def not_for_staff(view: View) -> View:
    """Let in customers and visitors who are not logged in; raises Forbidden."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        if current_user.is_staff:
            raise Forbidden("Carts are for customers; staff accounts have none.")
        return view(*args, **kwargs)

    return cast(View, guarded)


def staff_required(view: View) -> View:
    """Let in staff; raises NotAuthenticated or Forbidden."""
    return _guard(view, STAFF, "This is for the shop's staff.")


def _guard(view: View, role: str | None = None, sentence: str = "") -> View:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        identity = current_identity()
        if not identity.is_authenticated:
            raise NotAuthenticated("Please log in first.")
        if role not in {None, identity.role}:
            raise Forbidden(sentence)
        return view(*args, **kwargs)

    vars(guarded)["role"] = role  # for who asks what a route needs
    return cast(View, guarded)
