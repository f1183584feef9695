"""What the books of a search can be narrowed by, and how many books each choice would leave."""

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
from bookshop.kit.money import in_words
from bookshop.kit.text import year_in_words

# What each facet asks for, by the names of BookCriteria.
FACETS = {
    "in_stock": ("in_stock",),
    "language": ("language",),
    "price": ("min_price_cents", "max_price_cents"),
    "year": ("min_year", "max_year"),
}
PRICE_STEPS = (1000, 1500, 2000, 3000, 5000)  # in minor units, from 1 on: 0 is no price
YEAR_STEPS = (1800, 1900, 1950, 1980, 2000, 2010, 2020)

Bounds = tuple[int | None, int | None]
Asked = Mapping[str, Any]

_cache: TTLCache[Any, "Facets"] = TTLCache(maxsize=512, ttl=30)
_lock = Lock()


@dataclass(frozen=True)
class Option:
    """One choice of a facet: what it asks for, by the names of BookCriteria, and how many books it would leave."""

    label: str
    asked: Asked
    count: int
    chosen: bool


@dataclass(frozen=True)
class Facets:
    """How many books fit all criteria, by facet the choices that would leave any, and the labels of those made."""

    total: int
    options: Mapping[str, Sequence[Option]]
    chosen: Mapping[str, str]


def count_facets(books: BookRepository, criteria: BookCriteria, currency: str) -> Facets:
    """Count the books of a search by availability, language, price and year of publication.

    The counts of a facet are of the books that fit all other criteria, so that they say what another choice would
    bring. They take one statement and are kept until a book changes, and for 30 seconds at most: a change that was
    begun before another but committed after it would else be overlooked.
    """
    asked = replace(criteria, sort=None, dir=None)
    key = (str(books.session.get_bind()), books.last_change(), asked, currency)
    with _lock:
        known = _cache.get(key)
    if known is None:
        known = _count(books, asked, currency)
        with _lock:
            _cache[key] = known
    return known


def _count(books: BookRepository, criteria: BookCriteria, currency: str) -> Facets:
    prices, years, conditions = _ranges(1, PRICE_STEPS), _ranges(None, YEAR_STEPS), filters(criteria)
    traits: dict[str, ColumnElement[Any] | InstrumentedAttribute[Any]] = {
        "in_stock": Book.stock_quantity > 0,
        "language": Book.language,
        "price": _number_of(Book.price_cents, prices, Book.price_cents == NO_PRICE),
        "year": _number_of(Book.published_year, years, Book.published_year.is_(None)),
    }
    rows = books.count_by(criteria, {**traits, **{f"fits_{name}": fits for name, fits in conditions.items()}})
    counts = {facet: _tally(rows, facet, set(conditions) - {facet}) for facet in FACETS}
    asked: dict[str, Iterable[tuple[Asked, int]]] = {
        "in_stock": [({"in_stock": bool(here)}, n) for here, n in sorted(counts["in_stock"].items(), reverse=True)],
        "language": [({"language": code}, n) for code, n in counts["language"].most_common()],
        "price": [(_bounds("price", prices[band]), n) for band, n in sorted(counts["price"].items())],
        "year": [(_bounds("year", years[band]), n) for band, n in sorted(counts["year"].items(), reverse=True)],
    }
    chosen = {facet: {name: getattr(criteria, name) for name in names} for facet, names in FACETS.items()}
    return Facets(
        total=sum(row.books for row in rows if _fits(row, set(conditions))),
        options={
            facet: [Option(_label(facet, wish, currency), wish, n, wish == chosen[facet]) for wish, n in found]
            for facet, found in asked.items()
        },
        chosen={facet: _label(facet, wish, currency) for facet, wish in chosen.items() if facet in conditions},
    )


def _ranges(least: int | None, steps: Sequence[int]) -> list[Bounds]:
    """The ranges that the steps divide all numbers from the least on into, both ends included."""
    inner: list[Bounds] = [(low, high - 1) for low, high in pairwise(steps)]
    return [(least, steps[0] - 1), *inner, (steps[-1], None)]


def _number_of(column: InstrumentedAttribute[Any], ranges: Sequence[Bounds], unknown: Any) -> ColumnElement[Any]:
    """The number of the range in which a book's value lies, NULL if it has none."""
    bands = [(column <= high, number) for number, (_low, high) in enumerate(ranges) if high is not None]
    return case((unknown, null()), *bands, else_=len(bands))


def _tally(rows: Sequence[Row[*tuple[Any, ...]]], facet: str, others: set[str]) -> Counter[Any]:
    """How many books have each value of a facet, of those that fit the other filters."""
    found: Counter[Any] = Counter()
    value_of: Callable[[Any], Any] = _spoken if facet == "language" else lambda value: value
    for row in rows:
        value = getattr(row, facet)
        if value is not None and _fits(row, others):
            found[value_of(value)] += row.books
    return found


def _spoken(tag: str) -> str:
    return base_language(tag).lower()


def _fits(row: Row[*tuple[Any, ...]], used: set[str]) -> bool:
    return all(getattr(row, f"fits_{facet}") for facet in used)


def _bounds(facet: str, bounds: Bounds) -> Asked:
    return dict(zip(FACETS[facet], bounds, strict=True))


def _label(facet: str, asked: Asked, currency: str) -> str:
    """What a choice is called."""
    if facet == "in_stock":
        return "In stock" if asked["in_stock"] else "Out of stock"
    if facet == "language":
        return language_name(asked["language"])
    low, high = asked.values()
    if facet == "price":
        return _range(low, high, lambda cents: in_words(cents, currency), "{} and more")
    return _range(low, high, year_in_words, "Since {}")


def _range(low: int | None, high: int | None, words: Callable[[int], str], open_end: str) -> str:
    if high is None:
        return open_end.format(words(low or 0))
    return f"Up to {words(high)}" if low in {None, 1} else f"{words(low or 0)} to {words(high)}"
