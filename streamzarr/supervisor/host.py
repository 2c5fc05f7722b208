"""What worker processes run on, as their supervisor sees it; another one than this machine can be simulated.

The supervisor decides (:mod:`monitor`, :mod:`worker`, :mod:`watch`), a host does: it starts processes, waits
for news of them, and is the memory that both sides share.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol, TextIO

from streamzarr.runtime import Runtime
from streamzarr.supervisor.board import Cause
from streamzarr.supervisor.options import SupervisionOptions
from streamzarr.supervisor.spec import WorkerSpec


class Register(Protocol):
    """What a process says of itself in shared memory (:class:`~streamzarr.supervisor.board.Slot`)."""

    @property
    def heartbeat(self) -> float | None:
        """Time of the last sign of life by the runtime's clock; None before the first."""

    @property
    def worked(self) -> bool:
        """Whether any token was ever finished."""

    def held(self) -> tuple[tuple[bytes, float], ...]:
        """Tokens in flight and when each began."""

    def in_flight(self) -> tuple[bytes, ...]:
        """Tokens in flight."""


class Crashes(Protocol):
    """Which tokens were in flight when workers died (:class:`~streamzarr.supervisor.board.CrashTable`)."""

    def add(self, token: bytes, cause: Cause, *, alone: bool) -> None:
        """Note that `token` was in flight at a death."""

    def __contains__(self, token: object) -> bool: ...


class Child(Protocol):
    """One process, from its start to its reaping. Owned by the monitor's thread; nothing blocks."""

    @property
    def pid(self) -> int:
        """Its number."""

    @property
    def started_at(self) -> float:
        """When it was started, by the runtime's clock."""

    @property
    def slot(self) -> Register:
        """What it does; still to be read when it is dead, until it is closed or abandoned."""

    @property
    def error(self) -> str | None:
        """What it says of the error that ends it."""

    @property
    def said_so(self) -> bool:
        """Whether it has said that it ends: without this word its end is a death."""

    @property
    def last_lines(self) -> Iterable[str]:
        """The last lines of its output."""

    def descriptors(self) -> set[int]:
        """Return what to watch (:meth:`Host.wait`) for something to :meth:`attend` to."""

    def attend(self, readable: set[int]) -> bool:
        """Take in what there is on `readable` descriptors; return whether the process is dead."""

    def tell_stop(self, drain: float) -> None:
        """Ask it to drain before it is ended by force in `drain` seconds."""

    def kill(self) -> None:
        """End it between any two of its instructions."""

    def close(self) -> int | None:
        """Reap the dead process; return its exit code (-N: signal N), or None when it is not known."""

    def abandon(self) -> None:
        """Free everything but the process itself."""


class Host(Protocol):
    """Starts processes of one specification and waits for news of them.

    Threads: all of it belongs to the monitor's thread, but for :meth:`wake`.
    """

    @property
    def crashes(self) -> Crashes:
        """What its processes are told of earlier deaths."""

    def open(self, at_exit: Callable[[], None]) -> AbstractContextManager[object]:
        """Hold what processes need while they run; `at_exit` is called when this program ends meanwhile."""

    def launch(self, name: str, index: int) -> Child:
        """Start a process.

        Raises
        ------
        OSError
            The system cannot start another one, or is out of descriptors or memory.
        """

    def wait(self, descriptors: set[int], timeout: float) -> set[int]:
        """Block until there is news on one of them or somebody wakes us, at most `timeout` seconds.

        Returns those with news.
        """

    def wake(self) -> None:
        """End a :meth:`wait`, this or the next one. Any thread, while the host is open."""

    def memory(self, pid: int) -> int | None:
        """Return the bytes of memory that a process uses; None if it is gone."""


class HostMaker(Protocol):
    """Makes the host of one supervisor."""

    def __call__(
        self,
        spec: WorkerSpec,
        options: SupervisionOptions,
        *,
        env: Mapping[str, str] | None,
        stderr: TextIO | None,
        runtime: Runtime,
    ) -> Host:
        """Return a host for processes that run `spec`; takes nothing of the machine before it is opened."""
