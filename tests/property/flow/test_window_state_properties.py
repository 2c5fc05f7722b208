"""Windows in a store under random schedules of messages, rebalances and crashes: each message once."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamzarr.flow import windows
from tests.support.schedules import CRASH, rebalance, schedules
from tests.support.window_world import World

KINDS = [
    {"window": windows.Fixed("4ns"), "trigger": windows.Every(2)},
    {"window": windows.Sliding("6ns", "3ns"), "trigger": windows.After("1s")},
    {"window": windows.Session("3ns"), "merge": lambda one, other: one + other},
]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(st.sampled_from(KINDS), schedules(rebalance("revoked", "lost", "assigned"), CRASH), st.booleans())
def test_each_window_has_one_value_and_it_holds_each_message_once(kind, steps, hard):
    world = World(kind, list(steps), hard=hard)
    while not world.work():
        pass
    by_name = {}
    for result in world.delivered:
        name = (result.key, result.window, result.pane)
        assert by_name.setdefault(name, result) == result, "one name has two values"
    finals = {}
    for name, value in world.results():
        assert finals.setdefault(name, value) == value
    expected = world.expected()
    assert {name: finals.get(name) for name in expected} == expected
