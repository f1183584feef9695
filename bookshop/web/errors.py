"""The only place where an exception becomes a page or a problem (application/problem+json, RFC 9457)."""

import json
import logging
from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus
from math import ceil
from time import time
from typing import Any

from flask import Flask, Response, current_app, flash, g, redirect, render_template, request, url_for
from flask_wtf.csrf import CSRFError
from sqlalchemy.exc import DBAPIError, InterfaceError, InternalError, OperationalError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as AnyResponse

from bookshop.catalog import pictures
from bookshop.extensions import db, limiter, settings
from bookshop.kit.exceptions import (
    BookshopError,
    Busy,
    Conflict,
    Forbidden,
    InsufficientScope,
    InsufficientStock,
    Invalid,
    MalformedRequest,
    NotAuthenticated,
    NotFound,
    OutcomeUnknown,
    PreconditionFailed,
    TooManyAttempts,
)
from bookshop.kit.transactions import has_committed
from bookshop.web.access import bearer_token, is_api
from bookshop.web.navigation import page_above, requested_next, return_address

log = logging.getLogger(__name__)

STATUSES: dict[type[BookshopError], int] = {
    NotAuthenticated: 401,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    PreconditionFailed: 412,
    Invalid: 422,
    TooManyAttempts: 429,
    Busy: 503,
    OutcomeUnknown: 503,
}
RETRY_AFTER = "2"
LOGGED_OUT = "Please log in first. Nothing was done yet: please do it once more then."
MOST_HEARD = 100 * 1024 * 1024
TOO_LARGE_FILES = {"admin.cover": pictures.TOO_MANY_BYTES}
KEPT_HEADERS = ("Allow", "Retry-After", "Location", "Content-Range")
SENTENCES = {
    404: "There is nothing at this address.",
    405: "This address does not take that method.",
    413: "This is more than the shop takes at once.",
    415: "Send this as JSON, with `Content-Type: application/json`.",
    429: "That was too often. Please wait a little before you try again.",
    500: "Something went wrong in the shop. Nothing was changed; we have written it down.",
}
FAILED_AFTER_COMMIT = (
    "Something went wrong in the shop after your change was saved; we have written it down. Please look before you "
    "send it again."
)
TITLES = {
    403: "Not for this account",
    404: "Not found",
    413: "Too large",
    429: "Too often",
    500: "Something went wrong",
    503: "Please try again in a moment",
}


def init_app(app: Flask) -> None:
    app.register_error_handler(BookshopError, refuse)
    app.register_error_handler(CSRFError, refuse_csrf)
    app.register_error_handler(HTTPException, refuse_http)
    for lost in (OperationalError, InterfaceError, InternalError):  # away, full, read-only
        app.register_error_handler(lost, report_database)
    app.register_error_handler(Exception, report_bug)


def refuse(error: BookshopError) -> AnyResponse:
    db.session.rollback()
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    if is_api():
        return _refuse_json(error, status)
    if status == 401:
        flash(error.sentence if request.method in {"GET", "HEAD"} else LOGGED_OUT, "info")
        return redirect(url_for("accounts.login", next=return_address()), 303)
    if status in {409, 422} and request.method != "GET":
        flash(error.sentence, "warning")
        return redirect(page_above(), 303)
    response = _page(status, error.sentence, again=not isinstance(error, OutcomeUnknown))
    if isinstance(error, TooManyAttempts):
        response.headers["Retry-After"] = str(error.seconds)
    return response


def _refuse_json(error: BookshopError, status: int) -> Response:
    response = problem(status, error.code, error.sentence, **_members(error))
    if status == 401:
        invalid = bearer_token(request) is not None
        response.headers["WWW-Authenticate"] = 'Bearer error="invalid_token"' if invalid else "Bearer"
    if isinstance(error, InsufficientScope):  # RFC 6750, 3.1
        response.headers["WWW-Authenticate"] = f'Bearer error="insufficient_scope", scope="{error.scope}"'
    if isinstance(error, Busy):
        response.headers["Retry-After"] = RETRY_AFTER
    return response


def _members(error: BookshopError) -> dict[str, Any]:
    """What a problem says besides its sentence (RFC 9457, extension members)."""
    if isinstance(error, MalformedRequest):
        return {"errors": error.errors}
    if isinstance(error, Invalid) and error.code == Invalid.code:
        return {"errors": [{"detail": error.sentence, "pointer": f"#/{error.field}" if error.field else "#"}]}
    if isinstance(error, InsufficientStock):
        return {"lines": error.lines}
    return {}


