"""Examples for the OpenAPI document, built from its schemas and from typical values for each member name."""

from collections.abc import Mapping
from typing import Any

Schema = Mapping[str, Any]

ISBN = "9780141439587"
TIME = "2026-05-04T09:30:00Z"
BY_NAME: Mapping[str, Any] = {
    "isbn": ISBN,
    "title": "Emma",
    "book_title": "Emma",
    "cover": "/books/1/cover.svg",
    "authors": "Jane Austen",
    "author": "austen",
    "book_authors": "Jane Austen",
    "publisher": "Penguin Classics",
    "language": "en",
    "published_year": 2003,
    "description": "A comedy of manners.",
    "price_cents": 950,
    "min_price_cents": 500,
    "max_price_cents": 2000,
    "seen_price_cents": 950,
    "amount_cents": 950,
    "currency": "EUR",
    "seen_currency": "EUR",
    "stock_quantity": 5,
    "quantity": 1,
    "delta": 5,
    "q": "emma austen",
    "in_stock": True,
    "name": "Ada Lovelace",
    "phone": "030 5550 173",
    "address": "12 St James's Square, London",
    "note": "Box 3 of 5",
    "number": "4031-7726",
    "email": "ada@example.com",
    "user": "staff@bookshop.example.com",
    "url": "https://example.com/hooks",
    "kinds": "book.restocked,order.*",
    "after": 0,
    "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "cursor": None,
    "next_cursor": None,
    "refused": 0,
    "problem": None,
}


def example_of(schema: Schema, schemas: Mapping[str, Schema], name: str = "") -> Any:
    """Return an example that fits a schema; `name` is the member's, and `schemas` resolves references."""
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].rpartition("/")[2]], schemas, name)
    if "examples" in schema:
        return schema["examples"][0]
    if name in BY_NAME and schema.get("type") not in {"object", "array"}:
        return BY_NAME[name]
    for choice in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        return example_of(choice, schemas, name)
    return _of_type(schema, schemas)


def _of_type(schema: Schema, schemas: Mapping[str, Schema]) -> Any:
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    if schema.get("type") == "object":
        return {name: example_of(part, schemas, name) for name, part in schema.get("properties", {}).items()}
    if schema.get("type") == "array":
        return [example_of(schema["items"], schemas)]
    if schema.get("format") == "date-time":
        return TIME
    return schema.get("default") or {"integer": 1, "boolean": False, "null": None}.get(schema.get("type", ""), "text")
