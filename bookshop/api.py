"""JSON under /api/v1/: one decorator that checks a request against its models, which also document it."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from flask import Response, request
from pydantic import BaseModel
from spectree import Response as Answers
from spectree import SpecTree
from spectree.plugins.flask_plugin import FlaskPlugin
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from bookshop.database import Page
from bookshop.exceptions import Misshapen
from bookshop.schemas import ListOf

View = TypeVar("View", bound=Callable[..., Any])
Item = TypeVar("Item", bound=BaseModel)


def _refuse(_request: Any, _response: Any, error: Any, *_unused: Any) -> None:
    """Turn spectree's validation errors into ours."""
    if error is not None:
        raise Misshapen([_member_error(found) for found in error.errors()])


def _member_error(found: Any) -> dict[str, str]:
    path = (str(part).replace("~", "~0").replace("/", "~1") for part in found["loc"])
    return {"detail": found["msg"].removeprefix("Value error, "), "pointer": "#" + "".join(f"/{part}" for part in path)}


class Plugin(FlaskPlugin):
    """spectree for Flask, but without checking a second time the answers that are made of the models."""

    def validate_response(self, resp: Response, *_unused: Any) -> tuple[Response, None]:
        return resp, None


spec = SpecTree(
    backend=Plugin,
    title="Bookshop",
    before=_refuse,
    naming_strategy=lambda model: model.__name__,
    page_templates={},
)


def contract(**answers: type[BaseModel] | None) -> Callable[[View], View]:
    """Check a view's request against the models that annotate its `json` and `query`; name what it answers.

    Raises Misshapen, or what Flask raises for a body that is no JSON at all (400, 415).
    """

    def decorate(view: View) -> View:
        checked = spec.validate(resp=Answers(**answers))(view)

        @wraps(checked)
        def called(*args: Any, **kwargs: Any) -> Any:
            if "json" in view.__annotations__:
                _check_body()
            return checked(*args, **kwargs)

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
        raise Misshapen([{"detail": "The JSON is nested too deeply.", "pointer": "#"}]) from None
    if not isinstance(body, dict):
        raise Misshapen([{"detail": "The body must be a JSON object.", "pointer": "#"}])


def answer(model: BaseModel, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """The model as a JSON response."""
    return Response(model.model_dump_json(), status, headers, mimetype="application/json")


def list_of(page: Page[Any], items: list[Item]) -> Response:
    """One page of a list as a JSON response."""
    return answer(ListOf[Any](items=items, total=page.total, page=page.page, size=page.size))
