"""Tables of any text, written with any separator, quotes, line ends and encoding, are read back as they were."""

import tempfile
from pathlib import Path

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bookshop.bookfiles.formats import kind_of
from tests.support.bookfiles import read

NAMES = ("title", "authors", "isbn", "price", "description")
# Among single letters, some in Windows-1252 could be those of another encoding: only words show which one it is.
WORDS = [
    "Emma",
    " ",
    "Émile",
    "Größe",
    "naïve",
    "cœur",
    "garçon",
    "piñata",
    "7,80 €",
    '"',
    ",",
    ";",
    "|",
    "\t",
    "\n",
    "'",
]
ANYTHING = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
TRICKY = st.text(st.sampled_from("a0é ,;|\t\"'\r\n=\ufeff\u2028"), max_size=8)
ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]


@st.composite
def files(draw):
    """Return a header, rows and what they are as a file."""
    encoding, separator, end = (draw(st.sampled_from(one)) for one in (ENCODINGS, ",;\t|", ["\n", "\r\n", "\r"]))
    is_western = encoding == "cp1252"
    text = st.lists(st.sampled_from(WORDS), max_size=4).map("".join) if is_western else ANYTHING | TRICKY
    header = NAMES[: draw(st.integers(2, len(NAMES)))]
    rows = draw(st.lists(st.lists(text, min_size=len(header), max_size=len(header)), max_size=6))
    assume(not any(is_ambiguous(cell, separator) for row in rows for cell in row))
    quoted = draw(st.booleans())
    above = draw(st.sampled_from(["", f"sep={separator}{end}", f"Stock list of “Books”, 12.3.2026{end}{end}"]))
    above = above if not is_western else ""
    lines = [separator.join(written(cell, separator, quoted=quoted) for cell in row) + end for row in [header, *rows]]
    return header, rows, (above + "".join(lines)).encode(encoding)


def is_ambiguous(cell, separator):
    """Return whether the lines of a cell may look like lines of the table."""
    return separator in cell and len(cell.replace("\r", "\n").split("\n")) > 1


def written(cell, separator, *, quoted):
    needed = any(letter in cell for letter in f'{separator}"\r\n')
    return '"' + cell.replace('"', '""') + '"' if quoted or needed else cell


@settings(max_examples=60, deadline=None)
@given(files())
def test_a_table_is_read_back_as_it_was_written(file):
    header, rows, content = file
    with tempfile.TemporaryDirectory() as folder:
        table, lines = read(Path(folder), content)
        assert kind_of(Path(folder) / "books.csv") == "table"
    assert table.header == header
    assert [line for line in lines if line.problem] == []
    assert [list(line.cells) for line in lines] == [row for row in rows if any(map(str.strip, row))]


LINES = st.lists(st.text(st.sampled_from('a0é,," \n'), max_size=14), max_size=12)


@settings(max_examples=60, deadline=None)
@given(LINES)
def test_every_line_with_text_is_in_a_record_or_counted_by_a_refused_one(lines):
    text = "title,authors,price\n" + "\n".join(lines)
    with tempfile.TemporaryDirectory() as folder:
        _table, found = read(Path(folder), text)
    taken: dict[int, int] = {}
    for line in found:
        height = 1 + sum(cell.count("\n") for cell in line.cells)
        for number in range(line.number, line.number + height):
            assert taken.setdefault(number, line.number) == line.number
    refused = sum(1 + line.swallowed for line in found if line.problem)
    good = {number for number, first in taken.items() for line in found if line.number == first and not line.problem}
    physical = text.split("\n")[1:]
    filled = {number for number, line in enumerate(physical, 2) if line.replace(",", "").replace('"', "").strip()}
    assert len(good & filled) + refused >= len(filled)
