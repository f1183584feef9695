"""The reference catalogue: filled by command, and never on sale."""

import pytest

from tests.support.factories import isbn

EMMA, PERSUASION = isbn(1), isbn(2)
HEADER = "ISBN;Titel;Autor;Verlag;Erscheinungsjahr;Sprache;Preis"
ONIX = f"""<ONIXMessage release="3.0" xmlns="http://ns.editeur.org/onix/3.0/reference">
<Header><Sender><SenderName>P</SenderName></Sender><SentDateTime>20261101</SentDateTime></Header>
<Product><RecordReference>1</RecordReference><NotificationType>03</NotificationType>
<ProductIdentifier><ProductIDType>15</ProductIDType><IDValue>{EMMA}</IDValue></ProductIdentifier>
<DescriptiveDetail><ProductComposition>00</ProductComposition><ProductForm>BC</ProductForm>
<TitleDetail><TitleType>01</TitleType><TitleElement><TitleElementLevel>01</TitleElementLevel>
<TitleText>Emma</TitleText></TitleElement></TitleDetail>
<Contributor><SequenceNumber>1</SequenceNumber><ContributorRole>A01</ContributorRole>
<PersonName>Jane Austen</PersonName></Contributor></DescriptiveDetail></Product></ONIXMessage>"""


@pytest.fixture
def fill(app, tmp_path):
    """Fill the reference catalogue from a file with this text; returns the command's result."""

    def fill(text):
        path = tmp_path / "titles"
        path.write_text(text, encoding="utf-8")
        return app.test_cli_runner().invoke(args=["books", "import", "--reference", str(path)])

    return fill


def titles(shop):
    columns = "isbn, title, authors, publisher, language, published_year, price_cents, currency"
    return shop.rows(f"SELECT {columns} FROM reference_titles ORDER BY isbn")


def test_a_table_of_titles_fills_the_reference_catalogue_and_nothing_else(shop, fill):
    result = fill(f"{HEADER}\n{EMMA};Emma;Austen, Jane;Reclam;1815;ger;7,80\n{PERSUASION};Persuasion;Jane Austen;;;;\n")
    assert (result.exit_code, "2 lines read: 2 added, 0 updated, 0 unchanged, 0 refused" in result.output) == (0, True)
    assert titles(shop) == [
        (EMMA, "Emma", "Jane Austen", "Reclam", "de", 1815, 780, "EUR"),
        (PERSUASION, "Persuasion", "Jane Austen", None, None, None, None, None),
    ]
    assert shop.rows("SELECT count(*) FROM books") == [0]


def test_an_onix_message_fills_it_too(shop, fill):
    assert "1 added" in fill(ONIX).output
    assert [title[:3] for title in titles(shop)] == [(EMMA, "Emma", "Jane Austen")]


def test_a_second_file_replaces_what_has_changed_and_the_sum_is_right(shop, fill):
    fill(f"{HEADER}\n{EMMA};Emma;Jane Austen;Reclam;1815;de;7,80\n{PERSUASION};Persuasion;Jane Austen;;;;\n")
    changed = [f"{EMMA};Emma;Jane Austen;;;;8,20", f"{PERSUASION};Persuasion;Jane Austen;;;;"]
    refused = [";Sanditon;Jane Austen;;;;", f"{isbn(3)};;;;;;", f"{EMMA[:-1]}x;Emma;A;;;;"]
    result = fill("\n".join([HEADER, *changed, *refused, *[f"{isbn(4)};Sanditon;A;;;;"] * 2]))
    assert "7 lines read: 1 added, 1 updated, 2 unchanged, 3 refused" in result.output
    assert "line 4: has no ISBN" in result.output
    assert "line 5: has no title and no authors" in result.output
    assert titles(shop)[0] == (EMMA, "Emma", "Jane Austen", "Reclam", "de", 1815, 820, "EUR")


def test_a_file_without_isbns_is_refused(shop, fill):
    result = fill("Title,Author\nEmma,Jane Austen\n")
    assert (result.exit_code, "No column of this file is known as the ISBN" in result.output) == (1, True)
    assert titles(shop) == []


@pytest.mark.every_case
def test_more_lines_than_a_batch_are_all_counted(shop, fill):
    rows = [f"{isbn(number)};Volume {number};A;;;;1,00" for number in range(1000, 1700)]
    assert "700 lines read: 700 added" in fill("\n".join([HEADER, *rows])).output
    assert "700 lines read: 0 added, 0 updated, 700 unchanged" in fill("\n".join([HEADER, *rows])).output
