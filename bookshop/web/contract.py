"""JSON under /api/v1/: requests validated by the models that document them, ETags, and lists with cursors."""

import hashlib
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar, cast
from urllib.parse import urlencode

from flask import Response, current_app, request
from flask_login import current_user
from itsdangerous import BadSignature, URLSafeSerializer
from pydantic import BaseModel
from spectree import Response as DeclaredResponses
from spectree import SpecTree
from spectree.plugins.flask_plugin import FlaskPlugin
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from bookshop.kit.database import Page
from bookshop.kit.exceptions import InsufficientScope, MalformedRequest, NotFound
from bookshop.kit.pagination import Cursor, PageRequest
from bookshop.web.schemas import ListOf, PageQuery

View = TypeVar("View", bound=Callable[..., Any])
Item = TypeVar("Item", bound=BaseModel)

ENCODING_SUFFIX = re.compile(r":(br|gzip)$")  # the suffix that compression adds to an ETag


@dataclass(frozen=True)
class Operation:
    """What the OpenAPI document states about a JSON view besides its models.

    `problems` are its own error codes and `scope` is what a token needs. `idempotent` views take an Idempotency-Key,
    `if_match` views an If-Match header; `csv` views can also return CSV. `tag` is the view's OpenAPI tag.
    """

    problems: Sequence[str] = ()
    scope: str | None = None
    idempotent: bool = False
    if_match: bool = False
    csv: bool = False
    tag: str = ""


def _refuse(_request: Any, _response: Any, error: Any, *_unused: Any) -> None:
    """Raise MalformedRequest for spectree's validation errors."""
    if error is not None:
        raise MalformedRequest([_member_error(detail) for detail in error.errors()])


def _member_error(detail: Any) -> dict[str, str]:
    return {"detail": detail["msg"].removeprefix("Value error, "), "pointer": pointer(detail["loc"])}


def pointer(path: Sequence[str | int]) -> str:
    """Return the JSON Pointer of a path, as a URI fragment (RFC 6901, 6)."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in path)
    return "#" + "".join(f"/{part}" for part in parts)


class Plugin(FlaskPlugin):
    """spectree's Flask plugin without response validation: our responses are built from the models already."""

    def validate_response(self, resp: Response, *_unused: Any) -> tuple[Response, None]:
        return resp, None


def _component(model: type[BaseModel]) -> str:
    """Name a model in the OpenAPI document: ListOf[BookOut] becomes BookOutList."""
    return re.sub(r"ListOf\[(\w+)\]", r"\1List", model.__name__)


spec = SpecTree(
    backend=Plugin,
    mode="strict",
    before=_refuse,
    naming_strategy=_component,
    nested_naming_strategy=lambda _parent, child: child,
    page_templates={},
)


def contract(*problems: str, **options: Any) -> Callable[[View], View]:
    """Validate a view's request with the models that annotate its `json` and `query`, and document the view.

    `problems` are the view's own error codes; those of all views are added. `options` are the models of its responses
    (`HTTP_200=Model`) and fields of Operation. The view raises InsufficientScope, MalformedRequest, or Flask's 400 or
    415 for a body that is not JSON.
    """
    responses = {name: options.pop(name) for name in list(options) if name.startswith("HTTP_")}
    operation = Operation(problems=problems, **options)

    def decorate(view: View) -> View:
        validated = spec.validate(resp=DeclaredResponses(**responses))(view)

        @wraps(validated)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if operation.scope is not None and not current_user.may(operation.scope):
                raise InsufficientScope(operation.scope)
            if "json" in view.__annotations__:
                _check_body()
            return validated(*args, **kwargs)

        vars(wrapper)["operation"] = operation
        return cast(View, wrapper)

    return decorate


