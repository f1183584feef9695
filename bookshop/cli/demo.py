"""flask demo: a shop in which there is something to see."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import click
import flask_migrate
from flask.cli import with_appcontext
from sqlalchemy import select

from bookshop.accounts.models import CUSTOMER, STAFF, User
from bookshop.catalog.importer import import_books
from bookshop.catalog.models import Book
from bookshop.catalog.repository import BookCriteria, BookRepository
from bookshop.checkout.service import Checkout
from bookshop.cli.refusals import refusals_as_messages
from bookshop.extensions import db
from bookshop.inventory.service import StockChange
from bookshop.orders.models import READY
from bookshop.web import services

DEMO_BOOKS = Path(__file__).parent / "demo_books.csv"
STAFF_EMAIL = "staff@bookshop.example.com"
DEMO_ACCOUNTS = {
    STAFF_EMAIL: ("demo bookseller", STAFF),
    "ada@example.com": ("demo customer", CUSTOMER),
    "ben@example.com": ("demo customer", CUSTOMER),
}


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
            for _report in import_books(file, {}):
                pass
        _open_the_demo()
    click.echo("The demo shop is ready. Its accounts:")
    for email, (password, role) in DEMO_ACCOUNTS.items():
        click.echo(f"  {role:8}  {email:28}  password: {password}")


def _open_the_demo() -> None:
    """Let a few books sell out and come back, and one customer reserve and order, so that there is something to see."""
    books = services.repository(BookRepository)
    sold = books.search(BookCriteria(in_stock=True, sort="published"), 1, 6).items
    wanted = books.search(BookCriteria(in_stock=False, sort="newest"), 1, 4).items
    ben, staff = (services.accounts().user_by_email(email).id for email in ("ben@example.com", STAFF_EMAIL))
    before = {book.id: book.stock_quantity for book in sold}
    told, missed, other, *_rest = before
    _set_stocks(dict.fromkeys(before, 0))
    for book_id in [*(book.id for book in wanted), told, missed]:
        services.commit(partial(services.prebookings().reserve, ben, book_id))
    _set_stocks(before)
    services.commit(partial(services.checkout().change, _order(ben, told), READY, staff))
    _order(ben, other)


def _set_stocks(quantities: Mapping[int, int]) -> None:
    for book_id, quantity in quantities.items():
        services.commit(partial(services.shelf().update_stock, StockChange(book_id=book_id, quantity=quantity)))


def _order(user_id: int, book_id: int) -> int:
    """Let a customer of the demo order a book; returns the order's id."""
    services.commit(partial(services.cart().add, user_id, book_id))
    checkout = Checkout(name="Ben Okafor", phone="030 5550 173")
    return int(services.commit(partial(services.checkout().place, user_id, checkout)).order.id)
