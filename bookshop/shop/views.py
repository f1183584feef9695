"""The page that tells customers where and when to visit the shop, and its colour on all pages."""

from datetime import date, timedelta

from flask import Response, render_template, request, url_for

from bookshop.kit.database import now
from bookshop.kit.exceptions import NotFound
from bookshop.shop import bp
from bookshop.shop.colours import STYLES_VERSION, parse_colour, stylesheet
from bookshop.shop.hours import WEEKDAYS, format_hours
from bookshop.shop.linked_data import shop_as_linked_data
from bookshop.shop.service import Details
from bookshop.web import services
from bookshop.web.assets import IMMUTABLE
from bookshop.web.navigation import absolute_url

EXCEPTIONS_SHOWN = timedelta(days=90)


@bp.get("/visit")
def visit() -> str:
    details = services.shop_details()
    today = details.local(now()).date()
    return render_template(
        "shop/visit.html",
        week=[(day, format_hours(spans)) for day, spans in zip(WEEKDAYS, details.hours.week, strict=True)],
        exceptions=_coming_exceptions(details, today),
        linked_data=shop_as_linked_data(details, absolute_url("catalog.home"), today),
    )


def _coming_exceptions(details: Details, today: date) -> list[tuple[date, str, str]]:
    """Return the dates with other hours from today on: the date, the hours and the note of each."""
    coming = (day for day in details.hours.exceptions if today <= day < today + EXCEPTIONS_SHOWN)
    found = ((day, details.hours.exceptions[day]) for day in sorted(coming))
    return [(day, format_hours(one.spans), one.note) for day, one in found]


@bp.get("/accent-<string(length=6):colour>.css")
def accent(colour: str) -> Response:
    """Send the rules for an accent colour, which browsers may cache indefinitely; needs no database."""
    try:
        response = Response(stylesheet(parse_colour(colour)), mimetype="text/css")
    except ValueError:
        raise NotFound("There is no such colour.") from None
    is_current = request.args.get("v") == str(STYLES_VERSION)
    response.headers["Cache-Control"] = IMMUTABLE if is_current else "public, no-cache"
    return response


@bp.app_template_global()
def accent_address(colour: str) -> str:
    """Return the URL of the rules for an accent colour."""
    return url_for("shop.accent", colour=colour.removeprefix("#"), v=STYLES_VERSION)
