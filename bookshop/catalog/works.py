"""Which books are editions of one work: the same title by the same authors, however they are written."""

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

from bookshop.catalog.models import Book

ACCENTS = re.compile(r"[\u0300-\u036f]")  # combining marks of Latin, Greek and Cyrillic; other scripts need theirs
QUOTES = re.compile(
    r"[\"'`\u00b4\u02b9-\u02bc\u2018-\u201f\u2032-\u2037\u00ab\u00bb\u2039\u203a\u300c-\u300f\uff02\uff07]"
)
INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
FINAL_ARTICLE = re.compile(  # "hobbit, the", "hobbit, the: or there and back again"
    "^([^:]+), ?(the|a|an|der|die|das|ein|eine|le|la|les|l|un|une|el|los|las)(?= ?:|$)"
)
CONJUNCTIONS = re.compile(r"(?<= )(?:and|und|et|(?<=\w\w )y(?= \w\w))(?= )")  # but not the letter in "x y z"
NAME_PARTS = re.compile(r"[^\W\d_]+")
IN_BRACKETS = re.compile(r"\([^()]*\)|\[[^\[\]]*\]")  # roles, such as (ed.)
NO_NAMES = {"and", "und", "et", "al", "others"}  # words between names


@lru_cache(maxsize=10_000)
def work_key(title: str, authors: str) -> str:
    """Return a key that all editions of a work share: a hash of its title and authors.

    Case, accents, quotes, spaces and the order of names make no difference, nor do roles, years and words between
    names. "Hobbit, The" is The Hobbit, and & is "and" in English, German, French and Spanish. Other characters of the
    title matter, so that C, C++ and C# stay different books, which `fold` does not guarantee.
    """
    parts = NAME_PARTS.findall(IN_BRACKETS.sub(" ", _plain(authors)))
    names = " ".join(sorted(part for part in parts if part not in NO_NAMES))
    return blake2b(f"{_plain_title(title)}\n{names}".encode(errors="replace"), digest_size=16).hexdigest()


def without_isbn(editions: Sequence[Book]) -> Book | None:
    """Return the shop's only edition of a work if it has no ISBN: that of a new edition is taken for its own.

    This holds only if the file or the delivery has no other edition of the work either.
    """
    return editions[0] if len(editions) == 1 and editions[0].isbn is None else None


def _plain_title(title: str) -> str:
    in_order = FINAL_ARTICLE.sub(r"\2 \1", " ".join(_plain(title).split()))
    return CONJUNCTIONS.sub("&", in_order).replace(" ", "")


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", QUOTES.sub("", INVISIBLE.sub("", text)))
    return unicodedata.normalize("NFC", ACCENTS.sub("", decomposed)).casefold()
