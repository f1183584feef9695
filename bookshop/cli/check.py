"""flask check."""

import sys

import click
from flask.cli import with_appcontext

from bookshop import checks
from bookshop.cli.errors import report_errors
from bookshop.extensions import db


@click.command("check")
@with_appcontext
@report_errors
def check() -> None:
    """Check the shop's invariants in its database.

    Prints a line for each row that breaks one. Exits with code 1 if there are any, otherwise with 0.
    """
    broken = False
    for line in checks.broken_invariants(db.session()):
        click.echo(line)
        broken = True
    sys.exit(1 if broken else 0)
