"""The `Idempotency-Key` header: a repeated JSON request has no second effect and gets the same response."""

import hashlib
import json
from collections.abc import Callable

from flask import Response, request

from bookshop.idempotency.models import KEY_MAX
from bookshop.idempotency.service import StoredResponse
from bookshop.kit.exceptions import Invalid
from bookshop.web import services
from bookshop.web.access import current_identity


def commit_once(work: Callable[[], StoredResponse]) -> Response:
    """Run `work` and commit it, or return the stored response of an earlier request with the same key.

    A request without a key runs each time. Raises what `work` raises, Invalid for a bad key or one that was used for a
    different request, Conflict while the first request is still being processed.
    """
    key, user_id = request.headers.get("Idempotency-Key"), current_identity().user_id
    if key is None:
        response = services.commit(work)
    elif not (key.strip() and len(key) <= KEY_MAX and key.isascii() and key.isprintable()):
        raise Invalid(f"An Idempotency-Key must have 1 to {KEY_MAX} printable ASCII characters.")
    else:
        fingerprint, idempotency = _fingerprint(), services.idempotency()
        response = services.commit(lambda: idempotency.run_once(user_id, key, fingerprint, work))
    headers = {"Location": response.location} if response.location else {}
    return Response(response.body, response.status, headers, mimetype="application/json")


def _fingerprint() -> str:
    """Hash the request; the same JSON has the same hash regardless of whitespace and member order."""
    body = json.dumps(request.get_json(), sort_keys=True)
    return hashlib.sha256(f"{request.method} {request.path} {body}".encode()).hexdigest()
