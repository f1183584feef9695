"""flask backup, restore, move and upgrade."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import click
from flask.cli import with_appcontext
from sqlalchemy.exc import DBAPIError

from bookshop.backups.archive import Manifest
from bookshop.backups.files import name_at
from bookshop.backups.making import Made, make_backup, try_record
from bookshop.backups.moving import move_shop
from bookshop.backups.restoring import Restored, has_shop, restore_backup
from bookshop.backups.upgrading import UpgradeFailed, upgrade_shop
from bookshop.cli.errors import report_errors, sentence_of
from bookshop.config import PREFIX, settings_from
from bookshop.extensions import db, settings
from bookshop.kit.exceptions import BookshopError, Invalid, OutcomeUnknown, SettingsError, reason_of
from bookshop.kit.transactions import has_committed
from bookshop.web import services

NEW_FILE = click.Path(dir_okay=False, path_type=Path)
PRIVATE = (
    "It contains personal data: keep it where only you can read it, and not only on this machine. BOOKSHOP_SECRET_KEY "
    "is not in it: keep a copy of your settings somewhere else."
)
NOT_WRITTEN = "{} cannot be written: {}. Check the folder and its disk, or choose another file."
UNCHANGED = "Nothing was changed, and the previous version can go on."


@click.command("backup")
@click.argument("file", type=NEW_FILE)
@with_appcontext
@report_errors
def backup(file: Path) -> None:
    """Save the database and all pictures to FILE while the shop is running.

    FILE is replaced once a trial has restored the backup and checked it. The exit code is 1 if the check finds
    anything, or if pictures are missing; the backup of everything else is complete all the same.
    """
    try:
        made = make_backup(file)
    except OSError as error:
        raise click.ClickException(NOT_WRITTEN.format(file, reason_of(error))) from None
    _describe(file, made, try_record(file, made))
    click.echo(PRIVATE)
    _report(made.problems)
    if made.missing_pictures:
        raise click.ClickException("The backup lacks pictures that the shop uses. Upload them again.")


def _describe(file: Path, made: Made, not_recorded: str) -> None:
    click.echo(f"{file}: {made.rows:,} rows, {_files(made.manifest)}, {made.size:,} bytes.")
    if made.missing_pictures:
        lacking = f"Pictures that the shop uses, but that are not in {settings().covers}: {made.missing_pictures:,}"
        click.echo(lacking, err=True)
    if not_recorded:
        click.echo(f"The backup is complete, but the shop's list of backups lacks it: {not_recorded}.", err=True)


def _files(manifest: Manifest) -> str:
    number = manifest.covers.files
    return "1 file of pictures" if number == 1 else f"{number:,} files of pictures"


def _report(problems: Sequence[str]) -> None:
    """Say what `flask check` has found; exit with code 1 if it is anything."""
    for line in problems:
        click.echo(line, err=True)
    if problems:
        raise click.ClickException("`flask check` finds the above. Everything else is complete.")
    click.echo("`flask check` finds no problems.")


@click.command("restore")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--replace", is_flag=True, help="Replace the shop that is in the database.")
@click.option("--yes", is_flag=True, help="Do not ask for the name of the shop that is replaced.")
@click.option("--send-queued", is_flag=True, help="Send queued e-mail: the shop was stopped before the backup.")
@click.option("--even-if-running", is_flag=True, help="Do not refuse if the shop seems to be running.")
@with_appcontext
@report_errors
def restore(file: Path, replace: bool, yes: bool, send_queued: bool, even_if_running: bool) -> None:
    """Restore the database and all pictures from FILE, which `flask backup` or the worker made: all of it, or nothing.

    The database must be empty, unless --replace is given. Stop the server and all workers before.
    """
    if replace and not yes and has_shop():
        _ask_for_name()
    with _truth_about_the_shop(file):
        restored = restore_backup(file, replace=replace, hold_messages=not send_queued, even_if_running=even_if_running)
    _describe_restored(restored)


@contextmanager
def _truth_about_the_shop(file: Path) -> Iterator[None]:
    """Let the sentence of an error end with whether the shop was restored all the same."""
    try:
        yield
    except OutcomeUnknown as error:
        raise click.ClickException(f"{error.sentence} You can run the command again.") from None
    except OSError as error:
        raise click.ClickException(f"{file} cannot be read: {reason_of(error)}. Nothing was changed.") from None
    except (BookshopError, DBAPIError) as error:
        sentence = f"{file}: {error.sentence}" if isinstance(error, Invalid) else sentence_of(error)
        ending = "The shop was restored all the same." if has_committed(db.session()) else "Nothing was changed."
        raise click.ClickException(f"{sentence} {ending}") from None


def _describe_restored(restored: Restored) -> None:
    manifest = restored.manifest
    click.echo(f"Restored the shop as it was on {manifest.made_at}, with {_files(manifest)}.")
    if restored.held:
        click.echo(
            f"E-mail that was queued then, and may have been sent since: {restored.held:,}. It is stopped, so that "
            "nobody is told twice. Staff can send it on the page E-mail, under Stopped."
        )
    click.echo("All logins have ended. API tokens that were revoked since the backup work again: revoke them.")
    _report(restored.problems)


def _ask_for_name() -> None:
    """Ask for the name of the shop that is about to be replaced."""
    name = services.shop_details().name
    db.session.rollback()  # PostgreSQL ends a transaction that waits for a person
    typed = click.prompt(f"This replaces everything in the shop {name}. Type its name to go on", default="")
    if typed.strip() != name:
        raise click.ClickException("That is not its name. Nothing was changed.")


@click.command("move")
@click.argument("url")
@with_appcontext
@report_errors
def move(url: str) -> None:
    """Copy the shop from SQLite into the empty PostgreSQL database at URL.

    URL is like postgresql://user:password@host/name. Stop the server and all workers before. The command compares the
    number of rows and a checksum of each table, and says when to switch. Afterwards the old database refuses changes.
    """
    try:
        target = settings_from({**os.environ, f"{PREFIX}DATABASE_URL": url, f"{PREFIX}SECRET_KEY": "-" * 32})
    except SettingsError as error:
        raise click.ClickException(str(error).replace(f"{PREFIX}DATABASE_URL", "URL")) from None
    copied, problems = move_shop(target.database_url)
    for table, rows in copied.items():
        click.echo(f"{table:22} {rows:12,} rows, checksum equal")
    _report(problems)
    click.echo(
        f"Everything is copied. Now set {PREFIX}DATABASE_URL to this URL, and start the server and the workers. The "
        "old database refuses every change now; delete its file once the shop runs."
    )


@click.command("upgrade")
@click.option("--backup", "file", type=NEW_FILE, help="Where to save the backup; by default in BOOKSHOP_BACKUPS.")
@with_appcontext
@report_errors
def upgrade(file: Path | None) -> None:
    """Update the tables to this version: make a backup, run the migrations, check the shop.

    The previous version may go on serving meanwhile. If anything fails, nothing is changed, and the exit code is 1.
    """
    target = file or _next_backup()
    try:
        upgraded = upgrade_shop(target)
    except UpgradeFailed as error:
        for line in error.problems:
            click.echo(line, err=True)
        raise click.ClickException(f"The update has failed: `flask check` finds the above. {UNCHANGED}") from None
    except OutcomeUnknown as error:
        raise click.ClickException(f"{error.sentence} Run `flask upgrade` again, which finds out.") from None
    except BookshopError as error:
        raise click.ClickException(f"{error.sentence} {UNCHANGED}") from None
    except OSError as error:
        raise click.ClickException(f"{NOT_WRITTEN.format(target, reason_of(error))} {UNCHANGED}") from None
    except Exception as error:  # a migration may raise anything
        raise click.ClickException(f"The update has failed: {reason_of(error)}. {UNCHANGED}") from error
    _describe(target, upgraded.backup, upgraded.not_recorded)
    click.echo(f"The schema was {upgraded.before} and is {upgraded.after}. `flask check` finds no problems.")
    click.echo("Now restart the server and the workers, so that the new version serves.")


def _next_backup() -> Path:
    folder = settings().backups
    if folder is None:
        raise click.ClickException("Set BOOKSHOP_BACKUPS to a folder, or say where to save the backup: --backup FILE.")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise click.ClickException(f"{NOT_WRITTEN.format(folder, reason_of(error))} {UNCHANGED}") from None
    return folder / name_at(datetime.now(UTC))
