"""The simulator finds what it is made for: each planted bug within 500 seeds."""

from __future__ import annotations

import pytest

from streamzarr.testing.simulation.catalog import Named
from streamzarr.testing.simulation.examine import examine
from tests.simulation.planted import BUGS

MOST_SEEDS = 500


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str) -> None:
    scenario_name, planted = BUGS[bug]
    scenario = Named("scenario", scenario_name).find()
    with planted():
        for seed in range(MOST_SEEDS):
            finding = examine(scenario, seed, shorten=False)
            if not finding.ok:
                assert finding.replayed
                assert "planted.py" not in str(finding.outcome.failure), "the bug itself has a bug"
                return
    pytest.fail(f"{bug}: not found by {MOST_SEEDS} seeds")
