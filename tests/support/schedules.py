"""Random schedules for `tests.support.window_world`: many messages, and mishaps between them."""

from hypothesis import strategies as st

from tests.support.window_world import PARTITIONS

PARTITION = st.integers(0, PARTITIONS - 1)
SEND = st.tuples(st.just("send"), PARTITION, st.integers(-3, 4))
STOP = st.tuples(st.just("stop"), st.just(0), st.just(0))
CRASH = st.tuples(st.just("crash"), st.just(0), st.integers(1, 12))


def rebalance(*changes):
    """One of `changes` of a partition: ``revoked``, ``lost``, ``assigned``."""
    return st.tuples(st.sampled_from(changes), PARTITION, st.just(0))


def schedules(*mishaps):
    return st.lists(st.one_of(SEND, SEND, SEND, *mishaps), min_size=40, max_size=100)
