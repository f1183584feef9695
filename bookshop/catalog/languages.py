"""Languages of books: BCP 47 tags and their English names."""

import re
from collections.abc import Mapping
from functools import cache, lru_cache

from babel import Locale
from babel.core import get_global

from bookshop.kit.text import fold

ALIASES = get_global("language_aliases")  # from the Unicode CLDR, including ISO 639-2 codes: eng is en
NAMES = Locale("en").languages
NAMING = ("es", "fr", "de", "en")  # the languages whose names of languages are known; the last one wins
LONGEST_NAME = 60
SUBTAG = re.compile("[A-Za-z0-9]{1,8}")
IN_BRACKETS = re.compile(r"[(\[][^()\[\]]*[)\]]")
OTHER_NAMES = {  # as Unicode does not write them
    "castellano": "es",
    "catala": "ca",
    "dt": "de",
    "dtsch": "de",
    "engl": "en",
    "farsi": "fa",
    "franz": "fr",
    "galego": "gl",
    "frz": "fr",
    "ital": "it",
    "lateinisch": "la",
    "mandarin": "zh",
    "modern greek": "el",
    "multilingual": "mul",
    "multilingue": "mul",
    "plattdeutsch": "nds",
    "span": "es",
    "valencia": "ca",
}
# The letters that give a script away; kana come before the characters that Japanese shares with Chinese.
SCRIPTS = {
    "ja": r"[\u3040-\u30ff]",
    "ko": r"[\uac00-\ud7a3]",
    "zh": r"[\u4e00-\u9fff]",
    "th": r"[\u0e00-\u0e7f]",
    "ar": r"[\u0600-\u06ff]",
}
# Languages written in a script that `script_language` takes for another one's.
SHARING = {"ar": {"ckb", "fa", "ps", "sd", "ug", "ur"}, "zh": {"ja", "ko", "yue"}}
LIKELY_SCRIPTS = get_global("likely_subtags")  # "ru" gives "ru_Cyrl_RU"
NOT_SPOKEN = {"mis", "mul", "und", "zxx"}  # codes for several, unknown and no languages
PAGE_LANGUAGE = "en"


def language_tag(text: str) -> str:
    """Return the BCP 47 tag of a language's code or name; unknown text is unchanged. See `known_language`."""
    return known_language(text) or text


@lru_cache(maxsize=1_000)
def known_language(text: str) -> str | None:
    """Return the BCP 47 tag for an ISO 639-1, -2 or -3 code, for a tag, or for a name; None if it is unknown.

    'eng', 'EN' and 'anglais' give 'en', 'ger' gives 'de', 'en-US' is unchanged. Names are English, German, French and
    Spanish; a country in brackets after a name is ignored.
    """
    code, *rest = text.strip().removesuffix(".").replace("_", "-").split("-")
    base = ALIASES.get(code.lower(), code.lower())
    if base.partition("_")[0] in NAMES and all(SUBTAG.fullmatch(part) for part in rest):
        return "-".join([base.replace("_", "-"), *rest])
    return _tags_by_name().get(fold(IN_BRACKETS.sub("", text[:LONGEST_NAME])))


@cache
def _tags_by_name() -> Mapping[str, str]:
    """Return the tags of languages by their folded names."""
    tags = {fold(name): tag.replace("_", "-") for locale in NAMING for tag, name in Locale(locale).languages.items()}
    return tags | OTHER_NAMES


def base_language(tag: str) -> str:
    """Return the language code of a tag without its region: 'en' for 'en-US'."""
    return tag.split("-", maxsplit=1)[0]


def language_name(tag: str) -> str:
    """Return the English name of a tag's language, or the tag itself if it is unknown."""
    name = NAMES.get(base_language(tag))
    return str(name) if name else tag


def script_language(text: str) -> str | None:
    """Return the language that a text's script suggests to a browser which chooses a font; None for Latin and others.

    Japanese, Chinese and Korean share characters that each of them draws in its own way.
    """
    return next((tag for tag, letters in SCRIPTS.items() if re.search(letters, text)), None)


def text_language(text: str, language: str | None) -> str | None:
    """Return the `lang` of a book's title or description: its script decides, then the language of the book.

    None for English, which is the language of the pages, and if nothing is known. A title in plain Latin letters is not
    in the language of a book that is written in other ones: it is often a translation or a transcription.
    """
    script, tag = script_language(text), known_language(language or "")
    base = base_language(tag or "")
    if script:
        return tag if base == script or base in SHARING.get(script, ()) else script
    if tag is None or base == PAGE_LANGUAGE or base in NOT_SPOKEN:
        return None
    is_latin = "_Latn" in LIKELY_SCRIPTS.get(base, "_Latn")
    return tag if is_latin or not text.isascii() else None
