"""The JSON API of the event feed."""

from flask import Response

from bookshop.accounts.scopes import REPORTS_READ
from bookshop.feed import bp
from bookshop.feed.schemas import EventQuery, FeedOut, event_out
from bookshop.web import services
from bookshop.web.access import staff_required
from bookshop.web.contract import contract, json_response


@bp.get("/api/v1/events")
@staff_required
@contract("EVENTS_PURGED", tag="Events", scope=REPORTS_READ, HTTP_200=FeedOut)
def api_events(query: EventQuery) -> Response:
    """List the events after a position, in the order of their positions.

    Each event appears once and never changes its position, and no event appears before a position that has been read.
    The stock changes of a book, the events of a pre-booking and those of an order are in the order of their commits;
    independent events of the same moment may be in either order. Use the `next` of each response as `after` of the
    next request. Old events are deleted, from the oldest on: without `after`, reading starts with the oldest that is
    kept; after a position whose next event is gone, even after 0, the response is 410 `EVENTS_PURGED`.
    """
    services.assign_positions()
    feed = services.feed().read(query.start, query.expanded_kinds, query.size)
    return json_response(FeedOut(items=[event_out(event) for event in feed.events], next=feed.next, more=feed.more))
