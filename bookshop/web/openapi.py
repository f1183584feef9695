"""The OpenAPI 3.1 document of the JSON: what the models and decorators that check requests say of themselves.

spectree collects models and routes. It does not know problems, scopes, headers, links and examples: these are added.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from functools import cache
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, current_app, jsonify, render_template

from bookshop.accounts.models import CUSTOMER, STAFF
from bookshop.accounts.scopes import SCOPES
from bookshop.idempotency.models import KEY_MAX
from bookshop.web.contract import Operation, spec
from bookshop.web.examples import example_of
from bookshop.web.problems import PROBLEMS, by_status
from bookshop.web.schemas import ProblemOut

PREFIX = "/api/v1/"
VERSION = "1"
SCHEMA_OF = "#/components/schemas/"
IN_RULE = re.compile(r"<(?:\w+:)?(\w+)>")
ABOUT = (
    "Browse the catalogue, reserve what is out of stock, order; for staff stocks, orders and reports. Integers are "
    "integers, unknown members are refused, times are RFC 3339 in UTC, money is in minor units of a currency. "
    "Every refusal is a problem (RFC 9457) with a `code`. Who has an account makes a token under *Account, API tokens*."
)
# In which order the chapters are shown; any others come after these.
CHAPTERS = ("Books", "Pre-bookings", "Cart", "Orders", "Stock", "Reports", "Orders, for staff")
HEADERS: Mapping[str, tuple[str, str]] = {
    "RateLimit": ("How many requests are left, and for how many seconds.", '"requests";r=5999;t=60'),
    "RateLimit-Policy": ("How many requests there are in how many seconds.", '"requests";q=6000;w=60'),
    "X-Request-Id": ("Names the request in the log of the shop.", "0d9c1f6c1b0c4a57"),
    "ETag": ("Stands for the present state; one with `W/` is for `If-None-Match` alone.", '"7"'),
    "Location": ("The address of what was made.", "/api/v1/books/1"),
    "Retry-After": ("In how many seconds to try again.", "2"),
    "WWW-Authenticate": ("What the token lacks (RFC 6750).", "Bearer"),
}
ALWAYS = ("RateLimit", "RateLimit-Policy", "X-Request-Id")
ON_STATUS: Mapping[int, Iterable[str]] = {
    201: ("Location",),
    304: ("ETag",),
    401: ("WWW-Authenticate",),
    429: ("Retry-After",),
    503: ("Retry-After",),
}
KEY = {"minLength": 1, "maxLength": KEY_MAX, "pattern": "^[!-~]([ -~]*[!-~])?$"}
# What an answer is, and what its id is called in the addresses that lead on from there.
LINKED = {
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
    """The document, for programs."""
    return jsonify(document())


def docs() -> str:
    """The document, for people, who can try it."""
    return render_template("api/docs.html")


@cache
def document() -> Document:
    """The document, made once, from the routes of the running application."""
    found: Document = deepcopy(spec.spec)
    del found["security"]
    found["tags"] = [{"name": chapter} for chapter in CHAPTERS]
    found["info"] = {"title": "Bookshop", "version": VERSION, "description": ABOUT}
    scopes = ", ".join(f"`{name}` to {scope.words}" for name, scope in SCOPES.items())
    token = {"type": "http", "scheme": "bearer", "description": f"An API token. Its scopes: {scopes}."}
    schemas = found["components"]["schemas"]
    used = {name: schema for name, schema in schemas.items() if not name.startswith(("ValidationError", "PageQuery"))}
    problem = ProblemOut.model_json_schema(ref_template=SCHEMA_OF + "{model}")
    used |= {**problem.pop("$defs"), "ProblemOut": problem}
    headers = {name: _header(*said) for name, said in HEADERS.items()}
    shared: Document = {}
    found["components"] = {
        "schemas": used,
        "responses": shared,
        "headers": headers,
        "securitySchemes": {"token": token},
    }
    for path, operations in found["paths"].items():
        for method, said in operations.items():
            _complete(said, (path, method), used, shared)
    _link(found["paths"], used)
    return found


def _header(words: str, example: str) -> Document:
    return {"description": words, "required": True, "schema": {"type": "string"}, "example": example}


def _complete(said: Document, route: tuple[str, str], schemas: Document, shared: Document) -> None:
    """Say of an operation what only its view knows."""
    path, method = route
    endpoint = _endpoint(path, method)
    view = current_app.view_functions[endpoint]
    operation: Operation = vars(view)["operation"]
    said["operationId"] = endpoint.replace(".api_", "_")
    said["summary"] = said["summary"].replace("`", "")  # it is plain text
    said["tags"] = [operation.tag]
    said["security"] = [{"token": [operation.scope]}] if operation.scope else [{}, {"token": []}]
    said["description"] = " ".join(filter(None, (said["description"], _for_whom(view, operation))))
    said["parameters"] = [_parameter(given, schemas) for given in said["parameters"]] + list(
        _headers(operation, method)
    )
    for media in said.get("requestBody", {}).get("content", {}).values():
        media["example"] = example_of(media["schema"], schemas)
    codes = _codes(said, operation, path, method)
    successes = {status: answer for status, answer in said["responses"].items() if int(status) < 400}
    said["responses"] = {
        **{status: _success(answer, int(status), method, operation, schemas) for status, answer in successes.items()},
        **({"304": _answer(304, "It is as you have it.")} if method == "get" else {}),
        **{str(status): _refusal(status, names, shared) for status, names in sorted(by_status(codes).items())},
    }


def _refusal(status: int, codes: Iterable[str], shared: Document) -> Document:
    """A reference to the answer with one of these codes, which many operations share."""
    names = sorted(codes)
    key = ".".join([str(status), *(name for name in names if not name.endswith(str(status)))])
    shared.setdefault(key, _problems(status, names))
    return {"$ref": f"#/components/responses/{key}"}


def _endpoint(path: str, method: str) -> str:
    rules = [rule for rule in current_app.url_map.iter_rules() if IN_RULE.sub(r"{\1}", rule.rule) == path]
    return str(next(rule.endpoint for rule in rules if method.upper() in (rule.methods or ())))


def _role(path: str, method: str) -> str | None:
    """Whose operation it is; None if it is anyone's."""
    return vars(current_app.view_functions[_endpoint(path, method)]).get("role")


