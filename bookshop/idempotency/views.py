"""A form of a page has one effect, however often it is sent, and is answered as it was the first time.

Each page gives its forms a random name, `once`. Who clicks twice sends the same form with the same name, and mostly
sees the second answer only.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from flask import Flask, Response, flash, g, redirect, request, session
from werkzeug.wrappers import Response as AnyResponse

from bookshop import faces
from bookshop.accounts.access import is_api
from bookshop.database import now
from bookshop.forms import ONCE, new_once
from bookshop.idempotency.service import FormAnswer, SentBefore
from bookshop.navigation import asked_next, here

IN_COOKIE = "sent"  # the last form that changed the cart of a visitor, which is in the cookie, too
DOUBLE_CLICK = timedelta(minutes=1)
DONE = "This was done already."
NOT_AGAIN = "You have sent this form before. It was done then, and not again now."
PATIENCE, STEP = 2.0, 0.05  # seconds in which the first request should be answered


def init_app(app: Flask) -> None:
    app.before_request(repeat)
    app.after_request(keep)
    app.register_error_handler(SentBefore, repeat_first)
    app.jinja_env.globals["new_once"] = new_once


def repeat() -> AnyResponse | None:
    """Answer a form that has had its effect as it was answered then."""
    if request.method != "POST" or is_api() or not ONCE.fullmatch(request.form.get("once", "")):
        return None
    key = _key()
    g.form_key = key
    if kept := _in_cookie(key):
        return _again(kept)
    return repeat_first() if faces.sent_forms().was_sent(key) else None


def repeat_first(_error: SentBefore | None = None) -> AnyResponse:
    """The answer to the first request with this form, which may be a moment away; without one, where things stand."""
    end = time.monotonic() + PATIENCE
    while not (found := faces.form_answer(g.form_key)) and time.monotonic() < end:
        time.sleep(STEP)
    if found is None:
        return _again(FormAnswer(asked_next() or here(), [["info", DONE]]))
    answer, sent_at = found
    if now() - sent_at > DOUBLE_CLICK:
        answer = FormAnswer(answer.location, [["info", NOT_AGAIN]])
    return _again(answer)


def _again(answer: FormAnswer) -> AnyResponse:
    if answer.page:
        return Response(answer.page, mimetype="text/html")
    for category, message in answer.notices:
        flash(message, category)
    return redirect(answer.location, 303)


def keep(response: Response) -> Response:
    """Keep how a form that had its effect was answered, beside that: in the database or in the visitor's cookie."""
    key, claimed = g.get("form_key"), g.get("form_claimed")
    if key is None or response.status_code not in {200, 303}:
        return response
    if response.status_code == 200 and claimed:
        faces.keep_answer(key, FormAnswer(here(), page=response.get_data(as_text=True)))
    elif response.location is not None:
        answer = FormAnswer(response.location, _say_once())
        if claimed:
            faces.keep_answer(key, answer)
        elif g.get("cart_written"):
            session[IN_COOKIE] = [key[:16], *answer]
    return response


def _say_once() -> Sequence[Any]:
    """What the next page will say, each thing once: the first answer may have reached the browser, too."""
    notices: list[Any] = []
    for notice in map(list, session.get("_flashes", ())):
        if notice not in notices:
            notices.append(notice)
    if notices:
        session["_flashes"] = notices
    return notices


def _in_cookie(key: str) -> FormAnswer | None:
    kept = session.get(IN_COOKIE)
    return FormAnswer(*kept[1:]) if isinstance(kept, list) and len(kept) == 4 and kept[0] == key[:16] else None


def _key() -> str:
    """Stands for the form with all that was filled in; made of 128 random bits too, so that it gives nothing away."""
    filled_in = sorted(request.form.items(multi=True))
    digest = hashlib.sha256(json.dumps([request.path, filled_in]).encode())
    for file in request.files.values():
        digest.update(file.stream.read())
        file.stream.seek(0)
    return digest.hexdigest()
