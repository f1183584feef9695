"""flask purge."""

import click
from flask.cli import with_appcontext

from bookshop.cli.errors import report_errors
from bookshop.retention.worker import Purge


@click.command("purge")
@with_appcontext
@report_errors
def purge() -> None:
    """Delete what is older than the settings BOOKSHOP_KEEP_... allow; `flask worker` does so every night.

    Prints how many of each kind were removed. It can run beside a busy shop.
    """
    for name, removed in Purge().run().items():
        click.echo(f"{name}: {removed}")
