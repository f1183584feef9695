"""The OpenAPI 3.1 document of the JSON API, built from the models and decorators that validate requests.

spectree collects routes and models. This module adds error codes, scopes, headers, links and examples.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from copy import deepcopy
from functools import cache
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app, jsonify, render_template

from bookshop.accounts.models import CUSTOMER, STAFF_ROLES
from bookshop.accounts.scopes import SCOPES
from bookshop.idempotency.models import KEY_MAX
from bookshop.web.contract import Operation, spec
from bookshop.web.examples import example_of
from bookshop.web.problems import PROBLEMS, by_status
from bookshop.web.schemas import ProblemOut

PREFIX = "/api/v1/"
VERSION = "1"
SCHEMA_OF = "#/components/schemas/"
RULE_PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
ABOUT = (
    "Browse the catalogue, reserve books that are out of stock, and place orders; staff also manage stock, orders and "
    "reports. Integers must be JSON integers, unknown members are refused, times are RFC 3339 in UTC, and money is in "
    "minor units of a currency. Every error is a problem (RFC 9457) with a `code`. To get a token, log in and go to "
    "*Account, API tokens*."
)
# The tags in the order in which they are shown; any others follow.
TAGS = ("Books", "Pre-bookings", "Cart", "Orders", "Stock", "Reports", "Orders, for staff")
HEADERS: Mapping[str, tuple[str, str]] = {
    "RateLimit": ("The requests left (`r`), and the seconds until the limit resets (`t`).", '"requests";r=5999;t=60'),
    "RateLimit-Policy": ("The number of requests (`q`) allowed in `w` seconds.", '"requests";q=6000;w=60'),
    "X-Request-Id": ("Identifies the request in the shop's log.", "0d9c1f6c1b0c4a57"),
    "ETag": ("Identifies the current state. A weak one (`W/`) works only with `If-None-Match`.", '"7"'),
    "Location": ("The address of the new resource.", "/api/v1/books/1"),
    "Retry-After": ("The number of seconds to wait before retrying.", "2"),
    "WWW-Authenticate": ("Why the token was refused (RFC 6750).", "Bearer"),
}
ALWAYS = ("RateLimit", "RateLimit-Policy", "X-Request-Id")
ON_STATUS: Mapping[int, Iterable[str]] = {
    201: ("Location",),
    304: ("ETag",),
    401: ("WWW-Authenticate",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
IDEMPOTENCY_KEY_SCHEMA = {"minLength": 1, "maxLength": KEY_MAX, "pattern": "^[!-~]([ -~]*[!-~])?$"}
# For links: the model of a response, and the path parameter that takes its id.
ID_PARAMETERS = {
    "AnyBookOut": "book_id",
    "StaffBookOut": "book_id",
    "RestockedBookOut": "book_id",
    "PreBookOut": "prebook_id",
    "StaffPreBookOut": "prebook_id",
    "OrderOut": "order_id",
    "StaffOrderOut": "order_id",
    "CartItemOut": "book_id",
    "WebhookWithSecretOut": "webhook_id",
}

Document = dict[str, Any]


def init_app(app: Flask) -> None:
    app.add_url_rule(f"{PREFIX}openapi.json", "openapi", openapi)
    app.add_url_rule("/api/docs", "docs", docs)


def openapi() -> Response:
    """Return the document as JSON."""
    return jsonify(document())


def docs() -> str:
    """Show the document with Swagger UI."""
    return render_template("api/docs.html")


@cache
def document() -> Document:
    """Build the document from the routes of the running application, once per process."""
    built: Document = deepcopy(spec.spec)
    del built["security"]
    built["tags"] = [{"name": tag} for tag in TAGS]
    built["info"] = {"title": "Bookshop", "version": VERSION, "description": ABOUT}
    scopes = "\n".join(f"- `{name}`: {scope.words}" for name, scope in SCOPES.items())
    token = {"type": "http", "scheme": "bearer", "description": f"An API token. Its scopes:\n\n{scopes}"}
    collected = built["components"]["schemas"]
    schemas = {
        name: schema for name, schema in collected.items() if not name.startswith(("ValidationError", "PageQuery"))
    }
    problem = ProblemOut.model_json_schema(ref_template=SCHEMA_OF + "{model}")
    schemas |= {**problem.pop("$defs"), "ProblemOut": problem}
    headers = {name: _response_header(*described) for name, described in HEADERS.items()}
    responses: Document = {}
    built["components"] = {
        "schemas": schemas,
        "responses": responses,
        "headers": headers,
        "securitySchemes": {"token": token},
    }
    for path, operations in built["paths"].items():
        for method, entry in operations.items():
            _complete(entry, (path, method), schemas, responses)
    _add_links(built["paths"], schemas)
    return built


def _response_header(description: str, example: str) -> Document:
    return {"description": description, "required": True, "schema": {"type": "string"}, "example": example}


def _complete(entry: Document, route: tuple[str, str], schemas: Document, responses: Document) -> None:
    """Add to an operation what spectree does not know; errors that it shares with others go into `responses`."""
    path, method = route
    endpoint = _endpoint(path, method)
    view = current_app.view_functions[endpoint]
    operation: Operation = vars(view)["operation"]
    entry["operationId"] = endpoint.replace(".api_", "_")
    entry["summary"] = entry["summary"].replace("`", "")  # summaries are plain text
    entry["tags"] = [operation.tag]
    entry["security"] = [{"token": [operation.scope]}] if operation.scope else [{}, {"token": []}]
    entry["description"] = " ".join(filter(None, (entry["description"], _access(view, operation))))
    entry["parameters"] = [_parameter(parameter, schemas) for parameter in entry["parameters"]] + list(
        _request_headers(operation, method)
    )
    for media in entry.get("requestBody", {}).get("content", {}).values():
        media["example"] = example_of(media["schema"], schemas)
    codes = _codes(entry, operation, path, method)
    successes = {status: response for status, response in entry["responses"].items() if int(status) < 400}
    entry["responses"] = {
        **{status: _success(success, int(status), method, operation, schemas) for status, success in successes.items()},
        **({"304": _response(304, "Not modified: your copy is current.")} if method == "get" else {}),
        **{str(status): _error(status, names, responses) for status, names in sorted(by_status(codes).items())},
    }


def _error(status: int, codes: Iterable[str], responses: Document) -> Document:
    """Return a reference to the response for these codes; operations with the same codes share it."""
    names = sorted(codes)
    key = ".".join([str(status), *(name for name in names if not name.endswith(str(status)))])
    responses.setdefault(key, _problems(status, names))
    return {"$ref": f"#/components/responses/{key}"}


def _endpoint(path: str, method: str) -> str:
    rules = [rule for rule in current_app.url_map.iter_rules() if RULE_PARAMETER.sub(r"{\1}", rule.rule) == path]
    return str(next(rule.endpoint for rule in rules if method.upper() in (rule.methods or ())))


def _roles(path: str, method: str) -> Collection[str] | None:
    """Return the roles of which an operation requires one; None if it is open to anyone."""
    return vars(current_app.view_functions[_endpoint(path, method)]).get("roles")


def _needs_fresh_login(path: str, method: str) -> bool:
    """Whether a session, unlike a token, has to be confirmed for this operation."""
    return bool(vars(current_app.view_functions[_endpoint(path, method)]).get("fresh"))


def _access(view: Callable[..., Any], operation: Operation) -> str:
    if operation.scope is None:
        return "Open to anyone."
    accounts = "customers" if CUSTOMER in vars(view)["roles"] else "staff"
    return f"For {accounts}; a token needs the scope `{operation.scope}`."


def _parameter(described: Mapping[str, Any], schemas: Document) -> Document:
    """Complete a parameter. The model's None means that it is left out, so null is removed from its schema."""
    schema = dict(described["schema"])
    for choice in schema.pop("anyOf", ()):
        if choice != {"type": "null"}:
            schema |= choice
    if schema.get("default", "") is None:
        del schema["default"]
    description = described["description"] or schema.get("description", "")
    completed = {**described, "schema": schema, "description": description}
    if (example := example_of(schema, schemas, described["name"])) is not None and example != "text":
        completed |= _with_example(schema, example, required=described["required"])
    return completed


