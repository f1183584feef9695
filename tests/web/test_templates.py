"""What people read on pages and in e-mails: times in the shop's zone, and amounts with their currency."""

import re
from collections.abc import Iterator, Set
from pathlib import Path

import pytest
from jinja2 import Environment, nodes

TEMPLATES = Path(__file__).parents[2] / "templates"
TIME, TIME_FILTERS = re.compile(r"(\w+_)?(at|until)|now|moment"), {"day", "ago", "elapsed", "local", "minute", "seen"}
AMOUNT, AMOUNT_FILTERS = re.compile(r"(\w+_)?(cents|amount|amounts|totals)"), {"money", "price", "join"}
MACHINES = {"isoformat"}  # of a `datetime` attribute


def unformatted(node: nodes.Node, names: re.Pattern[str], filters: Set[str]) -> Iterator[str]:
    """Yield what an expression shows under one of these names without one of these filters.

    Its conditions are not shown, and what it passes to a macro is for the macro to show.
    """
    if isinstance(node, nodes.Compare) or getattr(node, "name", "") in filters or getattr(node, "attr", "") in MACHINES:
        return
    name = getattr(node, "attr", getattr(node, "name", ""))
    if names.fullmatch(name):
        yield f"{name} in line {node.lineno}"
    is_macro = isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name)
    for part in () if is_macro else node.iter_child_nodes():
        if not (isinstance(node, nodes.CondExpr) and part is node.test):
            yield from unformatted(part, names, filters)


def problems(text: str) -> list[str]:
    """Return what a template shows in a way that ignores the shop's zone or a currency."""
    tree = Environment(autoescape=True).parse(text)
    found = [
        problem
        for output in tree.find_all(nodes.Output)
        for node in output.nodes
        for kind in ((TIME, TIME_FILTERS), (AMOUNT, AMOUNT_FILTERS))
        for problem in unformatted(node, *kind)
    ]
    written = "".join(data.data for data in tree.find_all(nodes.TemplateData))
    zones = [one for one in re.findall(r"([^{}\s]*(?: \| local\))?)\.strftime", text) if not one.endswith("local)")]
    return found + zones + re.findall(r"\bUTC\b|[€£$¥]|\b(?:EUR|GBP|USD)\b", written)


@pytest.mark.parametrize("path", sorted(path.relative_to(TEMPLATES).as_posix() for path in TEMPLATES.rglob("*.*")))
def test_a_template_shows_times_in_the_zone_of_the_shop_and_amounts_with_their_currency(path):
    assert problems((TEMPLATES / path).read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "text",
    [
        "{{ order.created_at }}",
        "{{ order.ready_at if order.ready_at else 'soon' }}",
        "{{ order.created_at.strftime('%H:%M') }}",
        "{{ 'placed {}'.format(order.created_at) }}",
        "{{ now | upper }}",
        "{{ book.price_cents }}",
        "{{ line.amount.cents / 100 }}",
        "{{ '{:,}'.format(order.postage_cents) }}",
        "Free from €30",
        "At noon UTC",
    ],
)
def test_the_check_finds_what_ignores_them(text):
    assert problems(text)


# ---------------------------------------------------------------- tables of staff

TABLES = [
    (path.name, table)
    for path in sorted((TEMPLATES / "admin").glob("*.html"))
    for table in re.findall(
        r"(?s)<div class=\"table-responsive\"[^>]*><table.*?</table>|<table.*?</table>", path.read_text()
    )
]


@pytest.mark.parametrize("table", [table for _name, table in TABLES], ids=[name for name, _table in TABLES])
def test_a_table_of_staff_can_become_cards_scrolls_by_keyboard_and_keeps_its_roles(table):
    """CSS takes the meaning of a table away when it shows the rows as cards, so its parts have roles and labels."""
    assert re.match(r'<div class="table-responsive" role="region" aria-label(ledby)?="[^"]+" tabindex="0">', table)
    assert re.search(r'<table class="[^"]*\bas-cards\b', table)
    parts = {"table": "table", "thead": "rowgroup", "tbody": "rowgroup", "tfoot": "rowgroup", "tr": "row", "td": "cell"}
    for tag, role in parts.items():
        assert [cell for cell in re.findall(rf"<{tag}\b[^>]*>", table) if f'role="{role}"' not in cell] == []
    body = table.partition("<tbody")[2].partition("</tbody>")[0]
    assert body.count("<tr") == body.count('<th scope="row" role="rowheader"') > 0
    headings = re.findall(r'(?s)<th scope="col" role="columnheader"[^>]*>(.*?)</th>', table)
    visible = [heading for heading in headings if "visually-hidden" not in heading]
    assert set(re.findall(r'data-label="((?:{{.*?}}|[^"])*)"', body)) >= set(visible[1:])
