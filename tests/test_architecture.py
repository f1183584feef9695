"""Checks of the layout: floors, features without cycles, and what each kind of module may do."""

import ast
import sys
from pathlib import Path

import pytest

from tests.support import architecture
from tests.support.architecture import (
    FEATURES,
    FLOORS,
    Arrow,
    arrows,
    between_features,
    cycle,
    place_of,
    points_up,
    sources,
)
from tests.support.clients import ApiClient
from tests.support.sources import ROOT, SOURCES, found_in, imports, module_of, names_in, tree

TABLE = 'from bookshop.kit.database import Base\ntable = Base.metadata.tables["prebookings"]'
WRITES = {  # methods that only delegate: every write goes through a service
    *("AlertService.stop", "OperationsService.forget", "MailService.claim", "MailService.end_alerts"),
    *("MailerService.mark_sent", "WebhookService.claim", "ImportService.claim", "ImportService.release"),
}


@pytest.fixture(scope="module")
def found():
    return arrows(sources())


def planted(module, text):
    """Return the shop's dependencies with this code added to a module."""
    texts = sources()
    return arrows({**texts, module: f"{texts[module]}\n{text}\n"})


def test_no_dependency_points_to_a_higher_floor(found):
    assert [str(arrow) for arrow in found if points_up(arrow)] == []
    assert len(found) > 500


def test_features_have_no_dependency_cycle_in_the_domain(found):
    assert cycle(between_features(found)) == []


def test_modules_have_no_import_cycle(found):
    assert cycle(found) == []


def test_every_module_is_on_a_floor():
    assert {place_of(module_of(path)).floor for path in SOURCES} == set(range(len(FLOORS)))
    packages = {path.parent.name for path in (ROOT / "bookshop").glob("*/__init__.py")}
    assert packages == {*FEATURES, "admin", "cli", "kit", "web"}


def test_only_these_modules_are_at_the_root():
    loose = {path.stem for path in (ROOT / "bookshop").glob("*.py")}
    assert loose == {"__init__", "config", "extensions", "features", "checks"}


UPWARDS = [
    ("bookshop.kit.text", "from bookshop.catalog.isbn import isbn13", "bookshop.catalog.isbn"),
    ("bookshop.catalog.service", "from bookshop.prebookings import repository", "bookshop.prebookings.repository"),
    ("bookshop.mail.service", "def late():\n    from bookshop.mailer import service", "bookshop.mailer.service"),
    ("bookshop.mail.service", "if TYPE_CHECKING:\n    import bookshop.accounts.models", "bookshop.accounts.models"),
    ("bookshop.mail.service", 'import_module("bookshop.accounts.models")', "bookshop.accounts.models"),
    ("bookshop.catalog.repository", TABLE, "bookshop.prebookings.models"),
    ("bookshop.orders.service", "import bookshop.web.services", "bookshop.web.services"),
    ("bookshop.web.forms", "from bookshop.cart.views import cart", "bookshop.cart.views"),
    ("bookshop.cart.views", "from bookshop.admin import views", "bookshop.admin.views"),
]


@pytest.mark.parametrize(("module", "text", "target"), UPWARDS)
def test_a_dependency_on_a_higher_floor_is_found_in_any_notation(found, module, text, target):
    more = set(planted(module, text)) - set(found)
    assert [arrow for arrow in more if points_up(arrow)] == [Arrow(module, target)]


@pytest.mark.parametrize(
    ("module", "text", "through"),
    [
        ("bookshop.mail.service", "from bookshop.checkout import service", {"mail", "checkout"}),
        ("bookshop.catalog.models", TABLE, {"catalog", "prebookings"}),
    ],
)
def test_a_cycle_in_the_domain_is_found(module, text, through):
    closed = cycle(between_features(planted(module, text)))
    assert (closed[0] == closed[-1], through & set(closed)) == (True, through)


def test_the_diagram_in_the_docs_is_current():
    """Update it with `python -m tests.support.architecture`."""
    text = architecture.PICTURE.read_text(encoding="utf-8")
    assert architecture.redrawn(text) == text


