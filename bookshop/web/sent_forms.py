"""Double clicks: a form that is sent twice takes effect once, and both requests get the same response.

Each page gives its forms a random name, `once`. A double click sends the same form with the same name, and the browser
mostly shows only the second response.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any

from flask import Flask, Response, flash, g, redirect, request, session
from werkzeug.wrappers import Response as AnyResponse

from bookshop.idempotency.service import AlreadySent, FormResponse
from bookshop.web import kept_forms, services
from bookshop.web.access import for_pages
from bookshop.web.forms import ONCE, has_csrf_token, new_once
from bookshop.web.navigation import requested_next, return_address

SESSION_KEY = "sent"  # the last form that changed a visitor's cart; both are in the cookie session
DOUBLE_CLICK = 10  # seconds
PAGES = (200, 400, 409)  # not 201, as that page shows a secret
LARGEST_PAGE = 300_000  # bytes; enough for the page of a large delivery
DONE = "This has already been done."
NOT_REPEATED = "You have already sent this form, so nothing was changed this time."
MAX_WAIT, POLL = 2.0, 0.05  # seconds to wait for the response to the first request


def init_app(app: Flask) -> None:
    """Call after Flask-Compress is set up: hooks run in reverse order, and `store_response` needs the plain page."""
    kept_forms.init_app(app)
    app.after_request(for_pages(store_response))
    app.register_error_handler(AlreadySent, replay_first)
    app.jinja_env.globals["new_once"] = new_once


def replay() -> AnyResponse | None:
    """Return the stored response to a form that has already taken effect.

    Otherwise returns None. If the form has a valid `once`, sets `g.form_key`, with which `services.commit` claims it.
    """
    if request.method != "POST" or not ONCE.fullmatch(request.form.get("once", "")) or not has_csrf_token():
        return None
    g.form_key, g.flashes_before = form_key(), list(session.get("_flashes", ()))
    if stored := _from_cookie(g.form_key):
        return _replay(*stored)
    if not services.form_was_sent(g.form_key):
        return None
    sent = services.form_response(g.form_key)
    if sent.response and sent.response.page and sent.age > DOUBLE_CLICK:
        g.pop("form_key")  # a view that responds with a page handles a late repeat better than we can
        return None
    return replay_first()


def replay_first(_error: AlreadySent | None = None) -> AnyResponse:
    """Return the response to the first request with this form, waiting briefly for it; else a redirect with DONE."""
    while not (sent := services.form_response(g.form_key)).response and sent.age < MAX_WAIT:
        time.sleep(POLL)
    stored = sent.response or FormResponse(requested_next() or return_address(), [["info", DONE]])
    return _replay(stored, sent.age)


def _replay(stored: FormResponse, age: float) -> AnyResponse:
    """Return the stored response; if the form is sent again much later, redirect with a notice that nothing changed."""
    g.form_repeated = True
    late = age > DOUBLE_CLICK
    if stored.page and not late:
        return Response(stored.page, stored.status, mimetype="text/html")
    for category, message in [["info", NOT_REPEATED]] if late else stored.notices:
        flash(message, category)
    response = redirect(stored.location, 303)
    for cookie in stored.cookies:
        response.headers.add("Set-Cookie", cookie)
    return response


def store_response(response: AnyResponse) -> AnyResponse:
    """Store the response to a form that took effect, in the database or in the visitor's cookie.

    If another request with the same form came first, return the response to that one instead.
    """
    key, flashes = g.get("form_key"), list(session.get("_flashes", ()))
    if key is None:
        return response
    before: Sequence[Any] = g.flashes_before
    new_flashes = flashes[len(before) :] if flashes[: len(before)] == before else flashes
    if g.get("form_claimed"):
        services.store_form_response(key, _to_store(response, new_flashes))
    elif g.get("cart_written"):
        session[SESSION_KEY] = [key[:16], int(time.time()), *_to_store(response, new_flashes)]
    elif response.status_code < 500 and not g.get("form_repeated") and services.form_was_sent(key):
        session["_flashes"] = g.flashes_before
        response = replay_first()
    _drop_duplicate_flashes()
    return response


def _to_store(response: AnyResponse, flashes: Sequence[Any]) -> FormResponse:
    """Return what to store of a response: its redirect and flashed messages, or its page."""
    if response.status_code == 303 and response.location:
        return FormResponse(response.location, flashes, cookies=response.headers.getlist("Set-Cookie"))
    if response.status_code in PAGES and (response.content_length or 0) <= LARGEST_PAGE:
        return FormResponse(return_address(), page=response.get_data(as_text=True), status=response.status_code)
    return FormResponse(return_address(), [["info", DONE]])


def _drop_duplicate_flashes() -> None:
    """Show each message once on the next page: the browser may have received the first response as well."""
    flashes: list[Any] = []
    for flashed in map(list, session.get("_flashes", ())):
        if flashed not in flashes:
            flashes.append(flashed)
    if flashes:
        session["_flashes"] = flashes


def _from_cookie(key: str) -> tuple[FormResponse, float] | None:
    stored = session.get(SESSION_KEY)
    if not isinstance(stored, list) or len(stored) != 2 + len(FormResponse._fields) or stored[0] != key[:16]:
        return None
    return FormResponse(*stored[2:]), time.time() - stored[1]


def form_key() -> str:
    """Hash the form with all its values; they include 128 random bits, so the hash reveals nothing."""
    values = sorted(field for field in request.form.items(multi=True) if field[0] != "csrf_token")
    digest = hashlib.sha256(json.dumps([request.path, values]).encode())
    for file in request.files.values():
        hashlib.file_digest(file.stream, lambda: digest)  # type: ignore[arg-type]  # reads it in parts
        file.stream.seek(0)
    return digest.hexdigest()