def _check_body() -> None:
    """Let Flask refuse a missing or malformed body first; spectree would treat it as an empty object."""
    try:
        body = request.get_json()
    except UnsupportedMediaType:
        raise
    except BadRequest:
        raise BadRequest("The body is not valid JSON.") from None
    except RecursionError:
        raise MalformedRequest([{"detail": "The JSON is nested too deeply.", "pointer": "#"}]) from None
    if not isinstance(body, dict):
        raise MalformedRequest([{"detail": "The body must be a JSON object.", "pointer": "#"}])


# ---------------------------------------------------------------- responses and ETags


def json_response(
    model: BaseModel, status: int = 200, headers: dict[str, str] | None = None, etag: str | None = None
) -> Response:
    """Return the model as a JSON response, with headers as `with_etag` sets them."""
    return with_etag(Response(model.model_dump_json(), status, headers, mimetype="application/json"), etag)


def with_etag(response: Response, etag: str | None = None) -> Response:
    """Set the response's ETag, and answer a GET with 304 if If-None-Match has it (RFC 9110, 13).

    Without `etag`, a GET gets a weak one: a hash of the content.
    """
    is_read = request.method in {"GET", "HEAD"}
    if etag is None and not is_read:
        return response
    weak = etag is None
    etag = etag or hashlib.sha256(response.get_data()).hexdigest()[:32]
    if is_read and _is_known(etag):
        response = Response(status=304)
    response.set_etag(etag, weak=weak)
    return response


def _is_known(etag: str) -> bool:
    known = request.if_none_match
    return known.star_tag or etag in _strip_suffixes(known.as_set(include_weak=True))


def if_match_etags() -> Collection[str] | None:
    """Return the ETags of If-Match (RFC 9110, 13.1.1); None if there is no such header or it is `*`.

    Weak ones are accepted too: nginx weakens ours when it compresses, and they still identify a state of the book.
    """
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return None
    return _strip_suffixes(request.if_match.as_set(include_weak=True))


def _strip_suffixes(tags: Collection[str | None]) -> Collection[str]:
    """Return ETags without the suffix of compressed responses; werkzeug gives None for an empty one."""
    return {ENCODING_SUFFIX.sub("", tag) for tag in tags if tag}


# ---------------------------------------------------------------- lists


def list_response(page: Page[Any], items: list[Item]) -> Response:
    """Return one page of a list as JSON, with a Link header (RFC 8288) to the next page by cursor.

    If the request has a `cursor`, the body has `next_cursor` too.
    """
    cursor, headers = None, {}
    if page.next_keys is not None:
        cursor = str(_cursors().dumps([*page.next_keys, page.total, page.page + 1]))
        query = urlencode({**request.args.to_dict(), "cursor": cursor})
        headers["Link"] = f'<{request.path}?{query}>; rel="next"'
    body = ListOf[Any](items=items, total=page.total, page=page.page, size=page.size, next_cursor=cursor)
    excluded = set() if "cursor" in request.args else {"next_cursor"}
    return with_etag(Response(body.model_dump_json(exclude=excluded), headers=headers, mimetype="application/json"))


def page_request(query: PageQuery) -> PageRequest:
    """Return the requested page: a number, or a Cursor. An empty cursor requests the first page.

    Raises NotFound for a cursor that was not issued to this user for this list, filters and sort order.
    """
    if not query.cursor:
        return query.page if query.cursor is None else 1
    try:
        *keys, total, page = _cursors().loads(query.cursor)
    except BadSignature:
        raise NotFound(
            "This cursor does not belong to this list. Use `next_cursor` of the previous page, with the same filters "
            "and sort order.",
            "CURSOR_NOT_FOUND",
        ) from None
    return Cursor(keys, total, page)


def _cursors() -> URLSafeSerializer:
    """Return the signer of cursors for this list and user, so that no other cursor is accepted."""
    filters = sorted(item for item in request.args.items(multi=True) if item[0] not in PageQuery.model_fields)
    user_id = getattr(current_user, "user_id", None)
    return URLSafeSerializer(current_app.secret_key or "", salt=f"cursor {request.path} {filters} {user_id}")
