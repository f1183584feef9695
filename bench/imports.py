"""Importing a CSV file by command: the time for 10,000 books, and the rate and memory for any number of lines.

`python -m bench.imports DATABASE_URL FILE` imports one file and prints its rates; the folder of its database is empty.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import flask_migrate

from bench.onix import peak_mb
from bench.shop import SECRET_KEY
from bookshop import create_app
from bookshop.config import ROOT, Settings
from bookshop.extensions import db
from bookshop.imports.runner import check_file, write_checked
from tests.support.databases import new_database
from tests.support.onix import isbn

REAL_BOOKS = ROOT.parent / "shared" / "data" / "goodbooks-10k-books.csv"
BOOKS, SECONDS = 10_000, 5
LINES, LIMIT_MB = 100_000, 300  # the rates are constant: a million take ten times as long


def run(url: str) -> None:
    """Print the figures for SQLite and PostgreSQL."""
    print(f"imports: {BOOKS:,} books (at most {SECONDS} s), {LINES:,} lines (at most {LIMIT_MB} MB of memory)")
    with TemporaryDirectory() as folder:
        small = REAL_BOOKS if REAL_BOOKS.exists() else _write(Path(folder) / "small.csv", BOOKS)
        large = _write(Path(folder) / "large.csv", LINES)
        for path in (small, large):
            for database in ("sqlite", "postgresql"):
                with _new_database(database, url) as empty:
                    subprocess.run([sys.executable, "-m", "bench.imports", empty, str(path)], check=True)


@contextmanager
def _new_database(database: str, server_url: str) -> Iterator[str]:
    if database == "postgresql":
        with new_database(server_url, "bookshop_imports") as url:
            yield url
    else:
        with TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/shop.db"


def _write(path: Path, count: int) -> Path:
    with path.open("w", encoding="cp1252") as file:
        file.write("ISBN;Titel;Autor;Ladenpreis;Bestand\n")
        for number in range(count):
            author = f"Müller, Nora {number % 997}"
            file.write(f"{isbn(number)};Das Haus am Fluß {number};{author};{number % 50},90;{number % 4}\n")
    return path


def _import(url: str, path: Path) -> None:
    """Import a file; print the time, the rate of the first and the last tenth, and the peak memory."""
    with TemporaryDirectory() as folder:
        app = create_app(Settings(secret_key=SECRET_KEY, database_url=url, imports=Path(folder)))
        with app.app_context():
            flask_migrate.upgrade()
            times = [time.perf_counter()]
            claim = check_file(path)
            times.append(time.perf_counter())
            lines = [(report.counts["lines"], time.perf_counter()) for report in write_checked(claim)]
            total = time.perf_counter() - times[0]
            db.engine.dispose()
    tenth = max(1, len(lines) // 10)
    first = sum(count for count, _at in lines[:tenth]) / (lines[tenth - 1][1] - times[1])
    last = sum(count for count, _at in lines[-tenth:]) / (lines[-1][1] - lines[-tenth - 1][1])
    print(
        f"  {path.name} on {url.partition(':')[0]}: {total:.1f} s, {times[1] - times[0]:.1f} s of it for the check; "
        f"{first:,.0f} lines a second in the first tenth, {last:,.0f} in the last; peak memory {peak_mb()} MB"
    )


if __name__ == "__main__":
    _import(sys.argv[1], Path(sys.argv[2]))
