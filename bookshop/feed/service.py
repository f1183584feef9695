"""The event feed, one page at a time."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from bookshop.feed.repository import FeedRepository

SCAN_MAX = 10_000  # positions that one page covers at most, even if few of them are of the requested kinds


@dataclass(frozen=True)
class Feed:
    """A page of the feed: its events, the position up to which it was read, and whether there is more."""

    events: Sequence[Any]
    next: int
    more: bool


class FeedService:
    """Reads the feed."""

    def __init__(self, session: Session) -> None:
        self.feed = FeedRepository(session)

    def read(self, after: int, kinds: Collection[str], size: int) -> Feed:
        """Return the next events of these kinds after a position.

        A page covers at most 10,000 positions, so it may have fewer than `size` events, or none, even if there are
        more. No event ever appears before a position that has been read.
        """
        end = self.feed.last_position()
        until = min(after + SCAN_MAX, end)
        events = self.feed.list_between(after, until, kinds, size)
        read_to = events[-1].position if len(events) == size else max(after, until)
        return Feed(events, read_to, read_to < end)
