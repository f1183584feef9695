"""What the shop reads in the products of ONIX messages."""

from datetime import date

import onixcheck
import pytest

from bookshop.bookfiles import onix
from bookshop.bookfiles.onix_xml import message_version
from bookshop.bookfiles.reading import open_books
from tests.support.onix import (
    STYLES,
    VERSIONS,
    contributor,
    element,
    identifier,
    message,
    only_in,
    price,
    product,
    published,
    tag,
    taxed,
    text_content,
    title,
    title_of,
    write,
)

TODAY = date(2024, 6, 1)


def collection(*elements):
    return tag("Collection", tag("CollectionType", "10"), title_of(*elements))


def language(code, role="01"):
    return tag("Language", tag("LanguageRole", role), tag("LanguageCode", code))


def publisher(name, role="01"):
    return tag("Publisher", tag("PublishingRole", role), tag("PublisherName", name))


def named(**parts):
    return "".join(tag(name, text) for name, text in parts.items())


def limited(amount, role, day, **more):
    return price(amount, more=tag("PriceDate", tag("PriceDateRole", role), tag("Date", day, dateformat="00")), **more)


IMPRINT = tag("Imprint", tag("ImprintName", "Edition Muster"))
XHTML = "<p>Ein <em>Haus</em>,<br/>ein Fluss.</p>\n  <ul><li>Sommer</li><li>Winter</li></ul>"
MAUS = element("Maus", before=tag("PartNumber", "2"), more=tag("Subtitle", "And Here"))
LINEAR = title_of(element("One Piece", "02"), element(before=tag("PartNumber", "Band 12")))
CASES = {
    "isbn-13": ({"identifiers": identifier("9780000000019", "03") + identifier("9780141439518")}, "9780141439518"),
    "ean of a book": ({"identifiers": identifier("44", "01") + identifier("9780141439518", "03")}, "9780141439518"),
    "isbn-10": ({"identifiers": identifier("0141439513", "02")}, "0141439513"),
    "no isbn": ({"identifiers": identifier("4012345678901", "03")}, None),
    "sheet music": ({"identifiers": identifier("9790060115615", "03")}, None),
    # titles
    "subtitle": ({"titles": title("Das Haus", more=tag("Subtitle", "Roman"))}, "Das Haus"),
    "prefix": ({"titles": title_of(element(more=named(TitlePrefix="Das", TitleWithoutPrefix="Haus")))}, "Das Haus"),
    "elision": (
        {"titles": title_of(element(more=named(TitlePrefix="L\u2019", TitleWithoutPrefix="Été")))},
        "L\u2019Été",
    ),
    "no prefix": (
        {"titles": title_of(element(more="<NoPrefix/><TitleWithoutPrefix>Emma</TitleWithoutPrefix>"))},
        "Emma",
    ),
    "part": ({"titles": title_of(MAUS)}, "Maus, 2"),
    "annual": ({"titles": title_of(element("Almanach", before=tag("YearOfAnnual", "2024")))}, "Almanach 2024"),
    "a collection's part": ({"titles": LINEAR}, "One Piece, Band 12"),
    "a series beside": ({"collection": collection(element("Reihe", "02")), "titles": title("Emma")}, "Emma"),
    "other titles": ({"titles": title("Maison", "03") + title("Haus") + title("HAUS", "05")}, "Haus"),
    "a distributor's title": ({"titles": title("HAUS AM FLUSS", "10")}, "HAUS AM FLUSS"),
    "typing and spaces": ({"titles": title(" Tom &amp;   Jerry\u200b ")}, "Tom & Jerry"),
    # authors
    "order": ({"contributors": contributor("B Zwei", number=2) + contributor("A Eins", number=1)}, "A Eins, B Zwei"),
    "author first": (
        {"contributors": contributor("T", "B06") + contributor("C", "A12") + contributor("A", "A01")},
        "A",
    ),
    "with": ({"contributors": contributor("A", "A01") + contributor("B", "A02")}, "A, B"),
    "editor": ({"contributors": contributor("T", "B06") + contributor("E", "B01")}, "E"),
    "illustrator": ({"contributors": contributor("T", "B06") + contributor("I", "A12")}, "I"),
    "translator": ({"contributors": contributor("T", "B06") + contributor("P", "Z04")}, "T"),
    "two roles": ({"contributors": contributor("A", "A12", "A01") + contributor("B", "A12")}, "A"),
    "inverted": ({"contributors": contributor("Austen, Jane", in_tag="PersonNameInverted")}, "Jane Austen"),
    "wrongly inverted": ({"contributors": contributor("Kafka, Franz")}, "Franz Kafka"),
    "suffix": (
        {"contributors": contributor("King, Martin Luther, Jr.", in_tag="PersonNameInverted")},
        "Martin Luther King Jr.",
    ),
    "suffix after comma": ({"contributors": contributor("Kurt Vonnegut, Jr.")}, "Kurt Vonnegut Jr."),
    "parts": (
        {
            "contributors": contributor(
                named(NamesBeforeKey="Ludwig", PrefixToKey="van", KeyNames="Beethoven"), in_tag=""
            )
        },
        "Ludwig van Beethoven",
    ),
    "company": (
        {"contributors": contributor("Dorling Kindersley, Ltd.", in_tag="CorporateName")},
        "Dorling Kindersley Ltd.",
    ),
    "in Japanese": ({"contributors": contributor("村上, 春樹", in_tag="PersonNameInverted")}, "村上春樹"),
    "anonymous": ({"contributors": contributor("02", in_tag="UnnamedPersons")}, "Anonymous"),
    "and others": ({"contributors": contributor("A") + contributor("03", in_tag="UnnamedPersons")}, "A"),
    "pen name": (
        {
            "contributors": contributor(
                tag("PersonName", "A") + tag("AlternativeName", named(NameType="04", PersonName="B")), in_tag=""
            )
        },
        "A",
    ),
    "no contributor": ({"contributors": "<NoContributor/>"}, None),
    # publisher, language, year
    "publisher": ({"publishers": IMPRINT + publisher("Haupt", "02") + publisher("Muster")}, "Muster"),
    "imprint": ({"publishers": IMPRINT + publisher("Förderer", "16")}, "Edition Muster"),
    "language": ({"languages": language("fre", "02") + language("eng")}, "eng"),
    "undetermined": ({"languages": language("und")}, None),
    "a year": ({"dates": published("2019", "01", "05")}, "2019"),
    "a month": ({"dates": published("20250101", "02") + published("202311", "01", "01")}, "2023"),
    "a time": ({"dates": published("20210304T0800", "01", "13")}, "2021"),
    "a season": ({"dates": published("20243", "01", "04")}, "2024"),
    "a text": ({"dates": published("um 1850", "01", "12")}, "1850"),
    "before christ": ({"dates": published("1200 BCE", "01", "12")}, None),
    "hijri": ({"dates": published("1445", "01", "25")}, None),
    # description
    "xhtml": ({"texts": text_content("03", XHTML, textformat="05")}, "Ein Haus,\nein Fluss.\n\n• Sommer\n• Winter"),
    "escaped": (
        {"texts": text_content("03", "&lt;p>A &amp;amp; B&lt;p>C &lt;b>D&lt;/b>", textformat="02")},
        "A & B\n\nC D",
    ),
    "cdata": ({"texts": text_content("03", "<![CDATA[<div>A &eacute;</div>B<br>C]]>")}, "A é\nB\nC"),
    "script": ({"texts": text_content("03", "<![CDATA[A<script>alert(1)</script><b>B</b>]]>")}, "AB"),
    "plain": ({"texts": text_content("03", "A &lt; B\n   C &amp; D\n\n\n\nE")}, "A < B\nC & D\n\nE"),
    "html entities": ({"texts": text_content("03", "caf&amp;eacute;", textformat="02")}, "café"),
    "short": (
        {"texts": text_content("12", "Zur Person") + text_content("05", "C") + text_content("02", "Kurz")},
        "Kurz",
    ),
    "for the trade": ({"texts": text_content("03", "Intern", audience="02") + text_content("02", "Kurz")}, "Kurz"),
    # prices
    "fixed": ({"prices": price("8", type_="05") + price("9.5", type_="01") + price("10.90", type_="04")}, "10.90 EUR"),
    "with tax": ({"prices": price("9.00", type_="01") + price("9.6", type_="02")}, "9.60 EUR"),
    "only without tax": ({"prices": price("9.00", type_="01")}, "9 EUR"),
    "tax to add": ({"prices": price("9.99", type_="01", tax=taxed("5.5"))}, "10.54 EUR"),
    "tax on a half cent": ({"prices": price("10.10", type_="03", tax=taxed("2.5"))}, "10.35 EUR"),
    "tax on parts": ({"prices": price("10", type_="01", tax=taxed("7", "8.00") + taxed("19", "2.00"))}, "10.94 EUR"),
    "tax in yen": ({"prices": price("1005", "JPY", type_="01", tax=taxed("10"))}, "1106 JPY"),
    "tax that is included": ({"prices": price("10.70", type_="02", tax=taxed("7"))}, "10.70 EUR"),
    "no tax": ({"prices": price("10.123", type_="01", tax=taxed("0"))}, "10.123 EUR"),
    "in bulk": ({"prices": price("7.00", minimum="20") + price("9.00", minimum="1")}, "9 EUR"),
    "in bulk or no longer": (
        {"prices": price("7.00", minimum="20") + limited("9.00", "15", "20240531")},
        "9 EUR",
    ),
    "in bulk only": ({"prices": price("7.00", minimum="20")}, "7 EUR"),
    "countries": ({"prices": price("20.60", more=only_in("AT")) + price("20", more=only_in("DE"))}, "20.60 EUR"),
    "the shop's currency": ({"prices": price("15.00", "CHF") + price("12.9900", "EUR")}, "12.99 EUR"),
    "another currency": ({"prices": price("15.00", "CHF") + price("11.00", "GBP")}, "15 CHF"),
    "only net": ({"prices": price("8.00", type_="05")}, None),
    "unpriced": ({"prices": tag("UnpricedItemType", "02")}, None),
    "for libraries": ({"prices": price("40", qualifier="10") + price("12.00", qualifier="05")}, "12 EUR"),
    "no longer": ({"prices": limited("12.00", "15", "20240531") + limited("13.00", "14", "20240601")}, "13 EUR"),
    "not yet": ({"prices": limited("13.00", "14", "20240602") + limited("12.00", "15", "20240601")}, "12 EUR"),
}
FIELDS = {
    **dict.fromkeys(("identifiers",), ("isbn",)),
    **dict.fromkeys(("titles", "collection"), ("title",)),
    **{"contributors": ("authors",), "publishers": ("publisher",), "languages": ("language",)},
    **{"dates": ("published_year",), "texts": ("description",), "prices": ("price", "currency")},
}


