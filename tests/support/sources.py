"""The source code of the shop, for static checks."""

import ast
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "bookshop").rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def module_of(path: Path) -> str:
    """Return the dotted name of a file: bookshop/catalog/models.py is bookshop.catalog.models."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for path in SOURCES}


def imports(path: Path) -> Iterator[str]:
    """Yield the modules that a file imports, anywhere in it."""
    return imported_by(tree(path))


def imported_by(parsed: ast.Module) -> Iterator[str]:
    """Yield the imported modules: at the top, within functions, for type checking, or by name."""
    for node in ast.walk(parsed):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (_module(f"{node.module}.{alias.name}", str(node.module)) for alias in node.names)
        elif isinstance(node, ast.Constant) and node.value in MODULES and node.value != "bookshop":
            yield node.value  # as for importlib


def _module(name: str, parent: str) -> str:
    """Return the imported module: `views` of `from bookshop.accounts import views`, or the parent of a plain name."""
    return name if name in MODULES else parent


def names_in(path: Path) -> set[str]:
    """Return all names and attributes that a file uses."""
    nodes = list(ast.walk(tree(path)))
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return attributes | {node.id for node in nodes if isinstance(node, ast.Name)}


def definitions(node: ast.AST, *, public: bool) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Yield the functions and classes in a module; with `public` only the public ones."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.ClassDef) and not (public and child.name.startswith("_")):
            yield child
            if isinstance(child, ast.ClassDef) or not public:
                yield from definitions(child, public=public)


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    return (found for found in definitions(tree(path), public=False) if isinstance(found, ast.FunctionDef))


def found_in(paths: Iterable[Path], fault: Callable[[Path], Collection[Any]]) -> dict[str, Collection[Any]]:
    """Return the faults found in each file that has any."""
    found = {path.relative_to(ROOT).as_posix(): fault(path) for path in paths}
    return {name: faults for name, faults in found.items() if faults}
