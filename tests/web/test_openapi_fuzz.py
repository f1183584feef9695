"""schemathesis sends what the document lets through, and what it does not: no answer contradicts the document."""

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.databases import new_database
from tests.support.faulty import FAULTS
from tests.support.fuzzing import ORDERS, SEED, Furnished, Fuzzed, furnished, fuzz, glance, options
from tests.support.world import ROUTES

pytestmark = pytest.mark.prove
DATABASES = ("sqlite", "postgresql")
Run = tuple[str, str]  # a database and a role
OPERATIONS = {route for route in ROUTES if "/api/v1/" in route and not route.endswith("openapi.json")}
MANY, FEW = 50, 5  # examples per operation, and walks, in each run
RUNS = [("sqlite", "ada"), ("sqlite", "staff"), ("postgresql", "ada"), ("postgresql", "staff"), ("sqlite", "nobody")]


def allowed(role: str) -> set[str]:
    """The operations to call as a role; an anonymous script tries them all."""
    return {name for name in OPERATIONS if role in ROUTES[name][0]} if role != "nobody" else OPERATIONS


@contextmanager
def shops(postgresql_url: str, folder: Path) -> Iterator[dict[str, Furnished]]:
    """A shop on each database, side by side."""
    with ExitStack() as open_:
        urls = [f"sqlite:///{folder}/shop.db", open_.enter_context(new_database(postgresql_url, "bookshop_fuzz"))]
        places = [open_.enter_context(furnished(url, orders=ORDERS)) for url in urls]
        yield dict(zip(DATABASES, places, strict=True))


def side_by_side(run: Callable[[str, str], Fuzzed], runs: Sequence[Run]) -> dict[Run, Fuzzed]:
    """Run for these databases and roles: one role after the other, both databases at the same time."""

    def one(database: str) -> dict[Run, Fuzzed]:
        return {(name, role): run(name, role) for name, role in runs if name == database}

    with ThreadPoolExecutor(len(DATABASES)) as pool:
        return {key: found for found_by in pool.map(one, DATABASES) for key, found in found_by.items()}


def assert_kept(found: Fuzzed, operations: set[str]) -> None:
    """All checks passed, and no answer was a fault of the shop or none at all."""
    assert found.passed, found.report
    assert {name for name, counts in found.answers.items() if any(not 0 < status < 500 for status in counts)} == set()
    assert set(found.answers) >= operations


@pytest.fixture(scope="module")
def many(postgresql_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[Run, Fuzzed]:
    """Each run draws new examples and takes new walks; the values at the limits are the same each time."""

    def run(database: str, role: str) -> Fuzzed:
        seed, limits = SEED + 1000 * RUNS.index((database, role)), database == "postgresql"
        return fuzz(places[database], role, MANY, seed, *options(allowed(role)), limits=limits)

    with shops(postgresql_url, tmp_path_factory.mktemp("many")) as places:
        return side_by_side(run, RUNS)


@pytest.mark.parametrize(("database", "role"), RUNS)
def test_no_answer_contradicts_the_document(many, database, role):
    found, operations = many[database, role], allowed(role)
    print(f"{found.total()} answers, {found.walks} walks, {found.seconds:.0f} s")  # shown by -rP
    assert_kept(found, operations)
    assert {name for name in operations if found.answers[name].total() < MANY} == set()
    if role != "nobody":  # refused nearly everywhere; the other roles call what is open to all
        assert operations - found.succeeded() == set(), "Nothing was proved of what never succeeded."


REPORTS = {
    "type": "Response violates schema",
    "bug": "Server error",
    "status": "Undocumented status code",
    "refusal": "Schema-valid request rejected",  # for another reason than those of schemathesis_hooks
}


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the fuzz reports of a shop that breaks its contract, by route."""
    url = f"sqlite:///{tmp_path_factory.mktemp('faulty')}/shop.db"
    with furnished(url, "tests.support.faulty:shop()") as place:
        found = glance(place, "staff", FEW, *options([fault.route for fault in FAULTS.values()]))
    _before, *parts = re.split(r"^_+ (\w+ \S+) _+$", found.report, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("fault", FAULTS)
def test_twin_a_shop_that_breaks_its_contract_is_reported(complaints, fault):
    assert REPORTS[fault] in complaints[FAULTS[fault].route]
