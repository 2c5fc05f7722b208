"""Snapshots from before upkeep, and chunks that replaced writers put late where upkeep had deleted one."""

import os
import pickle  # noqa: TID251 - snapshots are sent to other processes
import threading

import numpy as np
import pytest

import streamzarr as sz
from streamzarr.errors import KeyNotFoundError, NodeNotFoundError, StoreError
from streamzarr.stores import MemoryStore
from streamzarr.stream import Field, Snapshot
from streamzarr.testing import Fault, FaultyStore, RecordingStore, WrappedStore

PATIENCE = 60.0
ROWS = 40


def put_late(store, key="x/c/0"):
    """Put a chunk of other rows where there is none, as whoever was held up in the middle of a put does."""
    others = sz.create_array(MemoryStore(), data=np.full(4, 666), chunks=4, compressors="zstd")
    store.put(key, others.store.get("c/0"), if_none_match=True)


@pytest.fixture
def store():
    store = MemoryStore()
    with sz.StreamWriter(store, schema={"x": Field("i8", compressors="zstd")}, chunk_rows=4) as writer:
        writer.append({"x": np.arange(ROWS)})
    return store


@pytest.mark.parametrize(
    "chosen", [slice(None), slice(8, None, -1), slice(2, 30, 3), 0, -ROWS, [30, 1, 2], [True] * ROWS], ids=str
)
def test_a_snapshot_from_before_a_compaction_reads_what_was_committed(store, chosen):
    snapshot = sz.open_stream(store)
    sz.stream.compact(store, chunks=2, delete=True)
    put_late(store)
    np.testing.assert_array_equal(snapshot["x"][chosen], np.arange(ROWS)[chosen])
    np.testing.assert_array_equal(snapshot["x"][chosen], np.arange(ROWS)[chosen])
    np.testing.assert_array_equal(snapshot.refresh()["x"][:], np.arange(ROWS))


def test_rows_that_were_given_up_are_gone_whatever_lies_there(store):
    snapshot = sz.open_stream(store)
    sz.stream.retain(store, rows=10)
    put_late(store)
    for _ in range(2):
        with pytest.raises(KeyNotFoundError, match="rows before 28 were given up"):
            snapshot["x"][:]
    np.testing.assert_array_equal(snapshot["x"][28:], np.arange(28, ROWS))


def test_what_a_read_that_failed_has_fetched_is_not_given_by_the_next(store):
    snapshot = sz.open_stream(FaultyStore(store, [Fault(operation="get", key="x/c/5")]))
    sz.stream.compact(store, chunks=1)
    store.delete("x/c/0")
    put_late(store)
    with pytest.raises(StoreError):
        snapshot["x"][:]
    np.testing.assert_array_equal(snapshot["x"][:4], np.arange(4))


@pytest.mark.parametrize("kept", [0, 20])
def test_what_a_read_of_rows_in_part_given_up_has_fetched_is_not_given_by_the_next(store, kept):
    """The deleted chunk of the first read is one that nobody has put; that of the second is a late one."""
    snapshot = sz.open_stream(store)
    sz.stream.retain(store, rows=kept)
    put_late(store, "x/c/2")
    for rows in (slice(8, 24), slice(8, 12), slice(8, 12)):
        with pytest.raises(KeyNotFoundError, match="given up"):
            snapshot["x"][rows]


def test_what_an_unconfirmed_read_has_fetched_is_not_given_by_the_next(store):
    """The look at the root fails."""
    snapshot = sz.open_stream(FaultyStore(store, [Fault(operation="fetch_changed")]))
    sz.stream.compact(store, chunks=1, delete=True)
    put_late(store)
    with pytest.raises(StoreError):
        snapshot["x"][:4]
    np.testing.assert_array_equal(snapshot["x"][:4], np.arange(4))


@pytest.mark.parametrize("read", [lambda rows: rows["x"][:], Snapshot.to_pandas], ids=["field", "pandas"])
def test_what_a_read_has_fetched_before_it_went_to_the_shards_is_not_given_by_the_next(store, read):
    """The first chunk is a late one, the second is missing."""
    snapshot = sz.open_stream(store)
    sz.stream.compact(store, chunks=2, delete=True)
    put_late(store)
    read(snapshot)
    np.testing.assert_array_equal(snapshot["x"][:4], np.arange(4))


