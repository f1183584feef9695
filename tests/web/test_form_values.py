"""Invalid form input, as tables: for each field its invalid values and their messages."""

import io
from collections.abc import Callable
from typing import Any

import pytest

from bookshop.accounts.emails import normal_email
from bookshop.accounts.forms import (
    AddressForm,
    ConfirmAddressForm,
    ConfirmedForm,
    DeleteForm,
    EmailForm,
    LoginCodeForm,
    LoginForm,
    PasswordForm,
    PasswordLoginForm,
    RecoveryCodesForm,
    SecondFactorForm,
    TokenForm,
)
from bookshop.accounts.link_form import LinkForm
from bookshop.accounts.passwords import hash_password, password_matches, problem_in_password
from bookshop.admin.delivery_form import DeliveryForm
from bookshop.admin.forms import BookForm, CoverForm, NewStaffForm, RoleForm, StockForm, WebhookForm
from bookshop.admin.import_forms import ColumnsForm, ImportForm
from bookshop.admin.look_forms import LookForm
from bookshop.admin.page_forms import PageForm
from bookshop.admin.pick_forms import AddPickForm, BookPickForm, SentenceForm, ShelfForm
from bookshop.admin.set_up_form import SetUpForm
from bookshop.admin.shop_forms import ShopDetailsForm
from bookshop.cart.forms import AddForm, CopiesForm
from bookshop.cart.service import Cart
from bookshop.checkout.offer import Offer
from bookshop.imports.models import ImportJob
from bookshop.kit.exceptions import Invalid, NotFound
from bookshop.orders.forms import CheckoutForm, ContactForm
from bookshop.people.link_actions import Started, StartedOrder
from bookshop.picks.repository import ShelfSummary
from bookshop.returns.forms import ReturnForm
from bookshop.shop.service import NEW_SHOP
from bookshop.web.forms import ShopForm, VersionedForm, tidied
from bookshop.web.fresh_login import ConfirmForm
from tests.support.bad_fields import (
    BAD_DETAILS,
    BAD_PAGES,
    CONTROLS,
    DAMAGED,
    Cases,
    all_of,
    text,
)
from tests.support.bad_input import ISBN, SCRIPT
from tests.support.right_fields import NEW, PASSWORD, RIGHT
from tests.support.uploads import Upload
from tests.support.validation import errors_in_form, errors_of, shop_without_database

KINDS = (
    *(LoginForm, PasswordLoginForm, AddressForm, EmailForm, PasswordForm, DeleteForm, BookForm, CoverForm),
    *(StockForm, DeliveryForm, NewStaffForm, WebhookForm, CopiesForm, AddForm, ImportForm, SetUpForm, ReturnForm),
    *(AddPickForm, SentenceForm, ShelfForm),
    *(ConfirmAddressForm, LoginCodeForm, ConfirmForm, SecondFactorForm, RecoveryCodesForm),
)
A_FILE = ImportJob(header=["Titel"], mapping=["title"], encoding="UTF-8", decimal=".", names="first last")
AN_ORDER = Started([], StartedOrder(1, Offer(Cart([]), None, "reserve"), {}), [])
FORMS: dict[str, Callable[[], ShopForm]] = {
    **{kind.__name__: kind for kind in KINDS},
    "TokenForm": lambda: TokenForm("bookseller"),
    "RoleForm": lambda: RoleForm("customer"),
    "ColumnsForm": lambda: ColumnsForm(A_FILE),
    "PageForm": PageForm,
    "BookPickForm": lambda: BookPickForm([ShelfSummary(1, "Winter reading", "draft", 0)]),
    "ShopDetailsForm": lambda: ShopDetailsForm(NEW_SHOP),
    "LookForm": lambda: LookForm(NEW_SHOP),
    "CheckoutForm": lambda: CheckoutForm(email=""),
    "LinkForm": lambda: LinkForm(AN_ORDER, is_other_browser=True),
}
# Invalid values of these are ignored: buttons, boxes that may be ticked, and what a page remembers (see safe_next, KEY,
# DELIVERY_NUMBER).
PASSED_OVER = {
    "post_orders",
    "csrf_token",
    "submit",
    "next",
    "number",
    "previewed",
    "receive",
    "key",
    "once",
    "shown",
} | {
    *("link", "with_password", "shared", "order", "listed", "preview", "chosen", "version", "confirm", "edit"),
}

