"""The page that tells customers where and when to visit the shop."""

from datetime import date, timedelta

from flask import render_template

from bookshop.kit.database import now
from bookshop.shop import bp
from bookshop.shop.hours import WEEKDAYS, format_hours
from bookshop.shop.linked_data import shop_as_linked_data
from bookshop.shop.service import Details
from bookshop.web import services
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
