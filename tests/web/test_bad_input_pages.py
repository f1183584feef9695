"""Hostile values in forms, on both databases: one for each field, which would crash the driver.

All other invalid values are in test_form_values.py.
"""

from time import time
from typing import Any

import pytest

from bookshop.accounts.browser import SENT_TO
from bookshop.accounts.models import LOGIN
from bookshop.shop.hours import NOT_HOURS
from tests.support.bad_input import ISBN, MEGABYTE, OTHER_ISBN
from tests.support.clients import text_of
from tests.support.links import LINKS
from tests.support.routes import NAMES, PAGES, PATH_PARAMETER, REPLACED, ROUTES, UNSAFE

NUL, HUGE = "a\0b", str(2**63)


CONTROLS = "The text must not contain control characters"
NO_INTEGER, NO_CHOICE = "Enter a whole number in digits, such as 12.", "Not a valid choice."
WRONG_LOGIN, WRONG_PASSWORD = "The e-mail address or the password is wrong.", "This is not your current password."
TICK = "Tick the {} first, then press the button."
BOOK_FORM = [
    *[({name: NUL}, 400, CONTROLS) for name in ("title", "authors", "publisher", "language", "description")],
    ({"isbn": NUL}, 400, "This is not an ISBN"),
    ({"published_year": HUGE}, 400, "The year must be from -3000 to 2100."),
    ({"price": HUGE}, 400, "The price must be from 0 to €1,000,000.00."),
]

NEW_TITLE = {
    **{"lines": OTHER_ISBN, "previewed": f"{OTHER_ISBN}x1", f"new-{OTHER_ISBN}-wanted": "y"},
    **{f"new-{OTHER_ISBN}-{name}": value for name, value in (("title", "A"), ("authors", "B"), ("price", "1"))},
}

