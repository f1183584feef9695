"""Guards of the layout: which module stands on which, how long things are, and what templates may not do."""

import ast
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from bookshop.config import Settings

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "bookshop").rglob("*.py"))
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
LETTERS = {f"mail/{path.name}" for path in (ROOT / "templates" / "mail").glob("*.html")}
LAYERS = {"kit", "web", "cli"}
FEATURES = {path.parent.name for path in (ROOT / "bookshop").glob("*/__init__.py")} - LAYERS

# From the ground up: a module imports from its own floor and from those below. What is the same in every feature is
# named once, without the feature. Put a new module on the lowest floor that holds it.
FLOORS = (
    {"kit.exceptions", "kit.logs", "kit.text", "kit.money", "kit.database", "kit.backoff", "config", "feature"}
    | {"isbn", "languages", "passwords", "devices", "tokens", "numbers", "kinds", "addresses", "signing"}
    | {"web.problems", "web.examples", "kit", "web"}
    | {"pictures", "covers", "cover_layouts", "cover_sheet", "cover_setting", "cover_text", "delivery_note"},
    {"models", "kit.pagination"},
    {"kit.transactions", "kit.outbox"},
    {"repository", "search", "facets", "checks", "identity", "scopes", "emails"},
    {"service", "authentication", "batch", "linked_data", "mailbox"},
    {"extensions", "web.assets", "web.navigation", "web.services", "web.forms", "web.schemas", "web.contract"}
    | {"forms", "schemas", "visitors", "links", "headers", "transport", "letters", "worker"},
    {"known_devices"},
    {"web.access", "views", "own_account", "api", "importer", "delivery", "users", "crawlers", "orders", "orders_api"}
    | {"reports_api", "mailbox_pages", "mail", "webhooks"},
    {"web.rate_limits"},
    {"features", "web.jinja", "web.security", "web.errors", "cli", "web.openapi"},
    {"create_app", "web.server"},
)
BELOW_FLASK = {
    *("kit", "kit.exceptions", "kit.logs", "kit.text", "kit.money", "kit.database", "kit.backoff", "kit.pagination"),
    *("kit.transactions", "kit.outbox", "models", "scopes", "batch", "repository", "search", "facets", "service"),
    *(
        "authentication",
        "linked_data",
        "mailbox",
        "identity",
        "checks",
        "isbn",
        "languages",
        "passwords",
        "devices",
        "emails",
        "tokens",
    ),
    *("numbers", "delivery_note", "pictures", "covers", "cover_layouts", "cover_sheet", "cover_setting", "cover_text"),
    *("kinds", "addresses", "signing", "web.problems", "web.examples"),
}
NO_PAGES = {
    *("base.html", "macros.html", "admin/book_links.html", "catalog/availability.html", "errors/down.html"),
    "orders/parts.html",
    "admin/parts.html",
    "api/docs.html",
    *LETTERS,
}
SIDE_DOORS = re.compile(
    r"\|\s*safe\b|autoescape\s+false|\bMarkup\b|<script(?![^>]*\bsrc=| type=.application/ld\+json.>)|<[^>{]*\sstyle\s*="
    r"|\son\w+\s*=\s*['\"]|javascript:",
    re.IGNORECASE,
)


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_of(path: Path) -> str:
    """The dotted name of a file: bookshop/catalog/models.py is bookshop.catalog.models."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path) for path in SOURCES}


def part(module: str) -> str:
    """What FLOORS calls a module: bookshop.catalog.models is `models`, bookshop.web.forms is `web.forms`."""
    _top, *names = module.split(".")
    if not names:
        return "create_app"
    if names[0] in {"kit", "web"}:
        return ".".join(names)
    if names[0] in FEATURES:
        return names[1] if len(names) > 1 else "feature"
    return names[0]


def floor(module: str) -> int:
    found = [level for level, parts in enumerate(FLOORS) if part(module) in parts]
    assert len(found) == 1, f"{module} has no floor in FLOORS"
    return found[0]


def imports(path: Path) -> Iterator[str]:
    """The modules that a file imports, wherever in it."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (_imported(f"{node.module}.{alias.name}", str(node.module)) for alias in node.names)


def _imported(name: str, parent: str) -> str:
    """`from bookshop.accounts import views` imports a module, `from bookshop.kit.text import fold` a name of one."""
    return name if name in MODULES else parent


def names_in(path: Path) -> set[str]:
    """All names and attributes that a file uses."""
    nodes = list(ast.walk(tree(path)))
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return attributes | {node.id for node in nodes if isinstance(node, ast.Name)}


def own_imports(path: Path) -> list[str]:
    return [name for name in imports(path) if name.partition(".")[0] == "bookshop"]


