"""Pydantic models of books in JSON and in files."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, RootModel

from bookshop.catalog.isbn import ISBN_PATTERN, isbn13
from bookshop.catalog.languages import language_tag
from bookshop.catalog.models import (
    AUTHORS_MAX,
    DESCRIPTION_MAX,
    LANGUAGE_MAX,
    PRICE_MAX,
    PUBLISHER_MAX,
    STOCK_MAX,
    TITLE_MAX,
    YEAR_MAX,
    YEAR_MIN,
)
from bookshop.catalog.repository import BookCriteria, BookDetails
from bookshop.kit.money import CURRENCIES, known_currency
from bookshop.web.schemas import (
    NOT_BLANK,
    BlankAsNone,
    Body,
    JsonLiteral,
    Line,
    Lines,
    PageQuery,
    Query,
    schema_pattern,
)

Isbn = Annotated[str, AfterValidator(isbn13), Field(json_schema_extra={"format": "isbn", "pattern": ISBN_PATTERN})]
Currency = Annotated[str, AfterValidator(known_currency), Field(json_schema_extra={"enum": CURRENCIES})]
Title = Annotated[Line, Field(min_length=1, max_length=TITLE_MAX), schema_pattern(NOT_BLANK)]
Authors = Annotated[Line, Field(min_length=1, max_length=AUTHORS_MAX), schema_pattern(NOT_BLANK)]
Publisher = Annotated[Line, Field(max_length=PUBLISHER_MAX)]
Language = Annotated[Line, Field(max_length=LANGUAGE_MAX), AfterValidator(language_tag)]
Year = Annotated[int, Field(ge=YEAR_MIN, le=YEAR_MAX)]
Description = Annotated[Lines, Field(max_length=DESCRIPTION_MAX)]
Price = Annotated[int, Field(ge=0, le=PRICE_MAX)]


class NewBook(Body):
    """A book to add. Its price is in minor units; the currency defaults to the shop's."""

    isbn: Isbn | None = None
    title: Title
    authors: Authors
    publisher: BlankAsNone[Publisher] = None
    language: BlankAsNone[Language] = None
    published_year: Year | None = None
    description: BlankAsNone[Description] = None
    price_cents: Price
    currency: Currency | None = None


def _without_defaults(schema: dict[str, Any]) -> None:
    for member in schema["properties"].values():
        del member["default"]


class BookChanges(Body):
    """The fields of a book to change; the others are unchanged."""

    model_config = ConfigDict(json_schema_extra=_without_defaults)

    isbn: Isbn | None = None
    title: Title = ""
    authors: Authors = ""
    publisher: BlankAsNone[Publisher] = None
    language: BlankAsNone[Language] = None
    published_year: Year | None = None
    description: BlankAsNone[Description] = None
    price_cents: Price = 0
    currency: Currency = ""

    def values(self) -> dict[str, Any]:
        return self.model_dump(exclude_unset=True)


class BookQuery(PageQuery):
    """Filters and sort order for a list of books."""

    q: str | None = None
    author: str | None = None
    language: Line | None = None
    in_stock: Annotated[bool, JsonLiteral] | None = None
    min_price_cents: Annotated[Price, JsonLiteral] | None = None
    max_price_cents: Annotated[Price, JsonLiteral] | None = None
    sort: Literal["relevance", "title", "price", "published", "newest"] = "relevance"
    dir: Literal["asc", "desc"] | None = None

    def criteria(self) -> BookCriteria:
        return BookCriteria(**self.model_dump(exclude=set(PageQuery.model_fields)))


class BookOut(BaseModel):
    """A book as customers and visitors see it."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    isbn: str | None
    title: str
    authors: str
    publisher: str | None
    language: str | None
    published_year: int | None
    description: str | None
    price_cents: int
    currency: str
    in_stock: bool
    created_at: datetime
    updated_at: datetime


class StaffBookOut(BookOut):
    """A book as staff see it."""

    stock_quantity: int
    waiting_count: int


class RestockedBookOut(StaffBookOut):
    """A book after a change of its stock, with the number of customers notified.

    `alerts_queued` counts their e-mails and the alerts that were stopped when the book sold out, now queued again.
    """

    notified_count: int
    alerts_queued: int


class AnyBookOut(RootModel[StaffBookOut | BookOut]):
    """A book; for staff with `stock_quantity` and `waiting_count`."""


def book_out(book: BookDetails, waiting_count: int | None = None) -> BookOut:
    """Return the book's public JSON model or, with the number of waiting customers, the one for staff."""
    public = BookOut.model_validate(book)
    if waiting_count is None:
        return public
    return StaffBookOut(**public.model_dump(), stock_quantity=book.stock_quantity, waiting_count=waiting_count)


class SuggestionQuery(Query):
    """What has been typed of a search so far."""

    q: str = ""


class SuggestionOut(BaseModel):
    """A book to suggest; `address` and `cover` are the paths of its page and of its small cover."""

    title: str
    authors: str
    address: str
    cover: str
    in_stock: bool
    price_cents: int
    currency: str


class SuggestionsOut(BaseModel):
    """Books to suggest, the best ones first."""

    items: list[SuggestionOut]


class FileBook(BaseModel):
    """A book in a file, with text values. What is missing is omitted, and changes nothing; a new book needs a title."""

    model_config = ConfigDict(extra="ignore")

    isbn: str | None = None  # already read by catalog.isbn
    title: Title | None = None
    authors: Authors | None = None
    publisher: BlankAsNone[Publisher] = None
    language: BlankAsNone[Language] = None
    published_year: Year | None = None
    description: BlankAsNone[Description] = None
    price_cents: Price | None = None
    currency: Currency | None = None
    stock_quantity: Annotated[int, Field(ge=0, le=STOCK_MAX)] | None = None
