"""Names of authors as files write them: in either order, with roles, and with several separators.

A comma may separate two authors ("Terry Pratchett, Neil Gaiman") or the two parts of one name ("Kafka, Franz"). The
form of a name often decides; where it does not, the order of names in the whole file does.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Literal

from bookshop.catalog.languages import script_language

Order = Literal["first last", "last, first"]

LONGEST = 2_000  # characters of a cell of authors that are looked at: more than the shop can store
SEPARATORS = re.compile(r"[;|]")  # always between authors
CONJUNCTIONS = re.compile(r"\s+(?:&|and|und|et|y|e|og|/)\s+|/", re.IGNORECASE)  # between authors or inside a name
LAST_CONJUNCTION = re.compile(r",\s*(?=(?:&|and|und|et|y)\s)", re.IGNORECASE)  # "A B, C D, and E F"
PARTICLE = re.compile(
    "v[oa]n|vom|zu|zu[mr]|d|d[aeiou]|del|dell[ao]|degli|das|dos|des|l[aeo]|les|de[nr]|te[nr]?|a[fvl]|el|ibn|bin|ben"
)
SUFFIX = re.compile(
    r"(?:Jr|JR|Sr|SR|II|III|IV|[2-9](?:nd|rd|th)|Ph\.? ?D|M\.? ?D|Esq|Inc|Ltd|LLC|GmbH|Corp)\.?|"
    r"(?:jun|sen|Jun|Sen|jr|sr|Co)\."
)
CAPITAL = "[A-Z\u00c0-\u00de\u0391-\u03a9\u0410-\u042f]"
INITIALS = re.compile(rf"{CAPITAL}\.?(?:[\s-]?{CAPITAL}\.)*")  # "J. R. R.", "T.S.", "J"
FINAL_INITIAL = re.compile(rf".*\s{CAPITAL}\.?")  # "Ursula K."
HAS_INITIAL = re.compile(rf"(?:^|[\s.]){CAPITAL}\.|\s{CAPITAL}$")  # "J.K. Rowling", "Jeffrey D. Sachs", "Müller H"
ROLES = (
    r"hrsg|hg|herausgeber(?:in|/in)?|eds?|edit(?:or|ors|ed by)|ill|illustr(?:ator|ations?|iert|ateur|atrice)?|"
    r"illustrator(?:in)?|übers(?:etzer|etzerin)?|trans(?:lator|l)?|trad(?:ucteur|uctrice|uctor|uctora)?|narrator|"
    r"sprecher(?:in)?|author|autor(?:in)?|auteur|autora|mitarb|mitwirkend|vorw|foreword|introduction|contributor|"
    r"contrib|dir|coord|comp|adapt|red|zeichner(?:in)?|goodreads author|photographer|fotograf(?:in)?"
)
ROLE = re.compile(  # "(Hrsg.)", or at the end: "Austen, Jane, author, editor.", "King, Stephen, 1947- author."
    rf"\s*[(\[](?:{ROLES})\.?[)\]]|"
    r"(?:(?:,|(?<=[-\u2013]))\s(?:author|editor|illustrator|translator|narrator|"
    r"(?-i:[Hh]rsg|[Hh]g|eds?|ill|[Üü]bers))\.?){1,3}(?=\s?(?:[;|]|$))",
    re.IGNORECASE,
)
ROLE_BEFORE = re.compile(  # "Hrsg.: ", "Hrsg. v. ", "edited by "; but "Ed" alone is a first name
    r"(?:^|(?<=[;|]))\s?(?:by|(?:hrsg\.?|hg\.?|herausgegeben)\s(?:von|v\.)|"
    rf"(?:[eé]ds?\.?|edited|édité)\s(?:by|par)|(?:hrsg|hg|eds?)\.|(?:{ROLES})\.?:)\s",
    re.IGNORECASE,
)
DATES = re.compile(r",?\s?\(?\b[12][0-9]{3}\s?[-\u2013]\s?(?:[12][0-9]{3}\b)?\)?\.?")  # "Austen, Jane, 1775-1817."
OTHERS = re.compile(r",?\s?(?:\bet al|[\[(]?\bu\. ?a|\band others)\.?[\])]?$", re.IGNORECASE)


def read_authors(cells: Sequence[str], order: Order) -> str:
    """Return the authors of a line's cells, first name first, joined by ", "; each author once.

    A cell with nothing to turn round, to separate or to drop is returned as it is.
    """
    if len(cells) == 1 and [" ".join(name.split()) for name in cells[0].split(",")] == _names(cells[0], order):
        return cells[0].strip()
    found: dict[str, str] = {}
    for name in (name for cell in cells for name in _names(cell, order)):
        found.setdefault(name.casefold(), name)
    return ", ".join(found.values())


def first_name_first(name: str) -> str:
    """Return one person's name in the order in which it is read, without commas.

    "King, Martin Luther, Jr." gives Martin Luther King Jr.; names in Chinese, Japanese and Korean keep their order.
    """
    parts = [part.strip() for part in name.split(",") if part.strip()]
    suffixes = [part for part in parts[1:] if SUFFIX.fullmatch(part)]
    last, first = parts[:1], [part for part in parts[1:] if part not in suffixes]
    if first and script_language(last[0]) in ("ja", "ko", "zh"):
        return "".join([*last, *first, *suffixes])
    return " ".join([*first, *last, *suffixes])


def votes(cell: str) -> Iterator[Order]:
    """Yield, for each name of a cell whose form tells it, the order in which the file seems to write names."""
    for name in _pieces(_plain(cell)):
        parts = _parts(name)
        if len(parts) == 2 and (1 in map(_words, parts) or _is_one(*parts)):
            yield "last, first"
        elif len(parts) > 1 or _words(name) > 1:
            yield "first last"


def _names(cell: str, order: Order) -> list[str]:
    plain = _plain(cell)
    pieces = _pieces(plain)
    with_commas = sum("," in piece for piece in pieces)
    if len(pieces) > 1 and with_commas:  # all parts of "King, Stephen & Straub, Peter" have commas, or it is a list
        order = "last, first" if with_commas == len(pieces) or SEPARATORS.search(plain) else "first last"
    return [name for piece in pieces for name in _separate(_parts(piece), order, alone=len(pieces) == 1) if name]


def _plain(cell: str) -> str:
    """Return a cell without roles, dates and "et al."."""
    line = " ".join(cell[:LONGEST].strip().replace("\n", ";").split())
    return ROLE_BEFORE.sub("", OTHERS.sub("", DATES.sub("", ROLE.sub("", line))))


def _pieces(plain: str) -> list[str]:
    """Split at everything that separates authors, except commas."""
    pieces = []
    for part in SEPARATORS.split(plain):
        split = [piece.strip(" ,") for piece in CONJUNCTIONS.split(LAST_CONJUNCTION.sub(" ", part))]
        are_names = all("," in piece or _words(piece) > 1 for piece in split)
        pieces += split if are_names else [part.strip(" ,")]
    return [piece for piece in pieces if piece]


def _parts(name: str) -> list[str]:
    """Split at commas, except before "Jr." and the like, which belong to the last name."""
    parts: list[str] = []
    for part in (part.strip() for part in name.split(",")):
        if len(parts) == 2 and _words(parts[0]) == 1 and SUFFIX.fullmatch(part):  # "King, Martin Luther, Jr."
            parts = [first_name_first(", ".join([*parts, part]))]
        elif parts and (SUFFIX.fullmatch(part) or PARTICLE.fullmatch(part)):  # "Goethe, Johann Wolfgang, von"
            parts[-1] += f" {part}"
        else:
            parts.append(part)
    return parts


def _separate(parts: list[str], order: Order, *, alone: bool) -> list[str]:
    """Return the names that parts between commas make: one name of two parts, several of two, or a name each."""
    if len(parts) == 2 and (_is_one(*parts) or (order == "last, first" and not _are_two(*parts, alone=alone))):
        return [first_name_first(", ".join(parts))]
    pairs = list(zip(parts[::2], parts[1::2], strict=False))
    if (
        order == "last, first"
        and len(parts) > 2
        and len(parts) % 2 == 0
        and all(_words(last) == 1 for last, _ in pairs)
    ):
        return [first_name_first(f"{last}, {first}") for last, first in pairs]
    return parts


def _is_one(last: str, first: str) -> bool:
    """Return whether two parts are certainly one name: "Kafka, Franz", "Le Guin, Ursula K.", "von Goethe, Johann"."""
    given = first.split()
    return (
        (_words(last) == 1 and len(given) == 1)
        or bool(INITIALS.fullmatch(first))
        or bool(FINAL_INITIAL.fullmatch(first) and not HAS_INITIAL.search(last))
        or bool(PARTICLE.fullmatch(last.split(maxsplit=1)[0]))
        or bool(PARTICLE.fullmatch(given[-1]))
    )


def _are_two(one: str, other: str, *, alone: bool) -> bool:
    """Return whether two parts are two names although the file writes the last name first."""
    return bool(HAS_INITIAL.search(one)) or (not alone and _words(one) > 1 and _words(other) > 1)


def _words(name: str) -> int:
    """Count the words of a name without "Jr." and the like."""
    return sum(1 for word in name.split() if not SUFFIX.fullmatch(word))
