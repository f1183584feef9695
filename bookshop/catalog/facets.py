"""The filters beside the search results, and the number of books that each choice would leave."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from threading import Lock
from typing import Any

from cachetools import TTLCache
from sqlalchemy import ColumnElement, Row, case, null
from sqlalchemy.orm import InstrumentedAttribute

from bookshop.catalog.languages import base_language, language_name
from bookshop.catalog.models import NO_PRICE, Book
from bookshop.catalog.repository import BookCriteria, BookRepository, filters
from bookshop.kit.money import format_amount
from bookshop.kit.text import format_year

# The fields of BookCriteria that each facet sets.
FACETS = {
    "in_stock": ("in_stock",),
    "language": ("language",),
    "price": ("min_price_cents", "max_price_cents"),
    "year": ("min_year", "max_year"),
}
PRICE_STEPS = (1000, 1500, 2000, 3000, 5000)  # in minor units; the first range starts at 1, as 0 means no price
YEAR_STEPS = (1800, 1900, 1950, 1980, 2000, 2010, 2020)

Bounds = tuple[int | None, int | None]
Criteria = Mapping[str, Any]

_cache: TTLCache[Any, "Facets"] = TTLCache(maxsize=512, ttl=30)
_lock = Lock()


@dataclass(frozen=True)
class Option:
    """One choice of a facet: the fields of BookCriteria that it sets, and how many books it would leave."""

    label: str
    criteria: Criteria
    count: int
    chosen: bool


@dataclass(frozen=True)
class Facets:
    """The number of books that match, the choices of each facet that leave any, and the labels of those in use."""

    total: int
    options: Mapping[str, Sequence[Option]]
    chosen: Mapping[str, str]


def count_facets(books: BookRepository, criteria: BookCriteria, currency: str) -> Facets:
    """Count the books of a search by availability, language, price and year of publication.

    Each facet counts the books that match all the other filters, so its numbers show what another choice would
    return. The counts take one statement and are cached until a book changes, for at most 30 seconds: a transaction
    that began before the last change but committed after it would otherwise be missed.
    """
    unsorted = replace(criteria, sort=None, dir=None)
    key = (str(books.session.get_bind()), books.last_change(), unsorted, currency)
    with _lock:
        facets = _cache.get(key)
    if facets is None:
        facets = _count(books, unsorted, currency)
        with _lock:
            _cache[key] = facets
    return facets


def _count(books: BookRepository, criteria: BookCriteria, currency: str) -> Facets:
    prices, years, conditions = _ranges(1, PRICE_STEPS), _ranges(None, YEAR_STEPS), filters(criteria)
    traits: dict[str, ColumnElement[Any] | InstrumentedAttribute[Any]] = {
        "in_stock": Book.stock_quantity > 0,
        "language": Book.language,
        "price": _range_number(Book.price_cents, prices, Book.price_cents == NO_PRICE),
        "year": _range_number(Book.published_year, years, Book.published_year.is_(None)),
    }
    matches = {f"matches_{name}": condition for name, condition in conditions.items()}
    rows = books.count_by(criteria, {**traits, **matches})
    counts = {facet: _tally(rows, facet, set(conditions) - {facet}) for facet in FACETS}
    choices: dict[str, Iterable[tuple[Criteria, int]]] = {
        "in_stock": [({"in_stock": bool(value)}, n) for value, n in sorted(counts["in_stock"].items(), reverse=True)],
        "language": [({"language": code}, n) for code, n in counts["language"].most_common()],
        "price": [(_bounds("price", prices[band]), n) for band, n in sorted(counts["price"].items())],
        "year": [(_bounds("year", years[band]), n) for band, n in sorted(counts["year"].items(), reverse=True)],
    }
    chosen = {facet: {name: getattr(criteria, name) for name in names} for facet, names in FACETS.items()}
    return Facets(
        total=sum(row.books for row in rows if _matches(row, set(conditions))),
        options={
            facet: [Option(_label(facet, pick, currency), pick, n, pick == chosen[facet]) for pick, n in counted]
            for facet, counted in choices.items()
        },
        chosen={facet: _label(facet, choice, currency) for facet, choice in chosen.items() if facet in conditions},
    )


def _ranges(least: int | None, steps: Sequence[int]) -> list[Bounds]:
    """Divide the numbers from `least` at the steps into ranges that include both ends; None is open."""
    inner: list[Bounds] = [(low, high - 1) for low, high in pairwise(steps)]
    return [(least, steps[0] - 1), *inner, (steps[-1], None)]


def _range_number(column: InstrumentedAttribute[Any], ranges: Sequence[Bounds], unknown: Any) -> ColumnElement[Any]:
    """Return SQL for the index of the range that contains a book's value; NULL if the value is unknown."""
    bands = [(column <= high, number) for number, (_low, high) in enumerate(ranges) if high is not None]
    return case((unknown, null()), *bands, else_=len(bands))


def _tally(rows: Sequence[Row[*tuple[Any, ...]]], facet: str, others: set[str]) -> Counter[Any]:
    """Count the books with each value of a facet that match the other filters."""
    counts: Counter[Any] = Counter()
    value_of: Callable[[Any], Any] = _language_code if facet == "language" else lambda value: value
    for row in rows:
        value = getattr(row, facet)
        if value is not None and _matches(row, others):
            counts[value_of(value)] += row.books
    return counts


def _language_code(tag: str) -> str:
    return base_language(tag).lower()


def _matches(row: Row[*tuple[Any, ...]], filtered: set[str]) -> bool:
    return all(getattr(row, f"matches_{facet}") for facet in filtered)


def _bounds(facet: str, bounds: Bounds) -> Criteria:
    return dict(zip(FACETS[facet], bounds, strict=True))


def _label(facet: str, choice: Criteria, currency: str) -> str:
    if facet == "in_stock":
        return "In stock" if choice["in_stock"] else "Out of stock"
    if facet == "language":
        return language_name(choice["language"])
    low, high = choice.values()
    if facet == "price":
        return _range(low, high, lambda cents: format_amount(cents, currency), "{} or more")
    return _range(low, high, format_year, "Since {}")


def _range(low: int | None, high: int | None, display: Callable[[int], str], open_end: str) -> str:
    if high is None:
        return open_end.format(display(low or 0))
    return f"Up to {display(high)}" if low in {None, 1} else f"{display(low or 0)} to {display(high)}"
