"""Workers with windows in a store that stop in order, as often as they like: a sink gets each result once."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamzarr.flow import windows
from tests.support.window_world import PARTITIONS, World

KINDS = [
    {"window": windows.Fixed("4ns"), "trigger": windows.Every(2), "lateness": "6ns"},
    {"window": windows.Sliding("6ns", "3ns")},
    {"window": windows.Session("3ns"), "merge": lambda one, other: one + other},
]
PARTITION = st.integers(0, PARTITIONS - 1)
SEND = st.tuples(st.just("send"), PARTITION, st.integers(-3, 4))
STEPS = st.lists(
    st.one_of(
        SEND,
        SEND,
        SEND,
        st.tuples(st.just("stop"), st.just(0), st.just(0)),
        st.tuples(st.sampled_from(["revoked", "assigned"]), PARTITION, st.just(0)),
    ),
    min_size=40,
    max_size=100,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(st.sampled_from(KINDS), STEPS, st.booleans())
def test_no_result_comes_twice_to_a_sink_that_knows_nothing(kind, steps, hard):
    world = World(kind, list(steps), hard=hard)
    while not world.work():
        pass
    names = [(result.key, result.window, result.pane) for result in world.delivered]
    assert len(names) == len(set(names))
    finals = dict(world.results())
    expected = world.expected()
    assert {name: finals.get(name) for name in expected} == expected
