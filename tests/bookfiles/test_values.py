"""Values of books: what the cells of a spreadsheet mean, and which are refused."""

from contextlib import suppress
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bookshop.bookfiles.amounts import read_price
from bookshop.bookfiles.columns import JOINT
from bookshop.bookfiles.dates import read_year
from bookshop.bookfiles.values import Conventions, Evidence, UnreadableLine, read_values

POINT = Conventions(".", "first last", "EUR")
COMMA = Conventions(",", "last, first", "EUR")
VERBATIM = Conventions(".", "first last", "EUR", verbatim=True)
EMMA, PRIDE = "9780141439587", "9780141439518"


def values(conventions=POINT, **fields):
    return read_values(fields, conventions).values


def refusal(conventions=POINT, **fields):
    with pytest.raises(UnreadableLine) as caught:
        read_values(fields, conventions)
    return str(caught.value)


def test_a_line_of_a_german_list_gives_every_field_of_a_book():
    fields = {
        "isbn": '="9783596294312"',
        "title": "Der Process",
        "subtitle": "Roman",
        "authors": "Kafka, Franz",
        "publisher": "Fischer",
        "language": "Deutsch",
        "published_year": "01.03.2019",
        "description": "<p>Jemand mu\u00dfte &amp; so weiter</p><p>zwei</p>",
        "price": "1.012,50 \u20ac",
        "stock_quantity": "5,00",
    }
    assert values(COMMA, **fields) == {
        "isbn": "9783596294312",
        "title": "Der Process: Roman",
        "main_title": "Der Process",
        "authors": "Franz Kafka",
        "publisher": "Fischer",
        "language": "de",
        "published_year": 2019,
        "description": "Jemand mu\u00dfte & so weiter\n\nzwei",
        "price_cents": 101250,
        "currency": "EUR",
        "stock_quantity": 5,
    }


PRICES = [  # text, cents in a file with decimal points, and in one with commas (None: refused)
    ("7,80", 780, 780),
    ("7.80 \u20ac", 780, 780),
    ("EUR 7,80", 780, 780),
    ("1.234,50", 123450, 123450),
    ("1,234.50", 123450, 123450),
    ("1\u00a0234,50", 123450, 123450),
    ("1'234.50", 123450, 123450),
    ("1\u2019234.50", 123450, 123450),
    ("1.234.567", 123456700, 123456700),
    ("12,-", 1200, 1200),
    (",99", 99, 99),
    ("0.990", 99, 99),
    ("7.9900", 799, 799),
    ("12.990000000000002", 1299, 1299),
    ("1.234", None, 123400),
    ("1,234", 123400, None),
    ("7.800", 780, 780000),
]


@pytest.mark.parametrize(("text", "with_points", "with_commas"), PRICES)
def test_the_convention_of_the_file_decides_only_what_is_ambiguous(text, with_points, with_commas):
    for conventions, cents in ((POINT, with_points), (COMMA, with_commas)):
        if cents is None:
            assert f"the price {text} has more decimals than EUR allows: write 1234" in refusal(conventions, price=text)
        else:
            assert values(conventions, price=text) == {"price_cents": cents, "currency": "EUR"}


UNREADABLE = """7,8,0|7.8.0|1,23,456.00|1.234,567,89|12 34|-5|abc|1e3|12.345|\u0663|\u00a37.99/\u20ac9.99|7,80 Taler
|\u20ac 7,80 USD"""


@pytest.mark.parametrize("text", [*UNREADABLE.replace(chr(10), "").split("|"), "9" * 50])
def test_a_price_that_contradicts_itself_is_refused_and_shown(text):
    assert f"the price {text[:40]}" in refusal(price=text)


def test_a_negative_price_says_what_to_write_for_a_price_on_request():
    assert refusal(price="-5") == "the price -5 is negative: write 0 for a price on request"
    message = "price in cents must be at least 0, not -5: write 0 for a price on request"
    assert refusal(price_cents="-5") == message


@pytest.mark.parametrize(
    ("shop", "price", "column", "read"),
    [
        ("EUR", "\u00a37", "", (700, "GBP")),
        ("EUR", "$9.99", "", (999, "USD")),
        ("AUD", "$9.99", "", (999, "AUD")),
        ("EUR", "$9.99", "CAD", (999, "CAD")),
        ("EUR", "9.99", "\u00a3", (999, "GBP")),
        ("EUR", "CHF 12.-", "", (1200, "CHF")),
        ("JPY", "1,290", "", (1290, "JPY")),
        ("SEK", "99 kr", "", (9900, "SEK")),
    ],
)
def test_the_currency_is_that_of_the_price_else_of_the_line_else_of_the_shop(shop, price, column, read):
    found = values(Conventions(".", "first last", shop), price=price, currency=column)
    assert (found["price_cents"], found["currency"]) == read


