"""The authors of a book, from the contributors of its ONIX record."""

from collections.abc import Iterable, Sequence

from bookshop.bookfiles.names import first_name_first
from bookshop.bookfiles.onix_codes import AUTHORS, EDITORS, ILLUSTRATORS, NOT_CREATORS, UNNAMED
from bookshop.bookfiles.onix_xml import Composite

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
        return first_name_first(full)
    if contributor.text("KeyNames"):
        return " ".join(" ".join(map(contributor.text, NAME_PARTS)).replace(",", " ").split())
    if inverted:
        return first_name_first(inverted)
    if company := contributor.text("CorporateName") or contributor.text("CorporateNameInverted"):
        return " ".join(company.replace(",", " ").split())
    return UNNAMED.get(contributor.text("UnnamedPersons"), "")
