"""A snapshot is one commit: cheap to renew, read at any moment, in any process."""

import os
import pickle  # noqa: TID251 - snapshots travel between processes

import numpy as np
import pytest

import streamzarr as sz
from streamzarr.errors import NodeNotFoundError
from streamzarr.stores import LocalStore, MemoryStore
from streamzarr.stream import Field
from streamzarr.testing.faults import RecordingStore
from tests.support.streams import give_up, grow

TICKS = {"time": Field("i8", sorted=True), "price": "f8"}


def taken(store):
    """Return what was asked of a store since the last time."""
    calls = [(call.operation, call.key) for call in store.calls]
    store.clear()
    return calls


def ticks(start, stop):
    return {"time": range(start, stop), "price": np.arange(start, stop) / 2}


@pytest.fixture
def store():
    return RecordingStore(MemoryStore())


@pytest.fixture
def writer(store):
    writer = sz.StreamWriter(store.inner, schema=TICKS, chunk_rows=4)
    writer.append(ticks(0, 10))
    writer.commit()
    return writer


def test_opening_and_renewing_take_one_request_each_and_list_nothing(store, writer):
    snapshot = sz.open_stream(store)
    assert taken(store) == [("fetch", "zarr.json")]
    assert snapshot.refresh() is snapshot
    assert taken(store) == [("fetch_changed", "zarr.json")]
    writer.append(ticks(10, 11))
    writer.commit()
    assert snapshot.refresh().rows == 11
    assert taken(store) == [("fetch_changed", "zarr.json")]
    assert snapshot.rows == 10


def test_full_chunks_are_read_once_and_the_last_one_once_for_each_snapshot(store, writer):
    snapshot = sz.open_stream(store)
    taken(store)
    for _ in range(2):
        snapshot["price"][:]
    # What was fetched is confirmed by a look at the root, once.
    assert sorted(key for _, key in taken(store)) == [*(f"price/c/{n}" for n in range(3)), "zarr.json"]
    writer.append(ticks(10, 13))
    writer.commit()
    later = snapshot.refresh()
    taken(store)
    for _ in range(2):
        np.testing.assert_array_equal(later["price"][:], np.arange(13) / 2)
        np.testing.assert_array_equal(snapshot["price"][:], np.arange(10) / 2)
    assert sorted(key for _, key in taken(store)) == ["price/c/2", "price/c/3", "zarr.json"]


def test_streams_share_a_cache_that_is_given(writer, store):
    cache = sz.ChunkCache()
    for _ in range(3):
        np.testing.assert_array_equal(sz.open_stream(store, cache=cache)["time"][:8], range(8))
    assert (cache.stats().misses, cache.stats().hits) == (2, 4)


def test_an_old_snapshot_stays_as_it_was_while_the_stream_grows(store, writer):
    snapshots = [sz.open_stream(store)]
    for start in range(10, 30, 3):
        writer.append(ticks(start, start + 3))
        writer.commit()
        snapshots.append(snapshots[-1].refresh())
    for snapshot in snapshots:
        np.testing.assert_array_equal(snapshot["time"][:], range(snapshot.rows))
        np.testing.assert_array_equal(snapshot["price"][:], np.arange(snapshot.rows) / 2)


def test_what_is_not_committed_is_not_seen(store, writer):
    writer.append(ticks(10, 17))  # its full chunks are stored
    snapshot = sz.open_stream(store)
    assert (snapshot.rows, len(snapshot["time"]), snapshot["time"][-1]) == (10, 10, 9)


def test_the_fields_are_those_of_the_commit(store, writer):
    before = sz.open_stream(store)
    grow(store.inner, "size", Field("i4", fill_value=7, chunk_rows=4))
    after = before.refresh()
    assert (before.names, after.names) == (("time", "price"), ("time", "price", "size"))
    with pytest.raises(KeyError):
        before["size"]
    assert after["size"][:].tolist() == [7] * 10


def test_the_front_may_go(store, writer):
    before = sz.open_stream(store)
    give_up(store.inner, 4)
    after = before.refresh()
    assert (before.first_row, after.first_row, after.rows, len(after)) == (0, 4, 10, 6)


def test_a_stream_that_is_gone_says_so(store, writer):
    snapshot = sz.open_stream(store)
    store.inner.delete_prefix("")
    with pytest.raises(NodeNotFoundError, match="any more"):
        snapshot.refresh()
    with pytest.raises(NodeNotFoundError, match="no stream at"):
        sz.open_stream(store)


def test_a_group_that_is_no_stream_is_none():
    store = MemoryStore()
    sz.create_group(store)
    with pytest.raises(NodeNotFoundError, match="no stream at"):
        sz.open_stream(store)


def test_it_is_read_only(store, writer):
    with pytest.raises(sz.errors.UnsupportedError):
        sz.open_stream(store).view.store.put("x", b"")


def test_it_pickles_and_goes_on_elsewhere(tmp_path):
    with sz.StreamWriter(tmp_path, schema=TICKS, chunk_rows=4) as writer:
        writer.append(ticks(0, 10))
    snapshot = sz.open_stream(tmp_path)
    snapshot["time"][:]
    for each in (snapshot, snapshot.sel(time=slice(2, 5))):
        again = pickle.loads(pickle.dumps(each))
        assert (again.start, again.stop, type(again)) == (each.start, each.stop, type(each))
        np.testing.assert_array_equal(again["time"][:], each["time"][:])
    with sz.StreamWriter(tmp_path) as writer:
        writer.append(ticks(10, 12))
    assert pickle.loads(pickle.dumps(snapshot)).refresh().rows == 12


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_reads_and_renews(tmp_path):
    store = LocalStore(tmp_path, fsync=False)
    with sz.StreamWriter(store, schema=TICKS, chunk_rows=4) as writer:
        writer.append(ticks(0, 10))
    snapshot = sz.open_stream(store)
    snapshot["time"][:5]
    with sz.StreamWriter(store) as writer:
        writer.append(ticks(10, 12))
    child = os.fork()
    if not child:
        try:
            right = snapshot["time"][:].tolist() == [*range(10)] and snapshot.refresh().rows == 12
            os._exit(0 if right else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert snapshot["time"][-1] == 9
