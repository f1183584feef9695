"""Encodings of files: what decides, and that lists in Western languages are never misread."""

import pytest

from bookshop.bookfiles import encodings
from bookshop.bookfiles.encodings import encoding_of
from bookshop.kit.exceptions import Invalid
from tests.support.bookfiles import read, write

GERMAN = [
    "Die Verwandlung;Franz Kafka;Erzählung",
    "Das Schloß;Kafka, Franz;Süddeutsche Bibliothek",
    "Größenwahn;Jörg Müller;„Ausgabe“ \u2013 7,80 €",
    "Änderungen vorbehalten;Öffentliche Bücherei;Zürich",
    "…trotzdem Ja sagen;Viktor E. Frankl;4 m³",
]
FRENCH = [
    "L\u2019Étranger;Albert Camus;7,80 €",
    "À la recherche du temps perdu;Marcel Proust;Éditions",
    "LES MISÉRABLES;VICTOR HUGO;ÉDITION COMPLÈTE",
    "Être et avoir été;Sœur Marie;cœur à cœur",
    "La Liberté\xa0: essai;Voltaire;«\xa0Écrire\xa0»",
    "Noël;Anaïs Nin;où l\u2019on voit",
]
OTHERS = [
    "¿Quién mató a Palomino Molero?;Mario Vargas Llosa;España",
    "Frøken Smillas fornemmelse for sne;Peter Høeg;Århus",
    "Così è;Luigi Pirandello;Città",
    "Dom Casmurro;Machado de Assis;São Paulo, ficção",
    "Bröderna Lejonhjärta;Astrid Lindgren;på svenska",
    "The Hitchhiker\u2019s Guide;Douglas Adams;Pan \u2013 £7.99",
    "Mýrin;Arnaldur Indriðason;x",
    "Žert;Milan Kundera;x",
    "Cœur;Sœur;Cœur, sœur, cœur",
]
POLISH = "Bolesław Prus;powieść\nKsięgi Jakubowe;Łódź\nŻółta seria;książka dla młodzieży\n"
CZECH = "Osudy dobrého vojáka Švejka;příběh\nBožena Němcová;dětská kniha\nKarel Čapek;překlad, vydání\n"
RUSSIAN = "Преступление и наказание;Фёдор Достоевский\nВойна и мир;Лев Толстой\n"  # noqa: RUF001  Cyrillic
JAPANESE = "ノルウェイの森;村上春樹\nこころ;夏目漱石\n雪国;川端康成\n"
HEADER = "Titel;Autor;Notiz\n"


@pytest.mark.parametrize("line", [*GERMAN, *FRENCH, *OTHERS])
def test_a_single_line_of_windows_1252_is_read_as_it_was_written(tmp_path, line):
    table, lines = read(tmp_path, (HEADER + line).encode("cp1252"))
    assert (table.encoding, [line.cells for line in lines]) == ("cp1252", [line.split(";")])


@pytest.mark.parametrize("lines", [GERMAN, FRENCH, GERMAN + FRENCH + OTHERS], ids=["German", "French", "all"])
def test_a_list_in_windows_1252_is_read_as_it_was_written(tmp_path, lines):
    assert encoding_of(write(tmp_path, "\r\n".join(lines).encode("cp1252"))) == "cp1252"


@pytest.mark.parametrize(
    ("text", "encoding", "found"),
    [
        ("\n".join(GERMAN[:2]), "cp850", "cp850"),
        ("\n".join(GERMAN), "mac_roman", "mac_roman"),
        ("\n".join(FRENCH[:3]).replace("\u2019", "'"), "mac_roman", "mac_roman"),
        (POLISH, "cp1250", "cp1250"),
        (POLISH, "iso8859_2", "iso8859_2"),
        (CZECH, "cp1250", "cp1250"),
        (RUSSIAN, "cp1251", "cp1251"),
        (RUSSIAN, "koi8_r", "koi8_r"),
        (JAPANESE, "shift_jis", "cp932"),
    ],
)
def test_other_legacy_encodings_are_recognised_in_lists_of_books(tmp_path, text, encoding, found):
    text = "".join(letter for letter in text if letter.encode(encoding, "ignore"))
    assert encoding_of(write(tmp_path, text.encode(encoding))) == found


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_unicode_is_recognised_in_all_its_forms(tmp_path, encoding):
    path = write(tmp_path, (HEADER + "\n".join(FRENCH)).encode(encoding))
    assert encoding_of(path) == encoding
    assert path.read_text(encoding).startswith("Titel")


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_the_whole_file_decides_even_if_the_only_accent_is_far_away(tmp_path, encoding, monkeypatch):
    monkeypatch.setattr(encodings, "CHUNK", 100)
    assert encoding_of(write(tmp_path, ("Emma;Austen;x\n" * 1_000 + "Émile;R;x").encode(encoding))) == encoding


@pytest.mark.parametrize("size", range(50, 60))
def test_a_letter_on_the_border_of_two_chunks_does_not_damage_the_file(tmp_path, size, monkeypatch):
    monkeypatch.setattr(encodings, "CHUNK", size)
    assert encoding_of(write(tmp_path, "é€😀" * 50)) == "utf-8"


def test_only_the_damaged_line_of_a_file_in_utf_8_is_refused(tmp_path):
    content = (HEADER + "Émile;Rousseau;\nÊtre;Marie;\n").encode() + b"No\xebl;Nin;\nEmma;Austen;\n"
    table, lines = read(tmp_path, content)
    assert table.encoding == "utf-8"
    assert [line.number for line in lines if line.problem] == [4]
    assert lines[2].problem == "contains a damaged character, which is not UTF-8"


def test_a_line_that_looks_like_utf_8_by_chance_does_not_decide_for_a_file_in_windows_1252(tmp_path):
    content = "LA LIBERTÉ\xa0;A\nÉmile;B\nNoël;C\n".encode("cp1252")
    assert encoding_of(write(tmp_path, content)) == "cp1252"


def test_half_a_letter_at_the_end_of_utf_16_refuses_its_line(tmp_path):
    _table, lines = read(tmp_path, "Titel;Autor\nEmma;Austen\nÉmile;B".encode("utf-16") + b"x")
    assert [bool(line.problem) for line in lines] == [False, True]


def test_an_encoding_that_cannot_be_told_is_refused(tmp_path):
    with pytest.raises(Invalid, match="CSV UTF-8"):
        encoding_of(write(tmp_path, bytes(range(128, 256)) * 4))
