"""How often somebody may ask: where that is counted, and for JSON what is said about it in every answer.

Logins, and all that sends e-mail, are counted for all processes together, by default in the shop's database; requests
for JSON in each process, unless there is a storage for all. The headers are those of
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

from bookshop.config import DATABASE
from bookshop.extensions import client_network, limiter, settings
from bookshop.kit.transactions import in_transaction
from bookshop.web import services
from bookshop.web.access import is_api

log = logging.getLogger(__name__)

JSON_COUNTER = "bookshop_json_counter"
LIMITED = {"accounts"}  # the blueprints whose views may have limits


class DatabaseStorage(Storage):
    """Counts in the shop's own database, each time in a transaction of its own."""

    STORAGE_SCHEME = [DATABASE.removesuffix("://")]

    @property
    def base_exceptions(self) -> type[Exception]:
        return DBAPIError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        with services.separate_session() as session:
            return in_transaction(session, lambda: services.throttle(session).count(key, expiry, amount))

    def get(self, key: str) -> int:
        return services.throttle().in_window(key)[0]

    def get_expiry(self, key: str) -> float:
        return time() + services.throttle().in_window(key)[1]

    def check(self) -> bool:
        return True

    def reset(self) -> None:
        self._forget()

    def clear(self, key: str) -> None:
        self._forget(key)

    def _forget(self, *keys: str) -> None:
        with services.separate_session() as session:
            in_transaction(session, lambda: services.throttle(session).forget(*keys))


@limiter.request_filter
def has_no_limits() -> bool:
    """Spare all requests but those for accounts the search for limits, which takes as long as two statements of SQL.

    A limit on a view of another blueprint counts for nothing until this lets that blueprint through.
    """
    return request.blueprint not in LIMITED


def init_app(app: Flask) -> None:
    limiter.init_app(app)
    given = app.config["SETTINGS"].ratelimit_storage
    storage = storage_from_string("memory://" if given == DATABASE else given)
    app.extensions[JSON_COUNTER] = FixedWindowRateLimiter(cast(Any, storage))


def _counter() -> FixedWindowRateLimiter:
    return cast(FixedWindowRateLimiter, current_app.extensions[JSON_COUNTER])


class Budget(NamedTuple):
    """What is left of a limit, and for how many seconds."""

    limit: RateLimitItem
    left: int
    seconds: int


def count_request() -> None:
    """Count a request for JSON; raises TooManyRequests when nothing is left."""
    if not is_api():
        return
    budgets = [_spent(limit, _who()) for limit in _limits(settings().api_limit)]
    g.budget = min(budgets, key=lambda budget: (budget.left, -budget.seconds))
    if g.budget.left < 0:
        raise TooManyRequests


@cache  # every request asks
def _limits(written: str) -> list[RateLimitItem]:
    return parse_many(written)


def _who() -> str:
    """Who is counted: a token, if it is good, else the address, so that no made-up token has a limit of its own."""
    return f"token {current_user.token_id}" if getattr(current_user, "token_id", None) else f"at {client_network()}"


def _spent(limit: RateLimitItem, who: str) -> Budget:
    """What is left of a limit after this request, -1 if it was one too many."""
    try:
        fits = _counter().hit(limit, "json", who)
        reset, left = _counter().get_window_stats(limit, "json", who)
    except Exception:  # whatever it is that the storage raises: a shop that does not count is better than none
        log.exception("%s: requests cannot be counted just now", g.get("request_id"))
        return Budget(limit, limit.amount, limit.get_expiry())
    return Budget(limit, left if fits else -1, max(1, ceil(reset - time())))


def add_headers(response: Response) -> Response:
    """Say what is left, and when there is more."""
    if budget := g.get("budget"):
        limit, left, seconds = budget
        response.headers["RateLimit-Policy"] = f'"requests";q={limit.amount};w={limit.get_expiry()}'
        response.headers["RateLimit"] = f'"requests";r={max(left, 0)};t={seconds}'
        if left < 0:
            response.headers["Retry-After"] = str(seconds)
    return response
