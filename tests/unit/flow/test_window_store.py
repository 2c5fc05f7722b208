"""The store of windows: who may store a partition, and what becomes of lost responses."""

import pytest

from streamzarr.errors import (
    ConfigError,
    FencedError,
    LimitExceededError,
    PreconditionFailedError,
    StoreError,
    UnsupportedError,
)
from streamzarr.flow import WindowState
from streamzarr.flow.windows.snapshot import PaneState, Snapshot
from streamzarr.queue.base import TopicPartition
from streamzarr.stores import Capabilities, MemoryStore, open_store, register_store
from streamzarr.testing.faults import Fault, FaultyStore

TICKS = TopicPartition("ticks", 0)


class Fixed:
    """A keeper of one snapshot."""

    def __init__(self, **fields):
        self.fields = fields
        self.told = []

    def snapshot(self, partition):
        return Snapshot(**self.fields)

    def stored(self, partition, snapshot):
        self.told.append(snapshot.position)


def owner(url, **fields):
    state = WindowState(url)
    state.attach(Fixed(**fields))
    return state


def test_who_starts_a_partition_goes_on_where_the_last_one_stopped(tmp_path):
    first = owner(tmp_path, position=7)
    assert first.start([TICKS]) == {}
    first.commit({TICKS: 7})
    first.ended([TICKS])
    second = owner(tmp_path)
    assert second.start([TICKS]) == {TICKS: 7}
    assert second.stored(TICKS).position == 7
    assert [*open_store(tmp_path).list()] == ["ticks/0"]


def test_the_owner_before_is_fenced_and_changes_nothing(tmp_path):
    first, second = owner(tmp_path, position=7), owner(tmp_path, position=9)
    first.start([TICKS])
    second.start([TICKS])
    second.commit({TICKS: 9})
    before = open_store(tmp_path).get("ticks/0")
    for _ in range(2):
        with pytest.raises(FencedError):
            first.commit({TICKS: 7})
    with pytest.raises(FencedError):
        first.stored(TICKS)
    assert open_store(tmp_path).get("ticks/0") == before
    second.commit({TICKS: 9})


def test_a_partition_that_was_given_up_is_not_stored():
    state = owner("memory://given-up", position=7)
    state.start([TICKS])
    state.ended([TICKS])
    with pytest.raises(FencedError, match="given up"):
        state.commit({TICKS: 7})


@pytest.fixture
def store():
    """A store that fails as planned, under the URL ``faulty://``."""
    store = FaultyStore(MemoryStore())

    def plan(fault):
        store.plan, store._counts = (fault,), [0]

    store.fail = plan
    register_store("faulty", lambda url: store, replace=True)
    return store


def test_a_take_over_whose_response_was_lost_counts_once(store):
    state = owner("faulty://x", position=7)
    refused = Fault("put", "ticks/0", lost_response=True, error=lambda: PreconditionFailedError("retried"))
    store.fail(refused)
    state.start([TICKS])
    state.commit({TICKS: 7})
    assert state.stored(TICKS).epoch == 1


def test_a_write_whose_response_was_lost_is_known_as_ones_own(store):
    state = owner("faulty://x", position=7)
    state.start([TICKS])
    store.fail(Fault("put", "ticks/0", lost_response=True))
    with pytest.raises(StoreError):
        state.commit({TICKS: 7})
    state.commit({TICKS: 7})
    store.fail(Fault("put", lost_response=True, error=lambda: PreconditionFailedError("retried")))
    state.commit({TICKS: 7})
    assert state.stored(TICKS).position == 7


def test_who_was_replaced_while_it_repeated_a_write_is_fenced(store):
    state, other = owner("faulty://x", position=7), owner("faulty://x", position=9)
    state.start([TICKS])
    store.fail(Fault("put", lost_response=True))
    with pytest.raises(StoreError):
        state.commit({TICKS: 7})

    def take_over():
        other.start([TICKS])
        return PreconditionFailedError("the etag is another one's")

    store.fail(Fault("put", nth=2, error=take_over))  # the first one finds what was lost, the second this
    with pytest.raises(FencedError, match="taken over"):
        state.commit({TICKS: 7})
    other.commit({TICKS: 9})


def test_a_store_without_conditional_put_is_refused(store, monkeypatch):
    lacking = Capabilities(conditional_put=False, atomic_put=True)
    monkeypatch.setattr(FaultyStore, "capabilities", lacking)
    with pytest.raises(UnsupportedError, match="no conditional put"):
        owner("faulty://x").start([TICKS])


def test_state_that_is_too_large_is_refused_before_it_is_stored():
    pane = PaneState("k", (0, 1), bytes(20_000), 1, 1, 0, False, True, False, None, ())
    state = WindowState("memory://large", max_bytes="10kB")
    state.attach(Fixed(position=7, panes=(pane,)))
    state.start([TICKS])
    with pytest.raises(LimitExceededError, match="ticks/0"):
        state.commit({TICKS: 7})


def test_a_state_that_no_reduce_has_is_a_mistake():
    state = WindowState("memory://alone")
    state.start([TICKS])
    with pytest.raises(ConfigError, match=r"no ops\.reduce"):
        state.commit({TICKS: 1})
