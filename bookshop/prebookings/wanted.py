"""The books that most customers are waiting for, for the home page."""

from collections.abc import Sequence
from threading import Lock
from typing import Any

from cachetools import TTLCache
from sqlalchemy.orm import Session

from bookshop.catalog.repository import BookRepository
from bookshop.prebookings.repository import PreBookRepository, WantedBook

_cache: TTLCache[Any, Sequence[WantedBook]] = TTLCache(maxsize=32, ttl=30)
_lock = Lock()


def list_most_wanted(session: Session, limit: int) -> Sequence[WantedBook]:
    """Return the books that most customers are waiting for, most wanted first.

    The list is cached until a book or its stock changes, for at most 30 seconds, as the facets of a search are. So a
    book that is back in stock leaves it at once, while a new reservation may be counted a little later.
    """
    key = (str(session.get_bind()), BookRepository(session).last_change(), limit)
    with _lock:
        wanted = _cache.get(key)
    if wanted is None:
        wanted = PreBookRepository(session).list_most_wanted(limit)
        with _lock:
            _cache[key] = wanted
    return wanted
