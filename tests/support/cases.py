"""Which cases run on PostgreSQL, and the proof that those left out would have sent no other statement.

Tests of pages and of validation are marked `one_postgresql_case`: on PostgreSQL only the first case of each function
runs, and SQLite runs them all. With `--all-cases` every case runs on both, and a statement that only a left-out case
sends to PostgreSQL fails the run: mark that function `every_case`.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any

import pytest
from sqlalchemy import Engine, event

from tests.support.databases import BY_TEST

PARAMETER = re.compile(r"%\(\w+\)s(::(TIMESTAMP WITH TIME ZONE|DOUBLE PRECISION|\w+)(\[\])?)?")
REPEATED = re.compile(r"\?(, \?)+|\([?, ]+\)(, \([?, ]+\))+")
SAVEPOINT = re.compile(r"sa_savepoint_\d+")


class Recorder:
    """Notes which statements the kept cases send to PostgreSQL, and which the left-out ones, with one that does."""

    def __init__(self) -> None:
        self.kept: set[str] = set()
        self.left_out: dict[str, str] = {}
        self.left_out_test: str | None = None  # the test that runs just now, if PostgreSQL would do without it
        event.listen(Engine, "before_cursor_execute", self.note)

    def stop(self) -> None:
        event.remove(Engine, "before_cursor_execute", self.note)

    def note(self, connection: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        options = context.execution_options if context else connection.get_execution_options()
        if connection.dialect.name != "postgresql" or options.get(BY_TEST):
            return
        if self.left_out_test is None:
            self.kept.add(shape(statement))
        else:
            self.left_out.setdefault(shape(statement), self.left_out_test)

    def only_left_out(self) -> dict[str, str]:
        """The statements that only left-out cases send, each with one of these."""
        return {statement: test for statement, test in self.left_out.items() if statement not in self.kept}


def shape(statement: str) -> str:
    """A statement without what differs from call to call: parameters and the number of its savepoint."""
    return SAVEPOINT.sub("savepoint", REPEATED.sub("?", PARAMETER.sub("?", " ".join(statement.split()))))


def left_out(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """The cases that PostgreSQL does without: all but the first of each function marked so."""
    begun = set()
    for item in filter(may_be_left_out, items):
        name = item.nodeid.partition("[")[0]
        if name in begun:
            yield item
        begun.add(name)


def may_be_left_out(item: pytest.Item) -> bool:
    marked = item.get_closest_marker("one_postgresql_case") and not item.get_closest_marker("every_case")
    return bool(marked) and isinstance(item, pytest.Function) and "postgresql" in _parameters(item)


def _parameters(item: pytest.Function) -> Collection[Any]:
    return item.callspec.params.values() if hasattr(item, "callspec") else ()


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
        recorder.left_out_test = item.nodeid if item.nodeid in item.config.stash[LEFT_OUT] else None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run for a statement that only left-out cases sent; a worker reports to the main process."""
    recorder = session.config.stash.get(RECORDER, None)
    if recorder is None:
        return
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["statements"] = [sorted(recorder.kept), recorder.left_out]
    elif recorder.only_left_out():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over the notes of a worker of pytest-xdist."""
    recorder = node.config.stash.get(RECORDER, None)
    if recorder and hasattr(node, "workeroutput"):  # a worker that crashed has none
        kept, left_out = node.workeroutput["statements"]
        recorder.kept.update(kept)
        recorder.left_out.update(left_out)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    recorder = config.stash.get(RECORDER, None)
    if recorder is None:
        return
    only = recorder.only_left_out()
    terminalreporter.section("statements sent to PostgreSQL")
    terminalreporter.line(f"{len(recorder.kept)} by the cases that always run, {len(only)} only by others")
    for statement, test in only.items():
        terminalreporter.line(f"{test}\n    {statement}")
