"""Jinja filters and globals for all pages, and the shop's name.

A feature registers its own globals on its blueprint.
"""

from datetime import date, datetime

from babel.dates import format_date, format_timedelta
from flask import Flask, request

from bookshop.cart.repository import CartEntry
from bookshop.catalog.models import NO_PRICE
from bookshop.catalog.repository import AnyBook
from bookshop.kit.database import now
from bookshop.kit.money import LOCALE, Amount, format_amount
from bookshop.kit.text import format_year, isolated, one_line
from bookshop.orders.models import OrderLine
from bookshop.shop.hours import clock
from bookshop.web import services
from bookshop.web.forms import field_attributes, is_refused, problems_of
from bookshop.web.navigation import absolute_url, list_address, page_address


def init_app(app: Flask) -> None:
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.add_template_filter(day)
    app.add_template_filter(ago)
    app.add_template_filter(elapsed)
    app.add_template_filter(price)
    app.add_template_filter(money)
    app.add_template_filter(format_year, "year")
    app.add_template_filter(isolated)
    app.add_template_filter(one_line)
    app.add_template_filter(local)
    app.add_template_filter(weekday)
    app.add_template_filter(minute)
    app.add_template_filter(seen)
    for function in (
        list_address,
        page_address,
        absolute_url,
        search_text,
        open_now,
        field_attributes,
        is_refused,
        problems_of,
    ):
        app.add_template_global(function)
    app.context_processor(lambda: {"shop": services.shop_details(), "shop_name": services.shop_details().name})


def local(moment: datetime) -> datetime:
    """Return a time in the shop's time zone."""
    return services.shop_details().local(moment)


def day(moment: datetime) -> str:
    """Format a time as a date in the shop's time zone."""
    return format_day(local(moment))


def format_day(moment: date) -> str:
    """Format a date, or that of a time: 22 Nov 2026."""
    return format_date(moment, "d MMM y", locale=LOCALE)


def minute(moment: datetime) -> str:
    """Format a time of day in the shop's time zone, which it names: 14:05 CET."""
    return f"{local(moment):%H:%M %Z}"


def weekday(moment: date) -> str:
    """Format a date with its weekday: Thursday, 24 Dec 2026."""
    return format_date(moment, "EEEE, d MMM y", locale=LOCALE)


def seen(moment: datetime | None) -> str:
    """Format when somebody was last seen, in the shop's time zone: today 14:05, 3 Nov, 3 Nov 2025 or never."""
    if moment is None:
        return "never"
    then, today = local(moment), local(now())
    if then.date() == today.date():
        return f"today {clock(then)}"
    return format_date(then, "d MMM" if then.year == today.year else "d MMM y", locale=LOCALE)


def open_now() -> str:
    """Say whether the shop is open, and until or from when; "" if its hours are not known."""
    return services.shop_details().hours.sentence(now())


def ago(moment: datetime) -> str:
    """Format a time relative to now: 3 minutes ago, in 2 hours."""
    return format_timedelta(moment - now(), add_direction=True, locale=LOCALE)


def elapsed(moment: datetime) -> str:
    """Format the time since then as a duration: 3 minutes."""
    return format_timedelta(now() - moment, locale=LOCALE)


def price(item: AnyBook | OrderLine | CartEntry) -> str:
    """Format the price of one copy: the current one, or the one when it was sold or added to a cart."""
    return "Price on request" if item.price_cents == NO_PRICE else money(Amount(item.price_cents, item.currency))


def money(amount: Amount) -> str:
    """Format an amount with its currency."""
    return format_amount(amount.cents, amount.currency)


def search_text() -> str:
    """Return the text for the search box in the header: the visitor's search on the results page, else empty."""
    return request.args.get("q", "") if request.endpoint == "catalog.books" else ""
