"""All routes of the shop, who may call them and with what, and a world in which to call them."""

import re
from collections.abc import Callable
from typing import Any

from flask import Flask
from itsdangerous import URLSafeSerializer

from bookshop.accounts import signed_links
from bookshop.accounts.authentication import token_hash
from bookshop.accounts.models import PasswordReset
from bookshop.catalog import pictures
from bookshop.mailer.transport import file_of
from bookshop.web import services
from bookshop.webhooks.worker import WebhookWorker
from tests.support.clients import ApiClient, WebClient
from tests.support.databases import TABLES, Snapshot, rows_of
from tests.support.factories import PASSWORD, Shop
from tests.support.settings import SECRET_KEY
from tests.support.stand import ISBN
from tests.support.uploads import Upload, plain, saved

CUSTOMER, STAFF = {"ada"}, {"staff"}
LOGGED_IN, ANYONE, SHOPPERS = CUSTOMER | STAFF, {"nobody", "ada", "staff"}, CUSTOMER | {"nobody"}
NEW_BOOK = {"title": "Persuasion", "authors": "Jane Austen", "price": "9.50"}
NEW_JSON = {"title": "Persuasion", "authors": "Jane Austen", "price_cents": 950}
STOCK = {"change": "received", "copies": "3", "expected": "0"}
DELIVERY = {"lines": f"{ISBN} x3", "previewed": f"{ISBN}x3", "receive": "yes"}
COVER = "c" * 32
COOKIE = "bookshop"
RECEIVER = "https://1.1.1.1/hooks"  # public, and nobody is called there: no worker runs
CHECKOUT = {"name": "Ada Lovelace", "key": "0" * 32, "shown": "1x1@950EUR"}
LOGIN = {"email": "ada@example.com", "password": PASSWORD}
WORDS = {"current": PASSWORD, "new": "three other words", "repeat": "three other words"}

