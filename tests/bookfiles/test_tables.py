"""Tables as booksellers have them: their header, their separator, and that every line is read or reported."""

import pytest

from bookshop.bookfiles.tables import open_table
from bookshop.kit.exceptions import Invalid
from tests.support.bookfiles import read, write

HEADER = "isbn,title,authors,price\n"
GERMAN = "ISBN;Titel;Autor;Preis\n"


def cells(lines):
    return [list(line.cells) for line in lines if not line.problem]


def problems(lines):
    return {line.number: line.problem for line in lines if line.problem}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("separator", [",", ";", "\t", "|"], ids=["comma", "semicolon", "tab", "bar"])
def test_separators_and_line_ends_are_recognised(tmp_path, separator, end):
    rows = [["ISBN", "Titel", "Autor"], ["1", f'"Faust{separator} Teil 1"', "Goethe"], ["2", "Emma", '"A ""B"" C"']]
    table, lines = read(tmp_path, end.join(map(separator.join, rows)))
    assert (table.dialect.separator, table.header, table.header_line) == (separator, ("ISBN", "Titel", "Autor"), 1)
    assert cells(lines) == [["1", f"Faust{separator} Teil 1", "Goethe"], ["2", "Emma", 'A "B" C']]
    assert [line.number for line in lines] == [2, 3]


HEADERS = {
    "title lines": ("Lagerliste Buchhandlung Müller, Köln, 12.3.2026\n\nPreise in EUR, inkl. MwSt.\n" + GERMAN, 4, ";"),
    "sep=": ("sep=;\r\n" + GERMAN, 2, ";"),
    "sep= with quotes": ('"sep=;"\n\n' + GERMAN, 3, ";"),
    "an open quote above": ('Liste von "Buch & Co"\n"Stand: 12.3.\n' + GERMAN, 3, ";"),
    "headings of groups": ("Artikel;;;Preise\n" + GERMAN, 2, ";"),
    "a title line like a column": ("Titel, Stand 12.3.2026\n" + GERMAN, 2, ";"),
    "29 lines": ("x\n" * 29 + GERMAN, 30, ";"),
    "commas in the header": ("ISBN;Titel, Untertitel;Autor, Hrsg.;Preis\n", 1, ";"),
    "other languages": ("Nimi|Tekijä|Hinta|Kieli\nTuntematon|Linna, Väinö|12,90|fi\n", 1, "|"),
    "other languages with a title": ("Luettelo, 12.3.\n\nNimi;Tekijä;Hinta;Kieli\nTuntematon;Linna;12,90;fi\n", 3, ";"),
}


@pytest.mark.parametrize(("content", "number", "separator"), HEADERS.values(), ids=HEADERS)
def test_the_header_is_found_below_other_lines(tmp_path, content, number, separator):
    table, lines = read(tmp_path, content + separator.join(["9783150000014", "Faust", "Goethe, J. W.", "3,00"]))
    assert (table.header_line, table.dialect.separator, len(table.header)) == (number, separator, 4)
    assert lines[-1].cells == ["9783150000014", "Faust", "Goethe, J. W.", "3,00"]


def test_a_name_of_a_column_may_have_a_line_break(tmp_path):
    table, lines = read(tmp_path, 'isbn,title,"price\n(EUR)"\n1,Emma,7.80\n')
    assert table.header == ("isbn", "title", "price\n(EUR)")
    assert [(line.number, line.cells) for line in lines] == [(3, ["1", "Emma", "7.80"])]


def test_a_quote_that_is_left_open_in_the_header_costs_no_line(tmp_path):
    table, lines = read(tmp_path, 'isbn,title,"price\n1,Emma,2\n2,"Emma, too",3\n')
    assert table.header == ("isbn", "title", "price")
    assert cells(lines) == [["1", "Emma", "2"], ["2", "Emma, too", "3"]]


def test_spaces_after_separators_are_skipped_if_the_file_is_written_so(tmp_path):
    _table, lines = read(tmp_path, '"title", "authors", "price"\n"Emma, a novel", "Austen, Jane", "9"\n')
    assert cells(lines) == [["Emma, a novel", "Austen, Jane", "9"]]
    _table, lines = read(tmp_path, 'title,authors,price\n"Emma, a novel", "Austen, Jane", 9\n')
    assert cells(lines) == [["Emma, a novel", "Austen, Jane", "9"]]
    _table, lines = read(tmp_path, "title,authors\n Emma, Jane\n")
    assert cells(lines) == [[" Emma", " Jane"]]


