"""flask backup, restore, move and upgrade."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from flask.cli import with_appcontext

from bookshop.backups.archive import Manifest
from bookshop.backups.files import name_at
from bookshop.backups.making import Made, make_backup, record
from bookshop.backups.restoring import move_shop, restore_backup
from bookshop.backups.upgrading import UpgradeFailed, upgrade_shop
from bookshop.cli.errors import report_errors
from bookshop.config import PREFIX, settings_from
from bookshop.extensions import db, settings
from bookshop.kit.exceptions import BookshopError, Invalid, OutcomeUnknown, SettingsError
from bookshop.web import services

NEW_FILE = click.Path(dir_okay=False, path_type=Path)
PRIVATE = (
    "It contains personal data: keep it where only you can read it, and not only on this machine. BOOKSHOP_SECRET_KEY "
    "is not in it: keep a copy of your settings somewhere else."
)
UNCHANGED = "Nothing was changed, and the previous version can go on."


@click.command("backup")
@click.argument("file", type=NEW_FILE)
@with_appcontext
@report_errors
def backup(file: Path) -> None:
    """Save the database and all pictures to FILE while the shop is running.

    FILE is replaced once a trial has restored the backup and checked it. The exit code is 1 if the check finds
    anything; the backup is complete all the same.
    """
    made = _make(file)
    record(file, made)
    _describe(file, made)
    click.echo(PRIVATE)
    _report(made.problems)


def _make(file: Path) -> Made:
    try:
        return make_backup(file)
    except OSError as error:
        raise click.ClickException(f"{file} cannot be written: {error}") from None


def _describe(file: Path, made: Made) -> None:
    click.echo(f"{file}: {made.rows:,} rows, {_files(made.manifest)}, {made.size:,} bytes.")
    if made.missing_pictures:
        lacking = f"Pictures that the shop uses, but that are not in {settings().covers}: {made.missing_pictures:,}"
        click.echo(lacking, err=True)


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
@with_appcontext
@report_errors
def restore(file: Path, replace: bool, yes: bool, send_queued: bool) -> None:
    """Restore the database and all pictures from FILE, which `flask backup` or the worker made: all of it, or nothing.

    The database must be empty, unless --replace is given. Stop the server and all workers before.
    """
    if replace and not yes:
        _ask_for_name()
    try:
        restored = restore_backup(file, replace=replace, hold_messages=not send_queued)
    except Invalid as error:
        raise click.ClickException(f"{file}: {error.sentence} Nothing was changed.") from None
    except OSError as error:
        raise click.ClickException(f"The pictures cannot be written: {error}. Nothing was changed.") from None
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
    number of rows and a checksum of each table, and says when to switch. Afterwards the SQLite file is read-only.
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
        "file of the old database is read-only now; delete it once the shop runs."
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
    except Exception as error:  # a migration may raise anything
        reason = str(getattr(error, "orig", error)).strip().partition("\n")[0]
        raise click.ClickException(f"The update has failed: {reason}. {UNCHANGED}") from error
    _describe(target, upgraded.backup)
    click.echo(f"The schema was {upgraded.before} and is {upgraded.after}. `flask check` finds no problems.")
    click.echo("Now restart the server and the workers, so that the new version serves.")


def _next_backup() -> Path:
    folder = settings().backups
    if folder is None:
        raise click.ClickException("Set BOOKSHOP_BACKUPS to a folder, or say where to save the backup: --backup FILE.")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / name_at(datetime.now(UTC))