def _with_example(schema: Mapping[str, Any], example: Any, *, required: bool) -> Document:
    """Put the example of an optional parameter in its schema: Swagger UI would prefill the field with any other."""
    return {"example": example} if required else {"schema": {**schema, "examples": [example]}}


def _request_headers(operation: Operation, method: str) -> Iterable[Document]:
    """Describe the request headers that an operation takes."""
    if method == "get":
        yield _request_header("If-None-Match", "ETags of your copies. If one is current, the response is 304.", '"7"')
    if operation.if_match:
        yield _request_header("If-Match", "Make the change only if the current ETag is one of these.", "*")
    if operation.idempotent:
        description = "A new key for each request. A retry with the same key has no second effect."
        yield _request_header("Idempotency-Key", description, "may-42", IDEMPOTENCY_KEY_SCHEMA)


def _request_header(name: str, description: str, example: str, schema: Mapping[str, Any] | None = None) -> Document:
    text = {"type": "string", **(schema or {})}
    header = {"name": name, "in": "header", "description": description, "schema": text}
    return {**header, **_with_example(text, example, required=False)}


def _codes(entry: Document, operation: Operation, path: str, method: str) -> list[str]:
    """List all error codes that an operation may return."""
    parameters = {parameter["name"] for parameter in entry["parameters"] if parameter["in"] == "query"}
    conditions = {
        ("HTTP_429", "HTTP_500", "HTTP_503", "NOT_AUTHENTICATED"): True,
        ("FORBIDDEN",): operation.scope is not None,
        ("SECOND_FACTOR_REQUIRED",): set(_roles(path, method) or (CUSTOMER,)) <= set(STAFF_ROLES),
        ("FRESH_LOGIN_REQUIRED",): _needs_fresh_login(path, method),
        ("HTTP_404",): "{" in path,
        ("CURSOR_NOT_FOUND",): "cursor" in parameters,
        ("HTTP_400", "HTTP_413", "OUTCOME_UNKNOWN"): method != "get",
        ("HTTP_415",): "requestBody" in entry,
        ("VALIDATION_ERROR",): "requestBody" in entry or bool(parameters),
        ("HTTP_412",): operation.if_match,
        ("IDEMPOTENCY_IN_FLIGHT", "IDEMPOTENCY_MISMATCH"): operation.idempotent,
    }
    return [*operation.problems, *(code for codes, applies in conditions.items() if applies for code in codes)]


