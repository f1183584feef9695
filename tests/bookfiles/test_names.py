"""Names of authors: which commas separate authors, and which the two parts of one name."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bookshop.bookfiles.names import first_name_first, read_authors, votes

ONE_AUTHOR = {  # in any file
    "Kafka, Franz": "Franz Kafka",
    "Tolkien, J. R. R.": "J. R. R. Tolkien",
    "Eliot, T.S.": "T.S. Eliot",
    "Le Guin, Ursula K.": "Ursula K. Le Guin",
    "von Goethe, Johann Wolfgang": "Johann Wolfgang von Goethe",
    "Goethe, Johann Wolfgang von": "Johann Wolfgang von Goethe",
    "de Beauvoir, Simone": "Simone de Beauvoir",
    "Martin Luther King, Jr.": "Martin Luther King Jr.",
    "King, Martin Luther, Jr.": "Martin Luther King Jr.",
    "Vonnegut Jr., Kurt": "Kurt Vonnegut Jr.",
    "M\u00fcller, Hans (Hrsg.)": "Hans M\u00fcller",
    "M\u00fcller, Hans, Hrsg.": "Hans M\u00fcller",
    "Austen, Jane, 1775-1817": "Jane Austen",
    "Austen, Jane, 1775-1817.": "Jane Austen",
    "Eliot, George, 1819-1880, author.": "George Eliot",
    "King, Stephen, 1947- author.": "Stephen King",
    "Sendak, Maurice, author, illustrator.": "Maurice Sendak",
    "by Stephen King": "Stephen King",
    "Hrsg.: M\u00fcller, Hans": "Hans M\u00fcller",
    "Hrsg. v. M\u00fcller, Hans": "Hans M\u00fcller",
    "Hrsg. Hans M\u00fcller": "Hans M\u00fcller",
    "Hrsg. Vonnegut, Kurt": "Kurt Vonnegut",
    "herausgegeben von Hans M\u00fcller": "Hans M\u00fcller",
    "Edited by Smith, John": "John Smith",
    "ed. by John Smith": "John Smith",
    "Editor: Smith, John": "John Smith",
    "Ed Smith": "Ed Smith",
    "Ed von Schleck": "Ed von Schleck",
    "Franz Kafka u. a.": "Franz Kafka",
    "Young, Ed": "Ed Young",
    "Macintyre, Ben": "Ben Macintyre",
    "\u6751\u4e0a, \u6625\u6a39": "\u6751\u4e0a\u6625\u6a39",
    "Jos\u00e9 Ortega y Gasset": "Jos\u00e9 Ortega y Gasset",
    "Simon & Schuster": "Simon & Schuster",
    "Better Homes and Gardens": "Better Homes and Gardens",
}
SEVERAL_AUTHORS = {  # in any file
    "King, Stephen; Straub, Peter": "Stephen King, Peter Straub",
    "King, Stephen & Straub, Peter": "Stephen King, Peter Straub",
    "Eco, Umberto|Calvino, Italo": "Umberto Eco, Italo Calvino",
    "Horkheimer, Max / Adorno, Theodor W.": "Max Horkheimer, Theodor W. Adorno",
    "Terry Pratchett & Neil Gaiman": "Terry Pratchett, Neil Gaiman",
    "Terry Pratchett and Neil Gaiman": "Terry Pratchett, Neil Gaiman",
    "Terry Pratchett; Neil Gaiman": "Terry Pratchett, Neil Gaiman",
    "Anna Bach, Ben Cole, and Carl Dahl": "Anna Bach, Ben Cole, Carl Dahl",
    "J.K. Rowling, MinaLima": "J.K. Rowling, MinaLima",
    "M\u00fcller H, Meier K": "M\u00fcller H, Meier K",
    "Malcolm X, Alex Haley": "Malcolm X, Alex Haley",
    "Goethe, Johann Wolfgang von; hrsg. v. Trunz, Erich": "Johann Wolfgang von Goethe, Erich Trunz",
    "Pratchett, Terry, author.; Gaiman, Neil, author.": "Terry Pratchett, Neil Gaiman",
    "Terry Pratchett, Neil Gaiman (Illustrator), Paul Kidby": "Terry Pratchett, Neil Gaiman, Paul Kidby",
}
FIRST_NAME_FIRST = [  # unchanged in a file that writes the first name first
    "Terry Pratchett, Neil Gaiman",
    "Homer, Robert Fagles",
    "Plato, Desmond Lee",
    "Rick Riordan, Tk",
    "Karen  Berger, Todd Klein",
    "Anonymous, Joseph Smith Jr.",
]
LAST_NAME_FIRST = {  # only in a file that writes the last name first
    "Garc\u00eda M\u00e1rquez, Gabriel": "Gabriel Garc\u00eda M\u00e1rquez",
    "Goethe, Johann Wolfgang": "Johann Wolfgang Goethe",
    "King, Stephen, Straub, Peter": "Stephen King, Peter Straub",
    "Jane Austen": "Jane Austen",
}


@pytest.mark.parametrize(("cell", "authors"), [*ONE_AUTHOR.items(), *SEVERAL_AUTHORS.items()])
@pytest.mark.parametrize("order", ["first last", "last, first"])
def test_names_whose_form_is_clear_are_read_in_any_file(cell, authors, order):
    assert read_authors([cell], order) == authors


@pytest.mark.parametrize("cell", FIRST_NAME_FIRST)
def test_authors_stay_as_they_are_in_a_file_that_writes_the_first_name_first(cell):
    assert read_authors([cell], "first last") == cell


@pytest.mark.parametrize(("cell", "authors"), LAST_NAME_FIRST.items())
def test_names_are_turned_round_in_a_file_that_writes_the_last_name_first(cell, authors):
    assert read_authors([cell], "last, first") == authors


@pytest.mark.parametrize(
    ("name", "turned"),
    [
        ("KING, MARTIN LUTHER, JR.", "MARTIN LUTHER KING JR."),
        ("Beispiel, Ltd.", "Beispiel Ltd."),
        ("\u6751\u4e0a, \u6625\u6a39", "\u6751\u4e0a\u6625\u6a39"),
        ("Jane Austen", "Jane Austen"),
        (" , ", ""),
    ],
)
def test_a_single_name_is_returned_first_name_first(name, turned):
    assert first_name_first(name) == turned


def test_several_cells_give_each_author_once():
    assert read_authors(["J.K. Rowling", "Mary GrandPr\u00e9, j.k. Rowling"], "first last") == (
        "J.K. Rowling, Mary GrandPr\u00e9"
    )
    assert (read_authors([], "first last"), read_authors([", "], "last, first")) == ("", "")


@pytest.mark.parametrize(
    ("cell", "orders"),
    [
        ("Jane Austen", ["first last"]),
        ("Terry Pratchett, Neil Gaiman", ["first last"]),
        ("Goethe, Johann Wolfgang", ["last, first"]),
        ("Garc\u00eda M\u00e1rquez, Gabriel", ["last, first"]),
        ("King, Stephen; Straub, Peter", ["last, first"] * 2),
        ("M\u00fcller H, Meier K", ["first last"]),
        ("Anonymous", []),
        ("", []),
    ],
)
def test_a_name_shows_the_order_of_its_file(cell, orders):
    assert list(votes(cell)) == orders


NAMES = st.from_regex(r"[A-Z][a-z]{3,6}", fullmatch=True)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, max_size=4, unique=True), st.sampled_from(["; ", "|", " & "]))
def test_names_written_last_name_first_come_back(people, separator):
    cell = separator.join(f"{last}, {first}" for first, last in people)
    assert read_authors([cell], "first last") == ", ".join(f"{first} {last}" for first, last in people)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="aA. ,;&|/()[]1-\n\u00e9\u6751", max_size=60), st.sampled_from(["first last", "last, first"]))
def test_no_cell_breaks_the_reader(cell, order):
    list(votes(cell))
    assert read_authors([cell], order).strip() == read_authors([cell], order)
