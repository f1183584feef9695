"""Languages of books: BCP 47 tags and their English names."""

import re

from babel import Locale
from babel.core import get_global

ALIASES = get_global("language_aliases")  # from the Unicode CLDR, including ISO 639-2 codes: eng is en
NAMES = Locale("en").languages
# The letters that give a script away; kana come before the characters that Japanese shares with Chinese.
SCRIPTS = {
    "ja": r"[\u3040-\u30ff]",
    "ko": r"[\uac00-\ud7a3]",
    "zh": r"[\u4e00-\u9fff]",
    "th": r"[\u0e00-\u0e7f]",
    "ar": r"[\u0600-\u06ff]",
}


def language_tag(text: str) -> str:
    """Normalise the language code of a tag: 'eng' and 'EN' become 'en'; 'en-US' and unknown text are unchanged."""
    code, *rest = text.split("-")
    return "-".join([ALIASES.get(code.lower(), code.lower() if code.lower() in NAMES else code), *rest])


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