def test_currencies_that_contradict_each_other_or_are_unknown_are_refused():
    assert refusal(price="\u00a37", currency="EUR") == "the price \u00a37 is not in EUR, the currency of its line"
    assert refusal(currency="Taler") == "the currency Taler is unknown: write a code such as EUR"


def test_a_price_of_0_says_nothing_and_price_cents_of_0_does():
    assert (values(price="0,00"), values(price_cents="0")) == ({}, {"price_cents": 0})


@pytest.mark.parametrize("text", ["9.00", "1_290", "\u0663", "1e3", "+5", "9,50", "x", "9" * 40])
def test_price_cents_are_whole_numbers_only(text):
    message = refusal(price_cents=text)
    assert message.startswith(f"price in cents must be a whole number such as 1290, not {text}"[:90])
    assert message.endswith("belongs in a column named price")


def test_price_and_price_cents_of_one_line_must_agree():
    assert values(price="9.50", price_cents="950")["price_cents"] == 950
    assert refusal(price="9.50", price_cents="951") == (
        "the columns price (9.50) and price in cents (951) differ: correct one of them"
    )


@pytest.mark.parametrize(
    ("text", "copies"), [("5", 5), ("5.0", 5), ("5,00", 5), ("5.00000", 5), ("1,234", 1234), ("1 234", 1234), ("0", 0)]
)
def test_whole_numbers_of_copies_are_read(text, copies):
    assert values(stock_quantity=text) == {"stock_quantity": copies}


@pytest.mark.parametrize("text", ["10+", ">20", "in stock", "+5", "5.5", "1e3", "1_290", "\u0663", "1.000", "0.500"])
def test_other_numbers_of_copies_are_refused(text):
    assert refusal(stock_quantity=text) == f"copies must be a whole number such as 10, not {text}"


def test_negative_stock_is_refused():
    assert refusal(stock_quantity="-1").startswith("copies must be at least 0, not -1: write 0")


YEARS = {
    2019: "2019|2019-03-01|2019-03-01T00:00:00+00:00|03/2019|01.03.2019|3/31/2019|20190301|201903|2019,00"
    "|M\u00e4rz 2019|1 Mar 2019|Mar 1, 2019|15 de enero de 2019|1er mars 2019",
    1999: "c. 1999|c1999|ca. 1999|[1999]|\u00a9 1999|1999.0",
    609: "609",
    -750: "-750.0|750 BC|750 v. Chr.",
}


@pytest.mark.parametrize(("text", "year"), [(text, year) for year in YEARS for text in YEARS[year].split("|")])
def test_years_and_dates_that_are_clear_give_the_year(text, year):
    assert values(published_year=text) == {"published_year": year}


@pytest.mark.parametrize("text", ["43525", "01.03.19", "19", "soon", "1999-2003", "2019-13-01", "19990000", "2019?"])
def test_other_years_are_left_out_and_reported(text):
    reading = read_values({"published_year": text, "stock_quantity": "3"}, POINT)
    assert reading.values == {"stock_quantity": 3}
    assert "published_year" not in read_values({"published_year": text, "original_year": "1815"}, POINT).values
    (guess,) = reading.guesses
    assert (guess.startswith(f"year of publication {text} "), guess.endswith(". It was left out")) == (True, True)


def test_a_year_of_the_first_edition_that_cannot_be_read_is_named_as_one():
    message = "year of the first edition abc cannot be read: write a year such as 2019. It was left out"
    assert read_values({"original_year": "abc"}, POINT).guesses == [message]


def test_year_0_is_unknown_and_the_year_of_the_edition_counts_before_that_of_the_work():
    assert values(published_year="0", original_year="0.0") == {}
    assert values(published_year="2003", original_year="1815") == {"published_year": 2003}
    assert values(published_year="0", original_year="8.0") == {"published_year": 8}


@pytest.mark.parametrize(
    "text", ["Englisch", "anglais", "ingl\u00e9s", "English", "eng", "EN", "English (UK)", "dt., engl."]
)
def test_languages_are_stored_as_tags(text):
    assert values(language=text) == {"language": "de" if text.startswith("dt") else "en"}


def test_an_unknown_language_is_left_out_and_reported():
    reading = read_values({"language": "Blubber", "title": "Emma"}, POINT)
    assert reading.values == {"title": "Emma"}
    assert reading.guesses == ["the language Blubber is unknown and was left out"]