# For each page its fields, one of them hostile, the status, and the message shown.
FORMS: dict[str, list[tuple[dict[str, Any], int, str]]] = {
    "POST /login": [({"email": NUL}, 400, WRONG_LOGIN), ({"password": NUL}, 400, WRONG_LOGIN)],
    "POST /login/sent": [({"email": NUL}, 303, "")],  # see also ASKING
    "POST /login/link/{token}": [
        ({"confirmed": ""}, 400, "Tick this box if you asked for the e-mail."),
        ({"reservations": NUL}, 400, "Nothing has been done yet."),
        ({"key": NUL, "confirmed": ""}, 400, "Nothing has been done yet."),
    ],
    "POST /address/confirm/{token}": [
        ({"confirmed": ""}, 400, "Tick this box if you asked for the e-mail."),
        ({"key": NUL, "confirmed": ""}, 400, "Tick this box if you asked for the e-mail."),
    ],
    "POST /account/alerts": [({"wanted": NUL}, 303, "Choose whether you want these e-mails.")],
    "POST /account/email": [({"email": NUL}, 400, CONTROLS), ({"current": NUL}, 400, WRONG_PASSWORD)],
    "POST /account/password": [
        ({"current": NUL}, 400, WRONG_PASSWORD),
        ({"new": NUL, "repeat": NUL}, 400, "A password needs 8 to 128"),
        ({"repeat": NUL}, 400, "The two new passwords are not the same."),
    ],
    "POST /account/tokens": [
        ({"name": NUL}, 400, CONTROLS),
        ({"scopes": NUL}, 400, "is not a valid choice for this field."),
        ({"days": HUGE}, 400, NO_CHOICE),
    ],
    "POST /account/delete": [({"current": NUL}, 400, WRONG_PASSWORD)],
    "POST /login/code": [({"code": NUL}, 303, "The code has to follow within 10 minutes")],
    "POST /account/confirm-login": [({"confirmation": NUL}, 303, "")],
    "POST /account/second-factor": [
        ({"code": NUL}, 400, "This code does not belong to this QR code."),
        ({"key": NUL}, 400, "This form is not valid."),
    ],
    "POST /account/second-factor/recovery-codes": [({"key": NUL}, 303, "This form is not valid.")],
    "POST /cart/items": [
        ({"book_id": HUGE}, 404, "There is no such book."),
        ({"book_id": "3", "quantity": HUGE}, 303, "copies"),
    ],
    "POST /cart/items/{book_id}": [({"quantity": HUGE}, 303, "copies")],
    "POST /checkout": [
        *[({name: NUL}, 400, CONTROLS) for name in ("name", "phone", "note")],
        *[({name: NUL}, 400, "") for name in ("address", "delivery")],  # not shown: this shop does not post orders
        ({"shown": NUL}, 409, ""),
        ({"key": NUL, "shown": ""}, 409, ""),
        *[({name: HUGE}, 200, "") for name in ("take", "reserve", "remove")],
    ],
    "POST /admin/delivery": [
        ({"lines": NUL}, 400, CONTROLS),
        ({"lines": f"{ISBN} x{HUGE}"}, 400, "The number of copies must be from 1 to 9,999."),
        ({"previewed": NUL, "number": NUL}, 200, ""),
        *[
            ({**NEW_TITLE, name: value}, 400, shown)
            for name, value, shown in (
                (f"new-{OTHER_ISBN}-title", NUL, CONTROLS),
                (f"new-{OTHER_ISBN}-authors", NUL, CONTROLS),
                (f"new-{OTHER_ISBN}-price", HUGE, "The price must be from 0 to €1,000,000.00."),
            )
        ],
        ({"file": NUL, "photo": NUL, "previewed": ""}, 200, ""),  # text in place of a file is ignored
    ],
    "POST /return": [({name: NUL}, 400, CONTROLS) for name in ("name", "order_number", "email", "books")],
    "POST /admin/staff": [({"email": NUL}, 400, CONTROLS), ({"role": NUL}, 400, NO_CHOICE)],
    "POST /admin/staff/{user_id}": [({"role": NUL}, 400, NO_CHOICE)],
    "POST /admin/settings": [
        *(
            ({"currency": NUL}, 400, NO_CHOICE),
            ({"collect_days": HUGE}, 400, "The number of days must be from 1 to 365."),
            ({"order_wording": NUL}, 400, "Not a valid choice."),
            ({"mail_delay": HUGE}, 400, "The number of seconds must be from 0 to 86,400"),
        ),
        *(({"name": NUL}, 400, CONTROLS), ({"monday": HUGE}, 400, NOT_HOURS), ({"time_zone": NUL}, 400, NO_CHOICE)),
        *(({"version": NUL}, 400, ""), ({"version": "7"}, 409, "Somebody else has changed these details meanwhile")),
    ],
    "POST /admin/settings/look": [
        *[({name: NUL}, 400, "Enter the colour as #") for name in ("accent", "code")],
        *(({"photo_alt": NUL}, 400, CONTROLS), ({"photo": NUL, "logo": NUL, "accent": "#8b2e2a"}, 303, "")),
        *(({"version": NUL}, 400, ""), ({"version": "7"}, 409, "Somebody else has changed these details meanwhile")),
    ],
    **{
        f"POST /admin/pages/{name}": [
            ({"title": NUL}, 400, CONTROLS),
            ({"body": NUL}, 400, CONTROLS),
            ({"state": NUL}, 400, NO_CHOICE),
            ({"version": NUL}, 400, ""),
        ]
        for name in ("new", "{slug}")
    },
    **{
        f"POST /admin/picks/{name}": [
            ({"name": NUL}, 400, CONTROLS),
            ({"introduction": NUL}, 400, CONTROLS),
            ({"state": NUL}, 400, NO_CHOICE),
            ({"version": NUL}, 400, ""),
        ]
        for name in ("new", "{shelf_id}/edit")
    },
    "POST /admin/picks/{shelf_id}": [
        ({"book": NUL}, 400, CONTROLS),
        ({"sentence": NUL}, 400, CONTROLS),
        *[({"chosen": odd, "book": "dragons"}, 400, "No book on sale matches this.") for odd in (NUL, HUGE)],
    ],
    "POST /admin/picks/{shelf_id}/books/{book_id}": [
        ({"sentence": NUL}, 400, CONTROLS),
        *[({"version": odd}, status, "") for odd, status in ((NUL, 400), (HUGE, 409))],
    ],
    "POST /admin/books/{book_id}/picks": [
        ({"sentence": NUL}, 400, CONTROLS),
        *[({"shelf": odd}, 400, NO_CHOICE) for odd in (NUL, HUGE)],
    ],
    "POST /admin/books/new": BOOK_FORM,
    "POST /admin/books/{book_id}/edit": BOOK_FORM,
    "POST /admin/books/{book_id}/cover": [({"picture": NUL}, 400, "Choose a file.")],
    "POST /admin/books/{book_id}/stock": [
        ({"change": NUL}, 400, NO_CHOICE),
        ({"copies": HUGE}, 400, "The number of copies must be from 0 to 1,000,000."),
        ({"note": NUL}, 400, CONTROLS),
        *[({"expected": value}, 400, "") for value in (NUL, "9" * 4000)],
        *[({"expected": value}, 409, "") for value in ("7", "-1", "2147483648", HUGE)],
    ],
    **{
        f"POST /admin/orders/{action}": [({name: HUGE}, 303, TICK.format("orders")) for name in ("order", "only")]
        for action in ("ready", "collected", "cancel")
    },
    **{
        f"POST /admin/mail/{action}": [({name: HUGE}, 303, TICK.format("messages")) for name in ("message", "only")]
        for action in ("retry", "drop")
    },
    "POST /admin/imports": [
        ({"file": NUL}, 400, "Choose a file."),
        ({"price": HUGE}, 400, "The price must be from 0 to €1,000,000.00."),
        ({"stock_quantity": HUGE}, 400, "The number of copies must be from 0 to 1,000,000."),
    ],
    "POST /admin/imports/{job_id}/columns": [
        *[({"columns": ["title", odd]}, 400, NO_CHOICE) for odd in (NUL, HUGE)],
        ({"columns": []}, 400, "The columns have been read again meanwhile."),
        ({"decimal": NUL}, 400, NO_CHOICE),
        ({"names": NUL}, 400, NO_CHOICE),
    ],
    "POST /admin/webhooks": [
        ({"url": NUL}, 400, CONTROLS),
        ({"kinds": NUL}, 400, "is not a valid choice for this field."),
    ],
}
# Pages with only a button; their `next` is tested in test_bad_addresses.py.
BUTTONS = {
    *("POST /logout", "POST /account/sessions/end-others", "POST /admin/mail/retry-failed"),
    *("POST /unsubscribe/{token}", "POST /login/link/{token}/again", "POST /account/confirm-login/link"),
    *("POST /setup", "POST /admin/ready/mail", "POST /admin/ready/mail/{token}"),  # /setup: see tests/opening
    "POST /books/{book_id}/reserve",  # of customers; for visitors see ASKING
    *(f"POST /waiting/{{token}}/{button}" for button in ("{prebook_id}/cancel", "stop", "erase")),
}