# Who may call what, and what a call that may change something sends.
ROUTES: dict[str, tuple[set[str], Any]] = {
    "GET /": (ANYONE, {}),
    "GET /books": (ANYONE, {}),
    "GET /books/{book_id}": (ANYONE, {}),
    "GET /books/{book_id}/{slug}": (ANYONE, {}),
    "GET /books/{book_id}/cover.svg": (ANYONE, {}),
    "GET /covers/{name}-{size}.webp": (ANYONE, {}),
    "GET /robots.txt": (ANYONE, {}),
    "GET /sitemap.xml": (ANYONE, {}),
    "GET /sitemaps/{number}.xml": (ANYONE, {}),
    "GET /login": (ANYONE, {}),
    "POST /login": (ANYONE, LOGIN),
    "GET /register": (ANYONE, {}),
    "POST /register": (ANYONE, {"email": "new@example.com", "password": PASSWORD}),
    "POST /logout": (ANYONE, {}),
    "GET /password/forgot": (ANYONE, {}),
    "POST /password/forgot": (ANYONE, {"email": "ada@example.com"}),
    "GET /password/reset/{token}": (ANYONE, {}),
    "POST /password/reset/{token}": (ANYONE, WORDS),
    "GET /confirm/{token}": (ANYONE, {}),
    "POST /confirm/{token}": (ANYONE, {}),
    "GET /unsubscribe/{token}": (ANYONE, {}),
    "POST /unsubscribe/{token}": (ANYONE, {"List-Unsubscribe": "One-Click"}),
    "GET /account": (LOGGED_IN, {}),
    "POST /account/confirm": (LOGGED_IN, {}),
    "POST /account/alerts": (CUSTOMER, {"wanted": "no"}),
    "GET /account/email": (LOGGED_IN, {}),
    "POST /account/email": (LOGGED_IN, {"email": "new@example.com", "current": PASSWORD}),
    "GET /account/password": (LOGGED_IN, {}),
    "POST /account/password": (LOGGED_IN, WORDS),
    "GET /account/sessions": (LOGGED_IN, {}),
    "POST /account/sessions/end-others": (LOGGED_IN, {}),
    "GET /account/tokens": (LOGGED_IN, {}),
    "POST /account/tokens": (LOGGED_IN, {"name": "till"}),
    "POST /account/tokens/{token_id}/revoke": (LOGGED_IN, {}),
    "GET /account/data.json": (LOGGED_IN, {}),
    "GET /account/delete": (LOGGED_IN, {}),
    "POST /account/delete": (LOGGED_IN, {"current": PASSWORD}),
    "GET /reservations": (CUSTOMER, {}),
    "POST /books/{book_id}/reserve": (CUSTOMER, {}),
    "POST /reservations/{prebook_id}/cancel": (CUSTOMER, {}),
    "GET /cart": (SHOPPERS, {}),
    "POST /cart/items": (SHOPPERS, {"book_id": "1"}),
    "POST /cart/items/{book_id}": (SHOPPERS, {"quantity": "2"}),
    "POST /cart/items/{book_id}/remove": (SHOPPERS, {}),
    "POST /cart/items/{book_id}/take-left": (SHOPPERS, {}),
    "POST /cart/items/{book_id}/reserve": (CUSTOMER, {}),
    "GET /checkout": (CUSTOMER, {}),
    "POST /checkout": (CUSTOMER, CHECKOUT),
    "GET /orders": (CUSTOMER, {}),
    "GET /orders/{order_id}": (CUSTOMER, {}),
    "GET /orders/{order_id}/cancel": (CUSTOMER, {}),
    "POST /orders/{order_id}/cancel": (CUSTOMER, {}),
    "GET /admin": (STAFF, {}),
    "GET /admin/delivery": (STAFF, {}),
    "POST /admin/delivery": (STAFF, DELIVERY),
    "GET /admin/users": (STAFF, {}),
    "GET /admin/users/{user_id}/deactivate": (STAFF, {}),
    "POST /admin/users/{user_id}/deactivate": (STAFF, {}),
    "POST /admin/users/{user_id}/reactivate": (STAFF, {}),
    "GET /admin/books": (STAFF, {}),
    "GET /admin/books/new": (STAFF, {}),
    "POST /admin/books/new": (STAFF, NEW_BOOK),
    "GET /admin/books/{book_id}/edit": (STAFF, {}),
    "POST /admin/books/{book_id}/edit": (STAFF, NEW_BOOK),
    "GET /admin/books/{book_id}/cover": (STAFF, {}),
    "POST /admin/books/{book_id}/cover": (STAFF, {"picture": (Upload(saved(plain())), "cover.png")}),
    "POST /admin/books/{book_id}/cover/remove": (STAFF, {}),
    "GET /admin/books/{book_id}/stock": (STAFF, {}),
    "POST /admin/books/{book_id}/stock": (STAFF, STOCK),
    "GET /admin/books/{book_id}/withdraw": (STAFF, {}),
    "POST /admin/books/{book_id}/withdraw": (STAFF, {}),
    "POST /admin/books/{book_id}/put-back": (STAFF, {}),
    "GET /admin/books/{book_id}/waiting": (STAFF, {}),
    "GET /admin/books/{book_id}/movements": (STAFF, {}),
    "GET /admin/orders": (STAFF, {}),
    "GET /admin/orders/pick-list": (STAFF, {}),
    "GET /admin/orders/{order_id}": (STAFF, {}),
    "POST /admin/orders/ready": (STAFF, {"order": "1"}),
    "POST /admin/orders/collected": (STAFF, {"order": "1"}),
    "POST /admin/orders/cancel": (STAFF, {"order": "1"}),
    "GET /admin/mail": (STAFF, {}),
    "GET /admin/mail/{message_id}": (STAFF, {}),
    "GET /admin/mail/{message_id}/message.eml": (STAFF, {}),
    "POST /admin/mail/retry": (STAFF, {"message": "1"}),
    "POST /admin/mail/drop": (STAFF, {"message": "1"}),
    "POST /admin/mail/retry-failed": (STAFF, {}),
    "GET /api/docs": (ANYONE, {}),
    "GET /api/v1/openapi.json": (ANYONE, {}),
    "GET /admin/webhooks": (STAFF, {}),
    "POST /admin/webhooks": (STAFF, {"url": RECEIVER, "kinds": "order.placed"}),
    "GET /admin/webhooks/{webhook_id}": (STAFF, {}),
    "POST /admin/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver": (STAFF, {}),
    "POST /admin/webhooks/{webhook_id}/delete": (STAFF, {}),
    "GET /api/v1/books": (ANYONE, {}),
    "GET /api/v1/books/{book_id}": (ANYONE, {}),
    "GET /api/v1/books/isbn/{isbn}": (ANYONE, {}),
    "POST /api/v1/books": (STAFF, NEW_JSON),
    "PATCH /api/v1/books/{book_id}": (STAFF, {"title": "Emma again"}),
    "PATCH /api/v1/books/{book_id}/stock": (STAFF, {"quantity": 3}),
    "GET /api/v1/books/{book_id}/movements": (STAFF, {}),
    "POST /api/v1/stock/batch": (STAFF, {"lines": [{"book_id": 1, "quantity": 3}]}),
    "GET /api/v1/reports/demand": (STAFF, {}),
    "GET /api/v1/books/{book_id}/prebookings": (STAFF, {}),
    "GET /api/v1/admin/orders": (STAFF, {}),
    "POST /api/v1/admin/orders/{order_id}/ready": (STAFF, {}),
    "POST /api/v1/admin/orders/{order_id}/collected": (STAFF, {}),
    "POST /api/v1/admin/orders/{order_id}/cancel": (STAFF, {}),
    "GET /api/v1/events": (STAFF, {}),
    "GET /api/v1/webhooks": (STAFF, {}),
    "POST /api/v1/webhooks": (STAFF, {"url": RECEIVER, "kinds": ["*"]}),
    "GET /api/v1/webhooks/{webhook_id}": (STAFF, {}),
    "DELETE /api/v1/webhooks/{webhook_id}": (STAFF, {}),
    "GET /api/v1/webhooks/{webhook_id}/deliveries": (STAFF, {}),
    "POST /api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver": (STAFF, {}),
    "POST /api/v1/prebookings": (CUSTOMER, {"book_id": 1}),
    "GET /api/v1/prebookings": (CUSTOMER, {}),
    "GET /api/v1/prebookings/{prebook_id}": (CUSTOMER, {}),
    "DELETE /api/v1/prebookings/{prebook_id}": (CUSTOMER, {}),
    "POST /api/v1/orders": (CUSTOMER, {"name": "Ada Lovelace"}),
    "GET /api/v1/orders": (CUSTOMER, {}),
    "GET /api/v1/orders/{order_id}": (CUSTOMER, {}),
    "POST /api/v1/orders/{order_id}/cancel": (CUSTOMER, {}),
    "GET /api/v1/cart/items": (CUSTOMER, {}),
    "POST /api/v1/cart/items": (CUSTOMER, {"book_id": 1}),
    "GET /api/v1/cart/items/{book_id}": (CUSTOMER, {}),
    "PATCH /api/v1/cart/items/{book_id}": (CUSTOMER, {"quantity": 2}),
    "DELETE /api/v1/cart/items/{book_id}": (CUSTOMER, {}),
}
IN_PATH = re.compile(r"{(\w+)}")
NAMES = {"isbn": ISBN, "slug": "emma", "name": COVER, "size": "small"}  # all else is the id 1
RESET = "r" * 43


