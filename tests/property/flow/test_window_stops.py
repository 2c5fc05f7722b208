"""Workers with windows in a store that stop in order, as often as they like: a sink gets each result once."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamzarr.flow import windows
from tests.support.schedules import STOP, rebalance, schedules
from tests.support.window_world import World

KINDS = [
    {"window": windows.Fixed("4ns"), "trigger": windows.Every(2), "lateness": "6ns"},
    {"window": windows.Sliding("6ns", "3ns")},
    {"window": windows.Session("3ns"), "merge": lambda one, other: one + other},
]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(st.sampled_from(KINDS), schedules(STOP, rebalance("revoked", "assigned")), st.booleans())
def test_no_result_comes_twice_to_a_sink_that_knows_nothing(kind, steps, hard):
    world = World(kind, list(steps), hard=hard)
    while not world.work():
        pass
    names = [(result.key, result.window, result.pane) for result in world.delivered]
    assert len(names) == len(set(names))
    finals = dict(world.results())
    expected = world.expected()
    assert {name: finals.get(name) for name in expected} == expected
