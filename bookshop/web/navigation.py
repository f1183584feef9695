"""Links and redirects within the shop: a redirect never leaves it."""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from flask import current_app, flash, redirect, render_template, request, url_for
from flask_login import current_user
from werkzeug.exceptions import HTTPException
from werkzeug.routing import IntegerConverter, MapAdapter
from werkzeug.wrappers import Response

from bookshop.extensions import settings
from bookshop.kit.database import ID_MAX, Page

OWN_PATH = re.compile(r"/(?![/\\])[^\\\x00-\x20\x7f]*")


def absolute_url(endpoint: str, **values: Any) -> str:
    """Return the absolute URL of a page, for e-mails and other sites, from the base URL and never the Host header.

    Anybody can send any Host header, and the result may end up in caches. A worker has no request at all.
    """
    base = urlsplit(settings().base_url)
    routes = current_app.url_map.bind(base.netloc, base.path or "/", url_scheme=base.scheme)
    return str(routes.build(endpoint, values, force_external=True))


def safe_next(target: str | None) -> str:
    """Return the target if it is the address of one of the shop's pages, else the home page."""
    path = own_path(target)
    return path if path and _is_page(path.partition("?")[0]) else "/"


def landing_page(target: str | None) -> str:
    """Return the page to show after a login: the target, made safe, or by default the desk for staff."""
    page = safe_next(target)
    return url_for("admin.dashboard") if page == "/" and current_user.is_staff else page


def own_path(path: str | None) -> str:
    """Return a path, with its query, if it stays within the shop; else an empty string."""
    return path if path and len(path) <= 2000 and OWN_PATH.fullmatch(path) else ""


def requested_next() -> str:
    """Return the page named by the form's `next` field, made safe; an empty string if there is none."""
    target = request.form.get("next")
    return safe_next(target) if target else ""


def requested_card(book_id: int) -> str:
    """Return the page named by the form's `next` field as `requested_next` does.

    The form of cards, `cart_form`, ends it with `#book`: it then leads to the card of this book.
    """
    target = requested_next()
    return f"{target}-{book_id}" if target.endswith("#book") else target


def flash_with_link(notice: Mapping[str, str | int], category: str) -> None:
    """Flash a `sentence` with a `link`, or with an `action` for a button, and its `label`; see macro `notices`.

    With the id of a `book`, its card shows the sentence as well; see macro `book_card`.
    """
    flash(notice, category)  # type: ignore[arg-type]  # the session stores JSON, so a dict is fine


def parent_page() -> str:
    """Return the nearest parent path of this request that is a page: most buttons post to a path below their page."""
    path = request.path
    while path != "/":
        path = path.rpartition("/")[0] or "/"
        if _is_page(path):
            break
    return path


def return_address() -> str:
    """Return the page to come back to after logging in."""
    if request.method in {"GET", "HEAD"}:
        return request.full_path.rstrip("?")
    allows_get = request.url_rule is not None and "GET" in (request.url_rule.methods or ())
    return request.path if allows_get else parent_page()


class IdConverter(IntegerConverter):
    """A row id in a URL path; an id too large for the database becomes 0, which no row has."""

    regex = "[0-9]+"

    def to_python(self, value: str) -> int:
        return int(value) if len(value) < 20 and int(value) <= ID_MAX else 0


def requested_page() -> int:
    """Return the page number in the query string; 1 if it is missing or invalid."""
    return min(max(request.args.get("page", 1, type=int), 1), ID_MAX)


def render_list(template: str, found: Page[Any], **context: Any) -> str | Response:
    """Render a page of a list, or redirect to the last page if the requested one is beyond it."""
    if found.page > found.pages:
        return redirect(page_address(found.pages))
    return render_template(template, found=found, **context)


def page_address(page: int) -> str:
    """Return the address of another page of the current list."""
    return list_address(page=page)


def list_address(*without: str, **changes: Any) -> str:
    """Return the address of the current list with some query arguments changed and others removed.

    It is page 1 unless `page` is given; changes to None are ignored.
    """
    kept = {name: value for name, value in request.args.to_dict().items() if name not in {"page", *without}}
    query = {**kept, **{name: _query_value(value) for name, value in changes.items() if value is not None}}
    return quote(request.path) + (f"?{urlencode(query)}" if query else "")


def _query_value(value: Any) -> str:
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