def test_blank_lines_are_not_lines(tmp_path):
    _table, lines = read(tmp_path, HEADER + '\n1,A,B,2\n\n,,,\n ,"",\t,\n,,,,,,\n"\n\n",,,\n2,C,D,3\n\n')
    assert [(line.number, line.cells[0]) for line in lines] == [(3, "1"), (11, "2")]


def test_empty_columns_on_the_right_are_fine_and_others_are_not(tmp_path):
    content = "ISBN;Titel;Autor;;\n1;A;B\n2;C;D;;\n3;E;F;;;;;\n4;G;H;;;x\n5;I\n6\n"
    table, lines = read(tmp_path, content)
    assert table.header == ("ISBN", "Titel", "Autor")
    assert cells(lines) == [["1", "A", "B"], ["2", "C", "D"], ["3", "E", "F"]]
    assert problems(lines) == {
        5: "has 6 columns, but the header has 3",
        6: "has 2 columns, but the header has 3",
        7: "has 1 column, but the header has 3",
    }


def test_a_column_without_a_name_is_kept_if_it_is_used(tmp_path):
    table, lines = read(tmp_path, "ISBN;Titel;Autor;;\n1;A;B;note;\n2;C;D\n")
    assert table.header == ("ISBN", "Titel", "Autor", "")
    assert cells(lines) == [["1", "A", "B", "note"], ["2", "C", "D", ""]]


def test_a_record_of_several_lines_has_the_number_of_the_first(tmp_path):
    _table, lines = read(tmp_path, HEADER + '1,"One,\ntwo;\r\nthree",B,2\n\n2,C,D,3\n')
    assert [(line.number, line.cells[1]) for line in lines] == [(2, "One,\ntwo;\r\nthree"), (6, "C")]


# ---------------------------------------------------------------- files without a header, and with two

FAUST, EMMA = "9783150000014;Faust;Goethe, J. W.;3,00", "9780141439587;Emma;Austen, Jane;7,80"
WITHOUT = {
    "ISBN first": (f"{FAUST}\n{EMMA}\n", 1),
    "one book": (f"{FAUST}\n", 1),
    "commas": (f"{FAUST}\n{EMMA}\n".replace(", ", " ").replace(",", ".").replace(";", ","), 1),
    "ISBN last, with hyphens": ("Faust|Goethe|3,00|978-3-15-000001-4\nEmma|Austen|7,80|978-0-14-143958-7\n", 1),
    "a title that names a column": (f"{FAUST.replace('Faust', 'Stock')}\n{EMMA}\n", 1),
    "a wrong digit": (f"{FAUST.replace('14;', '15;')}\n{EMMA}\n", 1),
    "no ISBN in the first line": (f"4711;Notizbuch;;5,00\n{FAUST}\n{EMMA}\n", 1),
    "fewer cells in the first line": (f";Lesezeichen;;\n{FAUST}\n{EMMA}\n", 1),
    "spaces": ('"9783150000014", "Faust, T. 1", "G", "3"\n"9780141439587", "Emma, a", "A", "7"\n', 1),
    "sep=": (f"sep=;\n{FAUST}\n{EMMA}\n", 2),
    "a title line": (f"Lagerliste, 3. Mai 2024\n\n{FAUST}\n{EMMA}\n", 3),
}


@pytest.mark.parametrize(("content", "begins"), WITHOUT.values(), ids=WITHOUT)
def test_a_file_without_a_header_is_read_from_its_first_book(tmp_path, content, begins):
    table, lines = read(tmp_path, content)
    assert (table.header, table.header_height, table.header_line) == (("",) * 4, 0, begins)
    assert [line.number for line in lines] == list(range(begins, len(content.splitlines()) + 1))
    assert problems(lines) == {}


def test_without_a_header_a_line_has_as_many_columns_as_most(tmp_path):
    table, lines = read(tmp_path, f"{FAUST};;\n{EMMA};gift;\n{EMMA};\n{EMMA};;;x\n{EMMA}\n9780141439587\n")
    assert table.header == ("",) * 5
    assert cells(lines) == [[*FAUST.split(";"), ""], [*EMMA.split(";"), "gift"], [*EMMA.split(";"), ""]]
    assert list(problems(lines)) == [4, 5, 6]
    assert problems(lines)[5] == "has 4 columns, but most lines have 5"