DIFFER = "The two new passwords are not the same."
NO_INTEGER, NO_CHOICE = "Enter a whole number in digits, such as 12.", "Not a valid choice."
NO_AMOUNT = "Write the amount in digits, such as 12.90 or 12,90, without a thousands separator."
NO_PRICE = "The price must be from 0 to €1,000,000.00."
NO_YEAR, NO_COPIES = "The year must be from -3000 to 2100.", "The number of copies must be from 0 to 1,000,000."
NO_ISBN = "This is not an ISBN: it needs 10 or 13 digits, such as 978-0-14-143951-8."
MISTYPED = "This is not an ISBN: the check digit is wrong, so a digit may be mistyped."
NO_DAYS = "Invalid Choice: could not coerce."
NO_NUMBER = "Invalid choice(s): one or more data inputs could not be coerced."
NO_LIST = "This is a PDF. Ask for the list as CSV, Excel or ONIX 3.0 and upload that."
NO_PHOTO = "This file is not a JPEG, PNG or WebP picture. Choose another."
INCOMPLETE = "This is not a valid e-mail address. "

NUMBERS = ["abc", "\0", "true", "[]", "--1", "1e", "0x10", "\u2460", "9 9", SCRIPT]
NO_INTEGERS = [*NUMBERS, "1.5", "2,5", "5.0", "1,000", "1.000", "1_000", "1 000", "\u0665", "1e3", "9" * 5000]


def chosen(*values: str) -> Cases:
    return [(value, f"'{value}' is not a valid choice for this field.") for value in ("", "\0", "x", SCRIPT, *values)]


