"""Which books are editions of one work: the same title by the same authors, however they are written."""

import re
import unicodedata
from functools import lru_cache
from hashlib import blake2b

ACCENTS = re.compile(r"[\u0300-\u036f]")  # combining marks of Latin, Greek and Cyrillic; other scripts need theirs
QUOTES = re.compile(
    r"[\"'`\u00b4\u02b9-\u02bc\u2018-\u201f\u2032-\u2037\u00ab\u00bb\u2039\u203a\u300c-\u300f\uff02\uff07]"
)
INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")
NAME_PARTS = re.compile(r"[^\s.,;&|]+")


@lru_cache(maxsize=10_000)
def work_key(title: str, authors: str) -> str:
    """Return a key that all editions of a work share: a hash of its title and authors.

    Case, accents, quotes, spaces and the order of names make no difference. Other characters do, so that C, C++ and C#
    stay different books, which `fold` does not guarantee.
    """
    plain_title = "".join(_plain(title).split())
    names = " ".join(sorted(NAME_PARTS.findall(_plain(authors))))
    return blake2b(f"{plain_title}\n{names}".encode(errors="replace"), digest_size=16).hexdigest()


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFKD", QUOTES.sub("", INVISIBLE.sub("", text)))
    return unicodedata.normalize("NFC", ACCENTS.sub("", decomposed)).casefold()