@pytest.fixture(scope="module", params=[(version, style) for version in VERSIONS for style in STYLES], ids="-".join)
def example(request, tmp_path_factory):
    """A message with all the cases."""
    path = tmp_path_factory.mktemp("onix") / "cases.xml"
    version, style = request.param
    parts = [product(number, **given) for number, (given, _expected) in enumerate(CASES.values(), 1)]
    return write(path, message(parts, version, style)), version


def test_the_examples_are_valid_onix(example):
    assert [str(problem) for problem in onixcheck.validate(str(example[0]), ("xsd", "rng"))] == []


def test_each_case_gives_the_expected_text_in_each_version_and_with_both_kinds_of_tags(example):
    path, version = example
    read = dict(zip(CASES, onix.products(path, "EUR", TODAY), strict=True))
    texts = {}
    for name, (given, _expected) in CASES.items():
        wanted = [read[name].fields.get(field) for field in FIELDS[next(iter(given))]]
        texts[name] = " ".join(filter(None, wanted)) or None
    assert texts == {name: expected for name, (_given, expected) in CASES.items()}
    assert message_version(path) == version
    assert [each.number for each in read.values()] == list(range(1, len(CASES) + 1))
    assert {each.problem for each in read.values()} == {""}


def read_one(tmp_path, *products, currency="EUR", **parts):
    path = write(tmp_path / "message.xml", message(products or [product(**parts)]))
    return next(onix.products(path, currency, TODAY))


