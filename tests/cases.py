"""Which cases run on PostgreSQL, and the proof that those left out would have sent no other statement.

Tests of pages and of validation are marked `one_postgresql_case`: on PostgreSQL only the first case of each function
runs, and SQLite runs them all. With `--all-cases` every case runs on both, and a statement that only a left-out case
sends to PostgreSQL fails the run: mark that function `every_case`.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event

from tests.databases import BY_TEST

PARAMETER = re.compile(r"%\(\w+\)s(::[\w ]+(\[\])?)?")
REPEATED = re.compile(r"\?(, \?)+|\([?, ]+\)(, \([?, ]+\))+")
Sent = defaultdict[str, set[str]]  # statement -> the tests that sent it


class Recorder:
    """Notes which tests send which statements to PostgreSQL, in the kept cases and in those that are left out."""

    def __init__(self) -> None:
        self.kept: Sent = defaultdict(set)
        self.left_out: Sent = defaultdict(set)
        self.test, self.into = "", self.kept
        event.listen(Engine, "before_cursor_execute", self.note)

    def note(self, connection: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        options = context.execution_options if context else connection.get_execution_options()
        if connection.dialect.name == "postgresql" and not options.get(BY_TEST):
            self.into[shape(statement)].add(self.test)

    def add(self, kept: dict[str, list[str]], left_out: dict[str, list[str]]) -> None:
        """Add what another process has noted."""
        for into, sent in ((self.kept, kept), (self.left_out, left_out)):
            for statement, tests in sent.items():
                into[statement].update(tests)

    def notes(self) -> list[dict[str, list[str]]]:
        return [{statement: sorted(tests) for statement, tests in sent.items()} for sent in (self.kept, self.left_out)]

    def only_left_out(self) -> dict[str, str]:
        """The statements that only left-out cases send, each with one of these."""
        return {statement: min(tests) for statement, tests in self.left_out.items() if statement not in self.kept}


def shape(statement: str) -> str:
    """A statement without what differs from call to call: the names and the number of its parameters."""
    return REPEATED.sub("?", PARAMETER.sub("?", " ".join(statement.split())))


def left_out(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """The cases that PostgreSQL does without: all but the first of each function marked so."""
    begun = set()
    for item in items:
        params = getattr(item, "callspec", None)
        if (
            params is None
            or "postgresql" not in params.params.values()
            or not item.get_closest_marker("one_postgresql_case")
        ):
            continue
        if item.get_closest_marker("every_case"):
            continue
        name = item.nodeid.partition("[")[0]
        if name in begun:
            yield item
        begun.add(name)


# ---------------------------------------------------------------- hooks of pytest


RECORDER = pytest.StashKey[Recorder]()
LEFT_OUT = pytest.StashKey[set[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-cases", action="store_true", help="run every case on PostgreSQL, and compare statements")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--all-cases"):
        config.stash[RECORDER] = Recorder()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    out = set(left_out(items))
    if config.getoption("--all-cases"):
        config.stash[LEFT_OUT] = {item.nodeid for item in out}
        return
    config.hook.pytest_deselected(items=list(out))
    items[:] = [item for item in items if item not in out]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if recorder := item.config.stash.get(RECORDER, None):
        recorder.test = item.nodeid
        recorder.into = recorder.left_out if item.nodeid in item.config.stash[LEFT_OUT] else recorder.kept


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist hands over its notes; who has all of them judges."""
    recorder = session.config.stash.get(RECORDER, None)
    if recorder is None:
        return
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["statements"] = recorder.notes()
    elif recorder.only_left_out():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over the notes of a worker of pytest-xdist."""
    if recorder := node.config.stash.get(RECORDER, None):
        recorder.add(*node.workeroutput["statements"])


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    recorder = config.stash.get(RECORDER, None)
    if recorder is None:
        return
    only = recorder.only_left_out()
    terminalreporter.section("statements sent to PostgreSQL")
    terminalreporter.line(f"{len(recorder.kept)} by the cases that always run, {len(only)} only by others")
    for statement, test in only.items():
        terminalreporter.line(f"{test}\n    {statement}")
