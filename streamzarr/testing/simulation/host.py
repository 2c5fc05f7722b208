"""Worker processes of a real supervisor on a simulated machine."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, TextIO

from streamzarr.runtime import Runtime
from streamzarr.supervisor import Supervision, SupervisionOptions, WorkerSpec
from streamzarr.supervisor.board import CrashTable, Slot
from streamzarr.supervisor.protocol import EXIT_TERMINATED
from streamzarr.testing.simulation.process import SimulatedProcess
from streamzarr.testing.simulation.world import World

Target = Callable[[Supervision], object]
ORPHAN_DRAIN = 2.0
"""Seconds that a worker has to drain when its supervisor has died."""


class SimulatedChild:
    """A :class:`streamzarr.supervisor.host.Child` that is a simulated process."""

    def __init__(self, host: SimulatedHost, name: str, index: int) -> None:
        world = host.world
        self.slot = Slot(-1, world.runtime)
        self.started_at = world.runtime.now()
        self.error: str | None = None
        self.said_so = False
        self._host = host
        self._terminated = False
        self._supervision = Supervision(
            name,
            index,
            self.slot,
            host.crashes,
            self._hear,
            task_timeout=host.options.task_timeout,
            max_memory=None,
            runtime=world.runtime,
        )
        self.process: SimulatedProcess = world.start(name, self._main)
        self.process.on_terminate = self._terminate
        self.process.on_end(lambda process: host.tell(self.pid))

    def _main(self) -> int:
        try:
            self._host.target(self._supervision)
        except Exception as error:  # noqa: BLE001 - whatever it is, its supervisor is told
            self._host.failed(self.process, error)
            self.error = f"{type(error).__name__}: {error}"
            self.said_so = True
            return 1
        self.said_so = True
        return EXIT_TERMINATED if self._terminated else 0

    def _terminate(self) -> None:
        """Drain, and tell by the exit code that it was not the supervisor who asked: it is to be replaced."""
        self._terminated = True
        self.tell_stop(self._host.options.drain)

    def _hear(self, message: dict[str, Any]) -> None:
        self.error = message.get("error", self.error)
        self._host.tell(self.pid)

    @property
    def pid(self) -> int:
        """Its number."""
        return self.process.pid

    @property
    def last_lines(self) -> Iterable[str]:
        """Nothing: it has no output."""
        return ()

    def descriptors(self) -> set[int]:
        """Return its number, which stands for all that it says."""
        return {self.pid}

    def attend(self, readable: set[int]) -> bool:
        """Tell whether it is dead."""
        return self.process.over

    def tell_stop(self, drain: float) -> None:
        """Ask it to drain: on a thread of its own, as signals and commands are heard there."""
        world, supervision = self._host.world, self._supervision
        if not self.process.over:
            world.kernel.run_in(self.process, lambda: supervision.request_stop(drain), "lifeline")

    def kill(self) -> None:
        """End it between any two of its steps."""
        self.process.kill()

    def close(self) -> int | None:
        """Return its exit code."""
        return self.process.exit_code

    def abandon(self) -> None:
        """Do nothing: there is nothing to free."""


class SimulatedHost:
    """A :class:`streamzarr.supervisor.host.Host` whose processes run `target` on a simulated machine.

    When the process of the supervisor dies its children drain, as the lifeline of real ones has it.
    """

    def __init__(
        self,
        world: World,
        target: Target,
        options: SupervisionOptions,
        failed: Callable[[SimulatedProcess, Exception], None],
    ) -> None:
        self.world, self.target, self.options, self.failed = world, target, options, failed
        self.crashes = CrashTable(-1)
        self._bell = world.runtime.bell()
        self._news: set[int] = set()
        self._children: list[SimulatedChild] = []
        world.kernel.current.process.on_end(lambda _: self._orphan())

    def _orphan(self) -> None:
        for child in self._children:
            child.tell_stop(ORPHAN_DRAIN)
            kernel = self.world.kernel
            kernel.at(kernel.time + 2 * ORPHAN_DRAIN, child.kill)

    def open(self, at_exit: Callable[[], None]) -> AbstractContextManager[object]:
        """Hold nothing."""
        return contextlib.nullcontext()

    def launch(self, name: str, index: int) -> SimulatedChild:
        """Start a process."""
        child = SimulatedChild(self, name, index)
        self._children.append(child)
        return child

    def tell(self, number: int) -> None:
        """Have the supervisor attend to a process."""
        self._news.add(number)
        self._bell.ring()

    def wait(self, descriptors: set[int], timeout: float) -> set[int]:
        """Block until there is news, at most `timeout` seconds."""
        self._bell.wait(min(timeout, 60.0))
        news, self._news = self._news, set()
        return news & descriptors

    def wake(self) -> None:
        """End a wait."""
        self._bell.ring()

    def memory(self, pid: int) -> int | None:
        """Return nothing: a simulated process uses no memory."""
        return 0


def host_maker(
    world: World, target: Target, failed: Callable[[SimulatedProcess, Exception], None]
) -> Callable[..., SimulatedHost]:
    """Return what a ``Supervisor`` is given as its `host`; `failed` hears of what a target raises."""

    def make(
        spec: WorkerSpec,
        options: SupervisionOptions,
        *,
        env: Mapping[str, str] | None,
        stderr: TextIO | None,
        runtime: Runtime,
    ) -> SimulatedHost:
        return SimulatedHost(world, target, options, failed)

    return make
