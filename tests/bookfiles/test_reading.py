"""A file and its mapping give the values of books, with a sentence about each that cannot be stored."""

import pytest

from bookshop.bookfiles.columns import missing_columns
from bookshop.bookfiles.reading import Chosen, open_books
from bookshop.catalog.models import DESCRIPTION_MAX
from tests.support.onix import message, product, tag, text_content


@pytest.fixture
def read(tmp_path):
    """Read a file's text; returns its lines."""

    def read(content, **options):
        path = tmp_path / "books"
        path.write_text(content, encoding="utf-8")
        return list(open_books(path, "EUR", **options).lines())

    return read


def test_all_problems_of_a_line_are_reported_together(read):
    (line,) = read(f"isbn,title,authors,price,publisher\n123,Emma,Jane Austen,7;8,{'x' * 201}\n")
    assert line.problem.split("; ") == [
        "ISBN 123 is not an ISBN: it needs 10 or 13 digits, such as 978-0-14-143951-8",
        "the price 7;8 cannot be read: write an amount such as 7.80 or 7,80",
        "publisher must have at most 200 characters",
    ]


def test_a_description_that_is_too_long_is_cut_at_a_paragraph_and_reported(read):
    text = "x" * 6000 + "\n" + "y" * 6000
    (line,) = read(f'title,authors,description\nEmma,Jane Austen,"{text}"\n')
    assert line.values["description"] == "x" * 6000
    assert line.guesses == ["has a description of 12,001 characters, of which the first 6,000 are kept"]


def test_a_description_of_one_word_is_cut_at_the_limit(read):
    (line,) = read(f"title,authors,description\nEmma,Jane Austen,{'x' * 12_000}\n")
    assert len(line.values["description"]) == DESCRIPTION_MAX


def test_staff_overrule_columns_and_conventions(read):
    columns = ["title", "authors", "price"]
    (line,) = read(
        'a,b,c\nEmma,"Austen, Jane Mary",1.234\n', choose=lambda _header: columns, chosen=Chosen(",", "last, first")
    )
    assert line.values == {"title": "Emma", "authors": "Jane Mary Austen", "price_cents": 123_400, "currency": "EUR"}


def test_a_product_without_contributors_names_its_publisher_and_says_so(read):
    (line,) = read("".join(message([product(contributors=tag("NoContributor"))])))
    assert (line.values["authors"], line.values["publisher"]) == ("Musterverlag", "Musterverlag")
    assert line.guesses == ["names no author, so its publisher Musterverlag is given as the author"]


SAME_HTML = "<p>A &amp; B&nbsp;caf&eacute;</p><ul><li>C</li><li>D<br>E</li></ul>F"


def test_the_same_html_gives_the_same_description_in_a_table_and_in_onix(read):
    (line,) = read(f"title,authors,description\nEmma,Jane Austen,{SAME_HTML}\n")
    texts = text_content("03", f"<![CDATA[{SAME_HTML}]]>", textformat="02")
    (product_line,) = read("".join(message([product(texts=texts)])))
    assert line.values["description"] == product_line.values["description"] == "A & B café\n\n• C\n• D\nE\n\nF"


@pytest.mark.parametrize("tag_", ["<b ", "<b>", "<!--", "<b a='"])
def test_tags_that_never_end_do_not_hold_up_the_reader(read, tag_):
    (line,) = read(f"title,authors,description\nEmma,Jane Austen,<p>One</p>{tag_ * 20_000}\n")
    assert line.values["description"] == "One"


@pytest.mark.parametrize("mapping", [["isbn"], ["sku"], ["title", "authors"], ["", "title", "authors", "isbn"]])
def test_an_isbn_or_title_and_authors_are_enough(mapping):
    assert missing_columns(mapping) == ""


@pytest.mark.parametrize("mapping", [["title"], ["authors", "price"], [""]])
def test_without_them_the_sentence_says_what_to_do(mapping):
    assert missing_columns(mapping).endswith("Choose the columns.")