def test_a_snapshot_from_before_a_compaction_keeps_what_it_has_read_in_shards(store):
    recorded = RecordingStore(store)
    snapshot = sz.open_stream(recorded)
    sz.stream.compact(store, chunks=2, delete=True)
    for _ in range(3):
        np.testing.assert_array_equal(snapshot["x"][:4], np.arange(4))
    gets = [call for call in recorded.calls if call.operation == "get" and call.key.startswith("shards/")]
    assert len(gets) == 1


def test_a_stream_that_was_made_anew_is_not_read_from_the_cache_of_the_old_one(store):
    cache = sz.ChunkCache()
    old = sz.open_stream(store, cache=cache)
    assert old["x"][5] == 5
    store.delete_many(list(store.list()))
    with sz.StreamWriter(store, schema={"x": Field("i8", compressors="zstd")}, chunk_rows=4) as writer:
        writer.append({"x": np.arange(100, 100 + ROWS)})
    for _ in range(2):
        assert sz.open_stream(store, cache=cache)["x"][5] == 105
        with pytest.raises(NodeNotFoundError, match="another stream"):
            old["x"][5]


def test_a_pickled_snapshot_and_its_cache_stay_together(tmp_path):
    sz.StreamWriter(tmp_path, schema={"x": "i8"}).close()
    cache = sz.ChunkCache()
    snapshot, cache = pickle.loads(pickle.dumps((sz.open_stream(tmp_path, cache=cache), cache)))
    assert sz.open_stream(tmp_path, cache=cache).view.reads is snapshot.view.reads


def test_an_error_in_one_stream_empties_no_cache_of_others(store):
    cache, other = sz.ChunkCache(), MemoryStore()
    with sz.StreamWriter(other, schema={"x": "i8"}, chunk_rows=4) as writer:
        writer.append({"x": np.arange(ROWS)})
    kept = sz.open_stream(other, cache=cache)
    kept["x"][:]
    chunks = cache.stats().chunks
    snapshot = sz.open_stream(store, cache=cache)
    store.delete("x/c/3")
    with pytest.raises(KeyNotFoundError):
        snapshot["x"][:]
    assert cache.stats().chunks == chunks


def test_a_child_has_no_reads_of_its_parents_other_threads(store):
    slow = HeldStore(store)
    snapshot = sz.open_stream(slow)
    thread = threading.Thread(target=lambda: snapshot["x"][:4])
    thread.start()
    assert slow.held.wait(PATIENCE)
    child = os.fork()
    if not child:
        os._exit(snapshot.view.reads.count)
    slow.go.set()
    thread.join(PATIENCE)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_texts_which_no_cache_keeps():
    store = MemoryStore()
    with sz.StreamWriter(store, schema={"x": "string"}, chunk_rows=4) as writer:
        writer.append({"x": [str(n) for n in range(ROWS)]})
    snapshot = sz.open_stream(store)
    wrong = store.get("x/c/1")
    sz.stream.compact(store, chunks=2, delete=True)
    store.put("x/c/0", wrong, if_none_match=True)
    for _ in range(2):
        assert snapshot["x"][:].tolist() == [str(n) for n in range(ROWS)]


@pytest.mark.parametrize("opened", ["once", "twice"])
def test_what_one_reader_has_not_confirmed_yet_is_not_given_by_another(store, opened):
    slow = HeldStore(store)
    cache = sz.ChunkCache()
    snapshot = other = sz.open_stream(slow, cache=cache)
    if opened == "twice":
        other = sz.open_stream(slow, cache=cache)
    sz.stream.compact(store, chunks=2, delete=True)
    put_late(store)
    found = []
    first = threading.Thread(target=lambda: found.append(snapshot["x"][:4].tolist()))
    first.start()
    assert slow.held.wait(PATIENCE)  # it has fetched the chunk, and looks at the root
    assert other["x"][:4].tolist() == [0, 1, 2, 3]
    slow.go.set()
    first.join(PATIENCE)
    assert found == [[0, 1, 2, 3]]


class HeldStore(WrappedStore):
    """Holds up the first look at whether the root has changed."""

    def __init__(self, inner):
        super().__init__(inner)
        self.held, self.go = threading.Event(), threading.Event()

    def around(self, call, action):
        if call.operation == "fetch_changed" and not self.held.is_set():
            self.held.set()
            assert self.go.wait(PATIENCE)
        return action()
