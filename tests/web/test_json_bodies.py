"""Invalid JSON bodies, as tables: for each member its invalid values, with pointer and message."""

import json
from typing import Any

import pytest

from bookshop.accounts.schemas import NewLoginLink
from bookshop.cart.schemas import CartItemChange, NewCartItem
from bookshop.catalog.schemas import BookChanges, NewBook
from bookshop.inventory.schemas import BatchLineIn, NewBatch, NewStock
from bookshop.orders.schemas import ExpectedAmount, NewOrder
from bookshop.prebookings.schemas import NewPreBook
from bookshop.webhooks.schemas import NewWebhook
from tests.support.bad_input import MEGABYTE
from tests.support.validation import Schema, errors_in_body, schemas_in_use

Cases = list[tuple[Any, str]]  # values, and the message for each

# Valid bodies, of which each case changes one member.
BOOK = {"title": "Persuasion", "authors": "Jane Austen", "price_cents": 950}
LINE = {"isbn": "9780141439518", "delta": 1}
RIGHT: dict[Schema, dict[str, Any]] = {
    NewLoginLink: {"email": "ada@example.com"},
    NewPreBook: {"book_id": 2},
    NewBook: BOOK,
    BookChanges: {},
    NewStock: {"quantity": 3},
    NewBatch: {"lines": [LINE]},
    BatchLineIn: LINE,
    NewCartItem: {"book_id": 2},
    CartItemChange: {"quantity": 1},
    NewOrder: {},
    ExpectedAmount: {"amount_cents": 950, "currency": "EUR"},
    NewWebhook: {"url": "https://example.com/hooks", "kinds": ["*"]},
}

INTEGER, TEXT = "Input should be a valid integer", "Input should be a valid string"
NO_LIST, NO_OBJECT = "Input should be a valid list", "Input should be a valid dictionary or instance of BatchLineIn"
UNREADABLE = f"{TEXT}, unable to parse raw data as a unicode string"
CONTROLS = "must not contain control characters"
DAMAGED = "contains a damaged character: send the text as UTF-8"
EMPTY = "Value should have at least 1 item after validation, not 0"
NO_ISBN = "is not an ISBN: it needs 10 or 13 digits, such as 978-0-14-143951-8"
MISTYPED = "is not an ISBN: the check digit is wrong, so a digit may be mistyped"
NO_BOOK = "is not an ISBN: 13 digits must begin with 978 or 979, so this is the EAN of something else"
NO_CURRENCY = "is not an ISO 4217 currency code such as EUR"
NO_REASON = "Input should be 'received', 'correction', 'sale', 'return' or 'import'"
NO_DELIVERY, NO_MODE = "Input should be 'collect' or 'post'", "Input should be 'atomic' or 'each'"
TOO_MUCH = f"Input should be less than or equal to {2**53 - 1}"
MISSING, UNKNOWN = "Field required", "Extra inputs are not permitted"
EITHER_STOCK, EITHER_BOOK = "Give either quantity or delta.", "Give either isbn or book_id."
NO_KIND = (
    "{} is not a kind of event: use stock.changed, book.restocked, prebooking.created, prebooking.cancelled, "
    "prebooking.notified, order.placed, order.ready, order.collected, order.cancelled, a group such as order.*, "
    "or *"
)

NO_INTEGERS = ["5", "", 5.0, 5.5, True, False, [1], {}, float("nan"), float("inf"), float("-inf"), "\u0665"]
NO_TEXTS = [5, 5.0, True, ["a"], {"a": "b"}, float("nan")]
CONTROLLING = ["a\0b", "a\x1b[2Jb", "a\x7fb", "a\x85b"]
SURROGATES = ["a\ud800b", "\udfff", "\udc00\ud800"]
BLANK = ["", "   ", "\t\r\n", "\u3000", " \u00a0 "]


def all_of(values: list[Any], message: str) -> Cases:
    return [(value, message) for value in values]


def number(least: int, most: int) -> Cases:
    """Return values that are not integers from `least` to `most`."""
    return [
        *all_of(NO_INTEGERS, INTEGER),
        *all_of([least - 1, -(2**63) - 1], f"Input should be greater than or equal to {least}"),
        *all_of([most + 1, 2**31, 2**63, 10**400], f"Input should be less than or equal to {most}"),
    ]


