"""For search engines: robots.txt (RFC 9309) and sitemaps of the books on sale (sitemaps.org)."""

from datetime import datetime
from math import ceil

from flask import Response, abort, render_template

from bookshop.catalog import bp
from bookshop.catalog.repository import BookRepository
from bookshop.content.service import STARTER
from bookshop.kit.text import slug
from bookshop.web import opening, services
from bookshop.web.navigation import absolute_url

SITEMAP_SIZE = 50_000
CACHE_FOR_AN_HOUR = {"Cache-Control": "public, max-age=3600"}
PRIVATE = ("/account", "/admin", "/api/", "/cart", "/checkout", "/login", "/orders", "/register", "/reservations")
NOTHING_YET = "User-agent: *\nDisallow: /\n"  # of a shop that is not set up


@bp.get("/robots.txt")
def robots() -> Response:
    if not opening.is_open():
        return Response(NOTHING_YET, mimetype="text/plain", headers={"Cache-Control": "no-cache"})
    lines = ["User-agent: *", *(f"Disallow: {path}" for path in PRIVATE), ""]
    lines += [f"Sitemap: {absolute_url('catalog.sitemaps')}", ""]
    return Response("\n".join(lines), mimetype="text/plain", headers=CACHE_FOR_AN_HOUR)


@bp.get("/sitemap.xml")
def sitemaps() -> Response:
    """List the sitemap files: number 1 has the shop's own pages, the others the books of one range of ids each."""
    if not opening.is_open():
        abort(404)
    files = [absolute_url("catalog.sitemap", number=number) for number in range(1, _last_number() + 1)]
    return _xml("catalog/sitemaps.xml", files=files)


@bp.get("/sitemaps/<int:number>.xml")
def sitemap(number: int) -> Response:
    if not (opening.is_open() and 1 <= number <= _last_number()):
        abort(404)
    own_pages = ("catalog.home", "catalog.books", "shop.visit")
    pages: list[tuple[str, datetime | None]] = [(absolute_url(page), None) for page in own_pages]
    if number == 1:
        reviewed = (page for page in services.content().list_pages() if page.state != STARTER)
        pages += [(absolute_url("content.page", slug=page.slug), None) for page in reviewed]
    else:
        first = (number - 2) * SITEMAP_SIZE + 1
        books = services.repository(BookRepository).list_on_sale(first, first + SITEMAP_SIZE - 1)
        pages = [
            (absolute_url("catalog.book", book_id=book.id, slug=slug(book.title)), book.updated_at) for book in books
        ]
    return _xml("catalog/sitemap.xml", pages=pages)


def _last_number() -> int:
    return 1 + ceil(services.repository(BookRepository).highest_id() / SITEMAP_SIZE)


def _xml(template: str, **context: object) -> Response:
    return Response(render_template(template, **context), mimetype="application/xml", headers=CACHE_FOR_AN_HOUR)