def test_names_that_nobody_knows_are_a_header_unless_they_are_numbers(tmp_path):
    table, _lines = read(tmp_path, f"Numer;Tytuł;Pisarz;Cena w zł 2024\n{FAUST}\n")
    assert (table.header[0], table.header_height) == ("Numer", 1)
    table, lines = read(tmp_path, f"Nimi;Tekijä;2023;2024\n{FAUST}\n")
    assert (table.header_height, lines[0].cells) == (0, ["Nimi", "Tekijä", "2023", "2024"])


def test_books_above_the_header_are_counted_as_refused(tmp_path):
    above = "ISBN;Titel;Preis\n9783150000014;A;1\n9783150000015;B;2\n;C;3\nx\n0141439513;D;4\n"
    _table, lines = read(tmp_path, f"{above}{GERMAN}{EMMA}\n")
    assert list(problems(lines)) == [2, 3, 6]
    assert problems(lines)[2] == "stands above the header, which is line 7. Upload each table as a file of its own"
    assert cells(lines) == [EMMA.split(";")]


# ---------------------------------------------------------------- lines that are no books, or shorter


def test_a_line_may_end_after_the_last_column_that_is_known(tmp_path):
    _table, lines = read(tmp_path, "ISBN;Titel;Autor;VK;Bestand;Notiz;x\n1;A;B;2;3\n2;C;D;4;5;\n3;E;F;6\n")
    assert cells(lines) == [["1", "A", "B", "2", "3", "", ""], ["2", "C", "D", "4", "5", "", ""]]
    assert problems(lines) == {4: "has 4 columns, but the header has 7"}


@pytest.mark.parametrize("header", ["ISBN;Tytuł;Pisarz;Cena", "Numer;Tytuł;Pisarz;Cena"])
def test_where_hardly_a_name_is_known_no_column_may_be_missing(tmp_path, header):
    _table, lines = read(tmp_path, f"{header}\n{FAUST}\n9780141439587;Emma;Austen\n")
    assert list(problems(lines)) == [3]


def test_a_quote_cannot_swallow_short_lines_unnoticed(tmp_path):
    swallowing = '1;"A;B;9;1\n2;C;D;9;1\n3;E";F;9;1\n'
    _table, lines = read(tmp_path, "ISBN;Titel;Autor;VK;Bestand;Notiz\n" + swallowing)
    assert [(line.number, bool(line.problem), line.swallowed) for line in lines] == [(2, True, 2)]


NO_BOOKS = {
    **dict.fromkeys([GERMAN.strip(), " ISBN ;Titel;Autor; Preis;;"], "repeats the header"),
    **dict.fromkeys(
        [
            "Summe;;;1.234,00 €",
            ";TOTAL:;;12",
            "Total",
            "Zwischensumme;12",
            "Total g\u00e9n\u00e9ral;1;2;3;4",
            "Sous-total;;-3;",
        ],
        "is a total, not a book",
    ),
}


@pytest.mark.parametrize(("line", "problem"), NO_BOOKS.items(), ids=NO_BOOKS)
def test_a_line_that_is_no_book_says_what_it_is(tmp_path, line, problem):
    _table, lines = read(tmp_path, f"{GERMAN}{FAUST}\n{line}\n{EMMA}\n")
    assert problems(lines) == {3: problem}


@pytest.mark.parametrize("line", ["Total;9783150000014;;3,00", "Total;;Goethe;3,00", "Totalschaden;;;3", ";;;12"])
def test_a_book_whose_title_is_a_total_stays_a_book(tmp_path, line):
    _table, lines = read(tmp_path, f"Titel;ISBN;Autor;Preis\n{line}\n")
    assert cells(lines) == [line.split(";")]


# ---------------------------------------------------------------- quotes that do not fit

GOOD = [f"{number},Book {number},Author,9" for number in range(3, 593)]


@pytest.mark.parametrize(
    "closing",
    ["", '593,"Austen, Jane",Author,9\n', '593,Vinyl 12",Author,9\n', '593,Book,Vinyl 12",9\n', "593,Book,Author,9"],
    ids=["no quote", "quoted cell", "in the same column", "in another column", "no line end"],
)
def test_an_unclosed_quote_costs_only_its_own_line(tmp_path, closing):
    _table, lines = read(tmp_path, HEADER + '2,"Emma,Jane Austen,9\n' + "\n".join(GOOD) + "\n" + closing)
    assert list(problems(lines)) == [2]
    assert problems(lines)[2].startswith("opens a quote that is never closed")
    assert [line.number for line in lines] == list(range(2, 593 + bool(closing)))
    assert sum(line.swallowed for line in lines) == 0


