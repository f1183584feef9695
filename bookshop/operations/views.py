"""Addresses for machines: health checks, metrics, and whom to tell about a vulnerability (RFC 9116).

None of them needs a login, a session or a certain Host header, and none is slow: the database is asked with a timeout.
"""

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hmac import compare_digest

from flask import Response, abort, jsonify, request

from bookshop.extensions import settings
from bookshop.operations import bp
from bookshop.operations.figures import DatabaseMetrics, Figures
from bookshop.operations.questions import missing_loops, read_figures, schema_problem
from bookshop.web import probes
from bookshop.web.access import bearer_token
from bookshop.web.metrics import CONTENT_TYPE, current_metrics
from bookshop.web.navigation import absolute_url

log = logging.getLogger(__name__)

NO_STORE = {"Cache-Control": "no-store"}
CACHE_FOR_AN_HOUR = {"Cache-Control": "public, max-age=3600"}
DATABASE_TIMEOUT = 2.0  # seconds for a health check
FIGURES_TIMEOUT = 5.0  # seconds; Prometheus waits for 10 by default
NO_DATABASE = "The database does not answer: check that it runs and that this server can reach it."
VALID_DAYS = 90  # of security.txt


@bp.get("/health/live")
def live() -> Response:
    """Whether this process answers; it does not ask the database, so that a restart is not tried in vain."""
    return _health("")


@bp.get("/health/ready")
def ready() -> Response:
    """Whether this server can do its work: the database answers, and its schema is at least ours."""
    return _asked(schema_problem)


@bp.get("/health/worker")
def worker() -> Response:
    """Whether a worker was alive within the last minute, with both its loops."""
    return _asked(missing_loops)


def _asked(question: Callable[..., str]) -> Response:
    try:
        return _health(probes.ask(question, DATABASE_TIMEOUT))
    except probes.NoAnswer:
        return _health(NO_DATABASE)


def _health(problem: str) -> Response:
    """Return 200, or 503 with a sentence that says what is wrong and what to do."""
    response = jsonify({"status": "unavailable", "detail": problem} if problem else {"status": "ok"})
    response.status_code = 503 if problem else 200
    response.headers.update(NO_STORE)
    return response


@bp.get("/metrics")
def metrics() -> Response:
    """Report the metrics to a request with the right token; 404 as long as the shop has none."""
    counted = current_metrics()
    if counted is None:
        abort(404)
    if not compare_digest((bearer_token(request) or "").encode(), settings().metrics_token.encode()):
        sentence = "Send the value of BOOKSHOP_METRICS_TOKEN in the header `Authorization: Bearer ...`.\n"
        return Response(sentence, 401, {**NO_STORE, "WWW-Authenticate": "Bearer"}, mimetype="text/plain")
    return Response(counted.text(DatabaseMetrics(_figures())), headers=NO_STORE, content_type=CONTENT_TYPE)


def _figures() -> Figures | None:
    try:
        return probes.ask(read_figures, FIGURES_TIMEOUT)
    except probes.NoAnswer as error:
        log.warning("the metrics of the database are missing: %s", type(error.__cause__).__name__)
        return None


@bp.get("/.well-known/security.txt")
def security_txt() -> Response:
    """Say whom to tell about a vulnerability (RFC 9116); 404 if the settings name nobody."""
    contact = settings().security_contact or (settings().mail_from and f"mailto:{settings().mail_from}")
    if not contact:
        abort(404)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    lines = {
        "Contact": contact,
        "Expires": (today + timedelta(days=VALID_DAYS)).isoformat().replace("+00:00", "Z"),
        "Preferred-Languages": "en",
        "Canonical": absolute_url("operations.security_txt"),
    }
    text = "".join(f"{name}: {value}\n" for name, value in lines.items())
    return Response(text, headers=CACHE_FOR_AN_HOUR, mimetype="text/plain")