def _for_whom(view: Callable[..., Any], operation: Operation) -> str:
    if operation.scope is None:
        return "For anyone."
    who = {CUSTOMER: "customers", STAFF: "staff"}[vars(view)["role"]]
    return f"For {who}, with a token of the scope `{operation.scope}`."


def _parameter(given: Mapping[str, Any], schemas: Document) -> Document:
    """A parameter; left out is not null there, as it is in the models."""
    schema = dict(given["schema"])
    for choice in schema.pop("anyOf", ()):
        if choice != {"type": "null"}:
            schema |= choice
    if schema.get("default", "") is None:
        del schema["default"]
    said = {**given, "schema": schema, "description": given["description"] or schema.get("description", "")}
    if (example := example_of(schema, schemas, given["name"])) is not None and example != "text":
        said |= _exemplified(schema, example, required=given["required"])
    return said


def _exemplified(schema: Mapping[str, Any], example: Any, *, required: bool) -> Document:
    """An example of a parameter; where it may be left out in the schema, as Swagger UI would fill in any other."""
    return {"example": example} if required else {"schema": {**schema, "examples": [example]}}


def _headers(operation: Operation, method: str) -> Iterable[Document]:
    """The headers that an operation looks at."""
    if method == "get":
        yield _asked("If-None-Match", "ETags that you have: if one still stands, the answer is 304.", '"7"')
    if operation.if_match:
        yield _asked("If-Match", "ETags of the states that the change is for; in another it is refused.", "*")
    if operation.once:
        yield _asked("Idempotency-Key", "Another for each request; sent again, it has no second effect.", "may-42", KEY)


