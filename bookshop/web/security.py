"""Checks and headers for every request: cookie or token (not both), CSRF, request id, size, caching."""

import logging
import secrets
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from flask import Flask, Request, Response, current_app, g, request, session
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface, SessionMixin
from flask_login import current_user
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import RequestEntityTooLarge
from werkzeug.middleware.proxy_fix import ProxyFix

from bookshop.extensions import csrf, db, login_manager, settings
from bookshop.kit import logs
from bookshop.kit.exceptions import NotAuthenticated
from bookshop.kit.transactions import set_deadline
from bookshop.web import kept_forms, rate_limits, sent_forms
from bookshop.web.access import Anonymous, bearer_token, for_pages, is_api, staff_required
from bookshop.web.uploads import FORM_FIELDS_MAX, FORM_OVERHEAD, UPLOADS, upload_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = logging.getLogger(__name__)

FORWARDED = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host")
FORMS_OF_VISITORS = {"prebookings.reserve"}  # endpoints of a button that is a form for visitors who are not logged in
PROXY_SEEN = "bookshop_proxy_seen"
# `data:` is for the small icons inside Bootstrap's stylesheet, such as the arrow of a select box.
CONTENT_POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# The scripts of pages are loaded from the shop and connect only to it. Of the pages for staff, only one has a script.
SCRIPTS_POLICY = f"{CONTENT_POLICY}; script-src 'self'; connect-src 'self'"
STAFF_POLICIES = {"admin.delivery": f"{CONTENT_POLICY}; script-src 'self'"}
NO_CAMERA, CAMERA = "camera=()", "camera=(self)"
CAMERA_PAGES = {"admin.delivery"}  # endpoints whose page may ask for the camera
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Sessions(SecureCookieSessionInterface):
    """Cookie sessions, but none for Bearer requests; the cookie is Secure if the page came by HTTPS.

    A response with `Cache-Control: public` neither sets nor depends on a cookie, so caches can share it.
    """

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        if bearer_token(request) is not None or self.get_cookie_name(app) not in request.cookies:
            return self.session_class()
        return super().open_session(app, request)

    def save_session(self, app: Flask, session: SessionMixin, response: Response) -> None:
        # A form on another site is sent without the cookie (SameSite); refusing it must not replace the cookie.
        cross_site = request.method not in {"GET", "HEAD"} and self.get_cookie_name(app) not in request.cookies
        if not response.cache_control.public and not cross_site:
            super().save_session(app, session, response)

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure


class AnyHost:
    """WSGI middleware that replaces a Host header which Werkzeug cannot decode, and would answer with an error.

    Monitoring systems and attackers send such headers. The shop builds no address from them: see `absolute_url`.
    """

    def __init__(self, app: "WSGIApplication") -> None:
        self.app = app

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        if not _is_host(environ.get("HTTP_HOST", "")):
            environ["HTTP_HOST"] = "localhost"
        return self.app(environ, start_response)


@lru_cache(1000)
def _is_host(name: str) -> bool:
    try:
        name.rpartition("]")[2].partition(":")[0].encode("idna").decode("idna")
    except UnicodeError:
        return False
    return True


def init_app(app: Flask) -> None:
    app.session_interface = Sessions()
    login_manager.anonymous_user = Anonymous
    app.before_request(set_request_id)
    app.before_request(warn_about_proxy)
    app.before_request(rate_limits.count_request)
    app.before_request(check_token)
    app.before_request(check_size)
    app.before_request(allow_uploads)
    app.before_request(start_deadline)
    app.before_request(for_pages(sent_forms.replay))
    app.before_request(for_pages(kept_forms.show))
    app.before_request(for_pages(kept_forms.restore_typed))
    app.before_request(check_csrf)
    app.after_request(rate_limits.add_headers)
    app.after_request(add_headers)
    app.wsgi_app = AnyHost(app.wsgi_app)  # type: ignore[method-assign]
    proxies = app.config["SETTINGS"].trusted_proxies
    if proxies:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=proxies, x_proto=proxies, x_host=proxies
        )


