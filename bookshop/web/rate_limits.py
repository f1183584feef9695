"""Rate limits: where requests are counted, and the headers of JSON responses that report what is left.

Logins and requests that send e-mail are counted across all processes, by default in the shop's database. JSON requests
are counted in each process, unless a shared storage is configured. The headers follow
draft-ietf-httpapi-ratelimit-headers.
"""

import logging
from functools import cache
from math import ceil
from time import time
from typing import Any, NamedTuple, cast

from flask import Flask, Response, current_app, g, request
from flask_login import current_user
from limits import RateLimitItem, parse_many
from limits.storage import Storage, storage_from_string
from limits.strategies import FixedWindowRateLimiter
from sqlalchemy.exc import DBAPIError
from werkzeug.exceptions import TooManyRequests

from bookshop.config import DATABASE_STORAGE
from bookshop.extensions import client_network, limiter, settings
from bookshop.kit.transactions import in_transaction
from bookshop.web import services
from bookshop.web.access import is_api

log = logging.getLogger(__name__)

JSON_COUNTER = "bookshop_json_counter"
LIMITED = {"accounts", "returns"}  # the blueprints whose views may have limits
# Endpoints that e-mail visitors a link.
LIMITED_FOR_VISITORS = {"prebookings.reserve", "prebookings.erase", "orders.checkout"}


class DatabaseStorage(Storage):
    """Counts in the shop's database, each time in a separate transaction."""

    STORAGE_SCHEME = [DATABASE_STORAGE.removesuffix("://")]

    @property
    def base_exceptions(self) -> type[Exception]:
        return DBAPIError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        with services.separate_session() as session:
            return in_transaction(session, lambda: services.throttle(session).count(key, expiry, amount))

    def get(self, key: str) -> int:
        return services.throttle().window_count(key)[0]

    def get_expiry(self, key: str) -> float:
        return time() + services.throttle().window_count(key)[1]

    def check(self) -> bool:
        return True

    def reset(self) -> None:
        self._clear_counters()

    def clear(self, key: str) -> None:
        self._clear_counters(key)

    def _clear_counters(self, *keys: str) -> None:
        with services.separate_session() as session:
            in_transaction(session, lambda: services.throttle(session).clear(*keys))


@limiter.request_filter
def has_no_limits() -> bool:
    """Skip the search for limits, which costs as much as two SQL statements, except where there are any.

    A limit on another view has no effect until its blueprint or endpoint is added above.
    """
    if request.endpoint in LIMITED_FOR_VISITORS:
        return bool(current_user.is_authenticated)
    return request.blueprint not in LIMITED


def init_app(app: Flask) -> None:
    limiter.init_app(app)
    uri = app.config["SETTINGS"].ratelimit_storage
    storage = storage_from_string("memory://" if uri == DATABASE_STORAGE else uri)
    app.extensions[JSON_COUNTER] = FixedWindowRateLimiter(cast(Any, storage))


def _counter() -> FixedWindowRateLimiter:
    return cast(FixedWindowRateLimiter, current_app.extensions[JSON_COUNTER])


class Budget(NamedTuple):
    """The requests left of a limit, and the seconds until it is reset."""

    limit: RateLimitItem
    left: int
    seconds: int


def count_request() -> None:
    """Count a JSON request; raises TooManyRequests when none are left."""
    if not is_api():
        return
    budgets = [_hit(limit, _client()) for limit in _limits(settings().api_limit)]
    g.budget = min(budgets, key=lambda budget: (budget.left, -budget.seconds))
    if g.budget.left < 0:
        raise TooManyRequests


def fits(limit: str, what: str) -> bool:
    """Count something that this client does, and return whether it is within the limit."""
    return min(_hit(item, f"{what} {_client()}").left for item in _limits(limit)) >= 0


@cache  # called for every request
def _limits(setting: str) -> list[RateLimitItem]:
    return parse_many(setting)


def _client() -> str:
    """Return who is counted: a valid token, else the address, so that made-up tokens get no limit of their own."""
    return f"token {current_user.token_id}" if getattr(current_user, "token_id", None) else f"at {client_network()}"


def _hit(limit: RateLimitItem, client: str) -> Budget:
    """Count this request and return what is left of the limit; -1 if it was one too many."""
    try:
        fits = _counter().hit(limit, "json", client)
        reset, left = _counter().get_window_stats(limit, "json", client)
    except Exception:  # any error of the storage: better not to count than to refuse every request
        log.exception("%s: cannot count requests", g.get("request_id"))
        return Budget(limit, limit.amount, limit.get_expiry())
    return Budget(limit, left if fits else -1, max(1, ceil(reset - time())))


def add_headers(response: Response) -> Response:
    """Add headers with the requests left and the time until the limit is reset."""
    if budget := g.get("budget"):
        limit, left, seconds = budget
        response.headers["RateLimit-Policy"] = f'"requests";q={limit.amount};w={limit.get_expiry()}'
        response.headers["RateLimit"] = f'"requests";r={max(left, 0)};t={seconds}'
        if left < 0:
            response.headers["Retry-After"] = str(seconds)
    return response


def seconds_until_reset() -> int:
    """Return the seconds until the limit that was reached is reset, 0 if unknown."""
    budget = g.get("budget")
    if budget and budget.left < 0:
        return int(budget.seconds)
    if not (reached := limiter.current_limit):
        return 0
    return min(max(1, ceil(reached.reset_at - time())), int(reached.limit.get_expiry()))  # reset_at is a second late