def signed(purpose: str, content: Any) -> str:
    """The end of a link as the shop signs it."""
    return str(URLSafeSerializer(SECRET_KEY, salt=purpose).dumps(content))


def add_reset(shop: Shop, user_id: int) -> None:
    """Make RESET the secret of a link for a user's new password."""
    reset = PasswordReset(token_hash=token_hash(RESET), user_id=user_id)
    shop.commit(lambda: services.email_links().users.add_reset(reset))


# The links that Ada finds in her e-mail.
TOKENS = {
    "/password/reset/{token}": RESET,
    "/confirm/{token}": signed(signed_links.CONFIRM, [1, "ada@example.com"]),
    "/unsubscribe/{token}": signed(signed_links.UNSUBSCRIBE, 1),
}
# The same for everybody, and kept for a while or for ever.
PUBLIC = {
    "GET /covers/{name}-{size}.webp",
    "GET /books/{book_id}/cover.svg",
    "GET /robots.txt",
    "GET /sitemap.xml",
    "GET /sitemaps/{number}.xml",
}
PLACEHOLDER = re.compile(r"<(?:[^:>]+:)?(\w+)>")
PAGES = [route for route in ROUTES if "/api/" not in route]
UNSAFE = [route for route in ROUTES if not route.startswith("GET")]
GETS = [route for route in ROUTES if route.startswith("GET")]
FORM_PAGES = [route for route in PAGES if route in UNSAFE and route.replace("POST", "GET") in ROUTES]


def path_of(route: str) -> str:
    """The path of a route, for the book that can be reserved and Ada's reservation of another."""
    path = route.partition(" ")[2]
    names = {**NAMES, "token": TOKENS.get(path, "")}
    return IN_PATH.sub(lambda found: names.get(found[1], "1"), path)


def routes_of(app: Flask) -> set[str]:
    """All routes but the static files, written as in the table."""
    return {
        f"{method} {PLACEHOLDER.sub(lambda found: f'{{{found[1]}}}', rule.rule)}"
        for rule in app.url_map.iter_rules()
        if not rule.endpoint.endswith("static")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }


