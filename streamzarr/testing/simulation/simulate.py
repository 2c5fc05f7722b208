"""One run of a scenario from one seed."""

from __future__ import annotations

import gc
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from streamzarr.runtime import SystemRuntime
from streamzarr.testing.simulation.errors import SimulationError, UnsimulatedError
from streamzarr.testing.simulation.plan import Plan
from streamzarr.testing.simulation.scenario import Scenario
from streamzarr.testing.simulation.trace import Trace
from streamzarr.testing.simulation.world import World

MOST_FAULTS = 8
MAX_SECONDS = 3600.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run has ended."""

    scenario: str
    plan: Plan
    failure: str | None
    """What went wrong, in a sentence; None when every promise was kept."""
    digest: str
    """Hash of the trace: that of the same plan is the same, in whatever process."""
    steps: int
    seconds: float
    """Virtual time that it took."""
    trace: Trace

    @property
    def ok(self) -> bool:
        """Whether every promise was kept."""
        return self.failure is None


def play(scenario: Scenario, plan: Plan) -> Outcome:
    """Run `scenario` once, as `plan` has it; its processes leave threads behind that never run again."""
    world = World(plan, MAX_SECONDS)
    failure = None
    with _machine_out_of_reach(), world.running():
        try:
            scenario.run(world)
        except SimulationError as error:
            failure = f"{type(error).__name__}: {error}"
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what this seed has found
            where = traceback.extract_tb(error.__traceback__)[-1]
            failure = f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"
    kernel = world.kernel
    return Outcome(
        scenario.name, plan, failure, kernel.trace.digest(), kernel.steps, round(kernel.time, 3), kernel.trace
    )


def plan_of(scenario: Scenario, seed: int) -> Plan:
    """Return what a seed stands for."""
    return Plan.of(seed, size=scenario.size, hazards=scenario.hazards, most_faults=MOST_FAULTS)


@contextmanager
def _machine_out_of_reach() -> Iterator[None]:
    """Let the system's runtime raise: code that reaches for it could not be replayed.

    Nor is garbage collected meanwhile, which would run finalizers at any moment.
    """

    def refuse(self: object, *args: object, **options: object) -> None:
        raise UnsimulatedError("code under simulation used the system's runtime, expected the one it was given")

    names = [name for name in vars(SystemRuntime) if not name.startswith("_")]
    kept = {name: getattr(SystemRuntime, name) for name in names}
    collects = gc.isenabled()
    gc.disable()
    for name in names:
        setattr(SystemRuntime, name, refuse)
    try:
        yield
    finally:
        for name, method in kept.items():
            setattr(SystemRuntime, name, method)
        if collects:
            gc.enable()
