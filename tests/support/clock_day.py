"""A few hours in the shop as a program: `python -m tests.support.clock_day URL FOLDER` prints any failures.

test_clock.py runs it three times, the second time with the clock set back.
"""

import sys
from pathlib import Path

import flask_migrate

from bookshop import create_app
from bookshop.extensions import db
from bookshop.mailer.worker import MailWorker
from tests.support.clients import ApiClient, WebClient
from tests.support.factories import PASSWORD, Shop
from tests.support.settings import settings_for

ADA, STAFF, GUESSED = "ada@example.com", "staff@example.com", "ben@example.com"


def main(url: str, folder: str) -> None:
    """Guess passwords, log in, reserve, restock, order, send what is due, and check consistency."""
    app = create_app(settings_for(url, mail_folder=Path(folder), ratelimit_storage="database://"))
    shop = Shop(app)
    with app.app_context():
        flask_migrate.upgrade()
    shop.describe(mail_delay=0)
    if not shop.rows("SELECT id FROM users"):
        shop.staff(STAFF)
        shop.customer(ADA)
        shop.customer(GUESSED)  # not Ada: her next login would have to wait
    failures = [line for line in (*_exercise(shop), *shop.broken()) if line]
    print(*failures, sep="\n")
    with app.app_context():
        db.engine.dispose()


def _exercise(shop: Shop) -> list[str]:
    ada, staff = ApiClient(shop.app, ADA), ApiClient(shop.app, STAFF)
    browser, guesser = WebClient(shop.app), WebClient(shop.app)
    book_id = shop.book("Emma")
    login = browser.log_in(ADA, PASSWORD).status_code
    wait = max(int(guesser.log_in(GUESSED, "wrong").headers.get("Retry-After", 0)) for _guess in range(7))
    reserved, restocked = ada.reserve(book_id).status_code, staff.set_stock(book_id, 2).get_json()["notified_count"]
    for _time in range(2):
        browser.submit("/cart/items", page="/", book_id=book_id, once="n" * 22)
    order = ada.post("/api/v1/orders", {"name": "Ada"})
    with shop.app.app_context():
        MailWorker().run_once()
    waiting = shop.rows("SELECT count(*) FROM messages WHERE state = 'queued'")[0]
    results = {
        "login": (login, 303),
        "wait of at most a minute": (0 < wait <= 60, True),
        "reservation": (reserved, 201),
        "restock": (restocked, 1),
        "order": (order.status_code, 201),
        "copies": (order.get_json()["lines"][0]["quantity"], 1),
        "waiting messages": (waiting, 0),
    }
    return [f"{name}: {actual}, not {expected}" for name, (actual, expected) in results.items() if actual != expected]


if __name__ == "__main__":
    main(*sys.argv[1:])
