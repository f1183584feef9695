"""flask check."""

import sys

import click
from flask.cli import with_appcontext

from bookshop import checks
from bookshop.cli.refusals import refusals_as_messages
from bookshop.extensions import db


@click.command("check")
@with_appcontext
@refusals_as_messages
def check() -> None:
    """Prove the invariants of the shop on its database: a line for each row that breaks one, exit code 1."""
    broken = False
    for line in checks.broken_invariants(db.session()):
        click.echo(line)
        broken = True
    sys.exit(1 if broken else 0)
