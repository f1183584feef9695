"""The shop as a graph: which module imports which, and on which floor each stands.

`python -m tests.support.architecture` draws the picture in docs/architecture.md anew.
"""

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

from tests.support.sources import MODULES, ROOT, SOURCES, imported_by, module_of

# The domain, from the ground up: a feature stands on those of the rows above its own, and on no other of its row.
DOMAIN = (
    ("catalog", "events", "idempotency", "mail", "throttle"),
    ("accounts",),
    ("orders",),
    ("prebookings",),
    ("cart", "inventory", "mailer"),
    ("alerts", "feed", "reports"),
    ("checkout", "shelf", "webhooks"),
    ("people",),
)
FEATURES = {feature: level for level, row in enumerate(DOMAIN) for feature in row}
# What of a feature stands with the views. All else is its domain.
PAGES = {"views", "api", "staff_api", "forms", "schemas"} | {
    *("accounts.own_account", "accounts.email_link_pages", "accounts.known_devices", "accounts.signed_links"),
    *("cart.cookie", "catalog.crawlers", "catalog.importer", "catalog.linked_data"),
    *("mailer.compose", "mailer.headers", "mailer.transport", "mailer.worker", "webhooks.worker"),
}
FLOORS = ("kit", "domain", "web", "views", "admin and commands", "create_app")
OTHERS = {
    "kit": {"kit", "config", "checks"},
    "web": {"web", "extensions"},
    "admin and commands": {"admin", "cli"},
    "create_app": {"", "features"},
}
BEGIN, END = "<!-- drawn by tests/support/architecture.py -->", "<!-- end -->"
PICTURE = ROOT / "docs" / "architecture.md"


class Arrow(NamedTuple):
    """That a module uses another."""

    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}"


class Place(NamedTuple):
    """Where a module stands: the number of its floor and, in the domain, of its row."""

    floor: int
    row: int = 0


def sources() -> dict[str, str]:
    """The modules of the shop and their text."""
    return {module_of(path): path.read_text(encoding="utf-8") for path in SOURCES}


def arrows(texts: Mapping[str, str]) -> list[Arrow]:
    """Which module uses which: by an import, wherever it stands, or by the name of a table in the metadata."""
    trees = {module: ast.parse(text) for module, text in texts.items()}
    tables = {name: module for module, tree in trees.items() for name in _tables_of(tree)}
    found = {
        Arrow(module, target)
        for module, tree in trees.items()
        for target in (*imported_by(tree), *(tables[name] for name in _tables_by_name(tree) if name in tables))
        if target in MODULES and target != module
    }
    return sorted(found)


def _tables_of(tree: ast.Module) -> Iterator[str]:
    """The tables whose models a module defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__tablename__":
            yield ast.literal_eval(node.value)


def _tables_by_name(tree: ast.Module) -> Iterator[str]:
    """The names in `metadata.tables["..."]`, and all texts of a module that goes through the tables by their names."""
    by_name = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "tables"]
    if by_name:
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def feature_of(module: str) -> str:
    """`catalog` for bookshop.catalog.models; '' for what belongs to no feature."""
    name = module.split(".")[1] if "." in module else ""
    return name if name in FEATURES else ""


def place_of(module: str) -> Place:
    """Where a module stands; raises LookupError for one that has no place."""
    package, _dot, name = module.removeprefix("bookshop").removeprefix(".").partition(".")
    if package in FEATURES and name and name not in PAGES and f"{package}.{name}" not in PAGES:
        return Place(FLOORS.index("domain"), FEATURES[package])
    if package in FEATURES or module == "bookshop.admin":  # its blueprint, on which features hang JSON for staff
        return Place(FLOORS.index("views"))
    for floor, packages in OTHERS.items():
        if package in packages:
            return Place(FLOORS.index(floor))
    raise LookupError(f"{module} has no floor: give its feature a row in DOMAIN")


def points_up(arrow: Arrow) -> bool:
    """Whether it leads to a floor above, or in the domain to another feature that does not stand in a row below."""
    source, target = place_of(arrow.source), place_of(arrow.target)
    if source.floor != target.floor or source.floor != FLOORS.index("domain"):
        return target.floor > source.floor
    return feature_of(arrow.source) != feature_of(arrow.target) and target.row >= source.row


def of_features(found: Iterable[Arrow]) -> list[Arrow]:
    """The arrows of the domain, from feature to feature."""
    domain = FLOORS.index("domain")
    within = [arrow for arrow in found if place_of(arrow.source).floor == domain == place_of(arrow.target).floor]
    between = {Arrow(feature_of(arrow.source), feature_of(arrow.target)) for arrow in within}
    return sorted(arrow for arrow in between if arrow.source != arrow.target)


def circle(found: Collection[Arrow]) -> list[str]:
    """Names that lead from one to the next and back to the first; none if there is no circle."""
    left = {name for arrow in found for name in arrow}
    while free := {name for name in left if not any(one.source == name and one.target in left for one in found)}:
        left -= free
    path = sorted(left)[:1]
    while path and path[-1] not in path[:-1]:
        path.append(next(one.target for one in found if one.source == path[-1] and one.target in left))
    return path[path.index(path[-1]) :] if path else []


def picture(found: Collection[Arrow]) -> str:
    """The domain as a Mermaid diagram and a table: an arrow that follows from others is in the table alone."""
    needed = [arrow for arrow in found if not _follows(arrow, [one for one in found if one != arrow])]
    rows = [f"  subgraph row{number}[ ]\n    {'; '.join(row)}\n  end" for number, row in enumerate(DOMAIN, 1)]
    drawn = [f"  {arrow.source} --> {arrow.target}" for arrow in needed]
    table = ["| row | feature | stands on |", "|---|---|---|"]
    for feature, level in FEATURES.items():
        below = ", ".join(arrow.target for arrow in found if arrow.source == feature)
        table.append(f"| {level + 1} | `{feature}` | {below or 'kit'} |")
    return "\n".join(["```mermaid", "flowchart BT", *rows, *drawn, "```", "", *table])


def _follows(arrow: Arrow, others: Collection[Arrow]) -> bool:
    """Whether others lead from its beginning to its end."""
    reached, new = {arrow.source}, {arrow.source}
    while new:
        new = {one.target for one in others if one.source in new} - reached
        reached |= new
    return arrow.target in reached


def drawn_anew(text: str) -> str:
    """The page with the picture of what is so now."""
    before, _begin, rest = text.partition(BEGIN)
    _old, _end, after = rest.partition(END)
    return f"{before}{BEGIN}\n{picture(of_features(arrows(sources())))}\n{END}{after}"


if __name__ == "__main__":
    PICTURE.write_text(drawn_anew(PICTURE.read_text(encoding="utf-8")), encoding="utf-8")
