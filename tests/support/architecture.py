"""The shop as a graph: which module imports which, and on which floor each is.

`python -m tests.support.architecture` updates the diagram in docs/architecture.md.
"""

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import NamedTuple

from tests.support.sources import MODULES, ROOT, SOURCES, imported_by, module_of

# The domain, lowest row first: a feature may depend on features of earlier rows, but not on others in its own row.
DOMAIN = (
    ("audit",),
    ("shop",),
    ("catalog", "content", "events", "idempotency", "mail", "throttle"),
    ("accounts", "bookfiles", "picks", "reference"),
    ("orders",),
    ("prebookings",),
    ("cart", "inventory", "mailer", "returns"),
    ("alerts", "feed", "reports"),
    ("checkout", "shelf", "webhooks"),
    ("imports", "operations", "people"),
    ("opening", "backups", "retention"),
)
FEATURES = {feature: level for level, row in enumerate(DOMAIN) for feature in row}
# The modules of a feature that are on the floor of the views. All others are its domain.
PAGES = {"views", "api", "staff_api", "forms", "schemas"} | {
    *("accounts.own_account", "accounts.alert_pages", "accounts.known_devices", "accounts.signed_links"),
    *("accounts.pending_login", "accounts.second_factor_pages", "accounts.address_pages"),
    *("accounts.confirm_login_pages", "accounts.login_link_pages", "accounts.browser", "accounts.link_form"),
    "accounts.logging_in",
    "returns.binding",
    "shop.linked_data",
    *("bookfiles.reading", "cart.cookie", "catalog.crawlers", "catalog.linked_data"),
    *("imports.runner", "imports.worker"),
    *("backups.making", "backups.moving", "backups.nightly", "backups.restoring", "backups.sqlite_file"),
    "backups.upgrading",
    *("mailer.check_link", "mailer.compose", "mailer.headers", "mailer.transport", "mailer.worker", "retention.worker"),
    *("prebookings.waiting_pages", "webhooks.worker", "operations.beats", "operations.figures", "operations.questions"),
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
    """One module uses another."""

    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.source} -> {self.target}"


class Place(NamedTuple):
    """Where a module is: the number of its floor and, in the domain, of its row."""

    floor: int
    row: int = 0


def sources() -> dict[str, str]:
    """Return the source of each module of the shop."""
    return {module_of(path): path.read_text(encoding="utf-8") for path in SOURCES}


def arrows(texts: Mapping[str, str]) -> list[Arrow]:
    """Find which module uses which: by an import anywhere, or by the name of a table in the metadata."""
    facts = {module: _facts(text) for module, text in texts.items()}
    tables = {name: module for module, (defined, _imported, _named) in facts.items() for name in defined}
    found = {
        Arrow(module, target)
        for module, (_defined, imported, named) in facts.items()
        for target in (*imported, *(tables[name] for name in named if name in tables))
        if target in MODULES and target != module
    }
    return sorted(found)


@cache
def _facts(text: str) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return the tables that a source defines, the modules that it imports, and the tables that it names."""
    tree = ast.parse(text)
    return tuple(_tables_of(tree)), tuple(imported_by(tree)), tuple(_tables_by_name(tree))


def _tables_of(tree: ast.Module) -> Iterator[str]:
    """Yield the tables whose models a module defines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__tablename__":
            yield ast.literal_eval(node.value)


def _tables_by_name(tree: ast.Module) -> Iterator[str]:
    """Yield the names in `metadata.tables["..."]`: all strings of a module that uses `tables`."""
    by_name = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "tables"]
    if by_name:
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def feature_of(module: str) -> str:
    """Return `catalog` for bookshop.catalog.models; '' for a module of no feature."""
    name = module.split(".")[1] if "." in module else ""
    return name if name in FEATURES else ""


def place_of(module: str) -> Place:
    """Find where a module is; raise LookupError if it is on no floor."""
    package, _dot, name = module.removeprefix("bookshop").removeprefix(".").partition(".")
    if package in FEATURES and name and name not in PAGES and f"{package}.{name}" not in PAGES:
        return Place(FLOORS.index("domain"), FEATURES[package])
    if package in FEATURES or module == "bookshop.admin":  # its blueprint, to which features add JSON for staff
        return Place(FLOORS.index("views"))
    for floor, packages in OTHERS.items():
        if package in packages:
            return Place(FLOORS.index(floor))
    raise LookupError(f"{module} has no floor: give its feature a row in DOMAIN")


def points_up(arrow: Arrow) -> bool:
    """Whether it leads to a higher floor, or in the domain to a feature that is not in a lower row."""
    source, target = place_of(arrow.source), place_of(arrow.target)
    if source.floor != target.floor or source.floor != FLOORS.index("domain"):
        return target.floor > source.floor
    return feature_of(arrow.source) != feature_of(arrow.target) and target.row >= source.row


def between_features(found: Iterable[Arrow]) -> list[Arrow]:
    """Reduce the arrows of the domain to those between features."""
    domain = FLOORS.index("domain")
    within = [arrow for arrow in found if place_of(arrow.source).floor == domain == place_of(arrow.target).floor]
    between = {Arrow(feature_of(arrow.source), feature_of(arrow.target)) for arrow in within}
    return sorted(arrow for arrow in between if arrow.source != arrow.target)


def cycle(found: Collection[Arrow]) -> list[str]:
    """Return names that form a cycle, or an empty list if there is none."""
    remaining = {name for arrow in found for name in arrow}
    while ends := {
        name for name in remaining if not any(one.source == name and one.target in remaining for one in found)
    }:
        remaining -= ends
    path = sorted(remaining)[:1]
    while path and path[-1] not in path[:-1]:
        path.append(next(one.target for one in found if one.source == path[-1] and one.target in remaining))
    return path[path.index(path[-1]) :] if path else []


def picture(found: Collection[Arrow]) -> str:
    """Draw the domain as a Mermaid diagram and a table. Arrows implied by others are only in the table."""
    needed = [arrow for arrow in found if not _is_implied(arrow, [one for one in found if one != arrow])]
    rows = [f"  subgraph row{number}[ ]\n    {'; '.join(row)}\n  end" for number, row in enumerate(DOMAIN, 1)]
    drawn = [f"  {arrow.source} --> {arrow.target}" for arrow in needed]
    table = ["| row | feature | depends on |", "|---|---|---|"]
    for feature, level in FEATURES.items():
        below = ", ".join(arrow.target for arrow in found if arrow.source == feature)
        table.append(f"| {level + 1} | `{feature}` | {below or 'kit'} |")
    return "\n".join(["```mermaid", "flowchart BT", *rows, *drawn, "```", "", *table])


def _is_implied(arrow: Arrow, others: Collection[Arrow]) -> bool:
    """Whether other arrows lead from its source to its target."""
    reached, new = {arrow.source}, {arrow.source}
    while new:
        new = {one.target for one in others if one.source in new} - reached
        reached |= new
    return arrow.target in reached


def redrawn(text: str) -> str:
    """Replace the diagram in the page by a current one."""
    before, _begin, rest = text.partition(BEGIN)
    _old, _end, after = rest.partition(END)
    return f"{before}{BEGIN}\n{picture(between_features(arrows(sources())))}\n{END}{after}"


if __name__ == "__main__":
    PICTURE.write_text(redrawn(PICTURE.read_text(encoding="utf-8")), encoding="utf-8")
