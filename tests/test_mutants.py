"""The list of planted faults is valid; `make mutants` tries the faults themselves."""

from dataclasses import replace

import pytest

from tests.mutants.__main__ import sample
from tests.mutants.faults import Fault, problems, read_all
from tests.mutants.trial import BROKEN, CAUGHT, SURVIVED, Run, judged

AREAS = {"rules", "locks", "ledger", "mail", "checkout", "webhooks", "imports", "json", "accounts", "input"} | {
    *("audit", "backups", "deliveries", "exports", "links", "opening", "operations", "retention", "shop"),
}
FEWEST = 60
LOCK = Fault(
    area="locks",
    name="no lock",
    why="Copies are lost.",
    file="bookshop/catalog/repository.py",
    old="return _stocked(dialect).with_for_update(key_share=True)",
    new="return _stocked(dialect)",
    tests=("tests/test_races.py::test_a_restock_and_a_sale_add_up",),
)


def test_every_fault_can_be_planted_and_has_its_tests():
    assert problems(read_all()) == []


def test_every_area_has_enough_faults():
    faults = read_all()
    assert {fault.area for fault in faults} == AREAS
    assert len(faults) >= FEWEST


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"old": "no such text"}, "0 times"),
        ({"old": "self"}, "times instead of once"),
        ({"file": "bookshop/nothing.py"}, "0 times"),
        ({"new": LOCK.old}, "its new text is the old one"),
        ({"database": "mysql"}, "its database is none of"),
        ({"tests": ()}, "it names no test"),
        ({"tests": ("tests/test_races.py::test_nothing",)}, "there is no test tests/test_races.py::test_nothing"),
        ({"tests": ("tests/test_nothing.py::test_nothing",)}, "there is no test tests/test_nothing.py"),
    ],
)
def test_an_invalid_fault_is_reported_before_anything_runs(change, words):
    assert problems([LOCK]) == []
    (problem,) = problems([replace(LOCK, **change)])
    assert problem.startswith("locks, no lock: ")
    assert words in problem


def test_duplicate_fault_names_are_reported():
    assert problems([LOCK, LOCK]) == ["no lock: two faults have this name"]


def test_a_sample_depends_on_the_commit():
    faults = read_all()
    ten = sample(faults, 10, "one commit")
    assert ten == sample(faults, 10, "one commit") != sample(faults, 10, "another")
    assert len(set(ten)) == 10
    assert sample(faults, None, None) == faults


LOG = "ERROR    bookshop.web.errors: POST /orders failed"
FAILURE = f"{LOG}\nFAILED tests/test_races.py::test_x[sqlite-a b] - assert 1 == 2\n1 failed, 1 passed"


@pytest.mark.parametrize(
    ("run", "verdict"),
    [
        (Run(1, FAILURE), (CAUGHT, "tests/test_races.py::test_x[sqlite-a b] - assert 1 == 2")),
        (Run(None, ""), (CAUGHT, "a hang")),
        (Run(0, "3 passed"), (SURVIVED, "")),
        (Run(1, "nothing failed"), (BROKEN, "pytest ended with 1: nothing failed")),
        (Run(2, "1 error during collection"), (BROKEN, "pytest ended with 2: 1 error during collection")),
        (Run(5, "3 deselected"), (BROKEN, "pytest ended with 5: 3 deselected")),
        (Run(-9, ""), (BROKEN, "pytest ended with -9: ")),
    ],
)
def test_only_a_failing_or_hanging_test_catches_a_fault(run, verdict):
    assert judged(run) == verdict
