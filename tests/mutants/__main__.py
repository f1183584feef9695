"""Plant the listed faults, one at a time, and report which tests caught them; fail if any fault survived.

python -m tests.mutants                         all of them
python -m tests.mutants mail "FOR SHARE"        those of an area, or whose name starts with this
python -m tests.mutants --sample 10             ten, chosen by the commit hash
"""

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from queue import SimpleQueue

from sqlalchemy import create_engine, make_url, text

from tests.mutants import faults as lists
from tests.mutants.faults import ROOT, Fault
from tests.mutants.trial import BROKEN, CAUGHT, PASSED, SURVIVED, Copy, Outcome
from tests.support.postgresql import server

CLEAN_SECONDS = 1800
TITLE = f"{'fault':60}  {'area':9}  {'database':10}  {'seconds':>7}  caught by"


def main() -> int:
    """Run the tool; returns the exit code."""
    options = _options()
    everything = lists.read_all()
    if wrong := lists.problems(everything):
        print("The list of faults is invalid:", *wrong, sep="\n  ")
        return 2
    chosen = sample([fault for fault in everything if _is_selected(fault, options.only)], options.sample, options.seed)
    if options.list or not chosen:
        print(*(f"{fault.area:9}  {fault.name}: {fault.why}" for fault in chosen), sep="\n")
        return 0 if chosen else 2
    with copies(options.jobs) as trees:
        return 2 if not _passes_without_faults(chosen, trees) else _report(_try_all(chosen, trees))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("only", nargs="*", help="areas, or the start of names")
    parser.add_argument("--jobs", type=int, default=2, help="number of faults tried at the same time (2)")
    parser.add_argument("--sample", type=int, metavar="N", help="try only N faults, chosen by the seed")
    parser.add_argument("--seed", help="any text; default: the commit hash")
    parser.add_argument("--list", action="store_true", help="list the faults without running anything")
    return parser.parse_args()


def _is_selected(fault: Fault, only: Sequence[str]) -> bool:
    return not only or any(fault.area == name or fault.name.startswith(name) for name in only)


def sample(faults: Sequence[Fault], number: int | None, seed: str | None) -> Sequence[Fault]:
    """Choose this many faults, or all; the choice depends on the seed."""
    if number is None:
        return faults
    seed = seed or _commit()
    return sorted(faults, key=lambda fault: sha256(f"{seed} {fault.name}".encode()).digest())[:number]


def _commit() -> str:
    """Return the commit's hash, or a fixed text without git."""
    try:
        result = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "no commit"
    return result.stdout.strip()


@contextmanager
def copies(number: int) -> Iterator[list[Copy]]:
    """Create this many copies of the tree, each with an empty database on one temporary PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="bookshop-mutants-") as folder, server() as url:
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for job in range(number):
                connection.execute(text(f"CREATE DATABASE mutants_{job}"))
        engine.dispose()
        yield [Copy(Path(folder, str(job)), _beside(url, f"mutants_{job}")) for job in range(number)]


def _beside(url: str, database: str) -> str:
    return make_url(url).set(database=database).render_as_string(hide_password=False)


def _passes_without_faults(faults: Sequence[Fault], trees: Sequence[Copy]) -> bool:
    """Run the tests of all faults once without any fault: a test that fails anyway proves nothing."""
    tests = sorted({test for fault in faults for test in fault.tests})
    print(f"Running {len(tests)} tests without any fault ...", flush=True)
    shares = [share for number in range(len(trees)) if (share := tests[number :: len(trees)])]
    with ThreadPoolExecutor(len(trees)) as pool:
        runs = list(pool.map(lambda tree, share: tree.check(share, CLEAN_SECONDS), trees, shares))
    for run in runs:
        if run.code != PASSED:
            print(run.output, "These tests fail even without a fault, so they prove nothing.", sep="\n")
    return all(run.code == PASSED for run in runs)


def _try_all(faults: Sequence[Fault], trees: Sequence[Copy]) -> list[Outcome]:
    """Try each fault in the next free copy."""
    free: SimpleQueue[Copy] = SimpleQueue()
    for tree in trees:
        free.put(tree)

    def try_out(fault: Fault) -> Outcome:
        tree = free.get()
        try:
            outcome = tree.try_out(fault)
        finally:
            free.put(tree)
        print(f"{outcome.state:8}  {outcome.seconds:5.1f} s  {fault.name}\n{'':19}{outcome.by}", flush=True)
        return outcome

    with ThreadPoolExecutor(len(trees)) as pool:
        return list(pool.map(try_out, faults))


def _report(outcomes: Sequence[Outcome]) -> int:
    """Print the table and the totals; returns the exit code."""
    print("", TITLE, sep="\n")
    for found in outcomes:
        fault, by = found.fault, found.test if found.state == CAUGHT else found.state
        print(f"{fault.name:60}  {fault.area:9}  {fault.database:10}  {found.seconds:7.1f}  {by}")
    for found in outcomes:
        if found.state != CAUGHT:
            print(f"\n{found.state}: {found.fault.name} ({found.fault.file})\n  {found.fault.why}\n  {found.by}")
    counts = Counter(found.state for found in outcomes)
    print(f"\n{counts[CAUGHT]} caught, {counts[SURVIVED]} survived, {counts[BROKEN]} could not be run")
    return 0 if counts[CAUGHT] == len(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
