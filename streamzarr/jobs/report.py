"""Where a job stands: what its ledger says of it as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from streamzarr.jobs.ledger import Ledger
from streamzarr.jobs.plan import Plan

JobState: TypeAlias = Literal["open", "running", "done", "incomplete", "cancelled", "failed"]


@dataclass(frozen=True, slots=True)
class JobReport:
    """Where a job stands."""

    job: str
    kind: str
    state: JobState
    """``open``: not settled, and not driven from here; ``incomplete``: the rest is in the dead letters."""
    tasks: int
    emitted: int
    """Tasks sent by this handle; 0 when it only watches."""
    written: int
    dead: int
    skipped: int
    retried: int
    """Attempts beyond the first."""
    bytes: int
    """Decoded bytes written."""
    seconds: float
    """From submission to the newest result, or to now while running."""
    in_flight: int
    """Tasks sent by this handle and not settled."""
    workers: int
    """Members of the workers' group."""
    created: int
    """When it was submitted, milliseconds since the epoch."""
    malformed: int = 0
    """Records of the results topic that could not be read as results."""

    @property
    def complete(self) -> bool:
        """Every chunk of the target is written."""
        return self.written == self.tasks


def state_of(plan: Plan, ledger: Ledger, *, cancelled: bool = False) -> JobState:
    """Return where a job stands by its results: ``done``, ``cancelled``, ``incomplete`` or ``open``.

    ``incomplete``: nothing more will come, the rest is in the dead letters. That is so as soon as a stage is
    settled with a chunk missing, because a later stage would read what is not there.
    """
    if ledger.written == ledger.tasks:
        return "done"
    if cancelled:
        return "cancelled"
    for stage in range(len(plan.stages)):
        span = plan.span(stage)
        if ledger.settled_in(span) < len(span):
            return "open"
        if ledger.written_in(span) < len(span):
            return "incomplete"
    return "open"
