"""How many requests for JSON a token, or an address of the network, may send, said in the headers of every answer.

The headers are those of draft-ietf-httpapi-ratelimit-headers.
"""

import logging
from functools import cache
from math import ceil
from time import time
from typing import NamedTuple

from flask import Response, g
from flask_login import current_user
from limits import RateLimitItem, parse_many
from werkzeug.exceptions import TooManyRequests

from bookshop.accounts.access import is_api
from bookshop.extensions import limiter, network_of_visitor, settings

log = logging.getLogger(__name__)


class Budget(NamedTuple):
    """What is left of a limit, and for how many seconds."""

    limit: RateLimitItem
    left: int
    seconds: int


def spend() -> None:
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
    return f"token {current_user.token_id}" if getattr(current_user, "token_id", None) else f"at {network_of_visitor()}"


def _spent(limit: RateLimitItem, who: str) -> Budget:
    """What is left of a limit after this request, -1 if it was one too many."""
    try:
        fits = limiter.limiter.hit(limit, "json", who)
        reset, left = limiter.limiter.get_window_stats(limit, "json", who)
    except Exception:  # whatever it is that the storage raises: a shop that does not count is better than none
        log.exception("%s: requests cannot be counted just now", g.get("request_id"))
        return Budget(limit, limit.amount, limit.get_expiry())
    return Budget(limit, left if fits else -1, max(1, ceil(reset - time())))


def say(response: Response) -> Response:
    """Say what is left, and when there is more."""
    if budget := g.get("budget"):
        limit, left, seconds = budget
        response.headers["RateLimit-Policy"] = f'"requests";q={limit.amount};w={limit.get_expiry()}'
        response.headers["RateLimit"] = f'"requests";r={max(left, 0)};t={seconds}'
        if left < 0:
            response.headers["Retry-After"] = str(seconds)
    return response
