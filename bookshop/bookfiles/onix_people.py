"""The authors of a book, from the contributors of its ONIX record."""

import re
from collections.abc import Iterable, Sequence

from bookshop.bookfiles.onix_codes import AUTHORS, EDITORS, ILLUSTRATORS, NOT_CREATORS, UNNAMED
from bookshop.bookfiles.onix_xml import Composite

SUFFIX = re.compile(
    r"(?:jr|sr|[ivx]+|\d(?:st|nd|rd|th)|ph\.? ?d|m\.? ?d|esq|inc|ltd|llc|gmbh|co|corp)\.?", re.IGNORECASE
)
NAME_PARTS = ("NamesBeforeKey", "PrefixToKey", "KeyNames", "NamesAfterKey", "SuffixToKey")
GROUPS = (AUTHORS, EDITORS, ILLUSTRATORS)


def authors(contributors: Iterable[Composite]) -> str:
    """Return the names of the authors as "Jane Austen, Ludwig van Beethoven", in the order that the record wants.

    Editors are named if there are no authors, then illustrators, then whoever else contributed. No name has a comma.
    """
    ordered = sorted(contributors, key=_sequence_number)
    credited = [(set(one.texts("ContributorRole")), name) for one in ordered if (name := _name(one))]
    for group in GROUPS:
        if chosen := [name for roles, name in credited if roles & group]:
            return _joined(chosen)
    return _joined([name for roles, name in credited if not roles or roles - NOT_CREATORS])


def _joined(names: Sequence[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _sequence_number(contributor: Composite) -> int:
    """Return its place; a contributor without one keeps its own behind those that have, as sorting is stable."""
    number = contributor.text("SequenceNumber")
    return int(number) if number.isascii() and number.isdigit() and len(number) < 6 else 100_000


def _name(contributor: Composite) -> str:
    inverted = contributor.text("PersonNameInverted")
    if full := contributor.text("PersonName"):
        return without_comma(full)
    if contributor.text("KeyNames"):
        return " ".join(" ".join(map(contributor.text, NAME_PARTS)).replace(",", " ").split())
    if inverted:
        return without_comma(inverted)
    if company := contributor.text("CorporateName") or contributor.text("CorporateNameInverted"):
        return " ".join(company.replace(",", " ").split())
    return UNNAMED.get(contributor.text("UnnamedPersons"), "")


def without_comma(name: str) -> str:
    """Return a person's name in the order in which it is read: "King, Martin Luther, Jr." gives Martin Luther King Jr.

    A `PersonName` should be in this order, but some senders write it like a `PersonNameInverted`.
    """
    parts = [part.strip() for part in name.split(",") if part.strip()]
    suffixes = [part for part in parts[1:] if SUFFIX.fullmatch(part)]
    names = [part for part in parts if part not in suffixes]
    return " ".join([*names[1:], *names[:1], *suffixes])
