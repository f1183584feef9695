"""Checks of the source: lengths, docstrings, and what templates must not do."""

import ast
import re
from pathlib import Path

import pytest

from bookshop.config import Settings
from tests.support.sources import ROOT, SOURCES, definitions, found_in, functions, imports, module_of, tree

TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
EMAILS = {f"mail/{path.name}" for path in (ROOT / "templates" / "mail").glob("*.html")}
NO_PAGES = {
    *("base.html", "macros.html", "admin/book_links.html", "catalog/availability.html", "errors/down.html"),
    *("accounts/link_parts.html", "orders/parts.html", "returns/parts.html"),
    *("catalog/shelf.html", "shop/parts.html"),
    *("admin/parts.html", "admin/delivery_new.html", "admin/import_parts.html", "admin/import_preview.html"),
    *("picks/parts.html", "picks/home.html", "picks/book.html"),
    "api/docs.html",
    *EMAILS,
}
SIDE_DOORS = re.compile(
    r"\|\s*safe\b|autoescape\s+false|\bMarkup\b|<script(?![^>]*\bsrc=| type=.application/ld\+json.>)|<[^>{]*\sstyle\s*="
    r"|\son\w+\s*=\s*['\"]|javascript:",
    re.IGNORECASE,
)


# ---------------------------------------------------------------- size and docstrings


def test_files_are_shorter_than_400_lines():
    def too_long(path):
        return path.read_text(encoding="utf-8").splitlines()[399:]

    assert found_in([*SOURCES, *sorted((ROOT / "tests").rglob("*.py"))], too_long) == {}


def test_functions_are_shorter_than_40_lines():
    def too_long(path):
        return [found.name for found in functions(path) if found.end_lineno and found.end_lineno - found.lineno >= 39]

    assert found_in(SOURCES, too_long) == {}


def test_modules_and_classes_have_docstrings():
    def silent(path):
        classes = [found for found in definitions(tree(path), public=True) if isinstance(found, ast.ClassDef)]
        return [found.name for found in classes if not ast.get_docstring(found)]

    assert found_in(SOURCES, silent) == {}
    assert [module_of(path) for path in SOURCES if not ast.get_docstring(tree(path))] == []


def test_services_and_repositories_have_docstrings():
    called = [path for path in SOURCES if path.stem in {"service", "repository"}]
    public = {path: definitions(tree(path), public=True) for path in called}
    silent = [f"{module_of(path)}.{found.name}" for path in public for found in public[path]
              if isinstance(found, ast.FunctionDef) and not ast.get_docstring(found)]  # fmt: skip
    assert silent == []


# ---------------------------------------------------------------- documents


def test_the_document_of_the_settings_has_every_setting_and_no_other():
    document = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\|\s*`BOOKSHOP_(\w+)`\s*\|", document, re.MULTILINE)
    assert sorted(rows) == sorted(name.upper() for name in Settings.model_fields)


def test_the_readme_is_short_and_its_pictures_are_small():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    pictures = re.findall(r"!\[[^\]]+\]\((docs/img/[^)]+)\)", readme)
    assert (len(readme.splitlines()) <= 100, len(pictures)) == (True, 3)
    assert [picture for picture in pictures if (ROOT / picture).stat().st_size > 60 * 1024] == []


def test_links_between_documents_lead_somewhere():
    def broken(path):
        links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
        return [link for link in links if "://" not in link and not (path.parent / link).exists()]

    assert len(DOCUMENTS) > 10
    assert found_in(DOCUMENTS, broken) == {}


# ---------------------------------------------------------------- templates


def name_of(template: Path) -> str:
    return template.relative_to(ROOT / "templates").as_posix()


def test_every_page_extends_the_base_template_or_the_frame_of_staff():
    frames = re.compile(r"(\{#.*?#\}\n)?\{% extends '(base|admin/frame)\.html' %\}")
    stand = {name_of(path) for path in TEMPLATES if frames.match(path.read_text(encoding="utf-8"))}
    assert {name_of(path) for path in TEMPLATES} - stand == NO_PAGES


def test_no_template_disables_escaping_or_contains_scripts():
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
def test_the_template_check_detects_what_it_forbids(bad):
    assert SIDE_DOORS.search(bad)


def test_no_code_marks_text_as_safe_apart_from_the_one_that_has_cleaned_it():
    def marks(path):
        imported = [name for name in imports(path) if name.partition(".")[0] == "markupsafe"]
        return imported + re.findall(r"Markup\(", path.read_text(encoding="utf-8"))

    assert found_in(SOURCES, marks) == {"bookshop/content/views.py": ["markupsafe", "Markup("]}