def _success(response: Document, status: int, method: str, operation: Operation, schemas: Document) -> Document:
    for media in response.get("content", {}).values():
        media["example"] = example_of(media["schema"], schemas)
    if operation.csv:
        response["content"]["text/csv"] = {"schema": {"type": "string"}}
    etag = operation.if_match or method == "get"
    return {**response, **_response(status, response["description"], etag=etag)}


def _response(status: int, description: str, *, etag: bool = False) -> Document:
    names = [*ALWAYS, *ON_STATUS.get(status, ()), *(["ETag"] if etag else [])]
    return {"description": description, "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names}}


def _problems(status: int, names: Sequence[str]) -> Document:
    """Describe an error response that has one of these codes, with an example for each."""
    schema = {"$ref": f"{SCHEMA_OF}ProblemOut", "properties": {"code": {"enum": names}, "status": {"const": status}}}
    examples = {name: {"summary": PROBLEMS[name].explanation, "value": _problem(status, name)} for name in names}
    content = {"application/problem+json": {"schema": schema, "examples": examples}}
    description = " ".join(f"`{name}`: {PROBLEMS[name].explanation}" for name in names)
    return {**_response(status, description), "content": content}


def _problem(status: int, code: str) -> Document:
    title = HTTPStatus(status).phrase
    detail = PROBLEMS[code].explanation
    return {"type": "about:blank", "title": title, "status": status, "detail": detail, "code": code}


def _add_links(paths: Document, schemas: Document) -> None:
    """Link each response that has an id to the operations that take that id and are open to the same role."""
    all_operations = [
        (path, _roles(path, method), entry)
        for path, operations in paths.items()
        for method, entry in operations.items()
    ]
    for _path, roles, entry in all_operations:
        targets = [(path, target) for path, required, target in all_operations if len({None, roles, required}) < 3]
        for status in ("200", "201"):
            for media in entry["responses"].get(status, {}).get("content", {}).values():
                links = dict(_links(media["schema"].get("$ref", ""), targets, schemas))
                if links:
                    entry["responses"][status]["links"] = links


def _links(
    reference: str, targets: Iterable[tuple[str, Document]], schemas: Document
) -> Iterable[tuple[str, Document]]:
    """Yield a link for each operation that takes the id of the referenced model in its path or in its body."""
    model = reference.removeprefix(SCHEMA_OF)
    name = ID_PARAMETERS.get(model.removesuffix("List"))
    expression = "$response.body#/items/0/id" if model.endswith("List") else "$response.body#/id"
    for path, target in targets:
        if name and "{" + name + "}" in path:
            yield target["operationId"], {"operationId": target["operationId"], "parameters": {name: expression}}
        for media in target.get("requestBody", {}).get("content", {}).values():
            body = schemas[media["schema"]["$ref"].removeprefix(SCHEMA_OF)]
            if name in body.get("required", ()):
                yield target["operationId"], {"operationId": target["operationId"], "requestBody": {name: expression}}
