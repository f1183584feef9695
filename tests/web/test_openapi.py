"""The OpenAPI document: valid, complete, with scopes and examples, and the same for everyone on both databases."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from bookshop.accounts.scopes import SCOPES
from bookshop.web.openapi import document
from bookshop.web.problems import PROBLEMS
from tests.support.routes import ROUTES, routes_of

ABOUT_ITSELF = "GET /api/v1/openapi.json"
REFUSALS = {
    *("NotFound", "Conflict", "Invalid", "NotAuthenticated", "Forbidden", "Busy"),
    *("PreconditionFailed", "InsufficientStock"),
}
NAMES_A_CODE = re.compile(r"[A-Z]+(_[A-Z0-9]+)+")
# Codes raised only for pages, commands and e-mail, never by a JSON view.
OF_PAGES = {
    *("USER_NOT_FOUND", "USER_LAST_OWNER", "USER_IS_YOURSELF", "USER_DEACTIVATED", "EMAIL_TAKEN", "EMAIL_RESERVED"),
    *("TOKEN_NOT_FOUND", "TOKEN_LIMIT_REACHED", "LINK_NOT_FOUND", "MESSAGE_NOT_FOUND"),
    *("USER_ROLE_UNCHANGED", "USER_NO_SECOND_FACTOR", "USER_UNCONFIRMED"),
    *("IMPORT_NOT_FOUND", "IMPORT_CHANGED", "IMPORT_NOT_READY", "SHOP_CHANGED", "SHOP_HAS_OWNER"),
    *("PAGE_NOT_FOUND", "PAGE_EXISTS", "PAGE_CHANGED", "PAGE_LIMIT_REACHED"),
    "RETURN_NOT_FOUND",
    *("PICK_SHELF_NOT_FOUND", "PICK_SHELF_EXISTS", "PICK_SHELF_LIMIT", "PICK_SHELF_CHANGED"),
    *("PICK_NOT_FOUND", "PICK_EXISTS", "PICK_LIMIT", "PICK_CHANGED", "PICK_WITHDRAWN"),
    "STOCK_CHANGED",  # their forms state what they were created from
}


@pytest.fixture(scope="module")
def spec(shared_app: Flask) -> dict[str, Any]:
    """The document, generated for this database."""
    document.cache_clear()
    with shared_app.app_context():
        return document()


@pytest.fixture(scope="module")
def operations(spec: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, ways in spec["paths"].items()
        for method, operation in ways.items()
    }


def test_the_document_is_valid_openapi_3_1(spec):
    assert spec["openapi"].startswith("3.1.")
    validate(spec, cls=OpenAPIV31SpecValidator)


def test_an_invalid_document_is_detected(spec):
    broken = {**spec, "paths": {"/api/v1/books": {"get": {"responses": {"200": {}}}}}}
    with pytest.raises(Exception, match="description"):
        validate(broken, cls=OpenAPIV31SpecValidator)


def test_the_document_has_exactly_the_json_routes(shared_app, operations):
    assert set(operations) == {route for route in routes_of(shared_app) if "/api/v1/" in route} - {ABOUT_ITSELF}


def test_every_operation_has_a_summary_a_tag_and_a_unique_id(operations):
    for name, operation in operations.items():
        assert operation["summary"].endswith("."), name
        assert len(operation["tags"]) == 1, name
    assert len({operation["operationId"] for operation in operations.values()}) == len(operations)


def test_every_operation_states_its_scope(operations):
    for name, operation in operations.items():
        open_to_all = "nobody" in ROUTES[name][0]
        scopes = [scope for demand in operation["security"] for held in demand.values() for scope in held]
        assert ({} in operation["security"]) == open_to_all, name
        assert (scopes == []) if open_to_all else (len(scopes) == 1 and scopes[0] in SCOPES), name


def _examples(operation: dict[str, Any], spec: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """Yield each place for an example, the schema it must fit, and the example."""
    found = []
    for given in operation.get("parameters", []):
        shown = [given["example"]] if "example" in given else given["schema"].get("examples", [])
        if shown or not _is_free_text(given["schema"]):
            found.append((given["name"], given["schema"], shown[0] if shown else None))
    contents = [("body", operation.get("requestBody", {}).get("content", {}))]
    contents += [(status, _of(answer, spec).get("content", {})) for status, answer in operation["responses"].items()]
    for where, content in contents:
        for kind, media in content.items():
            many = [given["value"] for given in media.get("examples", {}).values()]
            if "json" in kind:
                found += [(where, media["schema"], example) for example in many or [media.get("example")]]
    return found


def _of(answer: dict[str, Any], spec: dict[str, Any]) -> dict[str, Any]:
    name = answer.get("$ref", "").removeprefix("#/components/responses/")
    return spec["components"]["responses"][name] if name else answer


def _is_free_text(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "string" and not {"enum", "const", "format"} & set(schema)


def test_every_body_parameter_and_response_has_an_example_that_fits_its_schema(spec, operations):
    wrong = []
    for name, operation in operations.items():
        for where, schema, example in _examples(operation, spec):
            whole = {**schema, "components": spec["components"]}
            wrong += [
                f"{name}, {where}: {error.message[:200]}" for error in Draft202012Validator(whole).iter_errors(example)
            ]
    assert wrong == []


# ---------------------------------------------------------------- codes


def _codes_in_the_package() -> set[str]:
    """Return all codes raised: those passed to exceptions and those of exception classes."""
    found = set()
    for file in Path(document.__wrapped__.__code__.co_filename).parents[1].rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            given: list[ast.expr] = []
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") in REFUSALS:
                given = [*node.args[1:], *(keyword.value for keyword in node.keywords)]
            elif isinstance(node, ast.Assign) and _names(node.targets[0]) & {"code", "EMAIL_TAKEN"}:
                given = getattr(node.value, "elts", [node.value])
            found |= {str(part.value) for part in given if isinstance(part, ast.Constant) and part.value}
    return {code for code in found if NAMES_A_CODE.fullmatch(code)}


def _names(target: ast.expr) -> set[str]:
    """Return the names to which a statement assigns, one or several."""
    return {getattr(one, "id", "") for one in getattr(target, "elts", [target])}


def test_every_raised_code_is_documented_or_belongs_to_pages():
    raised = _codes_in_the_package()
    assert raised - set(PROBLEMS) == OF_PAGES
    assert {code for code in PROBLEMS if not code.startswith("HTTP_")} <= raised | {"FORBIDDEN", "NOT_AUTHENTICATED"}


def test_every_problem_is_documented_at_the_operations_that_may_return_it(spec, operations):
    documented = {code for operation in operations.values() for code in codes_of(operation, spec)}
    assert documented == set(PROBLEMS)


def codes_of(operation: dict[str, Any], spec: dict[str, Any]) -> set[str]:
    """Return the problem codes that an operation may return."""
    problems = [
        media["schema"]
        for answer in operation["responses"].values()
        for kind, media in _of(answer, spec).get("content", {}).items()
        if "problem" in kind
    ]
    return {code for schema in problems for code in schema["properties"]["code"]["enum"]}


# ---------------------------------------------------------------- audience


def test_the_document_is_the_same_for_everyone(shop, api_client):
    shop.customer("ada@example.com")
    shop.staff("staff@example.com")
    answers = [
        api_client(email).get("/api/v1/openapi.json") for email in (None, "ada@example.com", "staff@example.com")
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert len({answer.text for answer in answers}) == 1


MADE: list[dict[str, Any]] = []


def test_the_document_is_the_same_on_every_database(spec):
    MADE.append(spec)
    assert all(made == spec for made in MADE)