# ---------------------------------------------------------------- what a kind of module may do


def on(floor):
    return [path for path in SOURCES if place_of(module_of(path)).floor == FLOORS.index(floor)]


def test_modules_below_web_do_not_import_flask():
    below = [*on("kit"), *on("domain")]
    assert len(below) > 70
    assert found_in(below, lambda path: [name for name in imports(path) if name.lower().startswith("flask")]) == {}


def test_the_domain_and_the_mail_composer_never_commit():
    quiet = [*on("domain"), ROOT / "bookshop" / "mailer" / "compose.py"]
    assert found_in(quiet, lambda path: names_in(path) & {"commit", "rollback", "in_transaction"}) == {}


def test_models_depend_only_on_the_kit():
    models = [path for path in SOURCES if path.name == "models.py"]
    ground = {"kit", "config"}

    def above(path):
        used = [name for name in imports(path) if name.startswith("bookshop.")]
        return [name for name in used if name.split(".")[1] not in ground and name.rpartition(".")[2] != "models"]

    assert len(models) > 8
    assert found_in([path for path in models if "webhooks" not in path.parts], above) == {}


def test_views_contain_no_sql():
    def sql(path):
        imported = [name for name in imports(path) if name.startswith("sqlalchemy")]
        return [*imported, *(names_in(path) & {"db", "session_factory", "execute", "scalars"})]

    views = [path for path in SOURCES if path.name in {"views.py", "api.py"} or "admin" in path.parts]
    assert len(views) > 20
    assert found_in(views, sql) == {}


def test_commits_go_through_a_service():
    def around(path):
        committed = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)]
        committed = [node for node in committed if ast.unparse(node.func) == "services.commit"]
        return [ast.unparse(node) for node in committed if "repository(" in ast.unparse(node)]

    assert found_in([*on("views"), *on("admin and commands")], around) == {}


def only_delegates(function):
    """Whether a method only calls a method of an attribute with its own arguments."""
    *doc, last = function.body
    call = last.value if isinstance(last, ast.Return | ast.Expr) else None
    if len(doc) > 1 or not isinstance(call, ast.Call) or not ast.unparse(call.func).startswith("self."):
        return False
    own = {argument.arg for argument in (*function.args.args, *function.args.kwonlyargs)}
    given = [*call.args, *(keyword.value for keyword in call.keywords)]
    return ast.unparse(call.func).count(".") == 2 and all(isinstance(one, ast.Name) and one.id in own for one in given)


def test_services_only_delegate_where_they_write():
    classes = [one for path in on("domain") for one in tree(path).body if isinstance(one, ast.ClassDef)]
    services = [one for one in classes if one.name.endswith("Service")]
    delegating = {
        f"{service.name}.{method.name}"
        for service in services
        for method in service.body
        if isinstance(method, ast.FunctionDef) and not method.name.startswith("_") and only_delegates(method)
    }
    assert len(services) > 15
    assert delegating == WRITES


# ---------------------------------------------------------------- the path of a reservation

FILES, OBJECTS = 15, 4


def test_a_reservation_runs_code_of_few_files_and_creates_few_objects(shop):
    """Every request pays for each file entered and object created; there used to be 26 of each."""
    shop.customer("ada@example.com")
    api_client, package, entered, made = ApiClient(shop.app, "ada@example.com"), ROOT / "bookshop", set(), []
    emma, persuasion = shop.book(), shop.book("Persuasion")

    def look(frame, event, _argument):
        if event == "call" and frame.f_code.co_filename.startswith(str(package)):
            entered.add(Path(frame.f_code.co_filename).relative_to(package).as_posix())
            if frame.f_code.co_name == "__init__":
                made.append(type(frame.f_locals["self"]).__name__)

    assert api_client.reserve(emma).status_code == 201  # warm up
    sys.setprofile(look)
    try:
        answer = api_client.reserve(persuasion)
    finally:
        sys.setprofile(None)
    assert answer.status_code == 201
    assert (len(entered), len(made)) == (FILES, OBJECTS), f"{sorted(entered)} {sorted(made)}"
