"""flask books import --reference: fills the reference catalogue."""

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click

from bookshop.bookfiles.reading import ReadLine, open_books, remove_converted
from bookshop.kit.exceptions import Invalid
from bookshop.reference.service import missing
from bookshop.web import services

BATCH = 500  # lines per transaction


def import_reference(path: Path, report: Callable[[str], Any] = lambda problem: click.echo(problem, err=True)) -> None:
    """Add or replace titles of the reference catalogue from a file of books, and print how many.

    Reports each line that is refused. Raises Invalid if the file cannot be read at all.
    """
    try:
        file = open_books(path, services.shop_details().currency)
        if file.header and "isbn" not in file.mapping and "sku" not in file.mapping:
            raise Invalid("No column of this file is known as the ISBN, which every title of the catalogue needs.")
        click.echo(file.format)
        if file.unused:
            click.echo(f"columns that are not used: {', '.join(file.unused)}")
        totals = _import(file.lines(), report)
    finally:
        remove_converted(path)
    click.echo(
        f"{totals['lines']} lines read: {totals['added']} added, {totals['updated']} updated, "
        f"{totals['unchanged']} unchanged, {totals['refused']} refused"
    )


def _import(lines: Iterator[ReadLine], report: Callable[[str], Any]) -> Counter[str]:
    totals: Counter[str] = Counter()
    while batch := list(islice(lines, BATCH)):
        accepted = [line.values for line in batch if not _refused(line, totals, report)]
        saved = services.commit(lambda accepted=accepted: services.reference().save(accepted))  # type: ignore[misc]
        totals.update(saved._asdict(), lines=len(batch) + sum(line.swallowed for line in batch))
    return totals


def _refused(line: ReadLine, totals: Counter[str], report: Callable[[str], Any]) -> bool:
    if problem := line.problem or missing(line.values):
        totals["refused"] += 1 + line.swallowed
        report(f"line {line.number}: {problem}")
    return bool(problem)
