"""The cache of decoded chunks: what it serves, what it forgets, and that it never serves what is old."""

import os
import pickle  # noqa: TID251 - of our own objects
import threading

import numpy as np
import pytest

import streamzarr as sz
from streamzarr.errors import CodecError, ConfigError, KeyNotFoundError, NodeNotFoundError
from streamzarr.stores import MemoryStore
from streamzarr.testing.faults import RecordingStore, WrappedStore
from streamzarr.zarr import ChunkCache

VALUES = np.arange(240, dtype="i4").reshape(24, 10)
LAYOUTS = [
    {"chunks": (4, 5)},
    {"chunks": (4, 5), "compressors": None},
    {"chunks": (4, 5), "zarr_format": 2, "order": "F"},
    {"chunks": (4, 5), "shards": (8, 10)},
    {"chunks": (4, 5), "shards": (8, 10), "compressors": None},
    {"chunks": [[4] * 6, [5, 5]]},
]
layouts = pytest.mark.parametrize("layout", LAYOUTS, ids=str)


@pytest.fixture
def store():
    return RecordingStore(MemoryStore())


@layouts
def test_a_chunk_is_read_and_decoded_once(store, layout):
    sz.create_array(store, data=VALUES, **layout)
    cache = ChunkCache(1 << 20)
    z = sz.open_array(store, cache=cache)
    for start in range(20):  # windows that slide
        assert np.array_equal(z[start : start + 5, 2:7], VALUES[start : start + 5, 2:7])
    stats = cache.stats()
    assert (stats.misses, stats.chunks, stats.evictions) == (12, 12, 0)
    assert stats.bytes == VALUES.nbytes
    assert stats.hits == 20 * 4 - 12  # each window lies in 2 x 2 chunks
    store.clear()
    assert np.array_equal(z[:], VALUES)
    assert np.array_equal(z.oindex[[3, 20], [9, 0]], VALUES[np.ix_([3, 20], [9, 0])])
    assert np.array_equal(z.vindex[[3, 20], [9, 0]], VALUES[[3, 20], [9, 0]])
    assert np.array_equal(z[VALUES % 7 == 0], VALUES[VALUES % 7 == 0])
    assert np.array_equal(z[::3, ::2], VALUES[::3, ::2])
    assert store.calls == []


@layouts
def test_what_a_reader_gets_is_its_own(store, layout):
    sz.create_array(store, data=VALUES, **layout)
    z = sz.open_array(store, cache=1 << 20)
    for _ in range(2):
        block = z[:4, :5]
        block[:] = -1
    assert np.array_equal(z[:4, :5], VALUES[:4, :5])
    assert np.array_equal(z.read_chunk((0, 0))[:4, :5], VALUES[:4, :5])


@layouts
def test_own_writes_are_seen_at_once(store, layout):
    expected = VALUES.copy()
    z = sz.create_array(store, data=VALUES, cache=1 << 20, **layout)
    other = sz.open_array(store, mode="r+", cache=z.cache)
    assert np.array_equal(other[:], expected)
    z[2:6, 3] = expected[2:6, 3] = 77
    assert np.array_equal(other[:], expected)
    z.oindex[[0, 23], [0, 9]] = expected[np.ix_([0, 23], [0, 9])] = 78
    z.vindex[[1, 2], [1, 2]] = expected[[1, 2], [1, 2]] = 79
    assert np.array_equal(other[:], expected)
    unit = z.grid.slices((1, 0))
    z.write_chunk((1, 0), expected[unit] + 1)
    expected[unit] += 1
    assert np.array_equal(other[:], expected)
    z.delete_chunk((1, 0))
    expected[unit] = 0
    assert np.array_equal(other[:], expected)
    z[:] = expected[:] = 0  # removes keys
    assert np.array_equal(other[:], expected)
    z.append(np.full((3, 10), 5, "i4"))
    assert np.array_equal(z[22:], np.concatenate([expected[22:], np.full((3, 10), 5, "i4")]))
    z.resize((2, 10), clear=True)
    z.resize((6, 10))
    assert not z[:].any()


def test_changing_a_part_of_a_chunk_never_writes_back_what_was_kept(store):
    z = sz.create_array(store, data=VALUES, chunks=(4, 5), cache=1 << 20)
    assert np.array_equal(z[:], VALUES)
    sz.open_array(store, mode="r+")[0, 0] = 1000  # another process, which this cache does not know of
    z[0, 1] = 1001
    assert sz.open_array(store)[0, :3].tolist() == [1000, 1001, 2]