def test_the_first_valid_isbn_is_taken_and_two_different_ones_are_refused():
    assert values(isbn=JOINT.join(["141439580", "9.78014E+12"])) == {"isbn": EMMA}
    assert values(isbn=JOINT.join(["", '=""', f"[{EMMA}]", "0141439580"])) == {"isbn": EMMA}
    different = refusal(isbn=JOINT.join([EMMA, PRIDE]))
    assert different == f"the ISBNs {EMMA} and {PRIDE} in one line are those of different books"


def test_a_lost_leading_zero_is_reported_unless_another_column_has_the_whole_number():
    guess = "the ISBN 141439580 has lost leading zeros and was read as 0141439580"
    assert read_values({"isbn": "141439580"}, POINT).guesses == [guess]
    assert read_values({"isbn": JOINT.join(["141439580", EMMA])}, POINT).guesses == []
    assert read_values({"isbn": JOINT.join([EMMA, "141439580"])}, POINT).guesses == []


def test_an_article_number_is_an_isbn_only_if_it_is_clearly_one():
    assert values(sku=EMMA) == values(sku="0141439580") == {"isbn": EMMA}
    assert values(sku="3442267811") == values(sku="B-1234") == values(sku="141439580") == {}
    assert values(isbn=EMMA, sku=PRIDE) == {"isbn": EMMA}


def test_what_spreadsheets_write_for_nothing_is_nothing():
    nothing = {"isbn": "n/a", "title": "NULL", "authors": "nan", "publisher": "-", "language": "none", "price": "#N/A"}
    assert values(**nothing, stock_quantity="\u00a0", published_year="null", description="#NV", currency='=""') == {}
    assert values(title="None of the Above", authors="Null, Christopher") == {
        "title": "None of the Above",
        "authors": "Christopher Null",
    }


def test_errors_of_a_spreadsheet_are_refused():
    message = "title is an error of the spreadsheet: #REF!; price is an error of the spreadsheet: #VALUE!"
    assert refusal(title="#REF!", price="#VALUE!") == message
    assert refusal(sku="#REF!") == "article number is an error of the spreadsheet: #REF!"
    assert values(title="#Girlboss") == {"title": "#Girlboss"}


def test_all_problems_of_a_line_are_reported_and_the_other_values_kept():
    with pytest.raises(UnreadableLine) as caught:
        read_values({"isbn": "1748-4995", "title": "Emma", "price_cents": "9.00", "stock_quantity": "10+"}, POINT)
    problems = str(caught.value).split("; ")
    assert [problem.partition(" must")[0] for problem in problems[1:]] == ["price in cents", "copies"]
    assert problems[0] == "ISBN 1748-4995 is not an ISBN: it is an ISSN, the number of a magazine or journal"
    assert caught.value.values == {"title": "Emma"}


def test_line_breaks_in_a_title_become_blanks_and_html_without_known_tags_stays():
    assert values(title="Emma\n(Highbury)") == {"title": "Emma (Highbury)"}
    assert values(description="a < b > c")["description"] == "a < b > c"
    assert values(description="<script>x</script>One<br>two&nbsp;&eacute;")["description"] == "One\ntwo \u00e9"


def test_texts_of_the_shops_own_export_are_taken_verbatim():
    fields = {
        "book_id": "7",
        "isbn": EMMA,
        "title": '="NULL"',
        "authors": "Austen, Jane",
        "language": "x-elvish",
        "published_year": "8",
        "description": "<p>&amp;</p>",
        "price_cents": "0",
        "currency": "EUR",
        "stock_quantity": "3",
    }
    expected = {**fields, "book_id": 7, "published_year": 8, "price_cents": 0, "stock_quantity": 3}
    assert values(VERBATIM, **fields) == expected


def test_most_lines_of_a_file_show_its_conventions():
    evidence = Evidence()
    for price, authors in [
        ("7,80", "Kafka, Franz"),
        ("1.234", "Mann, Thomas"),
        ("9,90 \u20ac", "Lem, S."),
        ("5", "Duden"),
    ]:
        evidence.add({"price": price, "authors": authors})
    assert evidence.conventions("EUR", verbatim=False) == COMMA
    evidence.add({"authors": "Terry Pratchett, Neil Gaiman"})
    evidence.add({"authors": "Jane Austen"})
    assert evidence.conventions("EUR", verbatim=False).names == "first last"
    assert Evidence().conventions("EUR", verbatim=True) == VERBATIM


