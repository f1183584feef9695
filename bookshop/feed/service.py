"""The event feed, one page at a time."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from bookshop.feed.repository import FeedRepository
from bookshop.kit.exceptions import Purged

SCAN_MAX = 10_000  # events that one page covers at most, even if few of them are of the requested kinds


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

    def read(self, after: int | None, kinds: Collection[str], size: int) -> Feed:
        """Return the next events of these kinds after a position, or with None from the oldest that is kept.

        A page covers at most 10,000 events, so it may have fewer than `size` events, or none, even if there are
        more. No event ever appears before a position that has been read. Raises Purged if the event that follows the
        position is not kept.
        """
        start = self.feed.oldest_position() - 1 if after is None else after
        end = self.feed.last_position()
        until = end if end - start <= SCAN_MAX else min(self.feed.next_position(start) - 1 + SCAN_MAX, end)
        events = self.feed.list_between(start, until, kinds, size)
        # Afterwards, or a purge in between would leave a gap. A first reader has read nothing that could have one.
        if after is not None and after + 1 < (oldest := self.feed.oldest_position()):
            raise Purged(oldest)
        read_to = events[-1].position if len(events) == size else max(start, until)
        return Feed(events, read_to, read_to < end)
