"""A copy of the tree in which faults are planted and tests are run."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.mutants.faults import BOTH, ROOT, Fault

EXCLUDED = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "node_modules", "screenshots")
# Without the browser and fuzzing plugins, which take as long to load as the shop itself.
WITHOUT = ("-p", "no:cacheprovider", "-p", "no:playwright", "-p", "no:schemathesis")
PYTEST = ("-m", "pytest", "-x", "-q", *WITHOUT, "-m", "not prove")
# With brackets, as the mark `one_postgresql_case` is a keyword, too.
ONLY_ON = {"sqlite": ("-k", "not [postgresql and not postgresql]"), "postgresql": ("-k", "not sqlite"), BOTH: ()}
FAILED = re.compile(r"^(?:FAILED|ERROR) (tests/.+)$", re.MULTILINE)
WIDTH = "200"  # columns of pytest's output, which must include the reason of a failure
TIDYING = 10  # seconds for a stopped run to delete its files
PASSED, TESTS_FAILED = 0, 1  # exit codes of pytest; all others mean that it could not run the tests
CAUGHT, SURVIVED, BROKEN = "caught", "SURVIVED", "NOT RUN"


@dataclass(frozen=True)
class Outcome:
    """The outcome of a fault: whether it was caught, by which failure, and after how many seconds."""

    fault: Fault
    state: str
    by: str
    seconds: float

    @property
    def test(self) -> str:
        """The test that caught it."""
        return self.by.partition(" - ")[0]


@dataclass(frozen=True)
class Run:
    """A run of pytest: its exit code, None if it had to be stopped, and its output."""

    code: int | None
    output: str

    @property
    def failed_test(self) -> str:
        """The first test that failed, with the reason; '' if none did."""
        found = FAILED.search(self.output)
        return found[1] if found else ""


class Copy:
    """A copy of the tree with its own PostgreSQL database."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.tree, self.temporary = folder / "tree", folder / "temporary"
        self.database_url = database_url
        shutil.copytree(ROOT, self.tree, ignore=EXCLUDED)

    def check(self, tests: Collection[str], seconds: float) -> Run:
        """Run tests without any fault."""
        return self._run([*PYTEST, *tests], seconds)

    def try_out(self, fault: Fault) -> Outcome:
        """Plant a fault, run its tests, and remove it again."""
        begun = time.monotonic()
        with self._planted(fault):
            run = self._run([*PYTEST, *ONLY_ON[fault.database], *fault.tests], fault.seconds)
        state, by = judged(run)
        return Outcome(fault, state, by, time.monotonic() - begun)

    @contextmanager
    def _planted(self, fault: Fault) -> Iterator[None]:
        path = self.tree / fault.file
        source = path.read_text()
        path.write_text(fault.planted_in(source))
        try:
            yield
        finally:
            path.write_text(source)

    def _run(self, arguments: Collection[str], seconds: float) -> Run:
        """Run Python in the copy, and stop everything it started."""
        command = [sys.executable, *arguments, f"--basetemp={self.temporary}"]
        environment = {**os.environ, "BOOKSHOP_TEST_DATABASE_URL": self.database_url, "COLUMNS": WIDTH}
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            # A file, because processes started by the tests would keep a pipe open.
            process = subprocess.Popen(
                command, cwd=self.tree, env=environment, stdout=output, stderr=output, start_new_session=True
            )
            try:
                code: int | None = process.wait(seconds)
            except subprocess.TimeoutExpired:
                code = None
                process.send_signal(signal.SIGINT)  # so that it deletes its files
                with suppress(subprocess.TimeoutExpired):
                    process.wait(TIDYING)
            finally:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            output.seek(0)
            return Run(code, output.read())


def judged(run: Run) -> tuple[str, str]:
    """Return whether the tests caught a fault, and which test did, or why the run is inconclusive."""
    if run.code is None:
        return CAUGHT, "a hang"
    if run.code == TESTS_FAILED and run.failed_test:
        return CAUGHT, run.failed_test
    if run.code == PASSED:
        return SURVIVED, ""
    last_line = (run.output.strip().splitlines() or [""])[-1]
    return BROKEN, f"pytest ended with {run.code}: {last_line}"