def _asked(name: str, words: str, example: str, schema: Mapping[str, Any] | None = None) -> Document:
    written = {"type": "string", **(schema or {})}
    header = {"name": name, "in": "header", "description": words, "schema": written}
    return {**header, **_exemplified(written, example, required=False)}


def _codes(said: Document, operation: Operation, path: str, method: str) -> list[str]:
    """All that an operation may refuse with."""
    asked = {parameter["name"] for parameter in said["parameters"] if parameter["in"] == "query"}
    conditions = {
        ("HTTP_429", "HTTP_500", "HTTP_503", "NOT_AUTHENTICATED"): True,
        ("FORBIDDEN",): operation.scope is not None,
        ("HTTP_404",): "{" in path,
        ("CURSOR_NOT_FOUND",): "cursor" in asked,
        ("HTTP_400", "HTTP_413", "OUTCOME_UNKNOWN"): method != "get",
        ("HTTP_415",): "requestBody" in said,
        ("VALIDATION_ERROR",): "requestBody" in said or bool(asked),
        ("HTTP_412",): operation.if_match,
        ("IDEMPOTENCY_IN_FLIGHT", "IDEMPOTENCY_MISMATCH"): operation.once,
    }
    return [*operation.problems, *(code for codes, may in conditions.items() if may for code in codes)]


def _success(answer: Document, status: int, method: str, operation: Operation, schemas: Document) -> Document:
    for media in answer.get("content", {}).values():
        media["example"] = example_of(media["schema"], schemas)
    if operation.csv:
        answer["content"]["text/csv"] = {"schema": {"type": "string"}}
    etag = operation.if_match or method == "get"
    return {**answer, **_answer(status, answer["description"], etag=etag)}


def _answer(status: int, words: str, *, etag: bool = False) -> Document:
    names = [*ALWAYS, *ON_STATUS.get(status, ()), *(["ETag"] if etag else [])]
    return {"description": words, "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in names}}


def _problems(status: int, names: Sequence[str]) -> Document:
    """A refusal: one of these codes, each with an example."""
    schema = {"$ref": f"{SCHEMA_OF}ProblemOut", "properties": {"code": {"enum": names}, "status": {"const": status}}}
    examples = {name: {"summary": PROBLEMS[name].words, "value": _problem(status, name)} for name in names}
    content = {"application/problem+json": {"schema": schema, "examples": examples}}
    words = " ".join(f"`{name}`: {PROBLEMS[name].words}" for name in names)
    return {**_answer(status, words), "content": content}


def _problem(status: int, code: str) -> Document:
    title = HTTPStatus(status).phrase
    return {"type": "about:blank", "title": title, "status": status, "detail": PROBLEMS[code].words, "code": code}


def _link(paths: Document, schemas: Document) -> None:
    """Say of each answer that has an id where that id leads (`links`) those who may have the answer."""
    ways = [
        (path, _role(path, method), said) for path, operations in paths.items() for method, said in operations.items()
    ]
    for _path, role, said in ways:
        leading = [(to, way) for to, other, way in ways if len({None, role, other}) < 3]
        for status in ("200", "201"):
            for media in said["responses"].get(status, {}).get("content", {}).values():
                links = dict(_links(media["schema"].get("$ref", ""), leading, schemas))
                if links:
                    said["responses"][status]["links"] = links


def _links(model: str, ways: Iterable[tuple[str, Document]], schemas: Document) -> Iterable[tuple[str, Document]]:
    """The operations that take the id in an answer of this model: in their address, or in their body."""
    kind = model.removeprefix(SCHEMA_OF)
    name = LINKED.get(kind.removesuffix("List"))
    found = "$response.body#/items/0/id" if kind.endswith("List") else "$response.body#/id"
    for path, way in ways:
        if name and "{" + name + "}" in path:
            yield way["operationId"], {"operationId": way["operationId"], "parameters": {name: found}}
        for media in way.get("requestBody", {}).get("content", {}).values():
            asked = schemas[media["schema"]["$ref"].removeprefix(SCHEMA_OF)]
            if name in asked.get("required", ()):
                yield way["operationId"], {"operationId": way["operationId"], "requestBody": {name: found}}
