"""Invalid query parameters of pages, which are ignored; none of them reaches a database."""

from typing import Any

import pytest

from bookshop.catalog.forms import book_query
from bookshop.kit.database import ID_MAX, Page
from bookshop.web.navigation import render_list, requested_page
from tests.support.validation import shop_without_database

# The query, and the page number that it shows.
PAGES = {
    **{f"page={odd}": 1 for odd in ("0", "-1", "", "abc", "%00", "9" * 5000, "1.5", "true", "[]", "1e3", "%FF")},
    **dict.fromkeys(("%00=%00", "=", "&&&", "%FF=%FF", "PAGE=2", "page[]=2", "page=1&page=2"), 1),
    "page=2": 2, "page=+2": 2, "page=9223372036854775808": ID_MAX, "page=2147483648": ID_MAX,
}  # fmt: skip


def test_an_invalid_page_number_is_clamped():
    shown = {}
    for query in PAGES:
        with shop_without_database().test_request_context(query_string=query):
            shown[query] = requested_page()
    assert shown == PAGES


# The query of the catalogue, and how the shop parses it.
SEARCHES: dict[str, dict[str, Any]] = {
    **{
        odd: {}
        for odd in (
            *("unknown=1", "=", "&&&", "%FF=%FF", "endpoint=x", "_method=POST", "sort=best", "dir=up", "size=0"),
            *("page=0", "page=-1", "page=", "page=abc", "page=%00", "page=1.5", "page=true", "page=1&page=2"),
            *("page=9223372036854775808", "size=9223372036854775808", f"page={'9' * 5000}", "in_stock=maybe"),
            *("language=%00", f"language={'%C3%A4%0A' * 999}", "min_year=9999", f"max_year={2**63}", "min_year=abc"),
            *(f"min_price={odd}" for odd in ("abc", "-1", "NaN", "sNaN", "Infinity", "1e5000", "1e999999", "%00")),
            *(f"max_price={odd}" for odd in ("1e999990", "1e-999999", "9" * 5000, "0,001", "1_000", "%D9%A5")),
            *("min_price_cents=abc", "max_price_cents=9223372036854775808", "min_price_cents=-1"),
        )
    },
    "page=2&sort=best": {"page": 2},
    "min_price=9,5&dir=up": {"min_price_cents": 950},
    f"language={'x' * 9999}": {"language": "x" * 9999},
    "q=%00": {"q": "\0"},
}


@pytest.mark.parametrize("query", SEARCHES, ids=lambda query: query[:40])
def test_invalid_catalogue_parameters_are_ignored(query):
    with shop_without_database().test_request_context(query_string=query) as context:
        meant, nothing = book_query(context.request.args, "EUR"), book_query({}, "EUR")
    assert meant == nothing.model_copy(update=SEARCHES[query])


# The query of a list whose last page is 3, and the address it redirects to.
TURNED = {
    "page=99": "/books?page=3", "page=2147483647": "/books?page=3",
    "page=99&endpoint=x": "/books?endpoint=x&page=3", "page=99&_method=POST": "/books?_method=POST&page=3",
    "page=99&_external=1": "/books?_external=1&page=3", "page=99&self=1": "/books?self=1&page=3",
    "page=99&_scheme=javascript&_external=1": "/books?_scheme=javascript&_external=1&page=3",
    "page=99&_anchor=x": "/books?_anchor=x&page=3", "page=99&q=%0D%0AX:1": "/books?q=%0D%0AX%3A1&page=3",
    "page=99&%00=1": "/books?%00=1&page=3", "page=99&q=<script>": "/books?q=%3Cscript%3E&page=3",
}  # fmt: skip


def test_a_page_beyond_the_last_redirects_to_the_last_with_the_same_filters():
    led = {}
    for query in TURNED:
        with shop_without_database().test_request_context("/books", query_string=query):
            answer: Any = render_list("no template is needed", Page([], total=3, page=requested_page(), size=1))
        led[query] = answer.location
    assert led == TURNED
