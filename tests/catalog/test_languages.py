"""Languages: codes and names become BCP 47 tags."""

import pytest

from bookshop.catalog.languages import known_language, language_tag

TAGS = {
    "en": "en EN eng English Englisch anglais ingl\u00e9s",
    "de": "de ger deu German Deutsch allemand alem\u00e1n dt.",
    "fr": "fr fre fra French Franz\u00f6sisch fran\u00e7ais franc\u00e9s frz.",
    "es": "es spa Spanish Spanisch espagnol espa\u00f1ol castellano",
    "nl": "nl dut nld Dutch Niederl\u00e4ndisch n\u00e9erlandais neerland\u00e9s",
    "el": "el gre ell",
    "en-US": "en-US en_US",
    "fa-AF": "prs",
    "pt-BR": "Brazilian\u00a0Portuguese",
    "grc": "grc Altgriechisch",
    "mul": "mul mehrsprachig multilingual",
}


@pytest.mark.parametrize("tag", TAGS)
def test_codes_and_names_become_tags(tag):
    assert {known_language(text) for text in TAGS[tag].split(" ")} == {tag}


def test_a_country_in_brackets_is_ignored():
    assert known_language("English (United Kingdom)") == "en"


@pytest.mark.parametrize("text", ["", "Blubber", "x-elvish", "en-\u00e4", "C", "x" * 10_000])
def test_unknown_text_is_no_language_and_json_keeps_it(text):
    assert (known_language(text), language_tag(text)) == (None, text)
