"""HTTP clients for tests: one like a browser, with cookies and forms, and one like a script, with a token."""

import html
import re
import secrets
from collections.abc import Collection
from typing import Any

from flask import Flask, request, session
from flask_login import login_user
from flask_wtf.csrf import generate_csrf
from itsdangerous import URLSafeTimedSerializer
from werkzeug.test import TestResponse

from bookshop.accounts.authentication import Identity
from bookshop.accounts.logging_in import NOTIFIED_SEEN
from bookshop.web import services
from tests.support.factories import PASSWORD, Shop

CSRF = "csrf_token"
TOKEN = re.compile(r'name="csrf_token"[^>]*value="([^"]+)"')
TAG = re.compile(r"<[^>]*>")


class WebClient:
    """A client like a browser: keeps cookies, and submits each form with the CSRF token of its page."""

    def __init__(self, app: Flask, email: str | None = None) -> None:
        self.app, self.client = app, app.test_client()
        if email is not None:
            self._log_in_quickly(email)

    def log_in(self, email: str, password: str = PASSWORD, **fields: Any) -> TestResponse:
        return self.submit("/login", email=email, password=password, **fields)

    def get(self, path: str, **options: Any) -> TestResponse:
        """Request a page; follow a permanent redirect (301), but no other."""
        response = self.client.get(path, **options)
        return self.client.get(response.location, **options) if response.status_code == 301 else response

    def follow(self, path: str) -> TestResponse:
        return self.client.get(path, follow_redirects=True)

    def submit(self, path: str, *, page: str | None = None, **fields: Any) -> TestResponse:
        """Submit a form to `path`, with the CSRF token of the session, else of `page` (by default of `path`)."""
        return self.post(path, csrf_token=self.csrf_token(page or path), **fields)

    def post(self, path: str, **fields: Any) -> TestResponse:
        """Submit a form exactly as given."""
        return self.client.post(path, data=fields)

    def csrf_token(self, page: str = "/login") -> str:
        """Return the token that all forms of the session show; only a session without one opens `page` to get it."""
        if token := self._session().get(CSRF):
            return str(URLSafeTimedSerializer(self.app.secret_key or "", salt="wtf-csrf-token").dumps(token))
        match = TOKEN.search(self.follow(page).text)
        return html.unescape(match.group(1)) if match else ""

    def _session(self) -> dict[str, Any]:
        cookie = self.client.get_cookie(self.app.config["SESSION_COOKIE_NAME"])
        sessions: Any = self.app.session_interface
        return dict(sessions.get_signing_serializer(self.app).loads(cookie.value)) if cookie else {}

    def _log_in_quickly(self, email: str) -> None:
        """Log in as the form does, at a fraction of its cost: most tests log in without testing the login."""
        with self.app.test_request_context(method="POST", environ_base=self.client.environ_base):
            accounts, login_id = services.accounts(), secrets.token_urlsafe(32)
            user = accounts.user_by_email(email)
            services.commit(lambda: accounts.users.add_login(login_id, user.id, request.user_agent.string))
            login_user(Identity(user.id, user.email, user.role, login_id))
            session.permanent, session[NOTIFIED_SEEN] = True, user.notified_seen
            generate_csrf()
            logged_in = dict(session)
        with self.client.session_transaction() as cookie:
            cookie.update(logged_in)


class ApiClient:
    """A client like a script: sends JSON with a Bearer token and no cookies."""

    def __init__(self, app: Flask, email: str | None = None, scopes: Collection[str] | None = None) -> None:
        self.client = app.test_client(use_cookies=False)
        self.headers: dict[str, str] = {}
        if email is not None:
            self.headers = {"Authorization": f"Bearer {Shop(app).token(email, scopes)}"}

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        """Send a request with more headers: `If_Match="*"` is sent as `If-Match: *`."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.open(path, method=method, json=body, headers={**self.headers, **more})

    def get(self, path: str, **query: Any) -> TestResponse:
        return self.client.get(path, query_string=query, headers=self.headers)

    def post(self, path: str, body: Any = None) -> TestResponse:
        return self.client.post(path, json=body, headers=self.headers)

    def patch(self, path: str, body: Any = None) -> TestResponse:
        return self.client.patch(path, json=body, headers=self.headers)

    def delete(self, path: str) -> TestResponse:
        return self.client.delete(path, headers=self.headers)

    def reserve(self, book_id: Any) -> TestResponse:
        return self.post("/api/v1/prebookings", {"book_id": book_id})

    def set_stock(self, book_id: int, quantity: Any) -> TestResponse:
        return self.patch(f"/api/v1/books/{book_id}/stock", {"quantity": quantity})


def text_of(response: TestResponse) -> str:
    """Return the visible text of a page."""
    return " ".join(html.unescape(TAG.sub(" ", response.text)).split())
