"""Error handlers: every exception becomes an HTML page or a problem (application/problem+json, RFC 9457) here."""

import json
import logging
from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app, flash, g, redirect, render_template, request, url_for
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from bookshop.extensions import db
from bookshop.kit.exceptions import (
    BookshopError,
    Busy,
    Conflict,
    Forbidden,
    FreshLoginRequired,
    InsufficientScope,
    InsufficientStock,
    Invalid,
    MalformedRequest,
    NotAuthenticated,
    NotFound,
    OutcomeUnknown,
    PreconditionFailed,
    Purged,
    SecondFactorRequired,
    TooManyAttempts,
)
from bookshop.kit.transactions import has_committed
from bookshop.web import fresh_login, kept_forms, services
from bookshop.web.access import bearer_token, is_api
from bookshop.web.navigation import parent_page, requested_next, return_address
from bookshop.web.rate_limits import seconds_until_reset
from bookshop.web.uploads import MAX_BODY_READ, upload_of

log = logging.getLogger(__name__)

STATUSES: dict[type[BookshopError], int] = {
    NotAuthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Purged: 410,
    PreconditionFailed: 412,
    Invalid: 422,
    TooManyAttempts: 429,
    Busy: 503,
    OutcomeUnknown: 503,
}
RETRY_AFTER = "2"
LOGGED_OUT = "Please log in first, then try again. Nothing has been changed."
KEPT = "Please log in first. Nothing has been changed, and what you typed is kept: it is there after you log in."
COPIED_HEADERS = ("Allow", "Retry-After", "Location", "Content-Range")
SENTENCES = {
    404: "There is nothing at this address.",
    405: "This address does not accept that method.",
    413: "This is too large. Send less at once.",
    415: "Send this as JSON, with `Content-Type: application/json`.",
    429: "Too many requests. Please wait a little before you try again.",
    500: "A fault in the shop's software stopped this. Nothing was changed, and the fault has been recorded.",
}
FAILED_AFTER_COMMIT = (
    "Your change was saved, but then a fault in the shop's software occurred, which has been recorded. Check before "
    "you send your change again."
)
TITLES = {
    403: "Not for this account",
    404: "Not found",
    405: "This page cannot be opened directly",
    413: "Too large",
    429: "Too many attempts",
    500: "A fault on our side",
    503: "Please try again in a moment",
}


def init_app(app: Flask) -> None:
    app.register_error_handler(BookshopError, handle_bookshop_error)
    app.register_error_handler(CSRFError, handle_csrf_error)
    app.register_error_handler(HTTPException, handle_http_error)
    for kind in (OperationalError, InterfaceError, InternalError):  # unreachable, full, read-only
        app.register_error_handler(kind, handle_database_error)
    app.register_error_handler(Exception, handle_unexpected_error)


def handle_bookshop_error(error: BookshopError) -> AnyResponse:
    db.session.rollback()
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    if is_api():
        return _problem_of(error, status)
    if status == 401:
        return _to_login(error)
    if isinstance(error, FreshLoginRequired):
        return fresh_login.ask(error)
    if isinstance(error, SecondFactorRequired):
        flash(error.sentence, "warning")
        return redirect(url_for("accounts.second_factor"), 303)
    if status in {409, 422} and request.method != "GET":
        flash(error.sentence, "warning")
        return redirect(parent_page(), 303)
    response = _page(status, error.sentence, retryable=not isinstance(error, OutcomeUnknown))
    if isinstance(error, TooManyAttempts):
        response.headers["Retry-After"] = str(error.seconds)
    return response


def _to_login(error: BookshopError) -> AnyResponse:
    """Lead to the login page and back, and keep what was typed into the page's own form."""
    page = return_address()
    response = redirect(url_for("accounts.login", next=page), 303)
    is_kept = page == request.path and kept_forms.keep_typed(response, page)
    flash(error.sentence if request.method in {"GET", "HEAD"} else KEPT if is_kept else LOGGED_OUT, "info")
    return response


def _problem_of(error: BookshopError, status: int) -> Response:
    response = problem(status, error.code, error.sentence, **_extension_members(error))
    if status == 401:
        invalid = bearer_token(request) is not None
        response.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"' if invalid else "Bearer"
    if isinstance(error, InsufficientScope):  # RFC 6750, 3.1
        response.headers["WWW-Authenticate"] = f'Bearer error="insufficient_scope", scope="{error.scope}"'
    if isinstance(error, TooManyAttempts):
        response.headers["Retry-After"] = str(error.seconds)
    if isinstance(error, Busy):
        response.headers["Retry-After"] = RETRY_AFTER
    return response