CONTACT = {
    "name": text(200, "Enter your name."),
    "phone": text(50),
    "address": text(1000, lines=True),
    "note": text(1000, lines=True),
    "delivery": all_of(["", "fly", "\0", "COLLECT", SCRIPT], NO_CHOICE),
}
BAD: dict[tuple[str, str], Cases] = {
    ("LoginForm", "email"): text(254, "Enter your e-mail address."),
    ("PasswordLoginForm", "email"): [
        *all_of(["", " "], "Enter your e-mail address."),
        ("x" * 100_000, "This is too long. Enter at most 254 characters."),
    ],
    ("PasswordLoginForm", "password"): [("", "Enter your password.")],
    ("AddressForm", "email"): text(254, "Enter your e-mail address."),
    ("LinkForm", "reservations"): all_of(["", "x", "\0", "9" * 5000, SCRIPT], NO_NUMBER),
    **{(form, "confirmed"): [("", "Tick this box if you asked for the e-mail. If you didn't, close this page.")]
       for form in ("LinkForm", "ConfirmAddressForm")},
    ("LoginCodeForm", "code"): [("", "Enter the code from your authenticator app.")],
    ("ConfirmForm", "confirmation"): [("", "Enter your password.")],
    ("SecondFactorForm", "code"): [("", "Enter the 6 digits that your authenticator app shows.")],
    ("EmailForm", "email"): text(254, "Enter your new e-mail address."),
    ("EmailForm", "current"): [("", "Enter your current password.")],
    ("PasswordForm", "current"): [("", "Enter your current password.")],
    ("PasswordForm", "repeat"): all_of(["", "three other word", f"{NEW} ", NEW.upper()], DIFFER),
    ("TokenForm", "name"): text(100, "Give the token a name."),
    ("TokenForm", "scopes"): chosen("catalog:read", "catalog:write stock:write", "prebookings"),
    ("TokenForm", "days"): [
        *all_of(["", *NUMBERS[:7], "30.0"], NO_DAYS),
        *all_of(["31", "-1", "2147483648", str(2**63)], NO_CHOICE),
    ],
    ("DeleteForm", "current"): [("", "Enter your current password.")],
    ("BookForm", "title"): text(500, "Enter a title."),
    ("BookForm", "authors"): text(1000, "Enter the authors."),
    ("BookForm", "publisher"): text(200),
    ("BookForm", "language"): text(35),
    ("BookForm", "description"): text(10_000, lines=True),
    ("BookForm", "isbn"): [
        *all_of(["a\0b", "a\x1bb", "a\nb", "a\x85b", "caf\ufffd", "nine", SCRIPT], NO_ISBN),
        *all_of(["978014143951", "X141439518"], NO_ISBN),
        ("9780141439519", MISTYPED),
    ],
    ("BookForm", "published_year"): [
        *all_of(NO_INTEGERS, NO_INTEGER),
        *all_of(["2101", "-3001", "2147483648", str(2**63)], NO_YEAR),
    ],
    ("BookForm", "price"): [
        *all_of([*NUMBERS, " ", "1,000.00", "1.000,00", "12,90,1", "$5", "9.50 EUR", "1,290", "1.290"], NO_AMOUNT),
        ("", "Enter a price, or 0 for a price on request."),
        *all_of(["1.999", ".50", "14,", "NaN", "sNaN", "Infinity", "-Infinity", "1e999999", "1e5000"], NO_AMOUNT),
        *all_of(["-1", "-1.01", "1000000.01", "9" * 5000], NO_PRICE),
    ],
    ("CoverForm", "picture"): all_of(["", "a picture"], "Choose a file."),
    ("StockForm", "change"): all_of(["theft", "import", "", "\0", "RECEIVED", SCRIPT], NO_CHOICE),
    ("StockForm", "copies"): [
        ("", "Enter the number of copies."),
        *all_of([" ", *NO_INTEGERS], NO_INTEGER),
        *all_of(["-1", "1000001", "2147483648", "9223372036854775808"], NO_COPIES),
        ("0", "Enter how many copies you received."),
    ],
    ("StockForm", "note"): text(500),
    ("StockForm", "expected"): [
        ("", "This field is required."),
        *all_of(["abc", "1.5", "\0", "9" * 5000], NO_INTEGER),
    ],
    ("DeliveryForm", "lines"): [
        *all_of(["", " "], "Scan or type at least one ISBN."),
        *all_of(["a\0b", f"{ISBN}\x1b", "a\x85b"], f"{CONTROLS}."),
        ("caf\ufffd", DAMAGED),
        ("x" * 50_001, "This text is too long. Split the delivery into smaller parts."),
        ("\n".join([ISBN] * 501), "There are 501 lines. Enter at most 500 at a time."),
    ],
    ("DeliveryForm", "file"): [((Upload(b"%PDF-1.7"), "delivery.csv"), NO_LIST)],
    ("DeliveryForm", "photo"): [((Upload(b"a photo"), "photo.jpg"), NO_PHOTO)],
    ("NewStaffForm", "email"): text(254, "Enter an e-mail address."),
    ("NewStaffForm", "role"): all_of(["", "customer", "staff", "\0", "OWNER", SCRIPT], NO_CHOICE),
    ("RoleForm", "role"): all_of(["", "staff", "\0", "OWNER", SCRIPT], NO_CHOICE),
    ("WebhookForm", "url"): text(500, "Enter the address."),
    ("WebhookForm", "kinds"): chosen("*", "order.*", "ORDER.PLACED"),
    ("ImportForm", "file"): all_of(["", "isbn"], "Choose a file."),
    ("ImportForm", "price"): [
        *all_of([*NUMBERS, "1,000.00", "1.999", "9.50 EUR", "NaN"], NO_AMOUNT),
        *all_of(["-1", "1000000.01"], NO_PRICE),
    ],
    ("ImportForm", "stock_quantity"): [
        *all_of(NO_INTEGERS, NO_INTEGER),
        *all_of(["-1", "1000001", "2147483648"], NO_COPIES),
    ],
    ("ColumnsForm", "columns"): all_of(["x", "\0", "TITLE", "book_id", "currency ", SCRIPT], NO_CHOICE),
    ("ColumnsForm", "decimal"): all_of(["", ";", ".,", "\0", SCRIPT], NO_CHOICE),
    ("ColumnsForm", "names"): all_of(["", "first", "\0", SCRIPT], NO_CHOICE),
    ("ColumnsForm", "encoding"): all_of(["", "utf-8", "\0", SCRIPT], NO_CHOICE),
    ("CopiesForm", "quantity"): [("", "This field is required."), *all_of([" ", *NO_INTEGERS], NO_INTEGER)],
    ("AddForm", "quantity"): all_of(["", " ", *NO_INTEGERS], NO_INTEGER),
    ("AddForm", "book_id"): all_of(["", " ", *NO_INTEGERS], NO_INTEGER),
    **BAD_DETAILS,
    **BAD_PAGES,
    ("CheckoutForm", "email"): text(254, "Enter your e-mail address."),
    **{(form, field): cases for form in ("CheckoutForm", "LinkForm") for field, cases in CONTACT.items()},
}  # fmt: skip


@pytest.mark.parametrize(("form", "field"), BAD, ids=str)
def test_an_invalid_field_is_refused_with_its_name_and_reason(form, field):
    errors = [(typed, message, errors_in_form(FORMS[form], {**RIGHT[form], field: typed}))
            for typed, message in BAD[form, field]]  # fmt: skip
    assert [(typed[:60], found) for typed, message, found in errors if found != [(field, message)]] == []


@pytest.mark.parametrize("form", FORMS)
def test_a_valid_form_is_accepted(form):
    assert errors_in_form(FORMS[form], RIGHT[form]) == []