def text(longest: int, *, lines: bool = False) -> Cases:
    """Return values that are not text, cannot be stored or are too long, and line breaks unless `lines` are allowed."""
    in_a_line = [] if lines else ["a\nb", "a\r\nb", "a\tb"]
    return [
        *all_of(NO_TEXTS, TEXT),
        *all_of([*CONTROLLING, *in_a_line], CONTROLS if lines else f"{CONTROLS} or line breaks"),
        *all_of([*SURROGATES, "caf\ufffd"], DAMAGED),
        ("x" * (longest + 1), f"Value should have at most {longest} items after validation, not {longest + 1}"),
    ]


def one_of(message: str) -> Cases:
    """Return values that are not one of the fixed words."""
    no_words = [*NO_TEXTS, *CONTROLLING, "caf\ufffd", "theft", "fly", "", MEGABYTE]
    return [*all_of(no_words, message), *all_of(SURROGATES, UNREADABLE)]


ID = number(1, 2_147_483_647)
NOTE = text(500)
ISBN: Cases = [
    *all_of(NO_TEXTS, TEXT),
    *all_of([*CONTROLLING, *SURROGATES, "caf\ufffd", MEGABYTE, "", " ", "978014143951", "97801414395180"], NO_ISBN),
    *all_of(["X141439518", "978-0-14-143951-8-1", "nine", "9" * 100_000, "<script>"], NO_ISBN),
    ("\u0669\u0667\u0668\u0660\u0661\u0664\u0661\u0664", NO_ISBN),
    *all_of(["9780141439519", "0141439517", "014143951X"], MISTYPED),
    ("9771234567003", NO_BOOK),
]
OF_A_BOOK: dict[str, Cases] = {
    "isbn": ISBN,
    "title": [*text(500), *all_of(BLANK, EMPTY), (None, TEXT)],
    "authors": [*text(1000), *all_of(BLANK, EMPTY), (None, TEXT)],
    "publisher": text(200),
    "language": text(35),
    "description": text(10_000, lines=True),
    "published_year": [*number(-3000, 2100), (10_000, "Input should be less than or equal to 2100")],
    "price_cents": [*number(0, 100_000_000), (None, INTEGER)],
    "currency": [
        *all_of(NO_TEXTS, TEXT),
        *all_of([*CONTROLLING, *SURROGATES, "caf\ufffd", MEGABYTE, "", "eur", "EURO", "ZZZ", "\u20ac"], NO_CURRENCY),
    ],
}

BAD: dict[tuple[Schema, str], Cases] = {
    # What is not an address is refused by `normal_email`; see ADDRESSES in test_form_values.py.
    (NewLoginLink, "email"): [
        *all_of([*NO_TEXTS, None], TEXT),
        *all_of(SURROGATES, UNREADABLE),
        ("", "String should have at least 1 character"),
        ("x" * 1017, "String should have at most 1016 characters"),
    ],
    (NewPreBook, "book_id"): [*ID, (-1, "Input should be greater than or equal to 1"), (None, INTEGER)],
    **{(schema, name): cases for schema in (NewBook, BookChanges) for name, cases in OF_A_BOOK.items()},
    (NewStock, "quantity"): number(0, 1_000_000),
    (NewStock, "delta"): number(-1_000_000, 1_000_000),
    (NewStock, "reason"): one_of(NO_REASON),
    (NewStock, "note"): NOTE,
    (BatchLineIn, "isbn"): [
        *all_of(NO_TEXTS, TEXT),
        *all_of(SURROGATES, UNREADABLE),
        ("x" * 101, "String should have at most 100 characters"),
    ],
    (BatchLineIn, "book_id"): ID,
    (BatchLineIn, "quantity"): number(-2_147_483_647, 2_147_483_647),
    (BatchLineIn, "delta"): number(-2_147_483_647, 2_147_483_647),
    (BatchLineIn, "reason"): one_of(NO_REASON),
    (BatchLineIn, "note"): NOTE,
    (NewBatch, "mode"): [*one_of(NO_MODE), (None, NO_MODE)],
    (NewBatch, "lines"): [
        *all_of(["x", 5, {}, None, True], NO_LIST),
        ([], "List should have at least 1 item after validation, not 0"),
        ([LINE] * 1001, "List should have at most 1000 items after validation, not 1001"),
    ],
    (NewCartItem, "book_id"): [*ID, (None, INTEGER)],
    (NewCartItem, "quantity"): [*ID, (None, INTEGER)],
    (CartItemChange, "quantity"): [*ID, (None, INTEGER)],
    (NewOrder, "name"): text(200),
    (NewOrder, "phone"): text(50),
    (NewOrder, "note"): text(1000, lines=True),
    (NewOrder, "address"): text(1000, lines=True),
    (NewOrder, "delivery"): [*one_of(NO_DELIVERY), (None, NO_DELIVERY)],
    (NewOrder, "expected_totals"): [
        *all_of(["950", 950, {}, True], NO_LIST),
        ([], "List should have at least 1 item after validation, not 0"),
    ],
    (ExpectedAmount, "amount_cents"): [
        *number(0, 2**53 - 1)[: len(NO_INTEGERS) + 2],
        (2**53, TOO_MUCH),
        (None, INTEGER),
    ],
    (ExpectedAmount, "currency"): OF_A_BOOK["currency"],
    (NewWebhook, "url"): [
        *all_of([*NO_TEXTS, None], TEXT),
        *all_of(SURROGATES, UNREADABLE),
        ("", "String should have at least 1 character"),
        ("x" * 501, "String should have at most 500 characters"),
    ],
    (NewWebhook, "kinds"): [
        *all_of(["*", 5, {}, None, True], NO_LIST),
        ([], "List should have at least 1 item after validation, not 0"),
        (["*"] * 21, "List should have at most 20 items after validation, not 21"),
    ],
}


