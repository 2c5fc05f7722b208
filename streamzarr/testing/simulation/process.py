"""A simulated process: threads that live and die together."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamzarr.testing.simulation.kernel import SimulatedThread

KILLED, TERMINATED = -9, -15
"""Exit codes of processes that signals have ended."""


class SimulatedProcess:
    """Threads that are stopped, continued and killed together. Made by :meth:`Kernel.spawn`.

    A killed process never runs again, not even a ``finally`` of it: what it has left in topics and stores is
    all that remains. It is kept in memory, so that no generator or thread of it is cleaned up.
    """

    def __init__(self, name: str, pid: int) -> None:
        self.name, self.pid = name, pid
        self.site = name
        """Name under which faults are planned for it."""
        self.threads: list[SimulatedThread] = []
        self.steps = 0
        """Steps that its threads have taken."""
        self.exit_code: int | None = None
        """None while it lives."""
        self.error: BaseException | None = None
        """What its main thread did not catch."""
        self.thread_errors: list[BaseException] = []
        """What other threads of it did not catch."""
        self.on_terminate: Callable[[], None] | None = None
        """Handler of ``SIGTERM``; without one it ends the process."""
        self._stopped = False
        self._watchers: list[Callable[[SimulatedProcess], None]] = []

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.exit_code is not None

    @property
    def runs(self) -> bool:
        """Whether its threads may have the baton: it has neither ended nor been stopped."""
        return self.exit_code is None and not self._stopped

    def kill(self) -> None:
        """End it at once, as ``SIGKILL`` does."""
        self.end(KILLED)

    def end(self, exit_code: int) -> None:
        """Note that it has ended; its threads do not run any more."""
        if self.exit_code is None:
            self.exit_code = exit_code
            for watcher in self._watchers:
                watcher(self)

    def terminate(self) -> None:
        """Ask it to end, as ``SIGTERM`` does."""
        if self.on_terminate is None:
            self.end(TERMINATED)
        elif not self.over:
            self.on_terminate()

    def stop(self) -> None:
        """Halt it, as ``SIGSTOP`` does; time goes on."""
        self._stopped = True

    def go_on(self) -> None:
        """Let it run again, as ``SIGCONT`` does."""
        self._stopped = False

    def on_end(self, watcher: Callable[[SimulatedProcess], None]) -> None:
        """Have `watcher` called when the process ends; it may not block."""
        self._watchers.append(watcher)
        if self.over:
            watcher(self)
