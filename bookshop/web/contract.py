"""JSON under /api/v1/: one decorator that checks a request against its models, which also document it."""

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
from spectree import Response as Answers
from spectree import SpecTree
from spectree.plugins.flask_plugin import FlaskPlugin
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from bookshop.kit.database import Page
from bookshop.kit.exceptions import InsufficientScope, MalformedRequest, NotFound
from bookshop.kit.pagination import Cursor, PageRequest
from bookshop.web.schemas import ListOf, PageQuery

View = TypeVar("View", bound=Callable[..., Any])
Item = TypeVar("Item", bound=BaseModel)

ENCODED = re.compile(r":(br|gzip)$")  # what compressing an answer adds to its ETag


@dataclass(frozen=True)
class Operation:
    """What a JSON view promises besides its models: the scope that it needs, and what it may refuse with.

    With `once` it takes an Idempotency-Key, with `if_match` an If-Match; with `csv` it answers in CSV, too. `tag` names
    the chapter in which it stands.
    """

    problems: Sequence[str] = ()
    scope: str | None = None
    once: bool = False
    if_match: bool = False
    csv: bool = False
    tag: str = ""


def _refuse(_request: Any, _response: Any, error: Any, *_unused: Any) -> None:
    """Turn spectree's validation errors into ours."""
    if error is not None:
        raise MalformedRequest([_member_error(found) for found in error.errors()])


def _member_error(found: Any) -> dict[str, str]:
    return {"detail": found["msg"].removeprefix("Value error, "), "pointer": pointer(found["loc"])}


def pointer(path: Sequence[str | int]) -> str:
    """Where something is in a JSON body (RFC 6901, 6)."""
    parts = (str(part).replace("~", "~0").replace("/", "~1") for part in path)
    return "#" + "".join(f"/{part}" for part in parts)


class Plugin(FlaskPlugin):
    """spectree for Flask, but without checking a second time the answers that are made of the models."""

    def validate_response(self, resp: Response, *_unused: Any) -> tuple[Response, None]:
        return resp, None


def _component(model: type[BaseModel]) -> str:
    """The name of a model in the schema: ListOf[BookOut] is BookOutList."""
    return re.sub(r"ListOf\[(\w+)\]", r"\1List", model.__name__)


spec = SpecTree(
    backend=Plugin,
    mode="strict",
    before=_refuse,
    naming_strategy=_component,
    nested_naming_strategy=lambda _parent, child: child,
    page_templates={},
)


def contract(*problems: str, **promised: Any) -> Callable[[View], View]:
    """Check a view's request against the models that annotate its `json` and `query`; name what it answers.

    `problems` are the codes that it may refuse with, besides those that every view of its kind may; `promised` is what
    it answers (`HTTP_200=Model`) and members of Operation. Raises BeyondScope, Misshapen, or what Flask raises for a
    body that is no JSON at all (400, 415).
    """
    answers = {name: promised.pop(name) for name in list(promised) if name.startswith("HTTP_")}
    operation = Operation(problems=problems, **promised)

    def decorate(view: View) -> View:
        checked = spec.validate(resp=Answers(**answers))(view)

        @wraps(checked)
        def called(*args: Any, **kwargs: Any) -> Any:
            if operation.scope is not None and not current_user.may(operation.scope):
                raise InsufficientScope(operation.scope)
            if "json" in view.__annotations__:
                _check_body()
            return checked(*args, **kwargs)

        vars(called)["operation"] = operation
        return cast(View, called)

    return decorate


def _check_body() -> None:
    """spectree takes a missing or broken body for an empty object: let Flask refuse it first."""
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


# ---------------------------------------------------------------- answers


def answer(
    model: BaseModel, status: int = 200, headers: dict[str, str] | None = None, etag: str | None = None
) -> Response:
    """The model as a JSON response, with its ETag; on a GET 304 for who has it already (RFC 9110, 13).

    Without an `etag` of its own it has a weak one, of its content.
    """
    return tagged(Response(model.model_dump_json(), status, headers, mimetype="application/json"), etag)


def tagged(response: Response, etag: str | None = None) -> Response:
    """The response with its ETag, or 304 to a GET by who has it already."""
    looks = request.method in {"GET", "HEAD"}
    if etag is None and not looks:
        return response
    weak = etag is None
    etag = etag or hashlib.sha256(response.get_data()).hexdigest()[:32]
    if looks and _is_known(etag):
        response = Response(status=304)
    response.set_etag(etag, weak=weak)
    return response


def _is_known(etag: str) -> bool:
    known = request.if_none_match
    return known.star_tag or etag in _plain(known.as_set(include_weak=True))


def asked_etags() -> Collection[str] | None:
    """The ETags of If-Match, one of which a change is for (RFC 9110, 13.1.1); None if it is for any state.

    Weak ones count, too: nginx makes ours weak when it compresses, and they still name a state of the book.
    """
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return None
    return _plain(request.if_match.as_set(include_weak=True))


def _plain(tags: Collection[str | None]) -> Collection[str]:
    """ETags as the shop gave them, whether or not the answer was compressed; werkzeug takes an empty one for None."""
    return {ENCODED.sub("", tag) for tag in tags if tag}


# ---------------------------------------------------------------- lists


def list_of(page: Page[Any], items: list[Item]) -> Response:
    """One page of a list as a JSON response, and the way to the next (RFC 8288), which goes on from this one's end.

    Who reads by cursor finds its cursor in the body, too.
    """
    cursor, headers = None, {}
    if page.next_keys is not None:
        cursor = str(_cursors().dumps([*page.next_keys, page.total, page.page + 1]))
        query = urlencode({**request.args.to_dict(), "cursor": cursor})
        headers["Link"] = f'<{request.path}?{query}>; rel="next"'
    shown = ListOf[Any](items=items, total=page.total, page=page.page, size=page.size, next_cursor=cursor)
    left_out = set() if "cursor" in request.args else {"next_cursor"}
    return tagged(Response(shown.model_dump_json(exclude=left_out), headers=headers, mimetype="application/json"))


def page_request(query: PageQuery) -> PageRequest:
    """Which page is asked for: by its number, by the cursor that the page before gave, or the first, by an empty one.

    Raises NotFound for a cursor that no page of this list, with these filters and this order, has given this reader.
    """
    if not query.cursor:
        return query.page if query.cursor is None else 1
    try:
        *keys, total, page = _cursors().loads(query.cursor)
    except BadSignature:
        raise NotFound(
            "This is no cursor of this list: take `next_cursor` of its last page, and keep the filters and the order.",
            "CURSOR_NOT_FOUND",
        ) from None
    return Cursor(keys, total, page)


def _cursors() -> URLSafeSerializer:
    """Signs cursors, those of each list and reader for themselves: what comes back is what the shop gave."""
    filters = sorted(item for item in request.args.items(multi=True) if item[0] not in PageQuery.model_fields)
    reader = getattr(current_user, "user_id", None)
    return URLSafeSerializer(current_app.secret_key or "", salt=f"cursor {request.path} {filters} {reader}")
