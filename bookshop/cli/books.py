"""flask books."""

import sys
from collections.abc import Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import click
from flask.cli import AppGroup

from bookshop.catalog.importer import BatchReport, import_books
from bookshop.catalog.models import PRICE_MAX, STOCK_MAX
from bookshop.cli.errors import report_errors
from bookshop.extensions import settings

books = AppGroup("books", help="Manage the catalogue.")


@books.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--price-cents", type=click.IntRange(0, PRICE_MAX), help="Price for new books without one in the file.")
@click.option("--stock", type=click.IntRange(0, STOCK_MAX), help="Stock for new books without one in the file.")
@report_errors
def import_file(file: Path, price_cents: int | None, stock: int | None) -> None:
    """Add or update books from a CSV file with a header line; docs/staff.md lists its columns.

    Lines that cannot be imported are reported; the others are imported.
    """
    options = {"price_cents": price_cents, "stock_quantity": stock, "currency": settings().currency}
    defaults = {name: value for name, value in options.items() if value is not None}
    total = BatchReport()
    for report in _with_progress(file, defaults):
        total.add(report)
    for number, reason in total.refused:
        click.echo(f"line {number}: {reason}", err=True)
    if total.notified:
        click.echo(f"customers notified: {len(total.notified)}")
    if total.unpriced:
        click.echo(f"books without a price: {total.unpriced} (set their prices, or import again with --price-cents)")
    click.echo(
        f"{total.added} added, {total.updated} updated, {total.unchanged} unchanged, {len(total.refused)} refused"
    )


def _with_progress(path: Path, defaults: dict[str, Any]) -> Iterator[BatchReport]:
    with (
        path.open("rb") as bytes_read,
        TextIOWrapper(bytes_read, encoding="utf-8-sig", errors="surrogateescape", newline="") as file,
        click.progressbar(length=path.stat().st_size, label="Importing", file=sys.stderr) as bar,
    ):
        for report in import_books(file, defaults):
            yield report
            bar.update(bytes_read.tell() - bar.pos)
