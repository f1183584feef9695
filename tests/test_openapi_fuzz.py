"""schemathesis sends what the document lets through, and what it does not: no answer contradicts the document."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from tests.databases import new_database
from tests.faulty import FAULTS
from tests.fuzzing import ROLES, Furnished, Fuzzed, furnished, fuzz, glance
from tests.world import ROUTES

DATABASES = ("sqlite", "postgresql")
Runs = dict[tuple[str, str], Fuzzed]
OPERATIONS = {route for route in ROUTES if "/api/v1/" in route and not route.endswith("openapi.json")}
MANY, FEW = 200, 10


@pytest.fixture(scope="module")
def places(postgresql_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Furnished]]:
    """A shop on each database, side by side."""
    with ExitStack() as open_:
        urls = [f"sqlite:///{tmp_path_factory.mktemp('fuzz')}/shop.db"]
        urls.append(open_.enter_context(new_database(postgresql_url, "bookshop_fuzz")))
        yield {name: open_.enter_context(furnished(url)) for name, url in zip(DATABASES, urls, strict=True)}


def fuzz_all(places: dict[str, Furnished], run: Callable[[Furnished, str, int], Fuzzed], examples: int) -> Runs:
    """Customer, staff and nobody one after the other, both databases at the same time."""

    def one(name: str) -> Runs:
        return {(name, role): run(places[name], role, examples) for role in ("ada", "staff", "nobody")}

    with ThreadPoolExecutor(len(DATABASES)) as pool:
        return {key: found for runs in pool.map(one, DATABASES) for key, found in runs.items()}


def assert_kept(found: Fuzzed) -> None:
    """All checks passed, and no answer was a fault of the shop or none at all."""
    assert found.passed, found.report
    assert {name for name, counts in found.answers.items() if any(not 0 < status < 500 for status in counts)} == set()
    assert set(found.answers) >= OPERATIONS


@pytest.fixture(scope="module")
def few(places: dict[str, Furnished]) -> Runs:
    return fuzz_all(places, glance, FEW)


@pytest.fixture(scope="module")
def many(places: dict[str, Furnished]) -> Runs:
    return fuzz_all(places, fuzz, MANY)


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("database", DATABASES)
def test_no_answer_contradicts_the_document(few, database, role):
    assert_kept(few[database, role])


@pytest.mark.prove
@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("database", DATABASES)
def test_no_answer_of_very_many_contradicts_the_document(many, database, role):
    found = many[database, role]
    print(f"{found.total()} answers, {found.walks} walks, {found.seconds:.0f} s")  # shown by -rP
    assert_kept(found)
    assert {name for name in OPERATIONS if found.answers[name].total() < MANY} == set()
    may = {name for name in OPERATIONS if role in ROUTES[name][0]}
    assert may - found.succeeded() == set(), "Nothing was proved of what never succeeded."


REPORTS = {
    "type": "Response violates schema",
    "bug": "Server error",
    "status": "Undocumented status code",
    "refusal": "Schema-valid request rejected",  # for another reason than those of schemathesis_hooks
}


@pytest.mark.parametrize("fault", FAULTS)
def test_twin_a_shop_that_breaks_its_contract_is_reported(tmp_path, fault):
    with furnished(f"sqlite:///{tmp_path}/shop.db", f"tests.faulty:shop('{fault}')") as place:
        found = glance(place, "staff", FEW, f"--include-operation-id={FAULTS[fault][0].replace('.api_', '_')}")
    assert not found.passed
    assert REPORTS[fault] in found.report