@pytest.mark.parametrize("route", FORMS)
@pytest.mark.usefixtures("nothing_changes")
def test_a_hostile_field_is_refused_and_stores_nothing(target, route):
    wrong = []
    for changes, status, shown in FORMS[route]:
        answer = target.send_form(route, {**ROUTES[route][1], **changes})
        seen = target.notices(route) if status == 303 else text_of(answer)
        if answer.status_code != status or shown not in seen:
            wrong.append((changes, answer.status_code, seen))
    assert wrong == []


def test_every_field_of_every_page_is_tried():
    unsafe = [route for route in PAGES if route in UNSAFE]
    assert {route for route in unsafe if ROUTES[route][1]} - BUTTONS <= set(FORMS)
    assert set(FORMS) | BUTTONS <= set(unsafe)
    tried = {route: {name for changes, *_said in cases for name in changes} for route, cases in FORMS.items()}
    sent = {(route, name) for route in FORMS for name in ROUTES[route][1]}
    assert sent - {(route, name) for route, names in tried.items() for name in names} == {
        ("POST /admin/delivery", "receive"),  # a button
        ("POST /checkout", "email"),  # of visitors; see ASKING
        ("POST /return", "confirm"),  # a button
    }


# The forms of visitors that ask for a link, with their fields besides the address.
ASKING: dict[str, dict[str, str]] = {
    "/login": {},
    "/login/sent": {},
    "/books/1/reserve": {},
    "/checkout": {"name": "Ada Lovelace", "shown": "3x1@950EUR"},
}
ADDRESSES = {
    NUL: CONTROLS,
    "ada@example.com\r\nBcc: ben@example.com": CONTROLS,
    "\ufffd@example.com": "The text contains a damaged character",
    f"{MEGABYTE[:900_000]}@example.com": "This is too long.",
    "ada@" + "x" * 64 + ".com": "This is not a valid e-mail address.",
    "' OR 1=1 --": "This is not a valid e-mail address.",
}


