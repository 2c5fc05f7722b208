"""One run of a scenario as a plan has it, in this process."""

from __future__ import annotations

from dataclasses import dataclass

from streamzarr.testing.simulation.errors import SimulationError, told
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


def play(scenario: Scenario, plan: Plan) -> Outcome:
    """Run `scenario` once, as `plan` has it.

    The processes that it kills leave threads behind that never run again, until this process ends:
    :func:`streamzarr.testing.simulation.examine` plays in a child process.
    """
    world = World(plan, MAX_SECONDS)
    failure = None
    with simulated_machine(world), world.running():
        try:
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


def plan_of(scenario: Scenario, seed: int) -> Plan:
    """Return what a seed stands for."""
    return Plan.of(seed, size=scenario.size, hazards=scenario.hazards, most_faults=MOST_FAULTS)
