"""Keep for a while what was typed into forms, and the pages that answer them, apart from all secrets.

Post/Redirect/Get: to a browser, the page that answers a form is shown at an address of its own, so that *Back* and
*Reload* show it again without sending the form again. Programs get the page at once.

A form that is sent after its login has expired leads to the login page, and comes back with what was typed.
"""

import hashlib
import json
import secrets
from collections.abc import Iterator
from functools import cache
from urllib.parse import urlencode

from flask import Flask, Response, g, redirect, request, session
from flask_login import current_user
from flask_wtf import FlaskForm
from werkzeug.datastructures import MultiDict
from werkzeug.wrappers import Response as AnyResponse
from wtforms import PasswordField
from wtforms.fields.core import UnboundField

from bookshop.idempotency.service import RESPONSE_RETENTION
from bookshop.web import rate_limits, services
from bookshop.web.access import for_pages
from bookshop.web.forms import ONCE, ShopForm, has_csrf_token
from bookshop.web.navigation import parent_page

ANSWER = "answer"  # the query argument that names the page that answers a form
TYPED = "bookshop_typed"  # the cookie that names what was typed into the form of its path
STATUSES = (200, 400, 409, 422)  # not 201, as that page shows a secret
LARGEST = 300_000  # characters; enough for the page of a large delivery, or a long text with its other fields
LIMIT = "100 per 10 minutes"  # forms that are kept for one client
SECRET_PAGES = {"accounts.second_factor", "accounts.new_recovery_codes", "accounts.tokens"}
SECRET_FIELDS = {"code", "confirmation", "confirmation_link", "csrf_token", "once"}  # beside those for passwords


def init_app(app: Flask) -> None:
    """Call before other hooks are set up that need the page itself: hooks after a request run in reverse order."""
    app.after_request(for_pages(forget_typed))
    app.after_request(for_pages(redirect_to_page))


def redirect_to_page(response: AnyResponse) -> AnyResponse:
    """Keep the page that answers a browser's form, and redirect to it."""
    if request.method != "POST" or not _is_kept(response):
        return response
    name = secrets.token_urlsafe(16)
    page = json.dumps([response.status_code, response.get_data(as_text=True)])
    if not _keep(_page_key(name), page):
        return response
    arguments = [item for item in request.args.items(multi=True) if item[0] != ANSWER]
    shown = redirect(f"{request.path}?{urlencode([*arguments, (ANSWER, name)])}", 303)
    for cookie in response.headers.getlist("Set-Cookie"):
        shown.headers.add("Set-Cookie", cookie)
    return shown


def _is_kept(response: AnyResponse) -> bool:
    if request.headers.get("Sec-Fetch-Mode") != "navigate" or request.endpoint in SECRET_PAGES or "never_keep" in g:
        return False
    has_form = response.status_code in STATUSES and response.mimetype == "text/html" and not response.is_streamed
    return has_form and "csrf_token" in session and request.url_rule is not None


def show() -> AnyResponse | None:
    """Return the page that answered a form of this browser; if it is no longer kept, lead to the page of the form."""
    name = request.args.get(ANSWER)
    if name is None or request.method != "GET":
        return None
    if page := ONCE.fullmatch(name) and services.kept_text(_page_key(name)):
        status, text = json.loads(page)
        return Response(text, status, mimetype="text/html")
    if request.url_rule is None:  # the form has no page at its own address
        return redirect(parent_page(), 303)
    others = urlencode([item for item in request.args.items(multi=True) if item[0] != ANSWER])
    return redirect(f"{request.path}?{others}" if others else request.path, 303)


def _page_key(name: str) -> str:
    """Return the key of a page: only this session of this user can see it."""
    user = getattr(current_user, "login_id", None)
    return _hash("page", request.path, name, session.get("csrf_token", ""), user or "")


def keep_typed(response: AnyResponse, path: str) -> bool:
    """Keep the fields of this form for the page at `path`, where this browser finds them after logging in.

    Returns whether they are kept. Only a form of our own pages counts: another site must not fill in ours.
    """
    was_logged_in = "_user_id" in session and has_csrf_token()
    is_ours = was_logged_in or request.headers.get("Sec-Fetch-Site") == "same-origin"  # the cookie may have expired too
    if request.method != "POST" or not is_ours:
        return False
    fields = [item for item in request.form.items(multi=True) if item[0] not in secret_fields()]
    name = secrets.token_urlsafe(16)
    if not any(value.strip() for _name, value in fields) or not _keep(_hash("typed", path, name), json.dumps(fields)):
        return False
    settings = {"httponly": True, "samesite": "Lax", "secure": request.is_secure}
    response.set_cookie(TYPED, name, max_age=RESPONSE_RETENTION, path=path, **settings)  # type: ignore[arg-type]
    return True


def restore_typed() -> None:
    """Let the forms of this page start with what was typed before the login had expired."""
    name = request.cookies.get(TYPED, "")
    if request.method != "GET" or not ONCE.fullmatch(name):
        return
    if fields := services.kept_text(_hash("typed", request.path, name)):
        g.typed = MultiDict(json.loads(fields))


def forget_typed(response: AnyResponse) -> AnyResponse:
    """Forget what was typed once the form has been sent again."""
    if request.method == "POST" and TYPED in request.cookies and current_user.is_authenticated:
        response.delete_cookie(TYPED, path=request.path)
    return response


@cache
def secret_fields() -> frozenset[str]:
    """Return the names of all fields that are never kept, of every form with a password among them."""
    return frozenset({name for form in _subclasses(ShopForm) for name in vars(form) if _is_password(form, name)}) | (
        SECRET_FIELDS
    )


def _subclasses(form: type[FlaskForm]) -> Iterator[type[FlaskForm]]:
    yield form
    for child in form.__subclasses__():
        yield from _subclasses(child)


def _is_password(form: type[FlaskForm], name: str) -> bool:
    field = vars(form)[name]
    return isinstance(field, UnboundField) and issubclass(field.field_class, PasswordField)


def _keep(key: str, text: str) -> bool:
    if len(text) > LARGEST or not rate_limits.fits(LIMIT, "kept forms"):
        return False
    return services.keep_text(key, text)


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
