"""Whether the worker is alive, and whether the database fits this version of the shop."""

from collections.abc import Collection, Iterator, Sequence

from sqlalchemy.orm import Session

from bookshop.operations.models import LOOPS
from bookshop.operations.repository import Beat, OperationsRepository

ALIVE = 60.0  # seconds after which a loop counts as missing
KEPT = 3600.0  # seconds for which a living worker keeps the heartbeats of others
START_WORKER = "Start or restart `flask worker`; its log says why it stopped."


class OperationsService:
    """Records and judges the heartbeats of workers, and judges the schema."""

    def __init__(self, session: Session) -> None:
        self.operations = OperationsRepository(session)

    def beat(self, worker: str, loop: str) -> None:
        """Record that a loop is alive. Deletes what others recorded long ago, so that the table does not grow."""
        self.operations.record_beat(worker, loop)
        self.operations.delete_beats(KEPT)

    def forget(self, worker: str) -> None:
        """Record that a worker has stopped: until another one beats, none is alive."""
        self.operations.forget_worker(worker)

    def missing_loops(self) -> str:
        """Return a sentence for each loop that no worker runs or that hangs, with what to do; '' if all is well."""
        problems = list(_problems(self.operations.list_beats()))
        return " ".join([*problems, START_WORKER]) if problems else ""

    def schema_problem(self, head: str, known: Collection[str]) -> str:
        """Say why the schema does not fit, and what to do; '' if it does.

        `head` is the revision that this version needs, `known` are all revisions up to it. An unknown revision is that
        of a newer version, which is being deployed.
        """
        found = self.operations.schema_revisions()
        if head in found or found - set(known):
            return ""
        if found:
            return f"The schema of the database is {max(found)}, but {head} is needed: run `flask db upgrade`."
        return "The database has no tables: run `flask db upgrade`."


def _problems(beats: Sequence[Beat]) -> Iterator[str]:
    for loop, does in LOOPS.items():
        own = [beat for beat in beats if beat.loop == loop]
        latest = min((beat.age for beat in own), default=None)
        if latest is None:
            yield f"The loop of the worker that {does} has never been seen."
        elif latest > ALIVE:
            yield f"The loop of the worker that {does} was last seen {latest:.0f} seconds ago."
        elif hanging := [beat.age for beat in own if _hangs(beat, beats)]:
            yield f"The loop that {does} hangs in one worker: it was last seen {max(hanging):.0f} seconds ago."


def _hangs(beat: Beat, beats: Sequence[Beat]) -> bool:
    """Whether the same worker's other loop goes on without this one; loops of a worker that stops, stop together."""
    others = (other.age for other in beats if other.worker == beat.worker)
    return any(age <= ALIVE < beat.age - age for age in others)