def name_of(value: Any) -> str:
    return getattr(value, "__name__", str(value))


def wrong_errors(schema: Schema, wrap: Any, pointer: str, cases: Cases) -> list[Any]:
    """Return the values whose error differs from the expected one, with that error."""
    errors = [(value, message, errors_in_body(schema, wrap(value))) for value, message in cases]
    return [(ascii(value)[:60], found) for value, message, found in errors if found != [(pointer, message)]]


def a_line(**changes: Any) -> dict[str, Any]:
    """Return a batch with this change in its fourth line."""
    return {"lines": [LINE, LINE, LINE, {**LINE, **changes}]}


@pytest.mark.parametrize(("schema", "name"), BAD, ids=name_of)
def test_an_invalid_member_is_refused_with_its_pointer_and_reason(schema, name):
    cases = BAD[schema, name]
    if schema is BatchLineIn:
        assert wrong_errors(NewBatch, lambda value: a_line(**{name: value}), f"#/lines/3/{name}", cases) == []
    else:
        assert wrong_errors(schema, lambda value: {**RIGHT[schema], name: value}, f"#/{name}", cases) == []


@pytest.mark.parametrize("schema", RIGHT, ids=name_of)
def test_a_valid_body_is_accepted(schema):
    assert errors_in_body(schema, RIGHT[schema]) == []


@pytest.mark.parametrize("schema", RIGHT, ids=name_of)
def test_an_unknown_member_is_refused_by_its_name(schema):
    assert errors_in_body(schema, {**RIGHT[schema], "a/b~": 1}) == [("#/a~1b~0", UNKNOWN)]


def test_every_member_of_every_body_is_in_the_table():
    asked: set[Any] = {*schemas_in_use("json"), BatchLineIn, ExpectedAmount}
    assert set(BAD) == {(schema, name) for schema in asked for name in schema.model_fields}


@pytest.mark.parametrize(
    ("schema", "name", "longest"),
    [(NewBook, "title", 500), (NewBook, "description", 10_000), (NewStock, "note", 500)],
    ids=name_of,
)
def test_a_text_of_a_megabyte_is_refused(schema, name, longest):
    errors = f"Value should have at most {longest} items after validation, not 1000000"
    assert errors_in_body(schema, {**RIGHT[schema], name: MEGABYTE}) == [(f"#/{name}", errors)]


