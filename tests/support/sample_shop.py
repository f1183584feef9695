"""A shop with some of everything, to call every route on in every role."""

import json
from collections.abc import Callable
from typing import Any

from flask import Flask
from sqlalchemy import update

from bookshop.accounts.models import LoginSession, User
from bookshop.catalog import pictures
from bookshop.extensions import db
from bookshop.kit.database import now
from bookshop.mailer.transport import message_path
from bookshop.web import services
from bookshop.webhooks.worker import WebhookWorker
from tests.support.bad_input import ISBN
from tests.support.clients import ApiClient, WebClient
from tests.support.databases import TABLES, Snapshot, columns_of, rows_of
from tests.support.factories import Shop
from tests.support.links import add_links
from tests.support.routes import COLUMNS, COOKIE, COVER, LOGGED_IN, PAGES, ROUTES, WEBHOOK_URL, path_of


class SampleShop:
    """A shop with some of everything, and clients of every role, with cookies and with tokens.

    One book can be reserved, and is in Ada's cart from before it sold out. She reserved another, and ordered a third,
    which she returns.
    """

    def __init__(self, app: Flask) -> None:
        self.app, self.shop = app, Shop(app)
        self._fill(self.shop)
        self.web_clients = {
            "nobody": WebClient(app),
            **{role: WebClient(app, f"{role}@example.com") for role in LOGGED_IN},
        }
        self.api_clients = {
            "nobody": ApiClient(app),
            **{role: ApiClient(app, f"{role}@example.com") for role in LOGGED_IN},
        }
        for api_client in self.api_clients.values():
            api_client.get("/api/v1/books")  # the first use of a token is recorded
        self.save()

    def save(self) -> None:
        """Save the current state for `reset`."""
        for browser in self.web_clients.values():
            browser.get("/")  # the first page in five minutes is recorded
        self.csrf_tokens = {role: browser.csrf_token() for role, browser in self.web_clients.items()}
        self.cookies = {role: browser.client.get_cookie(COOKIE) for role, browser in self.web_clients.items()}
        self.snapshot = Snapshot(self.app)

    def reset(self) -> None:
        """Restore the saved rows and the logged-in clients in the emptied application."""
        self.snapshot.restore()
        with self.app.app_context():  # as if all staff who were seen had just been
            db.session.execute(update(User).where(User.last_seen_at.is_not(None)).values(last_seen_at=now()))
            db.session.commit()
        for role, cookie in self.cookies.items():
            self.web_clients[role] = WebClient(self.app)
            if cookie is not None:
                self.web_clients[role].client.set_cookie(COOKIE, cookie.value)

    def _fill(self, shop: Shop) -> None:
        ada = shop.customer("ada@example.com")
        shop.staff("staff@example.com")
        shop.owner("owner@example.com")
        shop.book("Emma", isbn=ISBN, stock=1)
        shop.reserve(ada, shop.book("Sanditon"))
        shop.order(ada, {shop.book("Lady Susan", stock=5): 1})
        shop.execute("UPDATE orders SET delivery = 'post', address = '1 Fen Street'")
        shop.give_back(1)
        shop.fill_cart(ada, {1: 1})
        shop.set_stock(1, 0)
        message_id = shop.rows("SELECT message_id FROM messages WHERE id = 1")[0]
        settings = shop.app.config["SETTINGS"]
        message_path(settings.mail_folder, message_id).write_bytes(b"Subject: Your order\n\nThank you.")
        add_links(shop, ada)
        pictures.store(settings.covers, pictures.Picture(COVER, {"small": b"a picture"}))
        page = {"title": "Emma", "body": "A reading", "state": "published"}
        shop.commit(lambda: services.content().add(page))
        for name in ("Winter reading", "Spring"):
            shop.pick_shelf(name)
        for book in (1, 2):
            shop.pick(1, book)
        self._register_webhook()
        self._import_file()

    def _register_webhook(self) -> None:
        """Register a webhook and queue a delivery for it; this also assigns the feed positions of all events so far."""
        staff = self.shop.rows("SELECT id FROM users WHERE role = 'bookseller'")[0]
        with self.app.app_context():
            services.register_webhook(staff, WEBHOOK_URL, ["*"])
        self.shop.set_stock(self.shop.book("Catharine"), 1)
        with self.app.app_context():
            WebhookWorker().queue_new()

    def _import_file(self) -> None:
        """Create an import whose file has been checked."""
        staff = self.shop.rows("SELECT id FROM users WHERE role = 'bookseller'")[0]
        self.shop.commit(lambda: services.imports().create("books.csv", staff))
        header, mapping = json.dumps(["Titel", "Autor"]), json.dumps(COLUMNS["columns"])
        file = "format = 'CSV', header = :header, mapping = :mapping, decimal = '.', names = 'first last'"
        self.shop.execute(f"UPDATE import_jobs SET state = 'checked', {file}", header=header, mapping=mapping)

    def by_cookie(self, role, route, *, token=True):
        """Call a route as a browser does, with or without the CSRF token."""
        client, method = self.web_clients[role].client, route.split()[0]
        csrf_token = self.csrf_tokens[role] if token else ""
        body = ROUTES[route][1]
        if route in PAGES:
            return client.open(path_of(route), method=method, data={**body, "csrf_token": csrf_token})
        return client.open(path_of(route), method=method, json=body or None, headers={"X-CSRFToken": csrf_token})

    def by_token(self, role, route):
        """Call a JSON route as a script does."""
        client, headers = self.api_clients[role].client, self.api_clients[role].headers
        return client.open(path_of(route), method=route.split()[0], json=ROUTES[route][1] or None, headers=headers)

    def ways(self, route):
        """Return the methods that can call a route: with a cookie and, if it is JSON, with a token."""
        return [self.by_cookie] if route in PAGES else [self.by_cookie, self.by_token]

    def confirm_logins(self) -> None:
        """Make all logins fresh, as if everyone had just entered their password."""
        with self.app.app_context():
            db.session.execute(update(LoginSession).values(confirmed_at=now()))
            db.session.commit()

    def tables(self):
        """Return all rows of all tables, including logins, but without counted attempts."""
        names = [table.name for table in TABLES if table.name != "attempts"]
        tables = rows_of(self.app, *(f"SELECT {columns_of(name)} FROM {name}" for name in names))
        return {name: sorted(rows, key=repr) for name, rows in zip(names, tables, strict=True)}


Extras = Callable[[Shop], Any]
sample_shops: dict[tuple[Flask, Extras | None], SampleShop] = {}


def sample_shop_of(app: Flask, extras: Extras | None = None) -> SampleShop:
    """Return the sample shop of an application, with any extras: created once, later restored to its first state."""
    if (app, extras) in sample_shops:
        sample_shops[app, extras].reset()
    else:
        sample_shops[app, extras] = SampleShop(app)
        if extras:
            extras(sample_shops[app, extras].shop)
            sample_shops[app, extras].save()
    return sample_shops[app, extras]
