"""What a supervisor tells about its workers: while they run, and after they have ended."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Literal, TypeAlias

from streamzarr.supervisor.protocol import EXIT_PAUSED

State: TypeAlias = Literal["starting", "ready", "draining", "backoff", "ended"]
"""A worker is *ready* after its first heartbeat, in *backoff* while it waits to be started again."""

Outcome: TypeAlias = Literal["finished", "drained", "killed", "failed"]
"""How a worker ended: *finished* by itself with exit code 0; *drained* when it was asked to stop; *killed* at
the drain deadline; *failed* when it died and was not started again."""


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker at one moment."""

    name: str
    index: int
    pid: int | None
    """None while no process runs."""
    state: State
    heartbeat_age: float | None
    """Seconds since the last sign of life; None before the first."""
    restarts: int
    in_flight: tuple[bytes, ...]
    """Tokens that the worker holds."""


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """How one worker ended."""

    name: str
    index: int
    outcome: Outcome
    exit_code: int | None
    """Of the last process; -N: signal N ended it. None: not started, not gone, or not ours to reap."""
    restarts: int
    left: tuple[bytes, ...]
    """Tokens still in flight when the last process ended."""


@dataclass(frozen=True, slots=True)
class Report:
    """How all workers ended, and what they left undone.

    Examples
    --------
    >>> one = WorkerReport("worker-0", 0, "drained", 0, restarts=1, left=())
    >>> Report((one,)).clean
    True
    """

    workers: tuple[WorkerReport, ...]

    @property
    def clean(self) -> bool:
        """Whether every worker finished or drained in time and left nothing in flight."""
        return all(one.outcome in ("finished", "drained") and not one.left for one in self.workers)

    @property
    def paused(self) -> bool:
        """Whether partitions of some worker paused when it ended: its log says which, and why."""
        return any(one.exit_code == EXIT_PAUSED for one in self.workers)

    @property
    def left(self) -> tuple[bytes, ...]:
        """Tokens that were in flight when their worker ended, over all workers."""
        return tuple(token for one in self.workers for token in one.left)


def describe_exit(exit_code: int | None) -> str:
    """Put an exit code into words.

    Examples
    --------
    >>> describe_exit(-9), describe_exit(1), describe_exit(None)
    ('signal 9 (SIGKILL)', 'exit code 1', 'exit code unknown')
    """
    if exit_code is None:
        return "exit code unknown"
    if exit_code >= 0:
        return f"exit code {exit_code}"
    try:
        return f"signal {-exit_code} ({signal.Signals(-exit_code).name})"
    except ValueError:
        return f"signal {-exit_code}"
