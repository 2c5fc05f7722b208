"""Everything that a scenario plays with: machine, broker, disks, processes, faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from streamzarr.queue.base import Broker
from streamzarr.testing.simulation.broker import SimulatedBroker
from streamzarr.testing.simulation.cluster import Cluster
from streamzarr.testing.simulation.errors import BrokenPromiseError
from streamzarr.testing.simulation.faults import WORLD, Fault, Faults
from streamzarr.testing.simulation.kernel import Kernel, SimulatedThread
from streamzarr.testing.simulation.plan import Plan
from streamzarr.testing.simulation.process import SimulatedProcess
from streamzarr.testing.simulation.runtime import SimulatedRuntime
from streamzarr.testing.simulation.store import Disks


class World:
    """One simulated machine with a broker and disks; the scenario runs on its main thread.

    The main thread belongs to no process: no fault befalls it, and what it asks the cluster and the disks for
    directly takes no time. Everything else is done by processes, which :meth:`start` begins.
    """

    def __init__(self, plan: Plan, max_seconds: float) -> None:
        self.plan = plan
        self.kernel = Kernel(plan.seed, restless=plan.restless, max_seconds=max_seconds)
        self.runtime = SimulatedRuntime(self.kernel, plan.seed)
        self.faults = Faults(plan.faults)
        self.cluster = Cluster(self.runtime, self.faults, plan.seed)
        self.disks = Disks(self.runtime, self.faults, plan.seed)
        self._checks: list[Callable[[], None]] = []
        self._lives: dict[str, int] = {}
        self.kernel.on_step = self._on_step

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the calling thread be the world's main thread."""
        with self.kernel.running():
            yield

    # -- for the processes of a scenario -----------------------------------------------------------------

    def broker(self) -> Broker:
        """Return a connection to the cluster, for one process."""
        return SimulatedBroker(self.cluster)

    def start(self, name: str, main: Callable[[], int]) -> SimulatedProcess:
        """Begin a process; faults are planned for `name`, however often it is started anew."""
        self._lives[name] = life = self._lives.get(name, 0) + 1
        process = self.kernel.spawn(main, name if life == 1 else f"{name} ({life})")
        process.site = name
        return process

    def alive(self) -> list[SimulatedProcess]:
        """Return the processes that have not ended."""
        return [each for each in self.kernel.processes[1:] if not each.over]

    # -- for the main thread -----------------------------------------------------------------------------

    def sleep(self, seconds: float) -> None:
        """Let virtual time pass."""
        self.kernel.sleep(seconds, "the scenario's time")

    def wait_until(
        self, condition: Callable[[], bool], timeout: float, what: str, why_not: Callable[[], str] = str
    ) -> None:
        """Wait for a condition; that it does not come true within `timeout` seconds is a broken promise.

        `why_not` says then what stands against it.
        """
        deadline = self.kernel.time + timeout
        while not condition():
            if self.kernel.time > deadline:
                raise BrokenPromiseError(
                    f"not within {timeout:.0f} s: {what}; {why_not()}; {self.kernel.waits()}"
                )
            self.sleep(0.25)

    def be_steady(self) -> None:
        """End all faults, also those under way: what was promised shall now come true."""
        self.say("no more faults from here")
        self.faults.end()
        self.cluster.restart(0.0)
        self.disks.full_until = 0.0
        for process in self.kernel.processes:
            process.go_on()

    def say(self, what: str) -> None:
        """Enter something into the trace."""
        self.kernel.trace.add(self.kernel.time, "world", what)

    # -- promises ----------------------------------------------------------------------------------------

    def watch(self, check: Callable[[], None]) -> None:
        """Have `check` called at every step; it raises ``BrokenPromiseError`` and may not block."""
        self._checks.append(check)

    def promise(self, kept: bool, text: str) -> None:
        """End the simulation with ``BrokenPromiseError`` unless `kept`; any thread may call it."""
        if not kept:
            self.kernel.fail(BrokenPromiseError(text))

    def check_failure(self) -> None:
        """Raise what has failed since the main thread last waited."""
        self.kernel.check_failure()

    # -- faults ------------------------------------------------------------------------------------------

    def _on_step(self, thread: SimulatedThread) -> None:
        for check in self._checks:
            try:
                check()
            except BrokenPromiseError as error:
                self.kernel.fail(error)
        process = thread.process
        process.steps += 1
        for fault in self.faults.at(process.site):
            self._befall(process, fault)
        for fault in self.faults.at(WORLD):
            self._happen(fault)

    def _befall(self, process: SimulatedProcess, fault: Fault) -> None:
        self.kernel.trace.add(self.kernel.time, process.name, f"FAULT {fault}")
        if fault.kind == "kill":
            process.kill()
        elif fault.kind == "term":
            self.kernel.at(self.kernel.time, process.terminate)
        else:
            process.stop()
            self.kernel.at(self.kernel.time + fault.seconds, process.go_on)

    def _happen(self, fault: Fault) -> None:
        self.say(f"FAULT {fault}")
        match fault.kind:
            case "down":
                self.cluster.restart(fault.seconds)
            case "jump":
                self.runtime.wall_offset_ns += int(fault.seconds * 1e9)
            case "evict":
                self.cluster.evict()
