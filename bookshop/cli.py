"""The commands: flask users|tokens|books|worker|check|demo."""

import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial, wraps
from io import TextIOWrapper
from pathlib import Path
from typing import Any

import click
import flask_migrate
from flask import Flask, current_app
from flask.cli import AppGroup, with_appcontext
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from bookshop import checks
from bookshop.accounts.models import CUSTOMER, STAFF, User
from bookshop.accounts.scopes import SCOPES
from bookshop.accounts.service import DAYS_MAX
from bookshop.catalog.importer import BatchReport, import_books
from bookshop.catalog.models import PRICE_MAX, STOCK_MAX, Book
from bookshop.catalog.repository import BookCriteria
from bookshop.extensions import db, settings
from bookshop.inventory.service import StockChange
from bookshop.kit.exceptions import BookshopError
from bookshop.kit.outbox import OutboxWorker
from bookshop.mail.worker import Worker
from bookshop.orders.models import READY
from bookshop.orders.service import Checkout
from bookshop.web import services
from bookshop.webhooks.worker import WebhookWorker

DEMO_BOOKS = Path(__file__).parent / "demo_books.csv"
STAFF_EMAIL = "staff@bookshop.example.com"
DEMO_ACCOUNTS = {
    STAFF_EMAIL: ("demo bookseller", STAFF),
    "ada@example.com": ("demo customer", CUSTOMER),
    "ben@example.com": ("demo customer", CUSTOMER),
}

users = AppGroup("users", help="Create, deactivate and reactivate users.")
tokens = AppGroup("tokens", help="API tokens for scripts.")
books = AppGroup("books", help="The catalogue.")


def init_app(app: Flask) -> None:
    for command in (users, tokens, books, worker, check, demo):
        app.cli.add_command(command)


def refusals_as_messages(command: Callable[..., Any]) -> Callable[..., Any]:
    """Show what the shop refuses as a message of the command, with exit code 1."""

    @wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return command(*args, **kwargs)
        except BookshopError as refused:
            raise click.ClickException(refused.sentence) from None
        except DBAPIError as error:
            raise click.ClickException(
                f"The database refused: {error.orig}. (`flask db upgrade` makes its tables.)"
            ) from None

    return run


@users.command("create")
@click.argument("email")
@click.option("--staff", is_flag=True, help="Make a member of staff instead of a customer.")
@click.option("--password", prompt=True, hide_input=True, confirmation_prompt=True)
@refusals_as_messages
def create_user(email: str, staff: bool, password: str) -> None:
    """Create a user."""
    role = STAFF if staff else CUSTOMER
    user = services.commit(lambda: services.accounts().register(email, password, role))
    click.echo(f"Created {role} {user.email}.")


@users.command("deactivate")
@click.argument("email")
@refusals_as_messages
def deactivate_user(email: str) -> None:
    """Deactivate a user: ends all logins and tokens, cancels all that waits."""
    accounts = services.accounts()
    cancelled = services.commit(lambda: accounts.deactivate(accounts.user_by_email(email).id))
    click.echo(f"Deactivated {email}; waiting reservations cancelled: {cancelled}.")


@users.command("reactivate")
@click.argument("email")
@refusals_as_messages
def reactivate_user(email: str) -> None:
    """Let a deactivated user log in again; cancelled reservations stay cancelled."""
    accounts = services.accounts()
    services.commit(lambda: accounts.reactivate(accounts.user_by_email(email).id))
    click.echo(f"Reactivated {email}.")


@tokens.command("create")
@click.argument("email")
@click.option("--name", required=True, help="What the token is for.")
@click.option("--scope", "scopes", multiple=True, type=click.Choice(list(SCOPES)), help="One of what it may do.")
@click.option("--days", type=click.IntRange(1, DAYS_MAX), help="In how many days it expires.")
@refusals_as_messages
def create_token(email: str, name: str, scopes: tuple[str, ...], days: int | None) -> None:
    """Print a new API token for a user. It is shown this once.

    Without --scope it may do all that the user may, without --days it never expires.
    """
    accounts = services.accounts()

    def create() -> str:
        return accounts.create_token(accounts.user_by_email(email).id, name, scopes or None, days)

    click.echo(services.commit(create))


