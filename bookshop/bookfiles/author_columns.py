"""Authors that a file spreads over several columns: last and first names, or further authors with their roles."""

from bookshop.bookfiles.names import SEPARATORS, first_name_first

AUTHOR_ROLES = frozenset(("", "author", "editor", "contributor"))  # others, such as translators, are no authors


def with_first_names(last_names: str, first_names: str) -> str:
    """Join the last names of one column with the first names of another: "Kafka" and "Franz" give Franz Kafka."""
    last, first = (
        [name.strip() for name in SEPARATORS.split(cell) if name.strip()] for cell in (last_names, first_names)
    )
    if len(last) != len(first):
        return f"{first_names} {last_names}"
    return ", ".join(first_name_first(f"{one}, {other}") for one, other in zip(last, first, strict=True))


def authors_alone(names: str, roles: str) -> str:
    """Return those of the names, separated by "|", that have the role of an author."""
    people, parts = names.split("|"), [role.strip().lower() for role in roles.split("|")]
    if len(people) != len(parts):
        return names
    return "|".join(name for name, role in zip(people, parts, strict=True) if role in AUTHOR_ROLES)
