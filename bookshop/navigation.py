"""Where a visitor goes next: only ever to a page of this shop."""

import re
from urllib.parse import quote, urlencode

from flask import current_app, request
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter

OWN_PATH = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")


def safe_next(target: str | None) -> str:
    """The target if it is the address of one of our own pages, else the home page."""
    if target and len(target) <= 2000 and OWN_PATH.fullmatch(target) and _is_page(target.partition("?")[0]):
        return target
    return "/"


def page_above() -> str:
    """The page on which the button of this request stands: the nearest address above it that can be looked at."""
    path = request.path
    while path != "/":
        path = path.rpartition("/")[0] or "/"
        if _is_page(path):
            break
    return path


def here() -> str:
    """The page to come back to after logging in."""
    if request.method in {"GET", "HEAD"}:
        return request.full_path.rstrip("?")
    return page_above()


def turned(page: int) -> str:
    """The address of another page of the list that is shown."""
    return f"{quote(request.path)}?{urlencode({**request.args.to_dict(), 'page': page})}"


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
