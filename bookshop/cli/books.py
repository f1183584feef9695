"""flask books."""

import sys
from collections.abc import Collection
from pathlib import Path

import click
from flask.cli import AppGroup

from bookshop.bookfiles.columns import column_name, unused_columns
from bookshop.catalog.models import PRICE_MAX, STOCK_MAX
from bookshop.cli.errors import report_errors
from bookshop.cli.reference import import_reference
from bookshop.imports.models import ADOPTED, GUESS, HIDDEN, REFUSED, WAITING, ImportJob
from bookshop.imports.repository import ImportRepository
from bookshop.imports.runner import check_file, write_checked
from bookshop.web import services

books = AppGroup("books", help="Manage the catalogue.")
NOTES = 1000  # read at once


@books.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--price-cents", type=click.IntRange(0, PRICE_MAX), help="Price for new books without one in the file.")
@click.option("--stock", type=click.IntRange(0, STOCK_MAX), help="Stock for new books without one in the file.")
@click.option("--reference", is_flag=True, help="Fill the reference catalogue, which completes deliveries, instead.")
@report_errors
def import_books(file: Path, price_cents: int | None, stock: int | None, reference: bool) -> None:
    """Add or update books from a CSV file, a spreadsheet or an ONIX message: see docs/staff.md.

    Lines that cannot be imported are reported; the others are imported.
    """
    if reference:
        import_reference(file)
        return
    claim = check_file(file, price_cents=price_cents, stock_quantity=stock)
    checked = services.imports().get(claim.job_id)
    _describe_file(checked)
    with click.progressbar(length=checked.lines, label="Importing", file=sys.stderr) as bar:
        for report in write_checked(claim):
            bar.update(report.counts["lines"])
    _report(services.imports().get(claim.job_id))


def _describe_file(job: ImportJob) -> None:
    encoding = f", {job.encoding}" if job.encoding else ""
    click.echo(f"{job.format}{encoding}")
    columns = enumerate(zip(job.header, job.mapping, strict=True), start=1)
    used = [f"{column_name(name, number)} -> {field}" for number, (name, field) in columns if field]
    unused = unused_columns(job.header, job.mapping)
    if used:
        click.echo(f"columns: {', '.join(used)}")
    if unused:
        click.echo(f"columns that are not used: {', '.join(unused)}")


def _report(job: ImportJob) -> None:
    """Say what an import has done: what was refused on the error output, the sum in the last line."""
    _show_notes(job.id, {REFUSED}, err=True)
    _show_notes(job.id, {GUESS, ADOPTED, HIDDEN, WAITING}, err=False)
    if job.notified:
        click.echo(f"customers notified: {job.notified}")
    if job.unpriced:
        click.echo(f"books without a price: {job.unpriced} (set their prices, or import again with --price-cents)")
    counts = (job.added, "added"), (job.updated, "updated"), (job.unchanged, "unchanged"), (job.refused, "refused")
    click.echo(f"{job.lines} lines read: {', '.join(f'{number} {outcome}' for number, outcome in counts)}")


def _show_notes(job_id: int, kinds: Collection[str], *, err: bool) -> None:
    last = 0
    while notes := services.repository(ImportRepository).list_notes(job_id, kinds, last, NOTES):
        for note in notes:
            click.echo(f"line {note.line}: {note.sentence}" if note.line else note.sentence, err=err)
        last = notes[-1].id
