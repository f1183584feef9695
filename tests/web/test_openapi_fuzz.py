"""schemathesis sends valid and invalid requests: no response contradicts the OpenAPI document."""

import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.databases import new_database
from tests.support.faulty import FAULTS
from tests.support.fuzzing import ORDERS, SEED, FuzzResult, ServedShop, fuzz, fuzz_briefly, options, served_shop
from tests.support.routes import ROUTES

pytestmark = pytest.mark.prove
DATABASES = ("sqlite", "postgresql")
Run = tuple[str, str]  # a database and a role
OPERATIONS = {route for route in ROUTES if "/api/v1/" in route and not route.endswith("openapi.json")}
MANY, FEW = 50, 5  # examples per operation, and stateful scenarios, in each run
RUNS = [("sqlite", "ada"), ("sqlite", "staff"), ("postgresql", "ada"), ("postgresql", "staff"), ("sqlite", "nobody")]


def allowed(role: str) -> set[str]:
    """Return the operations that a role may call; an anonymous script tries them all."""
    return {name for name in OPERATIONS if role in ROUTES[name][0]} if role != "nobody" else OPERATIONS


@contextmanager
def shops(postgresql_url: str, folder: Path) -> Iterator[dict[str, ServedShop]]:
    """Serve a shop on each database."""
    with ExitStack() as open_:
        urls = [f"sqlite:///{folder}/shop.db", open_.enter_context(new_database(postgresql_url, "bookshop_fuzz"))]
        served_shops = [open_.enter_context(served_shop(url, orders=ORDERS)) for url in urls]
        yield dict(zip(DATABASES, served_shops, strict=True))


def side_by_side(run: Callable[[str, str], FuzzResult], runs: Sequence[Run]) -> dict[Run, FuzzResult]:
    """Run for these databases and roles: role after role, both databases in parallel."""

    def one(database: str) -> dict[Run, FuzzResult]:
        return {(name, role): run(name, role) for name, role in runs if name == database}

    with ThreadPoolExecutor(len(DATABASES)) as pool:
        return {key: result for found_by in pool.map(one, DATABASES) for key, result in found_by.items()}


def assert_contract(result: FuzzResult, operations: set[str]) -> None:
    """Assert that all checks passed, every operation was called, and none failed with 5xx or without a response."""
    assert result.passed, result.report
    assert {
        name for name, counts in result.responses.items() if any(not 0 < status < 500 for status in counts)
    } == set()
    assert set(result.responses) >= operations


@pytest.fixture(scope="module")
def many_examples(postgresql_url: str, tmp_path_factory: pytest.TempPathFactory) -> dict[Run, FuzzResult]:
    """Each run has its own examples and scenarios; the values at the limits are the same each time."""

    def run(database: str, role: str) -> FuzzResult:
        seed, limits = SEED + 1000 * RUNS.index((database, role)), database == "postgresql"
        return fuzz(served_shops[database], role, MANY, seed, *options(allowed(role)), limits=limits)

    with shops(postgresql_url, tmp_path_factory.mktemp("many")) as served_shops:
        return side_by_side(run, RUNS)


@pytest.mark.parametrize(("database", "role"), RUNS)
def test_no_response_contradicts_the_document(many_examples, database, role):
    result, operations = many_examples[database, role], allowed(role)
    print(f"{result.total()} responses, {result.scenarios} scenarios, {result.seconds:.0f} s")  # shown by -rP
    assert_contract(result, operations)
    assert {name for name in operations if result.responses[name].total() < MANY} == set()
    if role != "nobody":  # it is refused nearly everywhere; the other roles call the public operations
        assert operations - result.succeeded() == set(), "Operations that never succeed prove nothing."


REPORTS = {
    "type": "Response violates schema",
    "bug": "Server error",
    "status": "Undocumented status code",
    "refusal": "Schema-valid request rejected",  # for a reason that schemathesis_hooks does not accept
}


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the reports about a shop that breaks its contract, by route."""
    url = f"sqlite:///{tmp_path_factory.mktemp('faulty')}/shop.db"
    with served_shop(url, "tests.support.faulty:shop()") as target:
        result = fuzz_briefly(target, "staff", FEW, *options([fault.route for fault in FAULTS.values()]))
    _before, *parts = re.split(r"^_+ (\w+ \S+) _+$", result.report, flags=re.MULTILINE)
    return dict(zip(parts[::2], parts[1::2], strict=True))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_shop_that_breaks_its_contract_is_reported(reports, fault):
    assert REPORTS[fault] in reports[FAULTS[fault].route]
