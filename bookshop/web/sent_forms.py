"""A form of a page has one effect, however often it is sent, and is answered as it was the first time.

Each page gives its forms a random name, `once`. Who clicks twice sends the same form with the same name, and mostly
sees the second answer only.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from typing import Any

from flask import Flask, Response, flash, g, redirect, request, session
from flask_wtf.csrf import validate_csrf
from werkzeug.wrappers import Response as AnyResponse
from wtforms import ValidationError

from bookshop.idempotency.service import AlreadySent, FormAnswer
from bookshop.web import services
from bookshop.web.access import for_pages
from bookshop.web.forms import ONCE, new_once
from bookshop.web.navigation import requested_next, return_address

IN_COOKIE = "sent"  # the last form that changed the cart of a visitor, which is in the cookie, too
DOUBLE_CLICK = 10  # seconds
PAGES = (200, 400, 409)  # not 201, which shows a secret
LARGEST_PAGE = 300_000  # bytes, as large as a delivery becomes
DONE = "This was done already."
NOT_AGAIN = "You have already sent this form, so it was not carried out a second time."
PATIENCE, STEP = 2.0, 0.05  # seconds in which the first request should be answered


def init_app(app: Flask) -> None:
    """`keep` is to run before the answer is compressed: what is registered last comes first."""
    app.after_request(for_pages(keep))
    app.register_error_handler(AlreadySent, repeat_first)
    app.jinja_env.globals["new_once"] = new_once


def repeat() -> AnyResponse | None:
    """Answer a form that has had its effect as it was answered then."""
    if request.method != "POST" or not ONCE.fullmatch(request.form.get("once", "")) or not _is_own():
        return None
    g.form_key, g.said_before = form_key(), list(session.get("_flashes", ()))
    if kept := _in_cookie(g.form_key):
        return _again(*kept)
    if not services.form_was_sent(g.form_key):
        return None
    found = services.form_answer(g.form_key)
    if found.answer and found.answer.page and found.age > DOUBLE_CLICK:
        g.pop("form_key")  # who answers with a page knows what came before, and shows that better than we can
        return None
    return repeat_first()


def _is_own() -> bool:
    """Whether the form was sent from a page of this very session: nobody else is told how it was answered."""
    try:
        validate_csrf(request.form.get("csrf_token"))
    except ValidationError:
        return False
    return True


def repeat_first(_error: AlreadySent | None = None) -> AnyResponse:
    """The answer to the first request with this form, which may be a moment away; without one, where things stand."""
    while not (found := services.form_answer(g.form_key)).answer and found.age < PATIENCE:
        time.sleep(STEP)
    answer = found.answer or FormAnswer(requested_next() or return_address(), [["info", DONE]])
    return _again(answer, found.age)


def _again(answer: FormAnswer, age: float) -> AnyResponse:
    """The same answer once more; who finds the form again much later is told that it has no second effect."""
    g.form_repeated = True
    late = age > DOUBLE_CLICK
    if answer.page and not late:
        return Response(answer.page, answer.status, mimetype="text/html")
    for category, message in [["info", NOT_AGAIN]] if late else answer.notices:
        flash(message, category)
    response = redirect(answer.location, 303)
    for cookie in answer.cookies:
        response.headers.add("Set-Cookie", cookie)
    return response


def keep(response: AnyResponse) -> AnyResponse:
    """Keep how a form that had its effect was answered, beside that: in the database or in the visitor's cookie.

    If another request with the same form came first, and this one found its effect and was refused for it, this one is
    answered as that was.
    """
    key, notices = g.get("form_key"), list(session.get("_flashes", ()))
    if key is None:
        return response
    before: Sequence[Any] = g.said_before
    said = notices[len(before) :] if notices[: len(before)] == before else notices
    if g.get("form_claimed"):
        services.keep_answer(key, _kept(response, said))
    elif g.get("cart_written"):
        session[IN_COOKIE] = [key[:16], int(time.time()), *_kept(response, said)]
    elif response.status_code < 500 and not g.get("form_repeated") and services.form_was_sent(key):
        session["_flashes"] = g.said_before
        response = repeat_first()
    _say_once()
    return response


def _kept(response: AnyResponse, said: Sequence[Any]) -> FormAnswer:
    """What is kept of an answer: where it led and what was said there, or the page that it was."""
    if response.status_code == 303 and response.location:
        return FormAnswer(response.location, said, cookies=response.headers.getlist("Set-Cookie"))
    if response.status_code in PAGES and (response.content_length or 0) <= LARGEST_PAGE:
        return FormAnswer(return_address(), page=response.get_data(as_text=True), status=response.status_code)
    return FormAnswer(return_address(), [["info", DONE]])


def _say_once() -> None:
    """Say each thing once on the next page: a first answer may have come through, too."""
    notices: list[Any] = []
    for notice in map(list, session.get("_flashes", ())):
        if notice not in notices:
            notices.append(notice)
    if notices:
        session["_flashes"] = notices


def _in_cookie(key: str) -> tuple[FormAnswer, float] | None:
    kept = session.get(IN_COOKIE)
    if not isinstance(kept, list) or len(kept) != 2 + len(FormAnswer._fields) or kept[0] != key[:16]:
        return None
    return FormAnswer(*kept[2:]), time.time() - kept[1]


def form_key() -> str:
    """Stands for the form with all that was filled in; made of 128 random bits too, so that it gives nothing away."""
    filled_in = sorted(field for field in request.form.items(multi=True) if field[0] != "csrf_token")
    digest = hashlib.sha256(json.dumps([request.path, filled_in]).encode())
    for file in request.files.values():
        digest.update(file.stream.read())
        file.stream.seek(0)
    return digest.hexdigest()
