"""Languages of books: tags of BCP 47, and their English names."""

from babel import Locale
from babel.core import get_global

ALIASES = get_global("language_aliases")  # of the Unicode CLDR, among them the codes of ISO 639-2: eng is en
NAMES = Locale("en").languages


def language_tag(text: str) -> str:
    """The tag with the language's usual code: 'eng' and 'EN' give 'en', 'en-US' stays; other text stays as it is."""
    code, *rest = text.split("-")
    return "-".join([ALIASES.get(code.lower(), code.lower() if code.lower() in NAMES else code), *rest])


def base_language(tag: str) -> str:
    """The language of a tag without its region: 'en-US' gives 'en'."""
    return tag.split("-", maxsplit=1)[0]


def language_name(tag: str) -> str:
    """What the language of a tag is called in English, or the tag itself if nobody knows."""
    name = NAMES.get(base_language(tag))
    return str(name) if name else tag