def test_every_field_of_every_form_is_in_the_table():
    with shop_without_database().test_request_context():
        fields = {(name, field) for name, form in FORMS.items() for field in form()._fields}
    seen = {*BAD, ("PasswordForm", "new"), ("SetUpForm", "password")}  # they must match `repeat`; see also below
    assert {case for case in fields if case[1] not in PASSED_OVER} == seen
    bases = {ShopForm, CopiesForm, ContactForm, ConfirmedForm, VersionedForm}
    kinds = {kind for base in bases for kind in base.__subclasses__()} - {ContactForm, ConfirmedForm, VersionedForm}
    assert {kind.__name__ for kind in kinds} == set(FORMS)


def test_an_overlong_isbn_is_reported_as_too_long_and_invalid():
    errors = errors_in_form(BookForm, {**RIGHT["BookForm"], "isbn": "9" * 41})
    assert errors == [("isbn", "This is too long. Enter at most 40 characters."), ("isbn", NO_ISBN)]


def test_selling_0_copies_is_refused():
    errors = errors_in_form(StockForm, {**RIGHT["StockForm"], "change": "sale", "copies": "0"})
    assert errors == [("copies", "Enter how many copies were sold.")]


def test_a_new_password_must_be_typed_twice():
    given = {"current": PASSWORD}
    assert errors_in_form(PasswordForm, {**given, "new": "", "repeat": ""}) == [("new", "Choose a new password.")]
    assert errors_in_form(PasswordForm, {**given, "new": NEW}) == [("repeat", DIFFER)]