def definitions(node: ast.AST, *, public: bool) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """The functions and classes in a module; with `public` only those that others may use."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef) and not (public and child.name.startswith("_")):
            yield child
            if isinstance(child, ast.ClassDef) or not public:
                yield from definitions(child, public=public)


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    return (found for found in definitions(tree(path), public=False) if isinstance(found, ast.FunctionDef))


# ---------------------------------------------------------------- floors


def found_in(paths: Iterable[Path], fault: Callable[[Path], Collection[Any]]) -> dict[str, Collection[Any]]:
    """The faults in each of these files; files without a fault are left out."""
    found = {path.relative_to(ROOT).as_posix(): fault(path) for path in paths}
    return {name: faults for name, faults in found.items() if faults}


def test_no_module_imports_from_a_floor_above_its_own():
    def above(path):
        return [name for name in own_imports(path) if floor(name) > floor(module_of(path))]

    assert found_in(SOURCES, above) == {}


def test_the_shop_is_seen_whole_by_these_guards():
    assert {part(module_of(path)) for path in SOURCES} == set().union(*FLOORS)
    assert sum(len(own_imports(path)) for path in SOURCES) > 100


def test_what_is_below_the_faces_does_not_know_flask():
    below = [path for path in SOURCES if part(module_of(path)) in BELOW_FLASK]
    assert len(below) >= len(BELOW_FLASK)
    assert found_in(below, lambda path: [name for name in imports(path) if name.lower().startswith("flask")]) == {}


def test_services_and_repositories_never_commit():
    quiet = [path for path in SOURCES if part(module_of(path)) in {"repository", "search", "service"}]
    assert len(quiet) >= 2 * len(FEATURES) - 4
    assert found_in(quiet, lambda path: names_in(path) & {"commit", "rollback", "in_transaction"}) == {}


def test_models_stand_on_the_ground():
    models = [path for path in SOURCES if path.name == "models.py"]
    ground = {"models", "kit.database", "kit.text", "kit.money", "addresses"}
    assert len(models) > 5
    assert found_in(models, lambda path: {part(name) for name in own_imports(path)} - ground) == {}


def test_faces_send_no_sql():
    def sql(path):
        imported = [name for name in imports(path) if name.startswith("sqlalchemy")]
        return [*imported, *(names_in(path) & {"db", "session_factory", "execute", "scalars"})]

    faces = [path for path in SOURCES if path.name in {"views.py", "api.py"}]
    assert len(faces) > 10
    assert found_in(faces, sql) == {}


# ---------------------------------------------------------------- size and words


def test_files_are_shorter_than_400_lines():
    def too_long(path):
        return path.read_text(encoding="utf-8").splitlines()[399:]

    assert found_in([*SOURCES, *sorted((ROOT / "tests").rglob("*.py"))], too_long) == {}


def test_functions_are_shorter_than_40_lines():
    def too_long(path):
        return [found.name for found in functions(path) if found.end_lineno and found.end_lineno - found.lineno >= 39]

    assert found_in(SOURCES, too_long) == {}


def test_modules_and_classes_say_what_they_are_for():
    def silent(path):
        classes = [found for found in definitions(tree(path), public=True) if isinstance(found, ast.ClassDef)]
        return [found.name for found in classes if not ast.get_docstring(found)]

    assert found_in(SOURCES, silent) == {}
    assert [module_of(path) for path in SOURCES if not ast.get_docstring(tree(path))] == []


def test_services_and_repositories_say_what_each_function_is_for():
    called = [path for path in SOURCES if path.stem in {"service", "repository"}]
    public = {path: definitions(tree(path), public=True) for path in called}
    silent = [f"{module_of(path)}.{found.name}" for path in public for found in public[path]
              if isinstance(found, ast.FunctionDef) and not ast.get_docstring(found)]  # fmt: skip
    assert silent == []


# ---------------------------------------------------------------- the README


def test_the_readmes_table_has_every_setting_and_no_other():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|\s*`BOOKSHOP_(\w+)`\s*\|", readme, re.MULTILINE)
    assert sorted(rows) == sorted(name.upper() for name in Settings.model_fields)


# ---------------------------------------------------------------- templates


def name_of(template: Path) -> str:
    return template.relative_to(ROOT / "templates").as_posix()


def test_every_page_stands_on_the_base_template():
    stand = {
        name_of(path) for path in TEMPLATES if path.read_text(encoding="utf-8").startswith("{% extends 'base.html' %}")
    }
    assert {name_of(path) for path in TEMPLATES} - stand == NO_PAGES


def test_no_template_goes_round_escaping_or_holds_scripts():
    assert found_in(TEMPLATES, lambda path: SIDE_DOORS.findall(path.read_text(encoding="utf-8"))) == {}


@pytest.mark.parametrize(
    "bad",
    [
        "{{ title | safe }}",
        "{{title|safe}}",
        "<script>alert(1)</script>",
        '<a onclick="x()">',
        "<a href='javascript:x()'>",
        "{% autoescape false %}",
        '<p style="color: red">',
        '<script type="module">',
    ],
)
def test_the_guard_of_templates_sees_what_it_looks_for(bad):
    assert SIDE_DOORS.search(bad)


def test_no_code_marks_text_as_safe():
    def marks(path):
        imported = [name for name in imports(path) if name.partition(".")[0] == "markupsafe"]
        return imported + re.findall(r"Markup\(", path.read_text(encoding="utf-8"))

    assert found_in(SOURCES, marks) == {}