def test_a_product_gives_these_fields_and_never_the_suppliers_stock(tmp_path):
    assert read_one(tmp_path).fields == {
        "isbn": "9780000000019",
        "title": "Das Haus am Fluss 1",
        "subtitle": "Roman",
        "authors": "Nora Beispiel 1",
        "publisher": "Musterverlag",
        "language": "ger",
        "published_year": "2024",
        "description": "Ein Haus, ein Fluss, ein Sommer.",
        "price": "12.90",
        "currency": "EUR",
    }


def test_the_first_publication_of_a_work_is_not_the_year_of_the_edition(tmp_path):
    fields = read_one(tmp_path, dates=published("1813", "11", "05")).fields
    assert ("published_year" in fields, fields["original_year"]) == (False, "1813")


def test_what_a_product_leaves_out_comes_from_the_header(tmp_path):
    defaults = named(DefaultLanguageOfText="spa", DefaultPriceType="02", DefaultCurrencyCode="CHF")
    parts = message([product(languages="", prices=price("19.00", "", ""))], header=defaults)
    fields = next(onix.products(write(tmp_path / "message.xml", parts), "EUR")).fields
    assert (fields["language"], fields["price"], fields["currency"]) == ("spa", "19", "CHF")


AT, DE = price("20.60", more=only_in("AT")), price("20.00", more=only_in("DE"))
MANY = price("19", more=only_in("DE", "AT", "CH", "LI", "LU"))
WORLD = price("21", more=tag("Territory", tag("RegionsIncluded", "WORLD")))
GUESSES = {
    "one price": (price("20.00"), None),
    "the same price twice": (price("20.00", more=only_in("DE")) + price("20", more=only_in("LU")), None),
    "a better price": (price("19.00", type_="02") + AT, None),
    "two countries": (AT + DE, "of the prices 20.60 EUR (AT) and 20 EUR (DE), the first was taken"),
    "many countries": (
        MANY + WORLD,
        "of the prices 19 EUR (DE, AT, CH, LI, \u2026) and 21 EUR (WORLD), the first was taken",
    ),
    "anywhere": (
        price("19") + price("18", more=only_in("DE")),
        "of the prices 19 EUR and 18 EUR (DE), the first was taken",
    ),
    "tax to add": (
        price("10.00", type_="01", tax=taxed("20")),
        "the price 10 EUR excludes tax, so the tax was added: 12 EUR",
    ),
    "no tax": (price("10.00", type_="01", tax=taxed("0")), None),
    "unknown tax": (
        price("10.00", type_="01"),
        "the price 10 EUR excludes tax, and the file does not say how much that is",
    ),
    "tax of a part that is unknown": (
        price("10.00", type_="01", tax=taxed("7", "8.00") + tag("Tax", tag("TaxAmount", "1"))),
        "the price 10 EUR excludes tax, and the file does not say how much that is",
    ),
    "absurd tax": (
        price("10.00", type_="01", tax=taxed("9" * 50)),
        "the price 10 EUR excludes tax, and the file does not say how much that is",
    ),
}


