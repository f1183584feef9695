"""The feed: events in their places, a page at a time."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from bookshop.feed.repository import FeedRepository

LOOKED_AT = 10_000  # places that one page goes through at most, however few of them are of the kinds that are wanted


@dataclass(frozen=True)
class Feed:
    """A page of the feed: events, how far it was read, and whether there is more behind that just now."""

    events: Sequence[Any]
    next: int
    more: bool


class FeedService:
    """Reads the feed."""

    def __init__(self, session: Session) -> None:
        self.feed = FeedRepository(session)

    def read(self, after: int, kinds: Collection[str], size: int) -> Feed:
        """The events of these kinds beyond the place `after`.

        A page may hold fewer than `size`, or none, and there be more: it goes through 10,000 places at most. Nothing
        ever appears before a place that was read.
        """
        end = self.feed.last_position()
        until = min(after + LOOKED_AT, end)
        found = self.feed.list_between(after, until, kinds, size)
        read_to = found[-1].position if len(found) == size else max(after, until)
        return Feed(found, read_to, read_to < end)
