"""All routes of the shop with the roles that may call them and valid data."""

import hmac
import re
from typing import Any

from flask import Flask
from itsdangerous import URLSafeSerializer

from bookshop.accounts import signed_links
from bookshop.accounts.models import ADDRESS, LOGIN, UNDO
from bookshop.mailer import check_link
from tests.support.bad_input import ISBN
from tests.support.factories import PASSWORD
from tests.support.links import LINKS
from tests.support.settings import SECRET_KEY
from tests.support.uploads import Upload, plain, saved

CUSTOMER, STAFF, OWNER = {"ada"}, {"staff", "owner"}, {"owner"}  # "staff" is a bookseller
LOGGED_IN, ANYONE, SHOPPERS = CUSTOMER | STAFF, {"nobody", "ada", "staff", "owner"}, CUSTOMER | {"nobody"}
NEW_BOOK = {"title": "Persuasion", "authors": "Jane Austen", "price": "9.50"}
NEW_JSON = {"title": "Persuasion", "authors": "Jane Austen", "price_cents": 950}
STOCK = {"change": "received", "copies": "3", "expected": "0"}
DELIVERY = {"lines": f"{ISBN} x3", "previewed": f"{ISBN}x3", "receive": "yes"}
COVER = "c" * 32
BOOK_FILE = {"file": (Upload(b"isbn,title,authors\n,Persuasion,Jane Austen\n"), "books.csv")}
COLUMNS = {"columns": ["title", "authors"], "decimal": ".", "names": "first last"}  # of the sample import
PAGE_FORM = {"title": "Events", "body": "Readings", "state": "published", "version": "1"}
SHOP_FORM = {"name": "Corner Books", "time_zone": "Europe/London", "monday": "9-18", "version": "0"}
SHOP_FORM |= {"currency": "EUR", "collect_days": "14", "order_wording": "reserve", "mail_delay": "60"}
LOOK_FORM = {"accent": "#0a5", "logo": (Upload(saved(plain())), "logo.png"), "version": "0"}
SHELF_FORM = {"name": "Summer", "introduction": "Light books", "state": "published", "version": "1"}
COOKIE = "bookshop"
WEBHOOK_URL = "https://1.1.1.1/hooks"  # public, but never called: no worker runs
CHECKOUT = {"email": "new@example.com", "name": "Ada Lovelace", "key": "0" * 32, "shown": "1x1@950EUR"}
RETURN = {
    "name": "Ada Lovelace",
    "order_number": "4821-7301",
    "email": "ada@example.com",
    "confirm": "Confirm withdrawal",
}
LOGIN_FORM = {"email": "ada@example.com", "password": PASSWORD}
WORDS = {"current": PASSWORD, "new": "three other words", "repeat": "three other words"}

