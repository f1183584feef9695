"""One line in the log for each request, and its count in the metrics. Both name the route, never the path.

A path may contain a secret link.
"""

import logging
from time import perf_counter

from flask import Flask, Response, current_app, g, request

from bookshop.kit import logs
from bookshop.web.metrics import METRICS

log = logging.getLogger(__name__)

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}  # anybody can send any other word
UNMATCHED = "unmatched"  # instead of a route: no route has this path and method
WATCHED = "operations"  # the blueprint that monitoring systems call every few seconds


def init_app(app: Flask) -> None:
    """Register the hooks: the first before each request and the last after it, so this comes before other modules."""
    app.before_request(start)
    app.after_request(record)
    app.teardown_request(forget)


def start() -> None:
    g.started = perf_counter()


def record(response: Response) -> Response:
    """Log and count a request. The user is only named if the request had to find out who it is."""
    seconds = perf_counter() - g.get("started", perf_counter())
    route = request.url_rule.rule if request.url_rule else UNMATCHED
    method = request.method if request.method in METHODS else "other"
    if metrics := current_app.extensions[METRICS]:
        metrics.count(route, method, response.status_code, seconds)
    level = logging.DEBUG if request.blueprint == WATCHED else logging.INFO
    if log.isEnabledFor(level):
        _write(level, route, method, response.status_code, round(1000 * seconds, 1))
    return response


def _write(level: int, route: str, method: str, status: int, milliseconds: float) -> None:
    user_id = getattr(g.get("_login_user"), "user_id", None)  # where Flask-Login keeps a user that it has loaded
    fields = {"method": method, "route": route, "status": status, "duration_ms": milliseconds, "user_id": user_id}
    values = (g.get("request_id"), method, route, status, milliseconds, user_id or "-")
    log.log(level, "%s: %s %s %d in %.1f ms, user %s", *values, extra={logs.FIELDS: fields})


def forget(_error: BaseException | None) -> None:
    """The thread goes on to other work, which has no request."""
    logs.request_id.set(None)
