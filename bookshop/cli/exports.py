"""flask books export."""

from itertools import count

import click
from flask.cli import with_appcontext
from xlsxwriter.exceptions import FileCreateError

from bookshop.bookfiles.writing import write_csv, write_xlsx
from bookshop.cli.errors import report_errors
from bookshop.reports.exports import EXPORTS, cells_of
from bookshop.web import services


@click.command("export")
@click.argument("name", metavar="LIST", type=click.Choice(list(EXPORTS)))
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True))
@click.option("--format", "kind", type=click.Choice(["csv", "xlsx"]), help="By default, xlsx if FILE ends in .xlsx.")
@with_appcontext
@report_errors
def export(name: str, file: str, kind: str | None) -> None:
    """Export books, stock, orders, reservations or demand to FILE; - is the standard output.

    What `books` exports can be imported again. Orders and reservations name customers. FILE is replaced when the export
    is complete.
    """
    numbers = count()
    rows = (row for row, _number in zip(cells_of(EXPORTS[name], services.reading_session), numbers, strict=False))
    is_xlsx = kind == "xlsx" or (kind is None and file.lower().endswith(".xlsx"))
    try:
        with click.open_file(file, "wb", atomic=file != "-") as opened:
            (write_xlsx if is_xlsx else write_csv)(opened, EXPORTS[name].header, rows)
    except (OSError, FileCreateError) as error:
        raise click.ClickException(f"{file} cannot be written: {error}") from None
    exported = next(numbers)
    click.echo("1 line exported." if exported == 1 else f"{exported:,} lines exported.", err=True)
