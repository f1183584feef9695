"""What holds for every request: cookies or a token but not both, CSRF, an id for the log, what may be cached."""

import logging
import secrets

from flask import Flask, Request, Response, current_app, g, request, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from flask_login import current_user
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.middleware.proxy_fix import ProxyFix

from bookshop.catalog import pictures
from bookshop.extensions import csrf, db, login_manager, settings
from bookshop.kit.exceptions import NotAuthenticated
from bookshop.kit.transactions import set_deadline
from bookshop.web import rate_limits, sent_forms
from bookshop.web.access import Anonymous, bearer_token, for_pages, is_api

log = logging.getLogger(__name__)

FORWARDED = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host")
PROXY_SEEN = "bookshop_proxy_seen"
FILES = {"admin.cover": pictures.BYTES_MAX}  # the pages that take a file, and how large it may be
BESIDES = 16 * 1024  # what a form with a file holds besides it
# Bootstrap's stylesheet has its smallest pictures, such as the arrow of a choice, inside it: hence data:.
CONTENT = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# Swagger UI is a program: it is loaded from here, and asks nobody but the shop.
PROGRAMS = {"docs": f"{CONTENT}; script-src 'self'; connect-src 'self'"}
HEADERS = {
    "Content-Security-Policy": CONTENT,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Sessions(SecureCookieSessionInterface):
    """Cookie sessions that a Bearer request does not have, and whose cookie is Secure wherever the page is.

    An answer that says that it is public sets no cookie and depends on none: caches keep one copy for everybody.
    """

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        if bearer_token(request) is not None or self.get_cookie_name(app) not in request.cookies:
            return self.session_class()
        return super().open_session(app, request)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        # A form of another site comes without the cookie: its refusal must not put another in that one's place.
        foreign = request.method not in {"GET", "HEAD"} and self.get_cookie_name(app) not in request.cookies
        if not response.cache_control.public and not foreign:
            super().save_session(app, session, response)

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure


def init_app(app: Flask) -> None:
    app.session_interface = Sessions()
    login_manager.anonymous_user = Anonymous
    app.before_request(name_request)
    app.before_request(warn_about_proxy)
    app.before_request(rate_limits.count_request)
    app.before_request(check_token)
    app.before_request(check_size)
    app.before_request(admit_files)
    app.before_request(start_clock)
    app.before_request(for_pages(sent_forms.repeat))
    app.before_request(check_csrf)
    app.after_request(rate_limits.add_headers)
    app.after_request(finish)
    proxies = app.config["SETTINGS"].trusted_proxies
    if proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=proxies
        )


def name_request() -> None:
    g.request_id = secrets.token_hex(8)


def warn_about_proxy() -> None:
    """Say once in the log that there is a proxy that no setting names, so that all its visitors share one limit."""
    seen = current_app.extensions.setdefault(PROXY_SEEN, bool(settings().trusted_proxies))
    if not seen and any(name in request.headers for name in FORWARDED):
        current_app.extensions[PROXY_SEEN] = True
        log.warning(
            "requests come with X-Forwarded-*, but BOOKSHOP_TRUSTED_PROXIES is 0, so all visitors count as one: "
            "set it to the number of proxies"
        )


def check_token() -> None:
    """A token that is not valid is said so even where none is needed: a script should not fall back silently."""
    if is_api() and bearer_token(request) is not None and not current_user.is_authenticated:
        raise NotAuthenticated("This token is unknown, revoked or expired, or its user is deactivated.")


def check_size() -> None:
    """Refuse a body that is too large for JSON, also where none is read."""
    if is_api() and (request.content_length or 0) > (request.max_content_length or 0):
        raise RequestEntityTooLarge


def admit_files() -> None:
    """Let a page that takes a file have more than MAX_CONTENT_LENGTH; it must be said before the form is read."""
    if request.endpoint in FILES:
        request.max_content_length = FILES[request.endpoint] + BESIDES


def check_csrf() -> None:
    """Ask for the CSRF token wherever a cookie says who it is, and on every form of a page.

    A form that is shown at its own address checks the token itself, so that it can be shown again with what was
    typed; every other unsafe request raises CSRFError here.
    """
    if request.url_rule is None or bearer_token(request) is not None:
        return
    if (is_api() or request.endpoint == "accounts.logout") and not current_user.is_authenticated:
        return
    try:
        csrf.protect()
    except CSRFError:
        if is_api() or "GET" not in (request.url_rule.methods or ()):
            raise


def start_clock() -> None:
    """Count the time that a request may take, from when all of it is here: a slow sender is not the shop's fault."""
    if request.method not in {"GET", "HEAD"}:
        request.get_data()
    set_deadline(db.session(), settings().request_seconds)


def finish(response: Response) -> Response:
    """Name the request, say what a browser may do with the answer, and keep what is somebody's own out of every cache.

    What says that it is public is kept by anyone, all else is asked for anew: a stock may have changed meanwhile.
    """
    response.headers["X-Request-Id"] = g.get("request_id", "-")
    response.headers.extend(HEADERS)
    if program := PROGRAMS.get(request.endpoint or ""):
        response.headers["Content-Security-Policy"] = program
    if request.is_secure:
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    if (response.location or "").startswith(request.host_url):  # the router takes any Host header for the shop's name
        response.location = response.location.removeprefix(request.host_url.rstrip("/"))
    public = response.cache_control.public or (request.endpoint or "").endswith("static")
    if not public:
        own = session or bearer_token(request) is not None
        response.headers["Cache-Control"] = "no-store" if own else "no-cache"
    return response
