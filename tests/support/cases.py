"""Which cases run on PostgreSQL, and the proof that the omitted ones would have sent no other statement.

Tests of pages and of validation are marked `one_postgresql_case`: on PostgreSQL only the first case of each function
runs, and SQLite runs them all. With `--all-cases` every case runs on both, and a statement that only an omitted case
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
    """Records which statements regular cases send to PostgreSQL, and which the omitted ones send, with one example."""

    def __init__(self) -> None:
        self.regular: set[str] = set()
        self.omitted: dict[str, str] = {}
        self.omitted_test: str | None = None  # the running test, if it is normally omitted on PostgreSQL
        event.listen(Engine, "before_cursor_execute", self.note)

    def stop(self) -> None:
        event.remove(Engine, "before_cursor_execute", self.note)

    def note(self, connection: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool) -> None:
        options = context.execution_options if context else connection.get_execution_options()
        if connection.dialect.name != "postgresql" or options.get(BY_TEST):
            return
        if self.omitted_test is None:
            self.regular.add(normalized(statement))
        else:
            self.omitted.setdefault(normalized(statement), self.omitted_test)

    def only_omitted(self) -> dict[str, str]:
        """Return the statements that only omitted cases send, each with one such case."""
        return {statement: test for statement, test in self.omitted.items() if statement not in self.regular}


def normalized(statement: str) -> str:
    """Remove what differs from call to call: parameters and the number of a savepoint."""
    return SAVEPOINT.sub("savepoint", REPEATED.sub("?", PARAMETER.sub("?", " ".join(statement.split()))))


def omitted(items: list[pytest.Item]) -> Iterator[pytest.Item]:
    """Yield the cases omitted on PostgreSQL: all but the first of each marked function."""
    seen = set()
    for item in filter(may_be_omitted, items):
        name = item.nodeid.partition("[")[0]
        if name in seen:
            yield item
        seen.add(name)


def may_be_omitted(item: pytest.Item) -> bool:
    marked = item.get_closest_marker("one_postgresql_case") and not item.get_closest_marker("every_case")
    return bool(marked) and isinstance(item, pytest.Function) and "postgresql" in _parameters(item)


def _parameters(item: pytest.Function) -> Collection[Any]:
    return item.callspec.params.values() if hasattr(item, "callspec") else ()


# ---------------------------------------------------------------- pytest hooks


RECORDER = pytest.StashKey[Recorder]()
OMITTED = pytest.StashKey[set[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-cases", action="store_true", help="run every case on PostgreSQL, and compare statements")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--all-cases"):
        config.stash[RECORDER] = Recorder()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    out = set(omitted(items))
    if config.getoption("--all-cases"):
        config.stash[OMITTED] = {item.nodeid for item in out}
        return
    config.hook.pytest_deselected(items=list(out))
    items[:] = [item for item in items if item not in out]


def pytest_runtest_setup(item: pytest.Item) -> None:
    if recorder := item.config.stash.get(RECORDER, None):
        recorder.omitted_test = item.nodeid if item.nodeid in item.config.stash[OMITTED] else None


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run for a statement that only omitted cases sent; a worker reports to the main process."""
    recorder = session.config.stash.get(RECORDER, None)
    if recorder is None:
        return
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["statements"] = [sorted(recorder.regular), recorder.omitted]
    elif recorder.only_omitted():
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Merge the records of a pytest-xdist worker."""
    recorder = node.config.stash.get(RECORDER, None)
    if recorder and hasattr(node, "workeroutput"):  # a worker that crashed has none
        regular, omitted = node.workeroutput["statements"]
        recorder.regular.update(regular)
        recorder.omitted.update(omitted)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    recorder = config.stash.get(RECORDER, None)
    if recorder is None:
        return
    only = recorder.only_omitted()
    terminalreporter.section("statements sent to PostgreSQL")
    terminalreporter.line(f"{len(recorder.regular)} by the cases that always run, {len(only)} only by omitted ones")
    for statement, test in only.items():
        terminalreporter.line(f"{test}\n    {statement}")
