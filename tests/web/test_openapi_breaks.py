"""A change that breaks scripts fails here and shows what it breaks; one that only adds passes."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from bookshop.web.openapi import document
from tests.support.openapi_breaks import breaks
from tests.support.openapi_snapshot import promised

RENEW = "If that is meant, say so in CHANGELOG.md and run `python -m tests.support.openapi_snapshot`."
Change = Callable[[Any], object]


def test_no_script_that_kept_to_the_document_is_broken(shared_app):
    document.cache_clear()
    with shared_app.app_context():
        found = breaks(promised(), document())
    assert not found, "This breaks scripts:\n  " + "\n  ".join(found) + f"\n{RENEW}"


def test_every_operation_is_promised(shared_app):
    with shared_app.app_context():
        new = {f"{method.upper()} {path}" for path, ways in document()["paths"].items() for method in ways}
    known = {f"{method.upper()} {path}" for path, ways in promised()["paths"].items() for method in ways}
    assert new - known == set(), "New, and not promised yet: run `python -m tests.support.openapi_snapshot`."


def _book(d: Any, member: str) -> Any:
    return d["components"]["schemas"]["NewBook"]["properties"][member]


def _answer(d: Any, member: str) -> Any:
    return d["components"]["schemas"]["OrderOut"]["properties"][member]


def _get(d: Any) -> Any:
    return d["paths"]["/api/v1/books"]["get"]


def _post(d: Any) -> Any:
    return d["paths"]["/api/v1/books"]["post"]


def _parameter(d: Any, name: str) -> Any:
    return next(given for given in _get(d)["parameters"] if given["name"] == name)


BREAKS: dict[str, tuple[Change, str]] = {
    "a path": (lambda d: d["paths"].pop("/api/v1/orders"), "GET /api/v1/orders: is gone"),
    "a method": (lambda d: d["paths"]["/api/v1/books"].pop("post"), "POST /api/v1/books: is gone"),
    "an operationId": (lambda d: _get(d).update(operationId="x"), "operationId was catalog_books, is x"),
    "a demand": (lambda d: _get(d).update(security=[{"token": []}]), "security was"),
    "a scope": (lambda d: _post(d).update(security=[{"token": ["catalog:write", "more"]}]), "is [{'token'"),
    "a parameter": (lambda d: _get(d)["parameters"].remove(_parameter(d, "q")), "query parameter q: is gone"),
    "a required parameter": (lambda d: _parameter(d, "q").update(required=True), "query parameter q: is required now"),
    "a new required parameter": (
        lambda d: _get(d)["parameters"].append({"in": "query", "name": "x", "required": True, "schema": {}}),
        "query parameter x: is required now",
    ),
    "a parameter's bound": (lambda d: _parameter(d, "size")["schema"].update(maximum=50), "maximum was 100, is 50"),
    "a parameter's choice": (lambda d: _parameter(d, "sort")["schema"]["enum"].remove("title"), "values was"),
    "a parameter's default": (lambda d: _parameter(d, "size")["schema"].update(default=5), "default was 20, is 5"),
    "a body's type": (
        lambda d: _post(d)["requestBody"]["content"].update(
            {"text/csv": _post(d)["requestBody"]["content"].popitem()[1]}
        ),
        "body: application/json is gone",
    ),
    "a new body": (
        lambda d: d["paths"]["/api/v1/orders/{order_id}/cancel"]["post"].update(requestBody={"required": True}),
        "body: is required now",
    ),
    "a member of a body": (
        lambda d: d["components"]["schemas"]["NewBook"]["properties"].pop("publisher"),
        "body/publisher: is gone",
    ),
    "a new required member": (
        lambda d: d["components"]["schemas"]["NewBook"]["required"].append("isbn"),
        "body/isbn: is required now",
    ),
    "a member's type": (lambda d: _book(d, "price_cents").update(type="string"), "type was integer, is string"),
    "a member's length": (lambda d: _book(d, "title").update(maxLength=5), "body/title: maxLength was 500, is 5"),
    "a member's lower bound": (lambda d: _book(d, "price_cents").update(minimum=1), "minimum was 0, is 1"),
    "a member's pattern": (lambda d: _book(d, "title").update(pattern="^a$"), "body/title: pattern was"),
    "a member that may not be null": (
        lambda d: _book(d, "publisher")["anyOf"].pop(),
        "body/publisher: type was string or null, is string",
    ),
    "a member's choices": (
        lambda d: d["components"]["schemas"]["NewOrder"]["properties"]["delivery"]["enum"].remove("post"),
        "body/delivery: values was",
    ),
    "a rule of members": (
        lambda d: d["components"]["schemas"]["NewBook"].update({"not": {}}),
        "body: not was not said",
    ),
    "a status": (lambda d: _get(d)["responses"].pop("304"), "answer 304: is gone"),
    "a header": (lambda d: _get(d)["responses"]["200"]["headers"].pop("ETag"), "answer 200: header ETag is gone"),
    "an answer's type": (lambda d: _get(d)["responses"]["200"]["content"].clear(), "application/json is gone"),
    "a member of an answer": (
        lambda d: d["components"]["schemas"]["OrderOut"]["properties"].pop("note"),
        "answer 200/note: is gone",
    ),
    "a member that may be missing": (
        lambda d: d["components"]["schemas"]["OrderOut"]["required"].remove("note"),
        "answer 200/note: may be missing now",
    ),
    "a member that may be null": (
        lambda d: _answer(d, "number").update(anyOf=[{"type": _answer(d, "number").pop("type")}, {"type": "null"}]),
        "answer 200/number: type was string, is string or null",
    ),
    "an answered type": (
        lambda d: _answer(d, "id").update(type="string"),
        "answer 200/id: type was integer, is string",
    ),
    "an answered choice": (lambda d: _answer(d, "status")["enum"].append("lost"), "answer 200/status: values was"),
    "an answered format": (lambda d: _answer(d, "created_at").pop("format"), "format was date-time, is not said"),
    "an item": (
        lambda d: d["components"]["schemas"]["OrderLineOut"]["properties"].pop("title"),
        "answer 200/lines[]/title: is gone",
    ),
    "a code": (
        lambda d: d["components"]["responses"]["409.ORDER_STATE"]["content"]["application/problem+json"]["schema"][
            "properties"
        ]["code"]["enum"].append("ORDER_LOST"),
        "answer 409/code: values was ['ORDER_STATE'], is ['ORDER_STATE', 'ORDER_LOST']",
    ),
}
ADDITIONS: dict[str, Change] = {
    "a path": lambda d: d["paths"].update({"/api/v1/news": {"get": {}}}),
    "a method": lambda d: d["paths"]["/api/v1/orders"].update({"put": {}}),
    "a parameter": lambda d: _get(d)["parameters"].append({"in": "query", "name": "x", "schema": {"type": "string"}}),
    "a status": lambda d: _get(d)["responses"].update({"410": {"description": "It was sold."}}),
    "a header": lambda d: _get(d)["responses"]["200"]["headers"].update({"X-More": {}}),
    "another way in": lambda d: _post(d)["security"].append({"key": []}),
    "no demand": lambda d: _post(d).update(security=[{}]),
    "a member of a body": lambda d: d["components"]["schemas"]["NewBook"]["properties"].update(
        {"x": {"type": "string"}}
    ),
    "a member that may be left out": lambda d: d["components"]["schemas"]["NewBook"]["required"].remove("price_cents"),
    "a wider bound": lambda d: _book(d, "title").update(maxLength=900),
    "another choice": lambda d: _parameter(d, "sort")["schema"]["enum"].append("stock"),
    "a member that may be null": lambda d: _book(d, "price_cents").update(
        anyOf=[{"type": _book(d, "price_cents").pop("type")}, {"type": "null"}]
    ),
    "a pattern less": lambda d: _book(d, "title").pop("pattern"),
    "a member of an answer": lambda d: d["components"]["schemas"]["OrderOut"]["properties"].update({"x": {}}),
    "a choice less in an answer": lambda d: _answer(d, "status")["enum"].remove("ready"),
    "never null": lambda d: _answer(d, "note").update(type="string", anyOf=[{"type": "string"}]),
    "words": lambda d: _get(d).update(summary="Lists books.", description="All of them."),
}


def _changed(change: Change) -> list[str]:
    new = deepcopy(promised())
    change(new)
    return breaks(promised(), new)


@pytest.mark.parametrize(("change", "words"), BREAKS.values(), ids=BREAKS)
def test_what_breaks_a_script_is_told_with_where_it_is(change, words):
    found = _changed(change)
    assert any(words in sentence for sentence in found), found


@pytest.mark.parametrize("change", ADDITIONS.values(), ids=ADDITIONS)
def test_what_is_added_breaks_nothing(change):
    assert _changed(change) == []
