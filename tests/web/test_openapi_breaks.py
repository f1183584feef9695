"""Changes that break scripts fail here and show what they break; additions pass."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from bookshop.web.openapi import document
from tests.support.openapi_breaks import breaks
from tests.support.openapi_snapshot import published

UPDATE = "If intended, describe it in CHANGELOG.md and run `python -m tests.support.openapi_snapshot`."
Change = Callable[[Any], object]


def test_no_script_that_follows_the_document_breaks(shared_app):
    document.cache_clear()
    with shared_app.app_context():
        found = breaks(published(), document())
    assert not found, "This breaks scripts:\n  " + "\n  ".join(found) + f"\n{UPDATE}"


def test_every_operation_is_in_the_snapshot(shared_app):
    with shared_app.app_context():
        new = {f"{method.upper()} {path}" for path, operations in document()["paths"].items() for method in operations}
    known = {f"{method.upper()} {path}" for path, operations in published()["paths"].items() for method in operations}
    assert new - known == set(), "New, and not in the snapshot yet: run `python -m tests.support.openapi_snapshot`."


def _book(d: Any, member: str) -> Any:
    return d["components"]["schemas"]["NewBook"]["properties"][member]


def _response(d: Any, member: str) -> Any:
    return d["components"]["schemas"]["OrderOut"]["properties"][member]


def _get(d: Any) -> Any:
    return d["paths"]["/api/v1/books"]["get"]


def _post(d: Any) -> Any:
    return d["paths"]["/api/v1/books"]["post"]


def _parameter(d: Any, name: str) -> Any:
    return next(given for given in _get(d)["parameters"] if given["name"] == name)


BREAKS: dict[str, tuple[Change, str]] = {
    "a path": (lambda d: d["paths"].pop("/api/v1/orders"), "GET /api/v1/orders: was removed"),
    "a method": (lambda d: d["paths"]["/api/v1/books"].pop("post"), "POST /api/v1/books: was removed"),
    "an operationId": (lambda d: _get(d).update(operationId="x"), "operationId was catalog_books, is x"),
    "a security requirement": (lambda d: _get(d).update(security=[{"token": []}]), "security was"),
    "a scope": (lambda d: _post(d).update(security=[{"token": ["catalog:write", "more"]}]), "is [{'token'"),
    "a parameter": (lambda d: _get(d)["parameters"].remove(_parameter(d, "q")), "query parameter q: was removed"),
    "a required parameter": (lambda d: _parameter(d, "q").update(required=True), "query parameter q: is now required"),
    "a new required parameter": (
        lambda d: _get(d)["parameters"].append({"in": "query", "name": "x", "required": True, "schema": {}}),
        "query parameter x: is now required",
    ),
    "a parameter's bound": (lambda d: _parameter(d, "size")["schema"].update(maximum=50), "maximum was 100, is 50"),
    "a parameter's choice": (lambda d: _parameter(d, "sort")["schema"]["enum"].remove("title"), "values was"),
    "a parameter's default": (lambda d: _parameter(d, "size")["schema"].update(default=5), "default was 20, is 5"),
    "a body's type": (
        lambda d: _post(d)["requestBody"]["content"].update(
            {"text/csv": _post(d)["requestBody"]["content"].popitem()[1]}
        ),
        "body: application/json was removed",
    ),
    "a new body": (
        lambda d: d["paths"]["/api/v1/orders/{order_id}/cancel"]["post"].update(requestBody={"required": True}),
        "body: is now required",
    ),
    "a member of a body": (
        lambda d: d["components"]["schemas"]["NewBook"]["properties"].pop("publisher"),
        "body/publisher: was removed",
    ),
    "a new required member": (
        lambda d: d["components"]["schemas"]["NewBook"]["required"].append("isbn"),
        "body/isbn: is now required",
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
    "a rule across members": (
        lambda d: d["components"]["schemas"]["NewBook"].update({"not": {}}),
        "body: not was not set",
    ),
    "a status": (lambda d: _get(d)["responses"].pop("304"), "response 304: was removed"),
    "a header": (lambda d: _get(d)["responses"]["200"]["headers"].pop("ETag"), "response 200: header ETag was removed"),
    "a response type": (lambda d: _get(d)["responses"]["200"]["content"].clear(), "application/json was removed"),
    "a member of a response": (
        lambda d: d["components"]["schemas"]["OrderOut"]["properties"].pop("note"),
        "response 200/note: was removed",
    ),
    "a member that may be missing": (
        lambda d: d["components"]["schemas"]["OrderOut"]["required"].remove("note"),
        "response 200/note: may now be missing",
    ),
    "a member that may be null": (
        lambda d: _response(d, "number").update(anyOf=[{"type": _response(d, "number").pop("type")}, {"type": "null"}]),
        "response 200/number: type was string, is string or null",
    ),
    "the type of a response member": (
        lambda d: _response(d, "id").update(type="string"),
        "response 200/id: type was integer, is string",
    ),
    "another value of a response member": (
        lambda d: _response(d, "status")["enum"].append("lost"),
        "response 200/status: values was",
    ),
    "the format of a response member": (
        lambda d: _response(d, "created_at").pop("format"),
        "format was date-time, is not set",
    ),
    "an item": (
        lambda d: d["components"]["schemas"]["OrderLineOut"]["properties"].pop("title"),
        "response 200/lines[]/title: was removed",
    ),
    "a code": (
        lambda d: d["components"]["responses"]["409.ORDER_STATE"]["content"]["application/problem+json"]["schema"][
            "properties"
        ]["code"]["enum"].append("ORDER_LOST"),
        "response 409/code: values was ['ORDER_STATE'], is ['ORDER_STATE', 'ORDER_LOST']",
    ),
}
ADDITIONS: dict[str, Change] = {
    "a path": lambda d: d["paths"].update({"/api/v1/news": {"get": {}}}),
    "a method": lambda d: d["paths"]["/api/v1/orders"].update({"put": {}}),
    "a parameter": lambda d: _get(d)["parameters"].append({"in": "query", "name": "x", "schema": {"type": "string"}}),
    "a status": lambda d: _get(d)["responses"].update({"410": {"description": "It was sold."}}),
    "a header": lambda d: _get(d)["responses"]["200"]["headers"].update({"X-More": {}}),
    "another security scheme": lambda d: _post(d)["security"].append({"key": []}),
    "no security requirement": lambda d: _post(d).update(security=[{}]),
    "a member of a body": lambda d: d["components"]["schemas"]["NewBook"]["properties"].update(
        {"x": {"type": "string"}}
    ),
    "an optional member": lambda d: d["components"]["schemas"]["NewBook"]["required"].remove("price_cents"),
    "a higher limit": lambda d: _book(d, "title").update(maxLength=900),
    "another value": lambda d: _parameter(d, "sort")["schema"]["enum"].append("stock"),
    "a member that may be null": lambda d: _book(d, "price_cents").update(
        anyOf=[{"type": _book(d, "price_cents").pop("type")}, {"type": "null"}]
    ),
    "no pattern": lambda d: _book(d, "title").pop("pattern"),
    "a member of a response": lambda d: d["components"]["schemas"]["OrderOut"]["properties"].update({"x": {}}),
    "fewer values of a response member": lambda d: _response(d, "status")["enum"].remove("ready"),
    "never null": lambda d: _response(d, "note").update(type="string", anyOf=[{"type": "string"}]),
    "words": lambda d: _get(d).update(summary="Lists books.", description="All of them."),
}


def _changed(change: Change) -> list[str]:
    new = deepcopy(published())
    change(new)
    return breaks(published(), new)


@pytest.mark.parametrize(("change", "words"), BREAKS.values(), ids=BREAKS)
def test_breaking_changes_are_reported_with_their_location(change, words):
    found = _changed(change)
    assert any(words in sentence for sentence in found), found


@pytest.mark.parametrize("change", ADDITIONS.values(), ids=ADDITIONS)
def test_additions_break_nothing(change):
    assert _changed(change) == []
