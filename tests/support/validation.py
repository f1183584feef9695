"""Validate requests as every view does, in a shop without a database, and return the errors."""

import json
from collections.abc import Callable, Mapping
from functools import cache
from inspect import unwrap
from typing import Any, get_type_hints

from flask import Flask, appcontext_pushed, g
from pydantic import BaseModel
from werkzeug.test import TestResponse

from bookshop import create_app
from bookshop.kit.exceptions import MalformedRequest
from bookshop.prebookings.schemas import NewPreBook
from bookshop.shop.service import NEW_SHOP
from bookshop.web import services
from bookshop.web.contract import contract
from bookshop.web.forms import ShopForm
from tests.support.routes import PLACEHOLDER
from tests.support.settings import settings_for

Errors = list[tuple[str, str]]  # JSON Pointer or field name, and message
Schema = type[BaseModel]
METHODS = {"GET", "POST", "PATCH"}  # of the JSON views with a body or a query


@cache
def shop_without_database() -> Flask:
    """Create the shop, with any database access failing, and with one more JSON view at /api/v1/shapes."""
    app = create_app(settings_for("sqlite:////nowhere/shop.db"))
    app.add_url_rule("/api/v1/shapes", "shapes", _view("json", NewPreBook), methods=["POST"])
    appcontext_pushed.connect(_describe, app)
    return app


def _describe(_app: Flask) -> None:
    """Let pages show a new shop, of which nothing need be read."""
    services.shop().details, services.content().links = NEW_SHOP, []


@cache
def _view(part: str, schema: Schema) -> Callable[[], str]:
    """Create a JSON view that takes this schema as its `json` or its `query` and does nothing."""

    def view(**_validated: Any) -> str:
        return ""

    view.__annotations__ = {part: schema}
    return contract()(view)


def errors_in_body(schema: Schema, body: Any) -> Errors:
    """Return a JSON view's errors for a body: pointers and details."""
    data = json.dumps(body)
    with shop_without_database().test_request_context(method="POST", data=data, content_type="application/json"):
        return _errors(_view("json", schema))


def errors_in_query(schema: Schema, query: str) -> Errors:
    """Return a JSON view's errors for a query string: pointers and details."""
    with shop_without_database().test_request_context(query_string=query):
        return _errors(_view("query", schema))


def _errors(view: Callable[[], str]) -> Errors:
    try:
        view()
    except MalformedRequest as malformed:
        return [(error["pointer"], error["detail"]) for error in malformed.errors]
    return []


def errors_in_form(form: Callable[[], ShopForm], fields: Mapping[str, Any]) -> Errors:
    """Return the errors of a form with these fields: field names and messages."""
    with shop_without_database().test_request_context(method="POST", data=fields):
        return errors_of(form())


def errors_of(form: ShopForm) -> Errors:
    """Return the errors of a form for the current request, without checking its CSRF token."""
    g.csrf_valid = True
    form.validate()
    return [(name or "", str(error)) for name, errors in form.errors.items() for error in errors]


def send_raw(data: bytes, content_type: str | None = "application/json") -> TestResponse:
    """Send bytes to a JSON view that expects a `book_id`."""
    return shop_without_database().test_client().post("/api/v1/shapes", data=data, content_type=content_type)


def schemas_in_use(part: str) -> set[Schema]:
    """Return the `json` or `query` schemas of all JSON views."""
    return set(routes_with(part).values())


def routes_with(part: str) -> dict[str, Schema]:
    """Return the routes, written as in ROUTES, whose views take a `json` or a `query`, with its schema."""
    schemas = {}
    for rule in shop_without_database().url_map.iter_rules():
        hints = get_type_hints(unwrap(shop_without_database().view_functions[rule.endpoint]))
        if part in hints and rule.endpoint != "shapes":
            path = PLACEHOLDER.sub(r"{\1}", rule.rule)
            schemas.update({f"{method} {path}": hints[part] for method in (rule.methods or set()) & METHODS})
    return schemas
