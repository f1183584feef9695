"""flask demo: a shop with something to see in it."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import click
import flask_migrate
from flask.cli import with_appcontext
from sqlalchemy import select

from bookshop.accounts.models import BOOKSELLER, CUSTOMER, OWNER, User
from bookshop.catalog.models import Book
from bookshop.catalog.repository import BookCriteria, BookRepository
from bookshop.checkout.service import Checkout
from bookshop.cli.errors import report_errors
from bookshop.extensions import db
from bookshop.imports.runner import import_file
from bookshop.inventory.service import StockChange
from bookshop.orders.models import READY
from bookshop.picks.models import PUBLISHED
from bookshop.web import services

DEMO_BOOKS = Path(__file__).parent / "demo_books.csv"
STAFF_EMAIL = "staff@bookshop.example.com"
DEMO_ACCOUNTS = {
    "owner@bookshop.example.com": ("demo owner", OWNER),
    STAFF_EMAIL: ("demo bookseller", BOOKSELLER),
    "ada@example.com": ("demo customer", CUSTOMER),
    "ben@example.com": ("demo customer", CUSTOMER),
}
DEMO_SHOP: dict[str, Any] = {
    **{"tagline": "Books for curious people", "street": "Musterstra\u00dfe 1", "postcode": "10115", "city": "Berlin"},
    **{"country": "DE", "phone": "030 5550 100", "email": "shop@bookshop.example.com", "time_zone": "Europe/Berlin"},
    **{"vat_note": "Prices include VAT.", "week": [*["10:00\u201318:30"] * 5, "10:00\u201316:00", ""]},
}

DEMO_PICKS: dict[tuple[str, str], dict[str, str]] = {
    ("Winter reading", "For long evenings with a lamp and a pot of tea."): {
        "9780571368709": "A coal merchant, a convent and the weeks before Christmas. It takes an evening to read, and "
        "you will think of it all winter.",
        "9781590172681": "An island, a grandmother and a six-year-old. Read it when you have forgotten what light is.",
        "9781844080380": "You know the first sentence. Read on: the house is even better than you remember.",
        "9780007230204": "Yes, it is long. So is the winter, and you will miss Cromwell when both are over.",
        "9781590171998": "Hardly anything happens to William Stoner, and we could not put it down.",
    },
    ("Small books, large worlds", "All of them fit into a coat pocket. None of them stays there."): {
        "9781526622433": "A house with an ocean in it. Begin without reading the back cover.",
        "9788804668022": "Marco Polo describes fifty-five cities, and you have lived in every one of them. In Italian.",
        "9780141183534": "Money, and a door that locks. Nearly a hundred years old, and still not settled.",
        "9780143039976": "Merricat is eighteen, and most of her family is dead. You will like her, which is the "
        "frightening part.",
    },
}


@click.command("demo")
@with_appcontext
@report_errors
def demo() -> None:
    """Fill an empty shop with a demo catalogue and accounts."""
    fill_demo()
    click.echo(f"The demo shop is ready. Its accounts:\n{demo_accounts()}")


def fill_demo() -> None:
    """Create the tables, the demo accounts and the demo catalogue, except what exists already.

    Raises ClickException if the shop has users and none of them is a demo account.
    """
    flask_migrate.upgrade()
    known = set(db.session.scalars(select(User.email_key)))
    if known and not known & set(DEMO_ACCOUNTS):
        raise click.ClickException("This shop has users of its own. The demo needs an empty shop.")
    for email, (password, role) in DEMO_ACCOUNTS.items():
        if email not in known:
            services.commit(partial(services.accounts().register, email, password, role))
    if not services.shop().read().version:
        services.commit(lambda: services.shop().change(DEMO_SHOP, 0))
    if db.session.scalar(select(Book.id).limit(1)) is None:
        import_file(DEMO_BOOKS)
        _add_activity()
        _add_picks()


def demo_accounts() -> str:
    """Return a line for each demo account: its role, address and password."""
    rows = ((role, email, password) for email, (password, role) in DEMO_ACCOUNTS.items())
    return "\n".join(f"  {role:10}  {email:28}  password: {password}" for role, email, password in rows)


def _add_activity() -> None:
    """Sell out and restock a few books, and let one customer reserve and order some."""
    books = services.repository(BookRepository)
    in_stock = books.search(BookCriteria(in_stock=True, sort="published"), 1, 6).items
    sold_out = books.search(BookCriteria(in_stock=False, sort="newest"), 1, 4).items
    ben, staff = (services.accounts().user_by_email(email).id for email in ("ben@example.com", STAFF_EMAIL))
    before = {book.id: book.stock_quantity for book in in_stock}
    ready, missed, placed, *_rest = before
    _set_stocks(dict.fromkeys(before, 0))
    for book_id in [*(book.id for book in sold_out), ready, missed]:
        services.commit(partial(services.prebookings().reserve, ben, book_id))
    _set_stocks(before)
    services.commit(partial(services.checkout().change, _order(ben, ready), READY, staff))
    _order(ben, placed)


def _add_picks() -> None:
    """Put books on two shelves of staff picks."""
    picks, ids = services.picks(), services.repository(BookRepository).ids_by_isbn
    for (name, introduction), sentences in DEMO_PICKS.items():
        values = {"name": name, "introduction": introduction, "state": PUBLISHED}
        shelf = services.commit(partial(picks.add_shelf, values))
        book_ids = ids(sentences)
        for isbn, sentence in sentences.items():
            services.commit(partial(picks.add, shelf, book_ids[isbn], sentence))


def _set_stocks(quantities: Mapping[int, int]) -> None:
    for book_id, quantity in quantities.items():
        services.commit(partial(services.shelf().update_stock, StockChange(book_id=book_id, quantity=quantity)))


def _order(user_id: int, book_id: int) -> int:
    """Order a book for a demo customer; returns the order's id."""
    services.commit(partial(services.cart().add, user_id, book_id))
    checkout = Checkout(name="Ben Okafor", phone="030 5550 173")
    return int(services.commit(partial(services.checkout().place, user_id, checkout)).order.id)
