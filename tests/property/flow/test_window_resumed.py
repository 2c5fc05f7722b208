"""Windows without a store, under random schedules: what may lack messages after a restart is marked."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamzarr.flow import windows
from tests.support.schedules import CRASH, STOP, rebalance, schedules
from tests.support.window_world import World

KINDS = [
    {"window": windows.Fixed("4ns")},
    {"window": windows.Sliding("6ns", "3ns")},
    {"window": windows.Session("3ns"), "merge": lambda one, other: one + other},
]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(
    st.sampled_from(KINDS), schedules(STOP, rebalance("revoked", "lost", "assigned"), CRASH), st.booleans()
)
def test_a_result_that_is_not_marked_is_whole_and_of_each_window_one_is(kind, steps, hard):
    world = World(kind, list(steps), hard=hard, kept=False)
    while not world.work():
        pass
    expected = world.expected()
    whole = set()
    for result in world.delivered:
        name, ids = (result.key, result.window.start), sorted(result.value)
        if expected.get(name) == ids:
            whole.add(name)
        else:
            assert result.resumed
            assert any(set(ids) < set(of_window) for of_window in expected.values())
    assert whole == set(expected)
