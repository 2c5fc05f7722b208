"""The runtime of a simulated machine."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from streamzarr.runtime import SYSTEM, Bell, Condition, Event, Local, Lock, Runtime, Thread
from streamzarr.runtime.base import T
from streamzarr.testing.simulation.kernel import Kernel
from streamzarr.testing.simulation.waiting import (
    SimulatedBell,
    SimulatedCondition,
    SimulatedEvent,
    SimulatedLock,
    ThreadHandle,
)

EPOCH_NS = 1_767_225_600_000_000_000
"""Time of day at which a simulation begins: 2026-01-01 00:00 UTC."""

BOOTED = 1000.0
"""The monotonic clock as a simulation begins."""


class SimulatedRuntime(Runtime):
    """Clocks, chance, ids and threads of one simulated machine: all from a seed, in virtual time.

    One thread runs at a time (see :class:`Kernel`); everything that may block is a point at which another can
    take over.

    Examples
    --------
    >>> kernel = Kernel(seed=1)
    >>> runtime = SimulatedRuntime(kernel, seed=1)
    >>> with kernel.running():
    ...     bell = runtime.bell()
    ...     thread = runtime.thread(bell.ring, "ringer")
    ...     thread.start()
    ...     rang = bell.wait(3600)
    >>> rang, runtime.now() < BOOTED + 1
    (True, True)
    """

    def __init__(self, kernel: Kernel, seed: int | str) -> None:
        self.kernel = kernel
        self.wall_offset_ns = 0
        """How far the time of day has been set forward (or back)."""
        self._random = Random(f"code {seed}")

    def now(self) -> float:
        """Return the seconds of virtual time; never 0, which some take for "not yet"."""
        return BOOTED + self.kernel.time

    def wall_ns(self) -> int:
        """Return the simulated time of day."""
        return EPOCH_NS + int(self.kernel.time * 1e9) + self.wall_offset_ns

    def random(self) -> float:
        """Return the seed's next random number."""
        return self._random.random()

    def random_bytes(self, count: int) -> bytes:
        """Return the seed's next random bytes."""
        return self._random.randbytes(count)

    def bell(self) -> Bell:
        """Return a new bell."""
        return SimulatedBell(self.kernel)

    def lock(self) -> Lock:
        """Return a new lock."""
        return SimulatedLock(self.kernel)

    def condition(self) -> Condition:
        """Return a new condition variable."""
        return SimulatedCondition(self.kernel)

    def event(self) -> Event:
        """Return a new event, its flag down."""
        return SimulatedEvent(self.kernel)

    def thread(self, target: Callable[[], None], name: str) -> Thread:
        """Return a thread that will run `target` as one of the process that starts it."""
        return ThreadHandle(self.kernel, target, name)

    def local(self, initial: T) -> Local[T]:
        """Return a variable of which each thread has its own: simulated threads are real ones."""
        return SYSTEM.local(initial)