class World:
    """A book to reserve, in Ada's cart since before it was sold out, one that she has reserved, one that she ordered.

    And all ways to call a route: cookies or, for JSON, a token.
    """

    def __init__(self, app: Flask) -> None:
        self.app, self.shop = app, Shop(app)
        self._furnish(self.shop)
        self.browsers = {"nobody": WebClient(app), **{who: WebClient(app, f"{who}@example.com") for who in LOGGED_IN}}
        self.scripts = {"nobody": ApiClient(app), **{who: ApiClient(app, f"{who}@example.com") for who in LOGGED_IN}}
        for api_client in self.scripts.values():
            api_client.get("/api/v1/books")  # the first use of a token is written down
        self.keep()

    def keep(self) -> None:
        """Keep the world as it is now, for `begin_again`."""
        pages = {who: "/login" if who == "nobody" else "/" for who in self.browsers}
        self.csrf_tokens = {who: self.browsers[who].csrf_token(page) for who, page in pages.items()}
        self.cookies = {who: browser.client.get_cookie(COOKIE) for who, browser in self.browsers.items()}
        self.snapshot = Snapshot(self.app)

    def begin_again(self) -> None:
        """Put everything back into the emptied application: the rows, and the logged-in clients."""
        self.snapshot.restore()
        for who, cookie in self.cookies.items():
            self.browsers[who] = WebClient(self.app)
            if cookie is not None:
                self.browsers[who].client.set_cookie(COOKIE, cookie.value)

    def _furnish(self, shop: Shop) -> None:
        ada = shop.customer("ada@example.com")
        shop.staff("staff@example.com")
        shop.book("Emma", isbn=ISBN, stock=1)
        shop.reserve(ada, shop.book("Sanditon"))
        shop.order(ada, {shop.book("Lady Susan", stock=5): 1})
        shop.fill_cart(ada, {1: 1})
        shop.set_stock(1, 0)
        message_id = shop.rows("SELECT message_id FROM messages WHERE id = 1")[0]
        settings = shop.app.config["SETTINGS"]
        file_of(settings.mail_folder, message_id).write_bytes(b"Subject: Your order\n\nThank you.")
        add_reset(shop, ada)
        pictures.keep(settings.covers, pictures.Cover(COVER, {"small": b"a picture"}))
        self._call_a_webhook()

    def _call_a_webhook(self) -> None:
        """Register a webhook, and write what happens then into its outbox.

        So the events so far have their places in the feed, which the first who looks at it would give them.
        """
        staff = self.shop.rows("SELECT id FROM users WHERE role = 'staff'")[0]
        with self.app.app_context():
            services.register_webhook(staff, RECEIVER, ["*"])
        self.shop.set_stock(self.shop.book("Catharine"), 1)
        with self.app.app_context():
            WebhookWorker().queue_new()

    def by_cookie(self, who, route, *, token=True):
        """Call a route as a browser does, with the CSRF token or without."""
        client, method = self.browsers[who].client, route.split()[0]
        given = self.csrf_tokens[who] if token else ""
        body = ROUTES[route][1]
        if route in PAGES:
            return client.open(path_of(route), method=method, data={**body, "csrf_token": given})
        return client.open(path_of(route), method=method, json=body or None, headers={"X-CSRFToken": given})

    def by_token(self, who, route):
        """Call a JSON route as a script does."""
        client, headers = self.scripts[who].client, self.scripts[who].headers
        return client.open(path_of(route), method=route.split()[0], json=ROUTES[route][1] or None, headers=headers)

    def ways(self, route):
        return [self.by_cookie] if route in PAGES else [self.by_cookie, self.by_token]

    def tables(self):
        """All rows of all tables, logins too, but for what is counted."""
        names = [table.name for table in TABLES if table.name != "attempts"]
        found = rows_of(self.app, *(f"SELECT * FROM {name}" for name in names))
        return {name: sorted(rows, key=repr) for name, rows in zip(names, found, strict=True)}


More = Callable[[Shop], Any]
worlds: dict[tuple[Flask, More | None], World] = {}


def world_of(app: Flask, more: More | None = None) -> World:
    """The world, with more in it if that is given, on an empty application: made once, then restored as it was."""
    if (app, more) in worlds:
        worlds[app, more].begin_again()
    else:
        worlds[app, more] = World(app)
        if more:
            more(worlds[app, more].shop)
            worlds[app, more].keep()
    return worlds[app, more]
