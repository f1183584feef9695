"""Static files, served under names with a hash of their content so that browsers can cache them indefinitely."""

import gzip
import hashlib
import mimetypes
import re
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree as ET

import brotli
from flask import Flask, Response, abort, request
from werkzeug.wrappers import Response as AnyResponse

from bookshop.config import ROOT

BOOTSTRAP = Path(str(files("flask_bootstrap"))) / "static" / "bootstrap5"
SWAGGER_UI = Path(str(files("flask_swagger_ui"))) / "dist"
# The icons that pages use, out of about 2,000 in Bootstrap's sprite.
ICONS = (
    "arrow-right",
    "bell",
    "bookmark-check",
    "cart3",
    "check-circle",
    "chevron-left",
    "chevron-right",
    "clipboard-check",
    "clock",
    "exclamation-triangle",
    "geo-alt",
    "info-circle",
    "list",
    "person",
    "search",
    "x-lg",
)
SVG = "http://www.w3.org/2000/svg"
HASHED_NAME = re.compile(r"(?P<stem>.+)\.(?P<hash>[0-9a-f]{12})(?P<suffix>\.\w+)")
LARGE = 500_000  # bytes
IMMUTABLE = "public, max-age=31536000, immutable"


class Asset(NamedTuple):
    """One static file: its content, and the path under which it is served."""

    content: bytes
    mimetype: str
    digest: str
    address: str


def init_app(app: Flask) -> None:
    app.add_url_rule("/static/<path:name>", "static", send)
    app.add_url_rule("/favicon.ico", "favicon.static", lambda: send("favicon.svg"))
    app.add_template_global(lambda name: assets()[name].address, "asset")


@cache
def assets() -> dict[str, Asset]:
    """Read all static files once, by plain name: ours, Bootstrap's stylesheet, the icons in use and Swagger UI."""
    folder = ROOT / "static"
    ours = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    bootstrap = (BOOTSTRAP / "css" / "bootstrap.min.css").read_bytes()
    swagger_ui = {
        name: (SWAGGER_UI / Path(name).name).read_bytes() for name in ("css/swagger-ui.css", "js/swagger-ui-bundle.js")
    }
    contents = {**ours, **swagger_ui, "css/bootstrap.css": bootstrap, "icons.svg": _sprite()}
    return {name: _asset(name, content) for name, content in contents.items()}


def _asset(name: str, content: bytes) -> Asset:
    digest = hashlib.sha256(content).hexdigest()[:12]
    path = Path(name)
    mimetype = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Asset(content, mimetype, digest, f"/static/{path.with_suffix(f'.{digest}{path.suffix}').as_posix()}")


def _sprite() -> bytes:
    """Reduce Bootstrap's icon sprite to the icons in use: from 229 KB to about 2 KB, both compressed."""
    ET.register_namespace("", SVG)
    sprite = ET.parse(BOOTSTRAP / "icons" / "bootstrap-icons.svg").getroot()  # noqa: S314 - from an installed package
    for symbol in list(sprite):
        if symbol.get("id") not in ICONS:
            sprite.remove(symbol)
    return ET.tostring(sprite)


def send(name: str) -> AnyResponse:
    """Send a static file, compressed if the browser accepts that; only its current hashed name is cached for good."""
    hashed = HASHED_NAME.fullmatch(name)
    plain = hashed["stem"] + hashed["suffix"] if hashed else name
    asset = assets().get(plain) or abort(404)
    response = Response(asset.content, mimetype=asset.mimetype)
    response.headers["Cache-Control"] = IMMUTABLE if hashed and hashed["hash"] == asset.digest else "public, no-cache"
    response.set_etag(asset.digest)
    encoding = request.accept_encodings.best_match(["br", "gzip"])
    if encoding and len(asset.content) > 500:
        response.set_data(_compressed(plain, encoding))
        response.headers["Content-Encoding"] = encoding
        response.set_etag(f"{asset.digest}:{encoding}")
    response.headers["Vary"] = "Accept-Encoding"
    return response.make_conditional(request)


@cache
def _compressed(name: str, encoding: str) -> bytes:
    content = assets()[name].content
    quality = 10 if len(content) < LARGE else 5  # the best quality would take seconds for a large file
    return brotli.compress(content, quality=quality) if encoding == "br" else gzip.compress(content)
