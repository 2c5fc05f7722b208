"""Where a job stands: what its ledger says of it as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from streamzarr.jobs.ledger import Ledger

JobState: TypeAlias = Literal["open", "running", "done", "incomplete", "cancelled", "failed"]


@dataclass(frozen=True, slots=True)
class JobReport:
    """Where a job stands. What is counted is chunks, of which a task may have many."""

    job: str
    kind: str
    state: JobState
    """``open``: not decided, and not driven from here; ``incomplete``: the rest is in the dead letters;
    ``failed``: emission failed, or all is written over a source that has changed meanwhile."""
    tasks: int
    """Chunks of all stages."""
    emitted: int
    """Chunks of the tasks sent by this handle; 0 when it only watches."""
    written: int
    dead: int
    skipped: int
    retried: int
    """Attempts beyond the first, at all chunks."""
    bytes: int
    """Decoded bytes written."""
    seconds: float
    """From submission to the newest result, or to now while running."""
    in_flight: int
    """Chunks whose tasks were sent, by this handle or before it, and that are not written or dead; 0 when it
    only watches."""
    workers: int
    """Members of the workers' group."""
    created: int
    """When it was submitted, milliseconds since the epoch."""
    malformed: int = 0
    """Records of the results topic that could not be read as results."""
    unknown: int = 0
    """Chunks of which nothing is known, where results were removed from the topic before they were read; some
    may be written. Resuming sends them again, which does no harm."""

    @property
    def complete(self) -> bool:
        """Every chunk of the target is written."""
        return self.written == self.tasks


def state_of(ledger: Ledger, *, cancelled: bool = False) -> JobState:
    """Return where a job stands by its results: ``done``, ``cancelled``, ``incomplete`` or ``open``.

    ``incomplete``: nothing more will come, the rest is in the dead letters. That is so as soon as a stage is
    decided with a chunk missing, because a later stage would read what is not there.
    """
    if all(stage.complete for stage in ledger.stages):
        return "done"
    if cancelled:
        return "cancelled"
    first = next(stage for stage in ledger.stages if not stage.complete)
    return "incomplete" if first.decided else "open"