def refuse_csrf(error: CSRFError) -> AnyResponse:
    log.info("%s: CSRF: %s", g.get("request_id"), error.description)
    if is_api():
        return problem(400, "HTTP_400", "Send the CSRF token of your session in the header X-CSRFToken.")
    flash("This page was open for too long, so nothing was done. Please try once more.", "warning")
    return redirect(requested_next() or page_above(), 303)


def refuse_http(error: HTTPException) -> AnyResponse:
    original = error.get_response()
    status = error.code or original.status_code
    if status < 400:
        return original
    sentence = SENTENCES.get(status) or error.description or HTTPStatus(status).phrase
    if status == 429 and (seconds := _seconds_until_more()):
        return refuse(TooManyAttempts(seconds))
    if status >= 500 and has_committed(db.session()):
        sentence = FAILED_AFTER_COMMIT
    if status == 413:
        drain_body()
        sentence = TOO_LARGE_FILES.get(request.endpoint or "", sentence)
    response = problem(status, f"HTTP_{status}", sentence) if is_api() else _page(status, sentence)
    _keep(response, original.headers)
    return response


def _seconds_until_more() -> int:
    """In how many seconds the limit that was reached begins anew, 0 if nobody knows."""
    if budget := g.get("budget"):
        return int(budget.seconds)
    if not (reached := limiter.current_limit):
        return 0
    return min(max(1, ceil(reached.reset_at - time())), int(reached.limit.get_expiry()))  # it says a second too many


def drain_body() -> None:
    """Read what is left of a body that is too large: browsers do not look at an answer before they have sent all.

    Whoever sends a great deal more is cut off. A server that does not mark the end of a body is not read from.
    """
    body, left = request.environ["wsgi.input"], MOST_HEARD
    with suppress(OSError):  # the sender is gone
        while request.environ.get("wsgi.input_terminated") and left > 0 and (part := body.read(min(left, 64 * 1024))):
            left -= len(part)


def _keep(response: AnyResponse, headers: Iterable[tuple[str, str]]) -> None:
    for name, value in headers:
        if name in KEPT_HEADERS:
            response.headers[name] = value


def report_database(error: DBAPIError) -> AnyResponse:
    log.exception("%s: the database failed", g.get("request_id"), exc_info=error)
    if has_committed(db.session()):
        return refuse(OutcomeUnknown())
    return refuse(Busy("The shop's database does not answer just now. Nothing was changed."))


def report_bug(error: Exception) -> AnyResponse:
    """Roll back and log what nobody foresaw, with the id that its victim can name, and say no details."""
    db.session.rollback()
    # Not the path, in which there may be a secret link.
    log.exception("%s: %s %s failed", g.get("request_id"), request.method, request.url_rule, exc_info=error)
    sentence = FAILED_AFTER_COMMIT if has_committed(db.session()) else SENTENCES[500]
    return problem(500, "HTTP_500", sentence) if is_api() else _page(500, sentence, again=False)


def problem(status: int, code: str, detail: str, **members: Any) -> Response:
    """A problem in JSON; `type` is about:blank, as `code` says what kind it is."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
        **members,
    }
    return Response(json.dumps(body), status, mimetype="application/problem+json")


def _page(status: int, sentence: str, *, again: bool = True) -> AnyResponse:
    """An error page; from 500 on one that asks neither the database nor the session for anything.

    `again` says that the same request may succeed later.
    """
    title = TITLES.get(status) or HTTPStatus(status).phrase
    if status >= 500:
        return _page_without_visitor(status, title if again else TITLES[500], sentence, again=again)
    back = return_address() if request.method not in {"GET", "HEAD"} else None
    try:
        page = render_template("errors/error.html", title=title, sentence=sentence, back=back)
    except OperationalError as error:  # the head of a page asks who is logged in
        return report_database(error)
    return Response(page, status, mimetype="text/html")


def _page_without_visitor(status: int, title: str, sentence: str, *, again: bool) -> Response:
    """Not by `render_template`, which looks up who is logged in for every page."""
    template = current_app.jinja_env.get_template("errors/down.html")
    context = {"shop_name": settings().shop_name, "again": return_address(), "request_id": g.get("request_id")}
    page = template.render(title=title, sentence=sentence, **context)
    headers = {"Retry-After": RETRY_AFTER} if status == 503 and again else {}
    return Response(page, status, headers, mimetype="text/html")
