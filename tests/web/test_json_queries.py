"""Invalid query strings, as tables: for each parameter its invalid values and their messages."""

import pytest

from bookshop.catalog.schemas import BookQuery, SuggestionQuery
from bookshop.feed.schemas import EventQuery
from bookshop.orders.schemas import OrderQuery, StaffOrderQuery
from bookshop.prebookings.schemas import PreBookQuery
from bookshop.reports.schemas import DemandQuery
from bookshop.web.schemas import PageQuery
from bookshop.webhooks.schemas import DeliveryQuery
from tests.support.validation import Schema, errors_in_query, schemas_in_use
from tests.web.test_json_bodies import CONTROLS, INTEGER, NO_KIND, TEXT, UNKNOWN, name_of

NOT_PLAIN = "must be a whole number in digits, or true or false"
NO_NUMBER = f"{INTEGER}, unable to parse string as an integer"
NO_BOOLEAN = "Input should be a valid boolean, unable to interpret input"
NO_LINE = f"{CONTROLS} or line breaks"

Cases = list[tuple[str, str]]  # value and message


def number(least: int, most: int) -> Cases:
    """Return values that are not one integer from `least` to `most`, URL-encoded."""
    odd = ["", "%20", "abc", "1.5", "1e3", "0x1", "%00", "1%00", "9" * 5000, "null", "[]", "%FF", "NaN", "+1", "%D9%A5"]
    return [
        *[(value, NOT_PLAIN) for value in [*odd, "1;size=5", "cheap", "all"]],
        *[(str(value), f"Input should be greater than or equal to {least}") for value in (least - 1, -(2**62))],
        *[(str(value), f"Input should be less than or equal to {most}") for value in (most + 1, 2**31, 2**63)],
        ("true", NO_NUMBER),
    ]


def boolean() -> Cases:
    no_numbers = ["maybe", "", "%00", "True", "yes", "on", "t", "%C2%B9"]
    return [*[(value, NOT_PLAIN) for value in no_numbers], *[(value, NO_BOOLEAN) for value in ("2", "-1")]]


def one_of(words: str, *more: str) -> Cases:
    """Return values that are not one of these words."""
    return [(value, f"Input should be {words}") for value in ("gone", "", "%00", "%FF", *more)]


OF_PAGES: dict[str, Cases] = {
    "page": [*number(1, 2_147_483_647), ("-1", "Input should be greater than or equal to 1"), ("1&page=2", INTEGER)],
    "size": [*number(1, 100), ("-1", "Input should be greater than or equal to 1"), ("5&size=6", INTEGER)],
    "cursor": [("&cursor=", TEXT)],
}
BAD: dict[tuple[Schema, str], Cases] = {
    **{
        (schema, name): cases
        for schema in (PageQuery, BookQuery, PreBookQuery, OrderQuery, StaffOrderQuery, DemandQuery, DeliveryQuery)
        for name, cases in OF_PAGES.items()
    },
    (BookQuery, "q"): [("emma&q=austen", TEXT)],
    (BookQuery, "author"): [("emma&author=austen", TEXT)],
    (BookQuery, "language"): [("%00", NO_LINE), ("a%0Ab", NO_LINE), ("en&language=de", TEXT)],
    (BookQuery, "in_stock"): boolean(),
    (BookQuery, "min_price_cents"): [*number(0, 100_000_000), ("1e2", NOT_PLAIN)],
    (BookQuery, "max_price_cents"): [*number(0, 100_000_000), ("1e2", NOT_PLAIN)],
    (BookQuery, "sort"): one_of(
        "'relevance', 'title', 'price', 'published' or 'newest'", "best", "TITLE", "title;DROP TABLE books"
    ),
    (BookQuery, "dir"): one_of("'asc' or 'desc'", "up", "asc&dir=desc"),
    (SuggestionQuery, "q"): [("emma&q=austen", TEXT)],
    (PreBookQuery, "status"): one_of(
        "'waiting', 'notified' or 'cancelled'", "WAITING", "waiting&status=notified", "placed"
    ),
    (OrderQuery, "status"): one_of("'placed', 'ready', 'collected' or 'cancelled'", "waiting"),
    (StaffOrderQuery, "status"): one_of("'placed', 'ready', 'collected' or 'cancelled'", "waiting"),
    (StaffOrderQuery, "q"): [("emma&q=austen", TEXT)],
    (StaffOrderQuery, "uncollected"): boolean(),
    (DemandQuery, "format"): one_of("'json' or 'csv'", "xml", "CSV", "csv&format=json"),
    (DeliveryQuery, "state"): one_of("'queued', 'sending', 'delivered' or 'failed'", "waiting"),
    (EventQuery, "after"): [*number(0, 2_147_483_647), ("1&after=2", INTEGER)],
    (EventQuery, "size"): [*number(1, 1000), ("-1", "Input should be greater than or equal to 1")],
    (EventQuery, "kinds"): [
        ("", NO_KIND.format("''")),
        ("x", NO_KIND.format("'x'")),
        ("*,order.", NO_KIND.format("'order.'")),
        ("%00", NO_KIND.format(r"'\x00'")),
        ("%FF", NO_KIND.format("'%FF'")),
        (",".join(["*"] * 21), "must not name more than 20 kinds"),
        ("order.placed&kinds=*", TEXT),
    ],
}