def test_the_least_recently_used_goes_when_bytes_are_full(store):
    sz.create_array(store, data=np.arange(100, dtype="u1"), chunks=(10,))
    cache = ChunkCache(30)
    z = sz.open_array(store, cache=cache)
    for chunk in (0, 1, 2, 0, 3):
        assert z[chunk * 10] == chunk * 10
    store.clear()
    assert [int(z[n]) for n in (5, 25, 35)] == [5, 25, 35]
    assert store.calls == []
    assert z[15] == 15
    assert len(store.calls) == 1
    stats = cache.stats()
    assert (stats.evictions, stats.chunks, stats.bytes, stats.max_bytes) == (2, 3, 30, 30)
    assert (stats.hits, stats.misses) == (4, 5)
    assert stats.hit_rate == 4 / 9
    big = sz.create_array("memory://", data=np.zeros(31, "u1") + 1, chunks=(31,), cache=cache)
    assert big[0] == 1
    assert cache.stats().chunks == 3  # a chunk that alone is too large throws out nobody
    for bad in (0, -1):
        with pytest.raises(ConfigError, match="max_bytes"):
            ChunkCache(bad)


def test_the_bound_holds_while_everything_is_read():
    data = np.arange(100_000, dtype="i8")
    cache = ChunkCache(50_000)
    z = sz.create_array("memory://", data=data, chunks=(1000,), cache=cache)
    for block in z.stream_chunks(concurrency=4):
        assert np.array_equal(block.data, data[block.slices])
        assert cache.stats().bytes <= 50_000
    # Views into larger buffers would hold them: what is kept is its own.
    assert all(block.base is None for block, _ in cache._blocks.values())


def test_strings_count_with_their_letters():
    words = np.array(["a" * 1000, "b"] * 4, dtype=np.dtypes.StringDType())
    cache = ChunkCache(1 << 20)
    z = sz.create_array("memory://", data=words, chunks=(2,), cache=cache)
    assert z[0] == "a" * 1000
    assert cache.stats().bytes >= 1000


def test_one_cache_for_a_hierarchy_and_forgetting_parts_of_it():
    root = sz.create_group("memory://shared-cache")
    for name in ("a/x", "a/y", "ab"):
        root.create_array(name, data=VALUES, chunks=(24, 10))
    cache = ChunkCache()
    group = sz.open_group("memory://shared-cache", mode="r+", cache=cache)

    def kept():
        before = cache.stats().misses
        for _, array in group.members(None):
            if isinstance(array, sz.Array):
                assert array.cache is cache
                assert np.array_equal(array[:], VALUES)
        return 3 - (cache.stats().misses - before)

    assert kept() == 0
    assert kept() == 3
    cache.invalidate(group["a"].url)
    assert kept() == 1  # "ab" is not below "a"
    cache.invalidate(group["ab"].url)
    assert kept() == 2
    cache.clear()
    assert cache.stats().bytes == cache.stats().chunks == 0
    assert kept() == 0
    del group["ab"]
    group.create_array("ab", data=VALUES + 1)
    assert np.array_equal(group["ab"][:], VALUES + 1)
    sz.create_array("memory://shared-cache", path="ab", data=VALUES - 1, overwrite=True, cache=cache)
    assert np.array_equal(group["ab"][:], VALUES - 1)


def test_an_array_made_anew_elsewhere_shares_nothing_with_the_old_one(store):
    cache = ChunkCache()
    old = sz.create_array(store, data=np.arange(4, dtype="i4"), compressors=None, cache=cache)
    assert old[:].tolist() == [0, 1, 2, 3]
    # By somebody who does not know of the cache: the same layout, then another.
    sz.create_array(store, data=np.arange(4, dtype="i4") * 2, compressors=None, overwrite=True)
    assert sz.open_array(store, cache=cache)[:].tolist() == [0, 2, 4, 6]
    sz.create_array(store, data=np.arange(4, dtype="f4") / 2, compressors=None, overwrite=True)
    new = sz.open_array(store, cache=cache)
    assert old[:].tolist() != new[:].tolist()  # what an old object reads of it, no other one sees
    assert new[:].tolist() == [0, 0.5, 1, 1.5]


def test_missing_and_corrupt_chunks_stay_what_they_are(store):
    z = sz.create_array(store, shape=(4,), chunks=(2,), dtype="i4", fill_value=7, cache=1 << 20)
    for _ in range(2):
        assert z[:].tolist() == [7] * 4
        with pytest.raises(KeyNotFoundError):
            z.read(missing="error")
    store.put(z.chunk_key((0,)), b"broken")
    for _ in range(2):
        with pytest.raises(CodecError, match=r"chunk \(0,\)"):
            z[:2]
    assert z.cache.stats().chunks == 0


