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
from bookshop.cli.refusals import refusals_as_messages
from bookshop.extensions import settings

books = AppGroup("books", help="The catalogue.")


@books.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--price-cents", type=click.IntRange(0, PRICE_MAX), help="Price of new books that the file gives none.")
@click.option("--stock", type=click.IntRange(0, STOCK_MAX), help="Stock of new books that the file gives none.")
@refusals_as_messages
def import_file(file: Path, price_cents: int | None, stock: int | None) -> None:
    """Add or update books from a CSV file with a header; see the README for its columns.

    Lines that cannot be used are reported and do not stop the rest.
    """
    defaults = {"price_cents": price_cents, "stock_quantity": stock, "currency": settings().currency}
    given = {name: value for name, value in defaults.items() if value is not None}
    sums = BatchReport()
    for report in _with_progress(file, given):
        sums.add(report)
    for number, reason in sums.refused:
        click.echo(f"line {number}: {reason}", err=True)
    if sums.notified:
        click.echo(f"customers notified: {len(sums.notified)}")
    if sums.unpriced:
        click.echo(f"without a price, until one is set or given by --price-cents: {sums.unpriced}")
    click.echo(f"{sums.added} added, {sums.updated} updated, {sums.unchanged} unchanged, {len(sums.refused)} refused")


def _with_progress(path: Path, defaults: dict[str, Any]) -> Iterator[BatchReport]:
    with (
        path.open("rb") as bytes_read,
        TextIOWrapper(bytes_read, encoding="utf-8-sig", errors="surrogateescape", newline="") as file,
        click.progressbar(length=path.stat().st_size, label="Importing", file=sys.stderr) as bar,
    ):
        for report in import_books(file, defaults):
            yield report
            bar.update(bytes_read.tell() - bar.pos)