@pytest.mark.parametrize("path", ASKING)
@pytest.mark.usefixtures("nothing_changes")
def test_a_hostile_address_gets_no_link(target, path):
    browser, wrong = target.web_clients["nobody"], []
    with browser.client.session_transaction() as session:
        session[SENT_TO] = ["new@example.com", int(time())]
    if path == "/checkout":
        browser.post("/cart/items", book_id="3", csrf_token=target.csrf_tokens["nobody"])
    for address, shown in ADDRESSES.items():
        answer = browser.post(path, **ASKING[path], email=address, csrf_token=target.csrf_tokens["nobody"])
        if (answer.status_code, shown in text_of(answer)) != (400, True):
            wrong.append((address[:30], answer.status_code))
    assert wrong == []


# Bodies that are not forms, on which the page must not fail after the CSRF check either.
STRANGE: list[dict[str, Any]] = [
    {"json": {"email": ["a"], "title": {"a": 1}, "copies": 5}},
    {"data": b"[" * 100_000, "content_type": "application/json"},
    {"data": b"x", "content_type": "multipart/form-data"},
    {"data": b"email=%&title=%zz%", "content_type": "application/x-www-form-urlencoded"},
]
OF_VISITORS = ["/login", "/books/1/reserve", f"/login/link/{LINKS[LOGIN]}"]
OF_STAFF = ["/admin/books/new", "/admin/books/1/edit", "/admin/books/1/stock", "/account/password"]


@pytest.mark.usefixtures("nothing_changes")
def test_a_body_that_is_not_a_form_shows_the_form_again(target):
    statuses = {}
    for path in (*OF_VISITORS, *OF_STAFF):
        role = "nobody" if path in OF_VISITORS else "staff"
        client, headers = target.web_clients[role].client, {"X-CSRFToken": target.csrf_tokens[role]}
        statuses[path] = [client.post(path, headers=headers, **body).status_code for body in STRANGE]
    assert statuses == {path: [400] * len(STRANGE) for path in statuses}


WITH_ID = [route for route in PAGES if set(PATH_PARAMETER.findall(route)) - set(NAMES) - {"token"}]
# If it was too late, the next page says so.
TOO_LATE = {
    "POST /account/tokens/{token_id}/revoke": "You have no such token",
    **{
        f"POST /cart/items/{{book_id}}{action}": "This book is not in your cart."
        for action in ("", "/remove", "/take-left")
    },
}


def path_with(route: str, id_: str) -> str:
    return PATH_PARAMETER.sub(lambda found: NAMES.get(found[1], id_), route.partition(" ")[2])


@pytest.mark.usefixtures("nothing_changes")
def test_an_unknown_id_has_no_page(target):
    wrong = []
    for route in WITH_ID:
        for unknown in ("0", "2147483647"):
            answer = target.send_form(route, ROUTES[route][1], path_with(route, unknown))
            seen = (answer.status_code, target.notices(route) if route in TOO_LATE else answer.mimetype)
            if seen[0] != (303 if route in TOO_LATE else 404) or TOO_LATE.get(route, "text/html") not in seen[1]:
                wrong.append((route, unknown, seen))
    assert wrong == []


@pytest.mark.usefixtures("nothing_changes")
def test_a_link_that_was_never_sent_does_not_work(target):
    for route in (route for route in PAGES if "{token}" in route and route not in REPLACED):
        for odd in ("%00", "%FF", "x" * 5000, LINKS[LOGIN][:-1], LINKS[LOGIN].upper(), "' OR 1=1 --"):
            path = path_with(route.replace("{token}", odd), "1")
            answer = target.send_form(route, ROUTES[route][1], path)
            assert (answer.status_code, answer.mimetype) == (404, "text/html")


# Values that once led elsewhere; all others are in test_bad_addresses.py.
NEXTS = ["//evil.example", "/\t/evil.example", "/\\evil.example", "https://evil.example", "/\0"]


def test_a_button_redirects_only_to_our_own_pages(target):
    own = {
        "POST /cart/items": "/books/1#availability",
        "POST /admin/orders/ready": "/",
        "POST /admin/mail/retry": "/",
    }
    led = {route: {target.send_form(route, {"book_id": "1", "next": asked}).location for asked in NEXTS}
           for route in own}  # fmt: skip
    assert led == {route: {place} for route, place in own.items()}


@pytest.mark.parametrize("cookie", ["bookshop=\xe4\xf6", "remember_token=\xff\xfe", "bookshop=%00", 'session="\\000"'])
def test_a_garbage_cookie_is_not_logged_in(target, cookie):
    client, headers = target.api_clients["nobody"].client, {"Cookie": cookie}
    assert client.get("/", headers=headers).status_code == 200
    assert client.get("/reservations", headers=headers).location == "/login?next=/reservations"