def test_several_unclosed_quotes_cost_only_their_own_lines(tmp_path):
    bad = [f'"{line}' if index % 100 == 50 else line for index, line in enumerate(GOOD)]
    _table, lines = read(tmp_path, HEADER + "\n".join(bad))
    assert list(problems(lines)) == [52, 152, 252, 352, 452, 552]
    assert len(cells(lines)) == len(GOOD) - 6


def test_an_unclosed_quote_before_a_very_long_file_is_found_within_limits(tmp_path):
    _table, lines = read(tmp_path, HEADER + '1,"Emma,Jane Austen,9\n' + "2,Emma,Jane Austen,9\n" * 20_000)
    assert (list(problems(lines)), len(lines)) == ([2], 20_001)


def test_what_a_quote_swallows_is_counted_if_it_does_not_look_like_lines(tmp_path):
    content = HEADER + '1,"A ""novel"",\nby Jane,\n\nand "others" too\n,B,2\n2,C,D,3\n'
    _table, lines = read(tmp_path, content)
    assert [(line.number, line.swallowed, bool(line.problem)) for line in lines] == [
        (2, 2, True),
        (6, 0, True),
        (7, 0, False),
    ]
    assert lines[0].problem.endswith("or closed too early, so 2 lines after it were not read")


def test_a_paragraph_with_as_many_commas_as_a_line_is_not_taken_for_one(tmp_path):
    content = 'isbn,title,description\n1,Emma,"Handsome\nclever, and rich, with\na home"\n'
    _table, lines = read(tmp_path, content)
    assert cells(lines) == [["1", "Emma", "Handsome\nclever, and rich, with\na home"]]


def test_a_record_of_several_lines_with_a_wrong_number_of_cells_counts_all_its_lines(tmp_path):
    _table, lines = read(tmp_path, HEADER + '1,"One\n\ntwo",B,2,x\n2,C,D,3\n')
    assert [(line.number, line.swallowed) for line in lines] == [(2, 1), (5, 0)]
    assert problems(lines) == {2: "has 5 columns, but the header has 4"}


def test_lines_that_open_and_close_quotes_for_each_other_are_read_in_linear_time(tmp_path):
    _table, lines = read(tmp_path, "isbn,title,authors\n" + 'x",y,"z\n' * 40_000)
    assert sum(1 + line.swallowed for line in lines) == 40_000


ONE_LINE = {
    "text after a quote": ('1,"Emma" x,B,2', "Write a quote inside a cell as two"),
    "huge cell": (f"1,{'x' * 200_000},B,2", "131,072 characters, which is too long for CSV"),
    "huge line": (f"1,{'x,' * 600_000}", "1,000,000 characters"),
    "too few": ("1,Emma,B", "has 3 columns, but the header has 4"),
}


@pytest.mark.parametrize(("line", "words"), ONE_LINE.values(), ids=ONE_LINE)
def test_a_line_that_cannot_be_read_does_not_stop_the_rest(tmp_path, line, words):
    _table, lines = read(tmp_path, HEADER + "1,A,B,2\n" + line + "\n2,C,D,3\n")
    assert cells(lines) == [["1", "A", "B", "2"], ["2", "C", "D", "3"]]
    assert words in problems(lines)[3]


def test_a_line_that_is_too_long_for_the_memory_is_skipped_even_within_an_unclosed_quote(tmp_path):
    _table, lines = read(tmp_path, HEADER + '1,"A,B,2\n2,C,D,3\n' + "x" * 2_500_000 + "\n3,E,F,4\n")
    assert list(problems(lines)) == [2, 4]
    assert cells(lines) == [["2", "C", "D", "3"], ["3", "E", "F", "4"]]


NO_TABLE = {
    "blank": ("\n\n", "empty"),
    "letter": ("Dear all,\nI send you a list.\nYours\n", "not a table with columns"),
    "one column": ("ISBN\n9780141439587\n", "not a table with columns"),
    "one endless line": ("x" * 1_200_000, "not a table with columns"),
}


@pytest.mark.parametrize(("content", "words"), NO_TABLE.values(), ids=NO_TABLE)
def test_a_file_without_columns_is_refused(tmp_path, content, words):
    with pytest.raises(Invalid, match=words):
        open_table(write(tmp_path, content))


def test_the_same_table_can_be_read_twice(tmp_path):
    table, lines = read(tmp_path, HEADER + "1,A,B,2\n")
    assert list(table.lines()) == lines
