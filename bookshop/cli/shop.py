"""flask shop: sets up a new shop."""

from collections.abc import Callable, Iterable
from typing import Any

import click
import flask_migrate
from flask.cli import AppGroup
from sqlalchemy import inspect

from bookshop.accounts.emails import normal_email
from bookshop.admin.shop_forms import time_zones
from bookshop.cli.errors import report_errors
from bookshop.cli.users import password_option
from bookshop.extensions import db
from bookshop.kit.exceptions import Invalid
from bookshop.kit.money import CURRENCIES
from bookshop.kit.text import problem_in, tidy
from bookshop.shop.models import LINE_MAX, NAME_MAX, POSTCODE_MAX
from bookshop.shop.service import COUNTRIES
from bookshop.web import opening, services
from bookshop.web.navigation import absolute_url

shop = AppGroup("shop", help="Set up a new shop.")

Command = Callable[..., Any]
Checked = Callable[[click.Context, click.Parameter, str], str]


def line(longest: int, *, required: bool = False) -> Checked:
    """Return a check of a line of text, which also tidies it."""

    def checked(_context: click.Context, _parameter: click.Parameter, text: str) -> str:
        tidied = tidy(text)
        if required and not tidied:
            raise click.BadParameter("enter a text.")
        if len(tidied) > longest:
            raise click.BadParameter(f"this is too long: enter at most {longest} characters.")
        if problem := problem_in(tidied):
            raise click.BadParameter(f"the text {problem}.")
        return tidied

    return checked


def one_of(values: Iterable[str], example: str) -> Checked:
    """Return a check of a choice from a long list, in capitals or not; the message gives an example."""
    known = {value.casefold(): value for value in values}

    def checked(_context: click.Context, _parameter: click.Parameter, text: str) -> str:
        if (found := known.get(text.strip().casefold())) is None:
            raise click.BadParameter(f"'{text}' is unknown. Enter, for example, {example}.")
        return found

    return checked


def address(_context: click.Context, _parameter: click.Parameter, text: str) -> str:
    """Check an e-mail address."""
    try:
        return normal_email(text)
    except Invalid as error:
        raise click.BadParameter(error.sentence) from None


def optional(name: str, words: str, check: Checked) -> Callable[[Command], Command]:
    """Return an option for something that may be left out; without it, the command asks for it."""
    return click.option(name, prompt=f"{words} (optional)", default="", show_default=False, callback=check)


@shop.command("new")
@click.option("--name", prompt="Name of the shop", callback=line(NAME_MAX, required=True))
@optional("--street", "Street and number", line(LINE_MAX))
@optional("--postcode", "Postcode", line(POSTCODE_MAX))
@optional("--city", "Town or city", line(LINE_MAX))
@optional("--country", "Country, such as GB or DE", one_of({"", *COUNTRIES}, "GB"))
@click.option("--time-zone", prompt="Time zone, such as Europe/London", callback=one_of(time_zones(), "Europe/London"))
@click.option("--currency", prompt="Currency, such as EUR", callback=one_of(CURRENCIES, "EUR"))
@click.option("--email", prompt="E-mail address of the first owner", callback=address)
@password_option
@report_errors
def new_shop(email: str, password: str, **details: str) -> None:
    """Set up a new shop: its name, address, time zone, currency and first owner. Asks for what is not given.

    Creates the tables if there are none. Refuses if the shop has an owner.
    """
    if not inspect(db.engine).get_table_names():
        flask_migrate.upgrade()
        click.echo("Created the tables.")
    owner = services.commit(lambda: opening.service().create(details, email, password or None))
    click.echo(f"Created the shop {details['name']} and its owner {owner.email}.")
    click.echo(f"Start the server and the worker, log in, and go through the list at {absolute_url('admin.ready')}.")
    if not password:
        click.echo("You log in with a link in an e-mail, so e-mail has to work: see docs/email.md.")