def test_a_reader_that_a_writer_overtakes_keeps_nothing_old():
    class Overtaken(WrappedStore):
        """Between a chunk's bytes and their decoding, somebody writes it."""

        write = None

        def get(self, key, byte_range=None):
            data = super().get(key, byte_range)
            if self.write and key.startswith("c/"):
                write, self.write = self.write, None
                write()
            return data

    for layout in ({}, {"shards": (4,)}):
        store = Overtaken(MemoryStore())
        z = sz.create_array(store, data=np.zeros(4, "i4") + 1, chunks=(2,), cache=1 << 20, **layout)
        store.write = lambda z=z: z.__setitem__(slice(None), 2)
        assert set(z[:2].tolist()) <= {1, 2}
        assert z[:].tolist() == [2] * 4


def test_threads_that_read_and_write_see_no_old_value():
    z = sz.create_array("memory://", shape=(8,), chunks=(2,), dtype="i8", cache=64)
    errors = []
    done = threading.Event()

    def write():
        for n in range(1, 300):
            z[:] = n
            if z[:].tolist() != [n] * 8:
                errors.append(z[:].tolist())
        done.set()

    def read():
        last = 0
        while not done.is_set():
            now = int(z[3])
            if now < last:
                errors.append((last, now))
            last = now

    threads = [threading.Thread(target=write), *(threading.Thread(target=read) for _ in range(3))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_pickles_as_an_empty_cache_of_the_same_size(tmp_path):
    cache = ChunkCache(12345)
    z = sz.create_array(tmp_path / "z.zarr", data=VALUES, cache=cache)
    assert np.array_equal(z[:], VALUES)
    again, its = pickle.loads(pickle.dumps((z, cache)))
    assert again.cache is its
    assert (its.max_bytes, its.stats().chunks) == (12345, 0)
    assert np.array_equal(again[:], VALUES)
    assert its.stats().chunks == 1
    group = pickle.loads(pickle.dumps(sz.create_group(tmp_path / "g.zarr", cache=cache)))
    assert group.create_array("x", data=VALUES).cache.max_bytes == 12345


def test_a_forked_child_begins_empty_even_if_a_thread_was_changing_the_cache():
    cache = ChunkCache()
    z = sz.create_array("memory://", data=VALUES, chunks=(4, 5), cache=cache)
    assert np.array_equal(z[:], VALUES)
    with cache._lock:  # as a thread would that is in the middle of it
        child = os.fork()
        if child == 0:
            ok = cache.stats().chunks == 0 and np.array_equal(z[:], VALUES) and cache.stats().chunks == 12
            os._exit(0 if ok else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert cache.stats().chunks == 12


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_refresh_reads_metadata_only_when_the_etag_changed(store, zarr_format):
    sz.create_array(store, data=VALUES, chunks=(4, 5), zarr_format=zarr_format)
    z = sz.open_array(store, cache=1 << 20)
    other = sz.open_array(store, mode="r+")

    def documents():
        return [call.key for call in store.calls if call.operation.startswith(("get", "fetch"))]

    z.refresh()
    store.clear()
    assert z.refresh() is z
    assert documents() == []
    assert np.array_equal(z[:], VALUES)
    other[0, 0] = 999
    assert z[0, 0] == 0  # kept, as said
    assert z.refresh()[0, 0] == 999
    other.append(VALUES)
    other.attrs["unit"] = "m"
    store.clear()
    assert z.refresh().shape == (48, 10)
    assert z.attrs["unit"] == "m"
    assert documents()
    store.delete_prefix("")
    with pytest.raises(NodeNotFoundError):
        z.refresh()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_opening_with_a_cache_reads_metadata_only_when_the_etag_changed(store, zarr_format):
    root = sz.create_group(store, zarr_format=zarr_format)
    root.create_array("a", data=VALUES, chunks=(4, 5))
    cache = ChunkCache()
    assert np.array_equal(sz.open_group(store, cache=cache)["a"][:], VALUES)
    store.clear()
    group = sz.open_group(store, cache=cache)
    assert np.array_equal(group["a"][:], VALUES)
    assert np.array_equal(sz.open_array(store, path="a", zarr_format=zarr_format, cache=cache)[:], VALUES)
    assert {call.operation for call in store.calls} == {"head"}
    changed = sz.open_array(store, path="a", mode="r+")
    changed.resize((2, 10))
    assert sz.open(store, path="a", cache=cache).shape == group["a"].shape == (2, 10)
    with pytest.raises(NodeNotFoundError):
        sz.open_array(store, path="nothing", cache=cache)
