"""One run of a scenario as a plan has it, in this process."""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from streamzarr.testing.simulation.errors import OvertimeError, SimulationError, place, told
from streamzarr.testing.simulation.kernel import Kernel
from streamzarr.testing.simulation.machine import simulated_machine
from streamzarr.testing.simulation.plan import Plan
from streamzarr.testing.simulation.scenario import Scenario
from streamzarr.testing.simulation.world import World

MOST_FAULTS = 8
MAX_SECONDS = 3600.0
STORY_LINES = 80


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run has ended."""

    scenario: str
    plan: Plan
    failure: str | None
    """What went wrong, in a sentence; None when every promise was kept."""
    digest: str
    """Hash of all that happened: the same plan gives the same."""
    steps: int
    seconds: float
    """Virtual time that it took."""
    story: str
    """Its last steps, a line each: time, process and thread, what was done, faults."""

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return self.failure is None

    def __str__(self) -> str:
        """Return all that a person needs to understand a failure."""
        head = f"{self.scenario}, {self.plan}\n{self.steps} steps, {self.seconds:.1f} s of virtual time"
        return f"{head}\n{self.story}\n{'every promise was kept' if self.ok else self.failure}"


def play(scenario: Scenario, plan: Plan, timeout: float | None = None) -> Outcome:
    """Run `scenario` once, as `plan` has it.

    The processes that it kills leave threads behind that never run again, until this process ends:
    :func:`streamzarr.testing.simulation.examine` plays in a child process. A `timeout`, in seconds of real
    time, is only for such a process: it takes the signal SIGALRM.
    """
    world = World(plan, MAX_SECONDS)
    failure = None
    with simulated_machine(world), world.running():
        try:
            with _limited(world.kernel, timeout):
                scenario.run(world)
                world.check_failure()
        except SimulationError as error:
            failure = f"{type(error).__name__}: {error}"
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what this seed has found
            failure = told(error)
    kernel = world.kernel
    return Outcome(
        scenario.name,
        plan,
        failure,
        kernel.trace.digest(),
        kernel.steps,
        round(kernel.time, 3),
        kernel.trace.text(STORY_LINES),
    )


@contextmanager
def _limited(kernel: Kernel, timeout: float | None) -> Iterator[None]:
    """Raise `OvertimeError` on the main thread when it is time, whatever the thread with the baton does."""
    if timeout is None:
        yield
        return

    def over(*_: object) -> None:
        error = OvertimeError(
            f"not over within {timeout:g} s of real time: {kernel.current} has the processor"
            f"{_stack_of(f'simulated {kernel.current}')}; {kernel.waits()}"
        )
        kernel.fail(error)
        raise error

    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, timeout)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _stack_of(name: str) -> str:
    frames = sys._current_frames()
    for thread in threading.enumerate():
        if thread.name == name and thread.ident in frames:
            return place(traceback.extract_stack(frames[thread.ident]))
    return ""


def plan_of(scenario: Scenario, seed: int) -> Plan:
    """Return what a seed stands for."""
    return Plan.of(seed, size=scenario.size, hazards=scenario.hazards, most_faults=MOST_FAULTS)