STRANGE: dict[str, dict[str, Any]] = {
    "a list": {"json": [1]}, "a number": {"json": 5}, "a text": {"json": "x"},
    "null": {"data": b"null", "content_type": "application/json"},
    "numbers as members": {"json": {"email": 5, "password": 5, "title": 5, "copies": 5}},
    "lists as members": {"json": {"email": ["a"], "title": ["a"], "copies": [5]}},
    "objects as members": {"json": {"email": {"a": 1}, "title": {"a": 1}, "copies": {"a": 1}}},
    "texts as members": {"json": {name: value for fields in RIGHT.values() for name, value in fields.items()
                                  if isinstance(value, str)}},
    "broken JSON": {"data": b"{", "content_type": "application/json"},
    "nested JSON": {"data": b"[" * 100_000, "content_type": "application/json"},
    "multipart without boundary": {"data": b"x", "content_type": "multipart/form-data"},
    "multipart without end": {"data": b"--x\r\nfoo", "content_type": "multipart/form-data; boundary=x"},
    "nothing": {"data": b""},
    "another type": {"data": b"email=a", "content_type": "text/plain"},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_a_body_that_is_not_a_form_counts_as_an_empty_form(form):
    empty, errors = errors_in_form(FORMS[form], {}), {}
    for kind, body in STRANGE.items():
        with shop_without_database().test_request_context(method="POST", **body):
            errors[kind] = errors_of(FORMS[form]())
    assert errors == dict.fromkeys(STRANGE, empty)


def test_a_form_with_broken_percent_encoding_is_read_as_far_as_possible():
    broken = {"data": b"email=%&title=%zz%", "content_type": "application/x-www-form-urlencoded"}
    with shop_without_database().test_request_context(method="POST", **broken):
        assert (LoginForm().email.data, BookForm().title.data) == ("%", "%zz%")


def test_a_file_in_place_of_text_counts_as_empty():
    wrong = {}
    for form, fields in RIGHT.items():
        for field in fields.keys() - {"picture", "file"}:
            left_out = errors_in_form(FORMS[form], {name: fields[name] for name in fields if name != field})
            with_file = {**fields, field: (io.BytesIO(b"ada@example.com"), "ada.txt")}
            if (errors := errors_in_form(FORMS[form], with_file)) != left_out:
                wrong[form, field] = errors
    assert wrong == {}


BEHIND = f"{INCOMPLETE}The part after the @-sign "
ADDRESSES = {
    **dict.fromkeys(["", " ", "ada", SCRIPT], f"{INCOMPLETE}An e-mail address must have an @-sign."),
    "x" * 100_000: "This e-mail address is too long.",
    "ada@": f"{INCOMPLETE}There must be something after the @-sign.",
    "@example.com": f"{INCOMPLETE}There must be something before the @-sign.",
    **dict.fromkeys(["ada@localhost", "ada@example"], f"{BEHIND}is not valid. It should have a dot."),
    "a b@example.com": f"{INCOMPLETE}The e-mail address contains invalid characters before the @-sign: SPACE.",
    "ada@exa mple.com": f"{BEHIND}contains invalid characters: SPACE.",
    "ada@@example.com": f"{BEHIND}contains invalid characters: '@'.",
    "ada@example..com": f"{INCOMPLETE}An e-mail address cannot have two dots in a row.",
    "ada@-example.com": f"{INCOMPLETE}An e-mail address cannot have a hyphen immediately after the @-sign.",
    ".ada@example.com": f"{INCOMPLETE}An e-mail address cannot start with a dot.",
    "ada.@example.com": f"{INCOMPLETE}An e-mail address cannot have a dot immediately before the @-sign.",
    **dict.fromkeys(["a\0@example.com", "a\n@example.com", "ada@example.com\r\nBcc: b@example.com"],
                    "The address must not contain control characters or line breaks."),
    "ada@example.com, ben@example.com": f"{BEHIND}contains invalid characters: ',', '@', SPACE.",
    **dict.fromkeys(["\ufffd@example.com", "\ud800@example.com"],
                    "The address contains a damaged character: send the text as UTF-8."),
    "a@" + "x." * 150 + "com": f"{INCOMPLETE}The e-mail address is too long after the @-sign (50 characters too many).",
    "ada@[127.0.0.1]": f"{INCOMPLETE}A bracketed IP address after the @-sign is not allowed here.",
    "<ada@example.com>": f"{INCOMPLETE}A display name and angle brackets around the e-mail address are not permitted "
                         "here.",
    "\u202eada@example.com": f"{INCOMPLETE}The e-mail address contains unsafe characters: RIGHT-TO-LEFT OVERRIDE.",
}  # fmt: skip


def refusal_of(address: str) -> tuple[str, str] | None:
    try:
        normal_email(tidied(address) or "")
    except Invalid as refused:
        return refused.field, refused.sentence
    return None


def test_an_invalid_address_is_refused_with_the_reason():
    errors = {address: refusal_of(address) for address in ADDRESSES}
    assert errors == {address: ("email", message) for address, message in ADDRESSES.items()}


LENGTH = "A password needs 8 to 128 characters; this one has {}."
COMMON = "This password is too easy to guess. Choose another one, such as three random words."
NEW_PASSWORDS = {
    "": LENGTH.format(0), "short": LENGTH.format(5), "1234567": LENGTH.format(7), "x" * 129: LENGTH.format(129),
    "x" * 400_000: LENGTH.format(400_000), "\u0301" * 4: LENGTH.format(4),
    **dict.fromkeys(["password", "PASSWORD", "12345678"], COMMON),
    "three random \ud800": "The password contains a damaged character. Send it as UTF-8.",
}  # fmt: skip


def test_a_weak_new_password_is_refused_with_the_reason():
    assert {password: problem_in_password(password) for password in NEW_PASSWORDS} == NEW_PASSWORDS
    assert [problem_in_password(good) for good in (PASSWORD, "\0" * 8, "x" * 128)] == [None, None, None]


def test_only_the_right_password_is_accepted():
    kept = hash_password(PASSWORD)
    others = [*NEW_PASSWORDS, "wrong", PASSWORD.upper(), "\0", f"{PASSWORD}\0", f"{PASSWORD} ", SCRIPT]
    others = [password for password in others if "\ud800" not in password]  # no form can send a lone surrogate
    assert [ascii(password)[:40] for password in others if password_matches(kept, password)] == []
    assert password_matches(kept, PASSWORD)


@pytest.mark.parametrize(("form", "least"), [(CopiesForm, 0), (AddForm, 1)])
def test_an_invalid_quantity_is_refused_with_an_explanation(form, least):
    most = shop_without_database().config["SETTINGS"].cart_copies
    expected_message = f"is not a number of copies. Enter a whole number from {least} to {most}."
    typed, errors = [*NO_INTEGERS, "-1", " "], {}
    for value in typed:
        with shop_without_database().test_request_context(method="POST", data={"quantity": value}):
            errors_of(form())
            with pytest.raises(Invalid) as refused:
                form().copies()
            errors[value] = (refused.value.field, refused.value.sentence)
    assert errors == {value: ("quantity", f"“{value[:20]}” {expected_message}") for value in typed}


@pytest.mark.parametrize("typed", ["", "abc", "0", "-1", "2147483648", str(2**63), "9" * 5000, "\0"])
def test_an_invalid_book_id_is_not_found(typed):
    with shop_without_database().test_request_context(method="POST", data={"book_id": typed}), pytest.raises(NotFound):
        AddForm().book()
