"""The event feed in JSON."""

from flask import Response

from bookshop.accounts.scopes import REPORTS_READ
from bookshop.feed import bp
from bookshop.feed.schemas import EventQuery, FeedOut, event_out
from bookshop.web import services
from bookshop.web.access import staff_required
from bookshop.web.contract import answer, contract


@bp.get("/api/v1/events")
@staff_required
@contract(tag="Events", scope=REPORTS_READ, HTTP_200=FeedOut)
def api_events(query: EventQuery) -> Response:
    """What happened after an event that one has, in the order of the commits.

    Every event comes once, and keeps its place for ever: ask again `after` what `next` says.
    """
    services.assign_positions()
    feed = services.feed().read(query.after, query.wanted, query.size)
    return answer(FeedOut(items=[event_out(event) for event in feed.events], next=feed.next, more=feed.more))