# The roles that may call each route, and the data that a changing call sends.
ROUTES: dict[str, tuple[set[str], Any]] = {
    "GET /": (ANYONE, {}),
    "GET /books": (ANYONE, {}),
    "GET /books/{book_id}": (ANYONE, {}),
    "GET /books/{book_id}/{slug}": (ANYONE, {}),
    "GET /books/{book_id}/cover.svg": (ANYONE, {}),
    "GET /covers/{name}-{size}.webp": (ANYONE, {}),
    "GET /accent-{colour}.css": (ANYONE, {}),
    "GET /visit": (ANYONE, {}),
    "GET /pages/{slug}": (ANYONE, {}),
    "GET /picks": (ANYONE, {}),
    "GET /picks/{shelf_id}": (ANYONE, {}),
    "GET /return": (ANYONE, {}),
    "POST /return": (ANYONE, RETURN),
    "GET /return/received": (ANYONE, {}),
    "GET /robots.txt": (ANYONE, {}),
    "GET /.well-known/security.txt": (ANYONE, {}),
    "GET /health/live": (ANYONE, {}),
    "GET /health/ready": (ANYONE, {}),
    "GET /health/worker": (ANYONE, {}),
    "GET /metrics": (ANYONE, {}),
    "GET /sitemap.xml": (ANYONE, {}),
    "GET /sitemaps/{number}.xml": (ANYONE, {}),
    "GET /login": (ANYONE, {}),
    "POST /login": (ANYONE, LOGIN_FORM),
    "GET /login/sent": (ANYONE, {}),
    "POST /login/sent": (ANYONE, {"email": "new@example.com"}),
    "GET /login/link/{token}": (ANYONE, {}),
    "POST /login/link/{token}": (ANYONE, {"confirmed": "y", "key": "k" * 22}),
    "POST /login/link/{token}/again": (ANYONE, {}),
    "GET /address/confirm/{token}": (ANYONE, {}),
    "POST /address/confirm/{token}": (ANYONE, {"confirmed": "y", "key": "k" * 22}),
    "GET /address/undo/{token}": (ANYONE, {}),
    "POST /address/undo/{token}": (ANYONE, {}),
    "GET /login/code": (ANYONE, {}),
    "POST /login/code": (ANYONE, {"code": "123456"}),
    "GET /register": (ANYONE, {}),
    "POST /logout": (ANYONE, {}),
    "GET /password/forgot": (ANYONE, {}),
    "GET /password/reset/{token}": (ANYONE, {}),
    "GET /confirm/{token}": (ANYONE, {}),
    "GET /unsubscribe/{token}": (ANYONE, {}),
    "POST /unsubscribe/{token}": (ANYONE, {"List-Unsubscribe": "One-Click"}),
    "GET /account": (LOGGED_IN, {}),
    "POST /account/alerts": (CUSTOMER, {"wanted": "no"}),
    "GET /account/email": (LOGGED_IN, {}),
    "POST /account/email": (LOGGED_IN, {"email": "new@example.com", "current": PASSWORD}),
    "GET /account/password": (LOGGED_IN, {}),
    "POST /account/password": (LOGGED_IN, WORDS),
    "GET /account/sessions": (LOGGED_IN, {}),
    "POST /account/sessions/end-others": (LOGGED_IN, {}),
    "GET /account/confirm-login": (LOGGED_IN, {}),
    "POST /account/confirm-login": (LOGGED_IN, {"confirmation": PASSWORD}),
    "POST /account/confirm-login/link": (LOGGED_IN, {}),
    "GET /account/second-factor": (STAFF, {}),
    "POST /account/second-factor": (STAFF, {"code": "123456", "key": "k" * 22}),
    "POST /account/second-factor/recovery-codes": (STAFF, {"key": "k" * 22}),
    "POST /account/second-factor/turn-off": (STAFF, {}),
    "GET /account/tokens": (LOGGED_IN, {}),
    "POST /account/tokens": (LOGGED_IN, {"name": "till"}),
    "POST /account/tokens/{token_id}/revoke": (LOGGED_IN, {}),
    "GET /account/data.json": (LOGGED_IN, {}),
    "GET /account/delete": (LOGGED_IN, {}),
    "POST /account/delete": (LOGGED_IN, {"current": PASSWORD}),
    "GET /waiting/{token}": (ANYONE, {}),
    "POST /waiting/{token}/{prebook_id}/cancel": (ANYONE, {}),
    "POST /waiting/{token}/stop": (ANYONE, {}),
    "POST /waiting/{token}/erase": (ANYONE, {}),
    "GET /reservations": (CUSTOMER, {}),
    "POST /books/{book_id}/reserve": (SHOPPERS, {"email": "new@example.com"}),
    "POST /reservations/{prebook_id}/cancel": (CUSTOMER, {}),
    "GET /cart": (SHOPPERS, {}),
    "POST /cart/items": (SHOPPERS, {"book_id": "1"}),
    "POST /cart/items/{book_id}": (SHOPPERS, {"quantity": "2"}),
    "POST /cart/items/{book_id}/remove": (SHOPPERS, {}),
    "POST /cart/items/{book_id}/take-left": (SHOPPERS, {}),
    "POST /cart/items/{book_id}/reserve": (CUSTOMER, {}),
    "GET /checkout": (SHOPPERS, {}),
    "POST /checkout": (SHOPPERS, CHECKOUT),
    "GET /orders": (CUSTOMER, {}),
    "GET /orders/{order_id}": (CUSTOMER, {}),
    "GET /orders/{order_id}/cancel": (CUSTOMER, {}),
    "POST /orders/{order_id}/cancel": (CUSTOMER, {}),
    "GET /admin": (STAFF, {}),
    "GET /setup": (ANYONE, {}),
    "POST /setup": (ANYONE, {}),
    "GET /admin/ready": (STAFF, {}),
    "POST /admin/ready/mail": (OWNER, {}),
    "GET /admin/ready/mail/{token}": (ANYONE, {}),
    "POST /admin/ready/mail/{token}": (ANYONE, {}),
    "GET /admin/delivery": (STAFF, {}),
    "POST /admin/delivery": (STAFF, DELIVERY),
    "GET /admin/users": (STAFF, {}),
    "GET /admin/users/{user_id}/deactivate": (STAFF, {}),
    "POST /admin/users/{user_id}/deactivate": (STAFF, {}),
    "POST /admin/users/{user_id}/reactivate": (STAFF, {}),
    "GET /admin/staff": (OWNER, {}),
    "POST /admin/staff": (OWNER, {"email": "new@example.com", "role": "bookseller"}),
    "GET /admin/staff/{user_id}": (OWNER, {}),
    "POST /admin/staff/{user_id}": (OWNER, {"role": "bookseller"}),
    "POST /admin/staff/{user_id}/remove-second-factor": (OWNER, {}),
    "GET /admin/pages": (OWNER, {}),
    "GET /admin/pages/new": (OWNER, {}),
    "POST /admin/pages/new": (OWNER, PAGE_FORM),
    "GET /admin/pages/{slug}": (OWNER, {}),
    "POST /admin/pages/{slug}": (OWNER, PAGE_FORM),
    "GET /admin/pages/{slug}/delete": (OWNER, {}),
    "POST /admin/pages/{slug}/delete": (OWNER, {}),
    "GET /admin/settings": (OWNER, {}),
    "POST /admin/settings": (OWNER, SHOP_FORM),
    "GET /admin/settings/server": (OWNER, {}),
    "GET /admin/settings/look": (OWNER, {}),
    "POST /admin/settings/look": (OWNER, LOOK_FORM),
    "POST /admin/settings/look/remove/{picture}": (OWNER, {}),
    "GET /admin/audit": (OWNER, {}),
    "GET /admin/audit.csv": (OWNER, {}),
    "GET /admin/exports": (STAFF, {}),
    "GET /admin/exports/{export}.{kind}": (STAFF, {}),
    "GET /admin/exports/{personal}.{kind}": (STAFF, {}),
    "GET /admin/imports": (STAFF, {}),
    "POST /admin/imports": (STAFF, {**BOOK_FILE, "price": "9.50", "stock_quantity": "1"}),
    "GET /admin/imports/{job_id}": (STAFF, {}),
    "POST /admin/imports/{job_id}/columns": (STAFF, COLUMNS),
    "POST /admin/imports/{job_id}/start": (STAFF, {}),
    "POST /admin/imports/{job_id}/pause": (STAFF, {}),
    "POST /admin/imports/{job_id}/continue": (STAFF, {}),
    "POST /admin/imports/{job_id}/cancel": (STAFF, {}),
    "POST /admin/imports/{job_id}/undo": (STAFF, {}),
    "GET /admin/imports/{job_id}/report.csv": (STAFF, {}),
    "GET /admin/search": (STAFF, {}),
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
    "GET /admin/books/{book_id}/picks": (STAFF, {}),
    "POST /admin/books/{book_id}/picks": (STAFF, {"shelf": "2", "sentence": "Read it."}),
    "GET /admin/picks": (STAFF, {}),
    "GET /admin/picks/new": (STAFF, {}),
    "POST /admin/picks/new": (STAFF, SHELF_FORM),
    "GET /admin/picks/{shelf_id}": (STAFF, {}),
    "POST /admin/picks/{shelf_id}": (STAFF, {"book": "Lady Susan", "chosen": "3", "sentence": "Read it."}),
    "GET /admin/picks/{shelf_id}/edit": (STAFF, {}),
    "POST /admin/picks/{shelf_id}/edit": (STAFF, SHELF_FORM),
    "GET /admin/picks/{shelf_id}/delete": (STAFF, {}),
    "POST /admin/picks/{shelf_id}/delete": (STAFF, {}),
    "POST /admin/picks/{shelf_id}/{way}": (STAFF, {}),
    "GET /admin/picks/{shelf_id}/books/{book_id}": (STAFF, {}),
    "POST /admin/picks/{shelf_id}/books/{book_id}": (STAFF, {"sentence": "Read it again.", "version": "1"}),
    "POST /admin/picks/{shelf_id}/books/{book_id}/{way}": (STAFF, {}),
    "POST /admin/picks/{shelf_id}/books/{book_id}/remove": (STAFF, {}),
    "GET /admin/orders": (STAFF, {}),
    "GET /admin/orders/pick-list": (STAFF, {}),
    "GET /admin/orders/{order_id}": (STAFF, {}),
    "POST /admin/orders/ready": (STAFF, {"order": "1"}),
    "POST /admin/orders/collected": (STAFF, {"order": "1"}),
    "POST /admin/orders/cancel": (STAFF, {"order": "1"}),
    "GET /admin/returns": (STAFF, {}),
    "POST /admin/returns/{return_id}/handled": (STAFF, {}),
    "GET /admin/mail": (STAFF, {}),
    "GET /admin/mail/{message_id}": (STAFF, {}),
    "GET /admin/mail/{message_id}/message.eml": (STAFF, {}),
    "POST /admin/mail/retry": (STAFF, {"message": "1"}),
    "POST /admin/mail/drop": (STAFF, {"message": "1"}),
    "POST /admin/mail/retry-failed": (STAFF, {}),
    "GET /api/docs": (ANYONE, {}),
    "GET /api/v1/openapi.json": (ANYONE, {}),
    "GET /api/v1/shop": (ANYONE, {}),
    "GET /admin/webhooks": (STAFF, {}),
    "POST /admin/webhooks": (STAFF, {"url": WEBHOOK_URL, "kinds": "order.placed"}),
    "GET /admin/webhooks/{webhook_id}": (STAFF, {}),
    "POST /admin/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver": (STAFF, {}),
    "POST /admin/webhooks/{webhook_id}/delete": (STAFF, {}),
    "POST /api/v1/login-links": (ANYONE, {"email": "new@example.com"}),
    "GET /api/v1/books": (ANYONE, {}),
    "GET /api/v1/books/suggest": (ANYONE, {}),
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
    "POST /api/v1/webhooks": (STAFF, {"url": WEBHOOK_URL, "kinds": ["*"]}),
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
PATH_PARAMETER = re.compile(r"{(\w+)}")
NAMES = {"isbn": ISBN, "slug": "emma", "name": COVER, "size": "small"}  # all other parameters are the id 1
NAMES |= {"picture": "logo", "colour": "00aa55", "export": "books", "personal": "orders", "kind": "xlsx", "way": "down"}


def signed(purpose: str, content: Any) -> str:
    """Return the token of a link, signed as the shop signs it."""
    return str(URLSafeSerializer(SECRET_KEY, salt=purpose).dumps(content))


MAIL_SETTINGS = "\nbookshop@localhost\nhttp://127.0.0.1:5000"  # the mail server, the sender and the address of links
MAIL_CHECK = hmac.digest(SECRET_KEY.encode(), MAIL_SETTINGS.encode(), "sha256").hex()[:32]
# The tokens of the links in Ada's e-mail, and of the one by which an owner checks that e-mail works.
TOKENS = {
    "/admin/ready/mail/{token}": signed(check_link.PURPOSE, MAIL_CHECK),
    **dict.fromkeys(["/login/link/{token}", "/login/link/{token}/again"], LINKS[LOGIN]),
    "/address/confirm/{token}": LINKS[ADDRESS],
    "/address/undo/{token}": LINKS[UNDO],
    **dict.fromkeys(["/password/reset/{token}", "/confirm/{token}"], "r" * 43),
    "/unsubscribe/{token}": signed(signed_links.UNSUBSCRIBE, 1),
    **{
        f"/waiting/{{token}}{button}": signed(signed_links.WAITING, [1, "ada@example.com"])
        for button in ("", "/{prebook_id}/cancel", "/stop", "/erase")
    },
}
# Addresses in older messages and bookmarks, which only lead to the login page.
REPLACED = {"GET /register", "GET /password/forgot", "GET /password/reset/{token}", "GET /confirm/{token}"}
# After these, everybody has to log in.
LEADING_TO_LOGIN = REPLACED | {"POST /address/undo/{token}"}
# The same for everyone, and cached for some time or indefinitely.
PUBLIC = {
    "GET /covers/{name}-{size}.webp",
    "GET /accent-{colour}.css",
    "GET /api/v1/books/suggest",
    "GET /books/{book_id}/cover.svg",
    *("GET /robots.txt", "GET /sitemap.xml", "GET /sitemaps/{number}.xml"),
}
# In the sample shop, which has no worker, phone, token for metrics and sender's address, these say so to everybody.
WITHOUT = {
    "POST /account/second-factor": 400,
    "GET /.well-known/security.txt": 404,
    "GET /health/worker": 503,
    "GET /metrics": 404,
}
# These ask for the password, a code or a link, unless one was used within the last 15 minutes.
FRESH = {
    "POST /account/tokens",
    "POST /account/tokens/{token_id}/revoke",
    "GET /account/data.json",
    "GET /account/second-factor",
    "POST /account/second-factor",
    "POST /account/second-factor/recovery-codes",
    "POST /account/second-factor/turn-off",
    "GET /admin/staff",
    "POST /admin/staff",
    "GET /admin/staff/{user_id}",
    "POST /admin/staff/{user_id}",
    "POST /admin/staff/{user_id}/remove-second-factor",
    "GET /admin/audit.csv",
    "GET /admin/exports/{personal}.{kind}",
    "POST /admin/webhooks",
    "GET /admin/webhooks/{webhook_id}",
    "POST /admin/webhooks/{webhook_id}/delete",
    "POST /admin/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver",
    "GET /admin/mail/{message_id}/message.eml",
    "POST /api/v1/webhooks/{webhook_id}/deliveries/{delivery_id}/redeliver",
    "POST /api/v1/webhooks",
    "GET /api/v1/webhooks/{webhook_id}",
    "DELETE /api/v1/webhooks/{webhook_id}",
}
PLACEHOLDER = re.compile(r"<(?:[^:>]+:)?(\w+)>")
PAGES = [route for route in ROUTES if "/api/" not in route]
UNSAFE = [route for route in ROUTES if not route.startswith("GET")]
GETS = [route for route in ROUTES if route.startswith("GET")]
# These redirect anybody who is not in the middle of a login, has just confirmed it, or has not asked for a link; or the
# shop is not new.
PASSED_THROUGH = {"POST /login/code", "POST /login/sent", "POST /account/confirm-login", "POST /setup"}
FORM_PAGES = [
    route
    for route in PAGES
    if route in UNSAFE and route.replace("POST", "GET") in ROUTES and route not in PASSED_THROUGH
]


def path_of(route: str) -> str:
    """Return the path of a route for the first book, Ada's reservation of another, and other rows with id 1."""
    path = route.partition(" ")[2]
    names = {**NAMES, "token": TOKENS.get(path, "")}
    return PATH_PARAMETER.sub(lambda match: names.get(match[1], "1"), path)


def routes_of(app: Flask) -> set[str]:
    """Return all routes except static files, written as in ROUTES."""
    return {
        f"{method} {PLACEHOLDER.sub(lambda match: f'{{{match[1]}}}', rule.rule)}"
        for rule in app.url_map.iter_rules()
        if not rule.endpoint.endswith("static")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