@pytest.mark.parametrize(("prices", "guess"), GUESSES.values(), ids=GUESSES)
def test_what_is_uncertain_about_a_price_is_reported(tmp_path, prices, guess):
    path = write(tmp_path / "message.xml", message([product(prices=prices)]))
    (line,) = open_books(path, "EUR").lines()
    assert (line.problem, line.guesses) == ("", [guess] if guess else [])


def test_a_price_of_unknown_type_is_not_taken_for_the_retail_price(tmp_path):
    assert "price" not in read_one(tmp_path, prices=price("19.00", "EUR", "")).fields


@pytest.mark.parametrize(
    ("notification", "problem"),
    [
        ("05", "Books are not deleted by file. Withdraw this book instead."),
        ("88", "test record"),
        ("89", "test record"),
    ],
)
def test_records_that_describe_no_book_on_sale_are_refused_with_the_reason(tmp_path, notification, problem):
    read = read_one(tmp_path, notification=notification)
    assert problem in read.problem
    assert read.fields["isbn"] == "9780000000019"


def test_an_update_of_some_blocks_gives_only_what_it_contains(tmp_path):
    block = tag("ProductSupply", tag("SupplyDetail", price("14.00")))
    update = tag("Product", tag("NotificationType", "04"), identifier("9780000000019"), block)
    read = read_one(tmp_path, update)
    assert read.fields == {"isbn": "9780000000019", "price": "14", "currency": "EUR"}


def test_the_whole_record_is_kept_with_what_the_shop_does_not_read(tmp_path):
    record = read_one(tmp_path).record.decode()
    assert record.startswith(
        '<Product xmlns="http://ns.editeur.org/onix/3.0/reference"><RecordReference>com.example.1<'
    )
    assert "<ProductForm>BC</ProductForm>" in record
    assert "<OnHand>77</OnHand>" in record
    assert record.endswith("</Product>")
