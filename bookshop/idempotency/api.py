"""The header `Idempotency-Key` of JSON: the same request sent again has no second effect and gets the same answer."""

import hashlib
import json
from collections.abc import Callable

from flask import Response, request

from bookshop.idempotency.models import KEY_MAX
from bookshop.idempotency.service import Answer
from bookshop.kit.exceptions import Invalid
from bookshop.web import services
from bookshop.web.access import current_identity


def commit_once(work: Callable[[], Answer]) -> Response:
    """Run `work` and commit it, or give the answer that a request with the same key was given before.

    A request without a key is run each time. Raises what `work` raises, Invalid for a key that is none or was used
    for something else, Conflict while the first request is still being worked on.
    """
    key, user_id = request.headers.get("Idempotency-Key"), current_identity().user_id
    if key is None:
        answer = services.commit(work)
    elif not (key.strip() and len(key) <= KEY_MAX and key.isascii() and key.isprintable()):
        raise Invalid(f"An Idempotency-Key has 1 to {KEY_MAX} printable ASCII characters.")
    else:
        asked, keys = _fingerprint(), services.idempotency()
        answer = services.commit(lambda: keys.once(user_id, key, asked, work))
    headers = {"Location": answer.location} if answer.location else {}
    return Response(answer.body, answer.status, headers, mimetype="application/json")


def _fingerprint() -> str:
    """Stands for what is asked: the same for the same JSON, however it is laid out."""
    body = json.dumps(request.get_json(), sort_keys=True)
    return hashlib.sha256(f"{request.method} {request.path} {body}".encode()).hexdigest()
