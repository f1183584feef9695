"""Books to suggest while somebody types a search.

A catalogue of a million books costs little more than one of a thousand: titles that begin with the text come from an
index in their order, and only if they are too few does the search index give a limited number of others to choose from.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, select, union_all
from sqlalchemy.orm import Session, load_only

from bookshop.catalog.models import Book
from bookshop.catalog.repository import ON_SALE, BookCard
from bookshop.catalog.search import QUERY_MAX, some_matching, words_of
from bookshop.kit.text import fold, main_title

SUGGESTED = 8  # books at most
SHORTEST = 2  # letters or digits, below which every book could be meant
CANDIDATES = 200
ARTICLES = ("", "a ", "an ", "the ")  # those that `main_title` leaves out
AFTER_LETTERS = "{"  # the character after "z", the last one in a folded text
SEARCHED = ("title_key", "main_title", "search_title", "search_authors", "search_isbn")
LOADED = load_only(*(getattr(Book, name) for name in (*BookCard._fields, *SEARCHED)), raiseload=True)


def suggest_books(session: Session, typed: str) -> Sequence[Book]:
    """Return books on sale for what was typed so far; none for a single letter.

    Titles that begin with the text come first, then those that contain it, then books whose other words begin with
    those typed, in stock before out of stock.
    """
    key = main_title(typed[:QUERY_MAX])
    if len(fold(typed[:QUERY_MAX])) < SHORTEST:
        return []
    found = sorted(session.scalars(_beginning_with(key)), key=lambda book: (book.main_title, book.id))
    words = words_of(typed)
    if len(found) < SUGGESTED and (indexed := [word for word in words if len(word) >= SHORTEST]):
        query = some_matching(session, select(Book).where(*ON_SALE).options(LOADED), indexed, CANDIDATES)
        others = [book for book in session.scalars(query) if book not in found and _has_all(book, words)]
        found += sorted(others, key=lambda book: _rank(book, key, words))
    return found[:SUGGESTED]


def _beginning_with(key: str) -> Select[Any]:
    """Select books whose title begins with the key, after an article or not: for each, a few entries of an index."""
    starts = [
        select(Book.id)
        .where(Book.title_key >= article + key, Book.title_key < article + key + AFTER_LETTERS, *ON_SALE)
        .order_by(Book.title_key, Book.id)
        .limit(SUGGESTED)
        .subquery()
        for article in ARTICLES
    ]
    return select(Book).where(Book.id.in_(union_all(*(select(start.c.id) for start in starts)))).options(LOADED)


def _has_all(book: Book, words: Sequence[str]) -> bool:
    searched = f" {book.search_title} {book.search_authors} {book.search_isbn}"
    return all(f" {word}" in searched for word in words)


def _rank(book: Book, key: str, words: Sequence[str]) -> tuple[Any, ...]:
    in_title = all(f" {word}" in f" {book.search_title}" for word in words)
    return f" {key}" not in f" {book.main_title}", not in_title, not book.in_stock, book.title_key, book.id