def set_request_id() -> None:
    g.request_id = secrets.token_hex(8)
    logs.request_id.set(g.request_id)


def warn_about_proxy() -> None:
    """Warn once in the log about a proxy that is not configured, as all its visitors share one limit."""
    seen = current_app.extensions.setdefault(PROXY_SEEN, bool(settings().trusted_proxies))
    if not seen and any(name in request.headers for name in FORWARDED):
        current_app.extensions[PROXY_SEEN] = True
        log.warning(
            "requests have X-Forwarded-* headers, but BOOKSHOP_TRUSTED_PROXIES is 0, so all visitors count as one: "
            "set it to the number of proxies"
        )


def check_token() -> None:
    """Refuse an invalid token even where none is needed: scripts should not fall back to anonymous access silently."""
    if is_api() and bearer_token(request) is not None and not current_user.is_authenticated:
        raise NotAuthenticated("This token is unknown, revoked or expired, or its user is deactivated.")


def check_size() -> None:
    """Refuse a JSON request whose body is too large, even if the view does not read it."""
    if is_api() and (request.content_length or 0) > (request.max_content_length or 0):
        raise RequestEntityTooLarge


def allow_uploads() -> None:
    """Raise MAX_CONTENT_LENGTH for pages that accept a file; this must happen before the form is parsed.

    Files of others than staff are not even parsed; raises what `staff_required` raises.
    """
    if request.endpoint in UPLOADS and (upload := upload_of(request)):
        staff_required(lambda: None)()
        request.max_content_length = upload.bytes_max + FORM_OVERHEAD
        request.max_form_parts = FORM_FIELDS_MAX


def check_csrf() -> None:
    """Require the CSRF token wherever a cookie authenticates the request, and on every form of a page.

    A view that also answers GET, or is in FORMS_OF_VISITORS, validates the token with its form, so that it can show the
    form again with the typed values; every other unsafe request raises CSRFError here.
    """
    if request.url_rule is None or bearer_token(request) is not None:
        return
    if (is_api() or request.endpoint == "accounts.logout") and not current_user.is_authenticated:
        return
    try:
        csrf.protect()
    except CSRFError:
        for_visitors = request.endpoint in FORMS_OF_VISITORS and not current_user.is_authenticated
        if is_api() or not (for_visitors or "GET" in (request.url_rule.methods or ())):
            raise


def start_deadline() -> None:
    """Start the deadline of the request once its body has arrived, so that a slow client does not use it up.

    A form with a file is parsed here, which puts a large file on the disk; any other body is kept in memory.
    """
    if request.endpoint in UPLOADS and upload_of(request):
        request.files.keys()
    elif request.method not in {"GET", "HEAD"}:
        request.get_data()
    set_deadline(db.session(), settings().request_seconds)


def content_policy(response: Response) -> str:
    """Return what a page may load: scripts of the shop, except on pages for staff and in anything that is no page."""
    if request.blueprint == "admin" or response.mimetype != "text/html":
        return STAFF_POLICIES.get(request.endpoint or "", CONTENT_POLICY)
    return SCRIPTS_POLICY


def add_headers(response: Response) -> Response:
    """Add the request id, the security headers and Cache-Control.

    Private responses are never cached. Public ones may be stored by anyone; all others are revalidated, as the stock
    may have changed.
    """
    response.headers["X-Request-Id"] = g.get("request_id", "-")
    response.headers.extend(HEADERS)
    response.headers["Content-Security-Policy"] = content_policy(response)
    response.headers["Permissions-Policy"] = CAMERA if request.endpoint in CAMERA_PAGES else NO_CAMERA
    if request.is_secure:
        response.headers["Strict-Transport-Security"] = "max-age=31536000"
    if (response.location or "").startswith(request.host_url):  # built from the Host header, which anyone can set
        response.location = response.location.removeprefix(request.host_url.rstrip("/"))
    public = response.cache_control.public or (request.endpoint or "").endswith("static")
    if not public:
        private = session or bearer_token(request) is not None or response.cache_control.no_store
        response.headers["Cache-Control"] = "no-store" if private else "no-cache"
    return response
