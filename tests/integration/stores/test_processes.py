"""Stores and arrays after they were used: in a child by fork and by spawn, over every kind of store."""

import multiprocessing
import threading

import numpy as np
import pytest

import streamzarr as sz
from streamzarr.errors import UnsupportedError
from streamzarr.stores import LocalStore, MemoryStore, ZipBuilder, ZipStore
from streamzarr.testing.faults import RecordingStore

VALUES = np.arange(1000, dtype="i4").reshape(50, 20)


def create(store, **options):
    return sz.create_array(store, path="g/a", data=VALUES, chunks=(10, 20), compressors="zstd", **options)


@pytest.fixture
def kinds(tmp_path, s3_store):
    """A store of each kind that holds the array; the archive cannot be written to."""
    stores = {"memory": MemoryStore(), "local": LocalStore(tmp_path / "a", fsync=False), "s3": s3_store}
    for store in stores.values():
        create(store)
    with ZipBuilder(tmp_path / "a.zip") as builder:
        create(builder)
    return stores | {"zip": ZipStore(tmp_path / "a.zip")}


def read_and_write(stores, answer):
    """Read the array of each store and write a key, while threads of this process do the same."""

    def work(number):
        for kind, store in stores.items():
            found.append((kind, np.array_equal(sz.open_array(store, path="g/a")[:], VALUES)))
            if store.capabilities.writable:
                store.put(f"child/{number}", b"%d" % number)
                store.put(f"child/{number}", b"again", if_match=store.head(f"child/{number}").etag)

    found = []
    work(0)
    threads = [threading.Thread(target=work, args=(number,)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    answer.send(found)


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_store_that_was_used_works_in_a_child_and_goes_on_here(kinds, method):
    for store in kinds.values():  # clients, connections and threads are there
        assert np.array_equal(sz.open_array(store, path="g/a")[:], VALUES)
    if method == "spawn":
        memory = kinds.pop("memory")
        with pytest.raises(UnsupportedError, match="lives in one process"):
            memory.__reduce__()
    context = multiprocessing.get_context(method)
    ours, theirs = context.Pipe()
    child = context.Process(target=read_and_write, args=(kinds, theirs))
    child.start()
    for store in kinds.values():
        assert np.array_equal(sz.open_array(store, path="g/a")[:], VALUES)
    assert ours.poll(100)
    assert sorted(ours.recv()) == sorted((kind, True) for kind in kinds for _ in range(3))
    child.join(60)
    assert child.exitcode == 0
    for kind, store in kinds.items():
        if kind in ("local", "s3"):
            assert store.get("child/2") == b"again"


def test_opening_and_reading_arrays_never_lists(kinds):
    for store in kinds.values():
        seen = RecordingStore(store)
        z = sz.open_array(seen, path="g/a")
        assert np.array_equal(z[:], VALUES)
        assert z[7, 3] == VALUES[7, 3]
        assert np.array_equal(sz.open_group(seen, path="g")["a"][10:20], VALUES[10:20])
        assert sum(block.data.size for block in z.stream_chunks(concurrency=2)) == VALUES.size
        assert {call.operation for call in seen.calls} <= {"get", "get_into", "get_ranges", "head", "fetch"}


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_reading_shards_and_missing_chunks_never_lists(s3_store, zarr_format):
    seen = RecordingStore(s3_store)
    options = {"shards": (10, 20)} if zarr_format == 3 else {}
    sz.create_array(
        seen, path="a", shape=(50, 20), chunks=(5, 10), dtype="i4", zarr_format=zarr_format, **options
    )
    sz.open_array(seen, path="a", mode="r+")[:20] = VALUES[:20]
    seen.clear()
    z = sz.open_array(seen, path="a")
    assert np.array_equal(z[:20], VALUES[:20])
    assert np.array_equal(z[3:7, 12:], VALUES[3:7, 12:])
    assert not z[20:].any()
    assert not [call for call in seen.calls if call.operation.startswith(("list", "put", "delete"))]
