"""Which titles are one work: articles and "and" may be written in several ways, and everything else matters."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from bookshop.catalog.works import work_key

MIGRATION = Path(__file__).parents[2] / "migrations/versions/0015_imports.py"
ONE_WORK = [
    ("The Hobbit", "Hobbit, The", "HOBBIT,  the ", "Hobbit,The"),
    ("The Hobbit: There and Back Again", "Hobbit, The: There & Back Again", "Hobbit, The : There and back again"),
    ("A Room with a View", "Room with a View, A"),
    ("Der Prozess", "Prozess, Der"),
    ("L\u2019\u00c9tranger", "\u00c9tranger, L'"),
    ("Los detectives salvajes", "Detectives salvajes, Los"),
    ("Salt & Pepper", "Salt and Pepper", "Salt&Pepper", "SALT  AND  PEPPER"),
    ("R&B", "R & B", "R and B"),
    ("Sein & Zeit", "Sein und Zeit"),
    ("Rouge & Noir", "Rouge et Noir"),
    ("Crimen & castigo", "Crimen y castigo"),
]
SEVERAL_WORKS = [
    ("C", "C++", "C#", "C &", "& C"),
    ("The Hobbit", "Hobbit", "A Hobbit", "The Hobbit, A Novel"),
    ("Salt and Pepper", "Salt Pepper", "Salt or Pepper"),
    ("Alpha X & Z", "Alpha X Y Z"),
    ("Plan A", "Plan Y", "Plan"),
    ("And", "&", "Und"),
]


@pytest.mark.parametrize("titles", ONE_WORK)
def test_titles_that_are_written_in_several_ways_are_one_work(titles):
    assert len({work_key(title, "A. Writer") for title in titles}) == 1


@pytest.mark.parametrize("titles", SEVERAL_WORKS)
def test_titles_that_mean_different_books_are_different_works(titles):
    assert len({work_key(title, "A. Writer") for title in titles}) == len(titles)


@pytest.mark.parametrize("titles", ONE_WORK + SEVERAL_WORKS)
@pytest.mark.parametrize("authors", ["Jane Austen", "Aust\u00e9n, Jane (ed.) and O'Brien, 1775-1817 et al."])
def test_the_migration_computes_the_same_keys(titles, authors):
    spec = spec_from_file_location("migration_0015", MIGRATION)
    assert spec is not None
    assert spec.loader is not None
    migration = module_from_spec(spec)
    spec.loader.exec_module(migration)
    assert [migration._work_key(title, authors) for title in titles] == [work_key(title, authors) for title in titles]
