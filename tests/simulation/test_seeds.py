"""Seed after seed of every scenario: no promise is broken, and a seed is the same run wherever it is played.

``STREAMZARR_SIMULATION_SEEDS`` sets how many (``make soak`` runs 20,000 by the command).
"""

from __future__ import annotations

import os

import pytest

from streamzarr.testing.simulation.catalog import BUILT_IN, Named
from streamzarr.testing.simulation.examine import isolated
from streamzarr.testing.simulation.faults import Fault
from streamzarr.testing.simulation.jobs import JOBS
from streamzarr.testing.simulation.many import examine_many
from streamzarr.testing.simulation.plan import Plan

SEEDS = int(os.environ.get("STREAMZARR_SIMULATION_SEEDS", "2000"))
SCENARIOS = [Named("scenario", name) for name in BUILT_IN]


@pytest.mark.timeout(60 + 2 * SEEDS)
def test_no_seed_breaks_a_promise() -> None:
    count = 0
    for finding in examine_many(SCENARIOS, range(SEEDS), os.cpu_count() or 1):
        count += 1
        assert finding.ok, f"{finding.seed}: {finding.outcome.failure}\n\n{finding.shortest}"
    assert count == SEEDS


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_seed_gives_the_same_run_in_every_process(name: str) -> None:
    def runs(processes: int) -> dict[int, tuple[str, int]]:
        found = examine_many([Named("scenario", name)], range(40, 52), processes)
        return {finding.seed: (finding.outcome.digest, finding.outcome.steps) for finding in found}

    once = runs(1)
    assert once == runs(3)
    assert len({digest for digest, _ in once.values()}) == 12


def test_workers_that_somebody_terminates_are_replaced() -> None:
    faults = (Fault("worker-0", 9, "term"), Fault("worker-1", 14, "term"))
    outcome = isolated(JOBS, Plan(seed=5726, size=1, faults=faults, restless=0.0))
    assert outcome.ok, outcome
    assert outcome.story.count("(2)                  starts") == 2
