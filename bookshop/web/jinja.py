"""What every page needs: the words and numbers that templates write, and the shop's name.

A feature registers on its blueprint what it adds to all pages.
"""

from datetime import datetime

from babel.dates import format_date, format_timedelta
from flask import Flask, request

from bookshop.cart.repository import CartEntry
from bookshop.catalog.models import NO_PRICE
from bookshop.catalog.repository import AnyBook
from bookshop.extensions import settings
from bookshop.kit.database import now
from bookshop.kit.money import LOCALE, Amount, in_words
from bookshop.kit.text import isolated, one_line, year_in_words
from bookshop.orders.models import OrderLine
from bookshop.web.navigation import absolute_url, list_address, page_address


def init_app(app: Flask) -> None:
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.add_template_filter(day)
    app.add_template_filter(ago)
    app.add_template_filter(lasted)
    app.add_template_filter(price)
    app.add_template_filter(money)
    app.add_template_filter(year_in_words, "year")
    app.add_template_filter(isolated)
    app.add_template_filter(one_line)
    for named in (list_address, page_address, absolute_url, typed_search):
        app.add_template_global(named)
    app.context_processor(lambda: {"shop_name": settings().shop_name})


def day(moment: datetime) -> str:
    """A time as a day: 22 Nov 2026."""
    return format_date(moment, "d MMM y", locale=LOCALE)


def ago(moment: datetime) -> str:
    """A time as people say it: 3 minutes ago, in 2 hours."""
    return format_timedelta(moment - now(), add_direction=True, locale=LOCALE)


def lasted(moment: datetime) -> str:
    """For how long something has been so since then, as people say it: 3 minutes."""
    return format_timedelta(now() - moment, locale=LOCALE)


def price(sold: AnyBook | OrderLine | CartEntry) -> str:
    """What a copy of the book costs, or did when it was sold or put into a cart, for people."""
    return "Price on request" if sold.price_cents == NO_PRICE else money(Amount(sold.price_cents, sold.currency))


def money(amount: Amount) -> str:
    """An amount for people."""
    return in_words(amount.cents, amount.currency)


def typed_search() -> str:
    """What the search box of the shop holds: what was searched for, on the page that shows what was found."""
    return request.args.get("q", "") if request.endpoint == "catalog.books" else ""
