"""Structured data about books for search engines (https://schema.org/Book)."""

from typing import Any

from bookshop.catalog.models import NO_PRICE
from bookshop.catalog.repository import BookDetails
from bookshop.kit.money import to_major_units

AVAILABILITY = "https://schema.org/"


def book_as_linked_data(book: BookDetails, address: str, image: str) -> dict[str, Any]:
    """Describe the book and its price as JSON-LD; `address` and `image` are absolute URLs."""
    optional = {
        "isbn": book.isbn,
        "inLanguage": book.language,
        "datePublished": f"{book.published_year:04}" if book.published_year and book.published_year > 0 else None,
        "description": book.description,
        "publisher": {"@type": "Organization", "name": book.publisher} if book.publisher else None,
    }
    return {
        "@context": "https://schema.org",
        "@type": ["Book", "Product"],
        "name": book.title,
        "author": [{"@type": "Person", "name": name.strip()} for name in book.authors.split(",") if name.strip()],
        "url": address,
        "image": image,
        "offers": _offer(book, address),
        **{name: value for name, value in optional.items() if value},
    }


def _offer(book: BookDetails, address: str) -> dict[str, Any]:
    offer: dict[str, Any] = {"@type": "Offer", "url": address, "availability": AVAILABILITY + _availability(book)}
    if book.price_cents != NO_PRICE:
        offer |= {"price": str(to_major_units(book.price_cents, book.currency)), "priceCurrency": book.currency}
    return offer


def _availability(book: BookDetails) -> str:
    if book.withdrawn_at is not None:
        return "Discontinued"
    return "InStock" if book.in_stock else "OutOfStock"