# Errors of an object as a whole, or below its members.
OBJECTS: list[tuple[Schema, Any, list[tuple[str, str]]]] = [
    (NewPreBook, {}, [("#/book_id", MISSING)]),
    (NewPreBook, {"book_id": 2, "user_id": 1}, [("#/user_id", UNKNOWN)]),
    (NewPreBook, {"book_id": 2, "": 1}, [("#/", UNKNOWN)]),
    (NewPreBook, {"book_id": 2, "status": "notified"}, [("#/status", UNKNOWN)]),
    (NewPreBook, {"book": 2}, [("#/book_id", MISSING), ("#/book", UNKNOWN)]),
    (NewPreBook, {"BOOK_ID": 2}, [("#/book_id", MISSING), ("#/BOOK_ID", UNKNOWN)]),
    (NewPreBook, {"book_id": 2, "\ud800": 1}, [("#", UNREADABLE)]),
    (NewPreBook, {"book_id": 2, "a/b~c\0": 1}, [("#/a~1b~0c\0", UNKNOWN)]),
    (NewPreBook, {"book_id": 2, "~1": 1}, [("#/~01", UNKNOWN)]),
    (NewBook, {}, [("#/title", MISSING), ("#/authors", MISSING), ("#/price_cents", MISSING)]),
    (NewBook, {"title": "Emma", "authors": "Jane Austen"}, [("#/price_cents", MISSING)]),
    (NewBook, {"title": "Emma", "price_cents": 1}, [("#/authors", MISSING)]),
    (NewBook, {"authors": "Jane Austen", "price_cents": 1}, [("#/title", MISSING)]),
    *[(NewBook, {**BOOK, name: 3}, [(f"#/{name}", UNKNOWN)]) for name in ("stock_quantity", "id", "title_key")],
    (NewBook, {**BOOK, "title": json.loads("[" * 900 + "]" * 900)}, [("#/title", TEXT)]),
    (NewBook, {**BOOK, "title": 5, "price_cents": "5"}, [("#/title", TEXT), ("#/price_cents", INTEGER)]),
    *[(BookChanges, {name: None}, [(f"#/{name}", UNKNOWN)]) for name in ("stock_quantity", "withdrawn_at", "id")],
    (BookChanges, {"title": "Emma", "in_stock": True}, [("#/in_stock", UNKNOWN)]),
    (NewStock, {}, [("#", EITHER_STOCK)]),
    (NewStock, {"quantity": 1, "delta": 1}, [("#", EITHER_STOCK)]),
    (NewStock, {"quantity": None, "delta": None}, [("#", EITHER_STOCK)]),
    (NewStock, {"reason": "received"}, [("#", EITHER_STOCK)]),
    *[(NewStock, {"quantity": 1, name: 0}, [(f"#/{name}", UNKNOWN)]) for name in ("user_id", "expected")],
    (NewStock, {"stock_quantity": 1}, [("#/stock_quantity", UNKNOWN)]),
    (NewBatch, {}, [("#/lines", MISSING)]),
    (NewBatch, {"lines": [LINE, 5]}, [("#/lines/1", NO_OBJECT)]),
    (NewBatch, {"lines": [None, LINE]}, [("#/lines/0", NO_OBJECT)]),
    (NewBatch, a_line(quantity=1), [("#/lines/3", EITHER_STOCK)]),
    (NewBatch, a_line(book_id=1), [("#/lines/3", EITHER_BOOK)]),
    (NewBatch, a_line(isbn=None), [("#/lines/3", EITHER_BOOK)]),
    (NewBatch, a_line(expected=0), [("#/lines/3/expected", UNKNOWN)]),
    (NewBatch, a_line(**{"a/b~": 0}), [("#/lines/3/a~1b~0", UNKNOWN)]),
    (NewBatch, {"lines": [{**LINE, "delta": "5"}, {**LINE, "note": 5}]},
     [("#/lines/0/delta", INTEGER), ("#/lines/1/note", TEXT)]),
    (NewOrder, {"key": "0" * 32, "total": 1}, [("#/key", UNKNOWN), ("#/total", UNKNOWN)]),
    (NewCartItem, {}, [("#/book_id", MISSING)]),
    (NewCartItem, {"book_id": 2, "price_cents": 1}, [("#/price_cents", UNKNOWN)]),
    (CartItemChange, {}, [("#/quantity", MISSING)]),
    (CartItemChange, {"quantity": 1, "book_id": 2}, [("#/book_id", UNKNOWN)]),
    (NewWebhook, {}, [("#/url", MISSING), ("#/kinds", MISSING)]),
    (NewWebhook, {**RIGHT[NewWebhook], "secret": "x"}, [("#/secret", UNKNOWN)]),
    *[(NewWebhook, {**RIGHT[NewWebhook], "kinds": ["*", kind]}, [("#/kinds/1", errors)]) for kind, errors in (
        (5, TEXT), ("", NO_KIND.format("''")), ("x", NO_KIND.format("'x'")), ("order.", NO_KIND.format("'order.'")),
        ("a\0", NO_KIND.format(r"'a\x00'")), ("\ud800", NO_KIND.format(r"'\ud800'")),
        ("x" * 99, NO_KIND.format(f"'{'x' * 40}'")))],
]  # fmt: skip


def test_errors_of_an_object_are_reported_member_by_member():
    errors = [(schema.__name__, body, expected, errors_in_body(schema, body)) for schema, body, expected in OBJECTS]
    assert [case for case in errors if case[2] != case[3]] == []