def _extension_members(error: BookshopError) -> dict[str, Any]:
    """Return the extension members of a problem (RFC 9457, 3.2)."""
    if isinstance(error, MalformedRequest):
        return {"errors": error.errors}
    if isinstance(error, Invalid) and error.code == Invalid.code:
        return {"errors": [{"detail": error.sentence, "pointer": f"#/{error.field}" if error.field else "#"}]}
    if isinstance(error, InsufficientStock):
        return {"lines": error.lines}
    if isinstance(error, Purged):
        return {"oldest": error.oldest}
    return {}


def handle_csrf_error(error: CSRFError) -> AnyResponse:
    log.info("%s: CSRF: %s", g.get("request_id"), error.description)
    if is_api():
        return problem(400, "HTTP_400", "Send the CSRF token of your session in the header X-CSRFToken.")
    flash("This page was open for too long, so nothing was changed. Try again.", "warning")
    return redirect(requested_next() or return_address(), 303)


def handle_http_error(error: HTTPException) -> AnyResponse:
    original = error.get_response()
    status = error.code or original.status_code
    if status < 400:
        return original
    sentence = SENTENCES.get(status) or error.description or HTTPStatus(status).phrase
    if status == 429 and (seconds := seconds_until_reset()):
        return handle_bookshop_error(TooManyAttempts(seconds, "requests" if is_api() else "attempts"))
    if status >= 500 and has_committed(db.session()):
        sentence = FAILED_AFTER_COMMIT
    if status == 413:
        drain_body()
        upload = upload_of(request)
        sentence = upload.too_large if upload else sentence
    response = problem(status, f"HTTP_{status}", sentence) if is_api() else _page(status, sentence)
    _copy_headers(response, original.headers)
    return response


def drain_body() -> None:
    """Read the rest of a body that is too large: browsers do not read a response before they have sent the whole body.

    Stops after MAX_BODY_READ bytes. Reads nothing if the server does not mark the end of a body.
    """
    body, left = request.environ["wsgi.input"], MAX_BODY_READ
    with suppress(OSError):  # the client has disconnected
        while request.environ.get("wsgi.input_terminated") and left > 0 and (part := body.read(min(left, 64 * 1024))):
            left -= len(part)


def _copy_headers(response: AnyResponse, headers: Iterable[tuple[str, str]]) -> None:
    for name, value in headers:
        if name in COPIED_HEADERS:
            response.headers[name] = value


def handle_database_error(error: DBAPIError) -> AnyResponse:
    log.exception("%s: the database failed", g.get("request_id"), exc_info=error)
    if has_committed(db.session()):
        return handle_bookshop_error(OutcomeUnknown())
    return handle_bookshop_error(Busy("The shop's database is not responding. Nothing was changed."))


def handle_unexpected_error(error: Exception) -> AnyResponse:
    """Roll back and log the exception with the request id, which the page shows; the response has no details."""
    db.session.rollback()
    # Not the path, which may contain a secret link.
    log.exception("%s: %s %s failed", g.get("request_id"), request.method, request.url_rule, exc_info=error)
    sentence = FAILED_AFTER_COMMIT if has_committed(db.session()) else SENTENCES[500]
    return problem(500, "HTTP_500", sentence) if is_api() else _page(500, sentence, retryable=False)


def problem(status: int, code: str, detail: str, **members: Any) -> Response:
    """Return a problem in JSON; `type` is always about:blank, as `code` identifies the kind of problem."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        **members,
    }
    return Response(json.dumps(body), status, mimetype="application/problem+json")


def _page(status: int, sentence: str, *, retryable: bool = True) -> AnyResponse:
    """Return an error page; from status 500, one that needs neither the database nor the session.

    `retryable` means that the same request may succeed later.
    """
    title = TITLES.get(status) or HTTPStatus(status).phrase
    if status >= 500:
        return _static_page(status, title if retryable else TITLES[500], sentence, retryable=retryable)
    back = return_address() if request.method not in {"GET", "HEAD"} else None
    try:
        page = render_template("errors/error.html", title=title, sentence=sentence, back=back)
    except OperationalError as error:  # the page header looks up the visitor
        return handle_database_error(error)
    return Response(page, status, mimetype="text/html")


def _static_page(status: int, title: str, sentence: str, *, retryable: bool) -> Response:
    """Render without `render_template`, which looks up the logged-in user for every page."""
    template = current_app.jinja_env.get_template("errors/down.html")
    context = {"shop_name": services.last_known_name(), "again": return_address(), "request_id": g.get("request_id")}
    page = template.render(title=title, sentence=sentence, **context)
    headers = {"Retry-After": RETRY_AFTER} if status == 503 and retryable else {}
    return Response(page, status, headers, mimetype="text/html")
