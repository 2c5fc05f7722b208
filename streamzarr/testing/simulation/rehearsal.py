"""A look at a user's chain before it is played: one that cannot be built is a mistake, no finding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reactivex import Observable

from streamzarr.errors import ConfigError
from streamzarr.testing.simulation.bench import Bench
from streamzarr.testing.simulation.chain import ChainScenario
from streamzarr.testing.simulation.errors import MistakeError, told
from streamzarr.testing.simulation.examine import RUN_SECONDS, isolated
from streamzarr.testing.simulation.faults import Hazard
from streamzarr.testing.simulation.plan import Plan
from streamzarr.testing.simulation.scenario import Scenario
from streamzarr.testing.simulation.world import World


@dataclass(frozen=True)
class Rehearsal:
    """A play in which a chain is built, as each worker does, and nothing else happens."""

    scenario: ChainScenario
    size: int = 0
    hazards: Sequence[Hazard] = ()

    @property
    def name(self) -> str:
        """What it is called."""
        return self.scenario.name

    def run(self, world: World) -> None:
        """Play it."""
        try:
            found: object = self.scenario.chain(Bench(world, "worker-1", self.scenario.fate))
        except BaseException as error:  # a user's function may raise anything
            raise MistakeError(told(error)) from error
        if not isinstance(found, Observable):
            raise MistakeError(
                f"it returned {'None' if found is None else f'a {type(found).__name__}'}, "
                "expected a chain: bench.source().pipe(..., ops.settle(bench.sink))"
            )


def rehearse(scenario: Scenario, timeout: float = RUN_SECONDS) -> None:
    """Raise `ConfigError` where a chain cannot be built."""
    if not isinstance(scenario, ChainScenario):
        return
    outcome = isolated(Rehearsal(scenario), Plan(seed=0, size=0), timeout)
    if outcome.failure is not None:
        raise ConfigError(f"{scenario.name}: {outcome.failure.removeprefix(f'{MistakeError.__name__}: ')}")
