"""Where a visitor goes next: only ever to a page of this shop."""

import re
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from flask import current_app, flash, redirect, render_template, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import IntegerConverter, MapAdapter
from werkzeug.wrappers import Response

from bookshop.extensions import settings
from bookshop.kit.database import ID_MAX, Page

OWN_PATH = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")


def absolute_url(endpoint: str, **values: Any) -> str:
    """The whole address of a page of the shop, for those who are elsewhere: by its base URL, never by a Host header.

    Anybody may send any Host, and what is made of it may be kept in caches. A worker has no request at all.
    """
    base = urlsplit(settings().base_url)
    routes = current_app.url_map.bind(base.netloc, base.path or "/", url_scheme=base.scheme)
    return str(routes.build(endpoint, values, force_external=True))


def safe_next(target: str | None) -> str:
    """The target if it is the address of one of our own pages, else the home page."""
    if target and len(target) <= 2000 and OWN_PATH.fullmatch(target) and _is_page(target.partition("?")[0]):
        return target
    return "/"


def requested_next() -> str:
    """The page on which the button of this request was, if it said so."""
    asked = request.form.get("next")
    return safe_next(asked) if asked else ""


def flash_with_link(notice: dict[str, str], category: str) -> None:
    """Flash a `sentence` with a way on: a `link`, or an `action` for a button, and its `label`; see macro `notices`."""
    flash(notice, category)  # type: ignore[arg-type]  # it is JSON that travels, so it need not be text


def page_above() -> str:
    """The page on which the button of this request stands: the nearest address above it that can be looked at."""
    path = request.path
    while path != "/":
        path = path.rpartition("/")[0] or "/"
        if _is_page(path):
            break
    return path


def return_address() -> str:
    """The page to come back to after logging in."""
    if request.method in {"GET", "HEAD"}:
        return request.full_path.rstrip("?")
    shown = request.url_rule is not None and "GET" in (request.url_rule.methods or ())
    return request.path if shown else page_above()


class IdConverter(IntegerConverter):
    """The id of a row in an address; one that no database could hold becomes 0, which no row has."""

    regex = "[0-9]+"

    def to_python(self, value: str) -> int:
        return int(value) if len(value) < 20 and int(value) <= ID_MAX else 0


def requested_page() -> int:
    """The page of a list that the address asks for, the first if it asks for none that could be."""
    return min(max(request.args.get("page", 1, type=int), 1), ID_MAX)


def render_list(template: str, found: Page[Any], **context: Any) -> str | Response:
    """The page of a list, or, for who asks for one beyond its end, the way to the last."""
    if found.page > found.pages:
        return redirect(page_address(found.pages))
    return render_template(template, found=found, **context)


def page_address(page: int) -> str:
    """The address of another page of the list that is shown."""
    return list_address(page=page)


def list_address(*without: str, **asked: Any) -> str:
    """The address of the list that is shown with other arguments, or without some; None stands for none."""
    kept = {name: value for name, value in request.args.to_dict().items() if name not in {"page", *without}}
    query = {**kept, **{name: _written(value) for name, value in asked.items() if value is not None}}
    return quote(request.path) + (f"?{urlencode(query)}" if query else "")


def _written(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _is_page(path: str) -> bool:
    try:
        endpoint, _arguments = _routes().match(path.partition("#")[0], method="GET")
    except HTTPException:
        return False
    return not path.startswith("/api") and not endpoint.endswith("static")


def _routes() -> MapAdapter:
    routes = current_app.create_url_adapter(request)
    if routes is None:
        raise RuntimeError("there is no request")
    return routes