@tokens.command("revoke")
@click.argument("email")
@click.option("--name", required=True, help="The name that the token was given.")
@refusals_as_messages
def revoke_tokens(email: str, name: str) -> None:
    """Revoke a user's API tokens of one name."""
    accounts = services.accounts()
    revoked = services.commit(lambda: accounts.revoke_tokens(accounts.user_by_email(email).id, name))
    click.echo(f"Revoked: {revoked}.")


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
        for report in import_books(db.session(), file, defaults):
            yield report
            bar.update(bytes_read.tell() - bar.pos)


@click.command("worker")
@click.option("--once", is_flag=True, help="Send what is due now, and end; exit code 1 if the mail server is away.")
@with_appcontext
@refusals_as_messages
def worker(once: bool) -> None:
    """Send the e-mail and call the webhooks that are due, until told to stop (SIGTERM). Any number of them may run."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    works, calls = Worker(), WebhookWorker()
    works.stop_on_signals()
    if not settings().smtp_url:
        logging.warning("BOOKSHOP_SMTP_URL is not set: messages go to %s, and to nobody else", settings().mail_folder)
    reached = True
    with _beside(works, calls, once):
        if once:
            reached = works.run_once()
        else:
            works.run()
    click.echo(_counts(works) or "nothing was sent")
    if calls.done:
        click.echo(f"webhooks: {_counts(calls)}")
    sys.exit(0 if reached else 1)


@contextmanager
def _beside(works: Worker, calls: WebhookWorker, once: bool) -> Iterator[None]:
    """Call webhooks in a thread of its own, as a receiver that hangs must not keep the e-mail; each ends the other.

    Whatever ends the thread before its time is raised here, so that the system starts the worker again.
    """
    app = current_app._get_current_object()  # type: ignore[attr-defined]  # Flask's way to hand it to a thread

    def call() -> None:
        with app.app_context():
            try:
                calls.run_once() if once else calls.run()
            finally:
                if not once:
                    works.stop()

    with ThreadPoolExecutor(1) as thread:
        called = thread.submit(call)
        try:
            yield
        finally:
            if not once or works.stopping:
                calls.stop()
        called.result()


def _counts(worker: OutboxWorker) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(worker.done.items()))


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


@click.command("demo")
@with_appcontext
@refusals_as_messages
def demo() -> None:
    """Fill an empty shop with a demo catalogue and accounts; a shop whose users are others is left alone."""
    flask_migrate.upgrade()
    known = set(db.session.scalars(select(User.email_key)))
    if known and not known & set(DEMO_ACCOUNTS):
        raise click.ClickException("This shop has users of its own; the demo is for an empty one.")
    for email, (password, role) in DEMO_ACCOUNTS.items():
        if email not in known:
            services.commit(partial(services.accounts().register, email, password, role))
    if db.session.scalar(select(Book.id).limit(1)) is None:
        with DEMO_BOOKS.open(encoding="utf-8", newline="") as file:
            for _report in import_books(db.session(), file, {}):
                pass
        _open_the_demo()
    click.echo("The demo shop is ready. Its accounts:")
    for email, (password, role) in DEMO_ACCOUNTS.items():
        click.echo(f"  {role:8}  {email:28}  password: {password}")


def _open_the_demo() -> None:
    """Let a few books sell out and come back, and one customer reserve and order, so that there is something to see."""
    sold = services.catalog().search(BookCriteria(in_stock=True, sort="published"), 1, 6).items
    wanted = services.catalog().search(BookCriteria(in_stock=False, sort="newest"), 1, 4).items
    ben, staff = (services.accounts().user_by_email(email).id for email in ("ben@example.com", STAFF_EMAIL))
    before = {book.id: book.stock_quantity for book in sold}
    told, missed, other, *_rest = before
    _set_stocks(dict.fromkeys(before, 0))
    for book_id in [*(book.id for book in wanted), told, missed]:
        services.commit(partial(services.prebookings().reserve, ben, book_id))
    _set_stocks(before)
    services.commit(partial(services.orders().change, _order(ben, told), READY, staff))
    _order(ben, other)


def _set_stocks(quantities: Mapping[int, int]) -> None:
    for book_id, quantity in quantities.items():
        services.commit(partial(services.update_stock, StockChange(book_id=book_id, quantity=quantity)))


def _order(user_id: int, book_id: int) -> int:
    """Let a customer of the demo order a book; returns the order's id."""
    services.commit(partial(services.cart().add, user_id, book_id))
    checkout = Checkout(name="Ben Okafor", phone="030 5550 173")
    return int(services.commit(partial(services.orders().place, user_id, checkout)).order.id)
