"""The content pages, as visitors read them."""

from collections.abc import Sequence
from textwrap import shorten

from flask import render_template
from markupsafe import Markup

from bookshop.content import bp
from bookshop.content.markdown import details_in, first_paragraph, to_html
from bookshop.content.repository import Heading
from bookshop.content.service import STARTER, Page
from bookshop.shop.service import Details
from bookshop.web import services

UNKNOWN = "(not entered yet)"
INTRODUCTION_MAX = 400  # characters


@bp.app_template_global()
def content_links() -> Sequence[Heading]:
    """Return the pages to link at the foot of each page."""
    return services.content().links


@bp.get("/pages/<slug>")
def page(slug: str) -> str:
    found = services.content().read(slug)
    return render_template("content/page.html", page=found, html=html_of(found), is_reviewed=found.state != STARTER)


def html_of(page: Page) -> Markup:
    """Return the text of a page as HTML that templates need not escape, with the shop's details as they are now."""
    return Markup(to_html(page.body, _shown()))  # noqa: S704 - cleaned


def introduction() -> str:
    """Return how the page about the shop begins; "" until an owner has confirmed it, or if it names unknown details."""
    page = services.content().read_reviewed("about")
    text = first_paragraph(page.body, _shown()) if page else ""
    return "" if UNKNOWN in text else shorten(text, INTRODUCTION_MAX, placeholder=" …")


def _shown() -> dict[str, str]:
    return {name: text or UNKNOWN for name, text in _details(services.shop_details()).items()}


def blanks() -> tuple[Sequence[str], Sequence[str]]:
    """Return the titles of the pages on which visitors read UNKNOWN, and the names of the details that are missing."""
    missing = [name for name, text in _details(services.shop_details()).items() if not text]
    shown = [(title, details_in(body).intersection(missing)) for title, body in services.content().texts()]
    titles = [title for title, names in shown if names]
    return titles, [name for name in missing if any(name in names for _title, names in shown)]


def _details(details: Details) -> dict[str, str]:
    texts = {"name": details.name, "address": ", ".join(details.address), "email": details.email}
    texts |= {name: getattr(details, name) for name in ("phone", "responsible", "registration")}
    return {**texts, "vat": details.vat_number}