AMOUNTS = st.integers(min_value=1, max_value=100_000_000)
STYLES = st.sampled_from([(",", "."), (".", ","), (" ", ","), ("\u202f", ","), ("'", "."), ("", "."), ("", ",")])


@settings(max_examples=150, deadline=None)
@given(AMOUNTS, STYLES, st.sampled_from(["", "\u20ac", "EUR "]))
def test_any_price_is_read_back_as_it_was_written(cents, style, symbol):
    group, decimal = style
    english = f"{symbol}{Decimal(cents).scaleb(-2):,.2f}"
    text = english.translate({ord(","): group, ord("."): decimal})
    for conventions in (POINT, COMMA):
        assert values(conventions, price=text) == {"price_cents": cents, "currency": "EUR"}


FIELDS = ("isbn", "sku", "title", "authors", "language", "published_year", "description", "price", "stock_quantity")


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(FIELDS), st.text(max_size=30)), st.sampled_from([POINT, COMMA, VERBATIM]))
def test_any_line_is_read_or_refused_and_no_empty_value_is_read(fields, conventions):
    Evidence().add(fields)
    with suppress(UnreadableLine):
        read = read_values(fields, conventions).values
        assert [name for name, value in read.items() if not value and name != "stock_quantity"] == []


@pytest.mark.parametrize(
    ("text", "currency", "cents"),
    [
        ("Fr. 12.90", "CHF", 1290),
        ("Fr. 1\u2019234.50", "CHF", 123_450),
        ("sFr. 3.00", "CHF", 300),
        ("12,500", "TND", 12_500),
    ],
)
def test_prices_are_read_as_their_countries_write_them(text, currency, cents):
    assert read_price(text, ".", currency) == (cents, currency)


@pytest.mark.parametrize("text", ["0000-00-00", "0000-00-00 00:00:00", "00.00.0000"])
def test_the_empty_dates_of_databases_are_unknown_years(text):
    assert read_year(text, "published_year") is None


@pytest.mark.parametrize(
    ("last", "first", "authors"),
    [
        ("Goethe", "Johann Wolfgang", "Johann Wolfgang Goethe"),
        ("Camus", "Albert", "Albert Camus"),
        ("M\u00fcller; Meier", "Hans; Eva", "Hans M\u00fcller, Eva Meier"),
        ("Kafka", "", "Kafka"),
        ("Brown, Dan", "", "Dan Brown"),
    ],
)
def test_last_and_first_names_in_two_columns_are_joined(last, first, authors):
    assert values(authors=last, first_names=first) == {"authors": authors}


@pytest.mark.parametrize(
    ("roles", "authors"),
    [
        ("Translator|Translator", "Franz Kafka"),
        ("Author|Translator", "Franz Kafka, Willa Muir"),
        ("", "Franz Kafka, Willa Muir, Edwin Muir"),
        ("Translator", "Franz Kafka, Willa Muir, Edwin Muir"),
    ],
)
def test_translators_of_librarything_are_no_authors(roles, authors):
    names = JOINT.join(["Kafka, Franz", "Muir, Willa|Muir, Edwin"])
    assert values(COMMA, authors=names, author_roles=roles) == {"authors": authors}


def test_html_in_titles_and_names_is_read():
    fields = {
        "title": "Pride &amp; <i>Prejudice</i>",
        "authors": "Sin&eacute;ad O&#8217;Brien",
        "publisher": "A &amp; B",
    }
    read = values(**fields)
    assert read == {"title": "Pride & Prejudice", "authors": "Sin\u00e9ad O\u2019Brien", "publisher": "A & B"}
    assert values(VERBATIM, **fields) == fields
    assert values(title="AT&T <3 R&D;") == {"title": "AT&T <3 R&D;"}


TWENTY = "20,00 \u20ac (D)|\u20ac 20,00 [D]|20,00 EUR (D)|20\u20ac00|20,00\u20ac TTC"
TWENTY += "|20,00 \u20ac inkl. MwSt.|20.00 \u20ac (DE)"


@pytest.mark.parametrize("text", TWENTY.split("|"))
def test_remarks_about_taxes_and_germany_are_no_part_of_a_price(text):
    assert values(COMMA, price=text) == {"price_cents": 2000, "currency": "EUR"}


@pytest.mark.parametrize("text", ["--", "n/v", "TBC", "vergr.", "auf Anfrage"])
def test_words_that_say_that_there_is_no_price_say_nothing(text):
    assert values(price=text) == {}


def test_an_austrian_price_is_not_taken_for_another_one():
    assert "20,60" in refusal(COMMA, price="20,60 \u20ac (A)")