@pytest.mark.parametrize(("schema", "name"), BAD, ids=name_of)
def test_an_invalid_parameter_is_refused_with_its_name_and_reason(schema, name):
    errors = [(value[:60], message, errors_in_query(schema, f"{name}={value}")) for value, message in BAD[schema, name]]
    assert [case for case in errors if case[2] != [(f"#/{name}", case[1])]] == []


def test_every_parameter_of_every_query_is_in_the_table():
    assert set(BAD) == {(schema, name) for schema in schemas_in_use("query") for name in schema.model_fields}


UNKNOWN_NAMES = {
    "unknown=1": "unknown", "=1": "", "PAGE=1": "PAGE", "page[]=1": "page[]", "%00=1": "\0", "user_id=1": "user_id",
    "min_price=5": "min_price", "withdrawn=true": "withdrawn", "a/b~c=1": "a~1b~0c", "~1=1": "~01",
}  # fmt: skip


@pytest.mark.parametrize("schema", dict.fromkeys(schema for schema, _name in BAD), ids=name_of)
def test_an_unknown_parameter_is_refused_by_its_name(schema):
    errors = {query: errors_in_query(schema, query) for query in UNKNOWN_NAMES}
    assert errors == {query: [(f"#/{name}", UNKNOWN)] for query, name in UNKNOWN_NAMES.items()}


@pytest.mark.parametrize(
    ("schema", "query", "names"),
    [
        (PreBookQuery, "q=emma", ["q"]),
        (EventQuery, "page=1", ["page"]),
        (PageQuery, "status=waiting&sort=title", ["status", "sort"]),
    ],
    ids=name_of,
)
def test_a_parameter_of_another_list_is_refused(schema, query, names):
    assert errors_in_query(schema, query) == [(f"#/{name}", UNKNOWN) for name in names]


@pytest.mark.parametrize(
    ("schema", "query"),
    [
        (PageQuery, "page=2147483647&size=100&cursor="),
        (
            BookQuery,
            "q=%00&author=&language=&in_stock=1&min_price_cents=0&max_price_cents=100000000&sort=newest&dir=asc",
        ),
        (BookQuery, "in_stock=false"),
        (StaffOrderQuery, "q=%00&status=ready&uncollected=true"),
        (EventQuery, "after=0&size=1000&kinds=order.*,stock.changed"),
    ],
    ids=name_of,
)
def test_a_valid_query_is_accepted(schema, query):
    assert errors_in_query(schema, query) == []
