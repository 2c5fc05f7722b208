"""Runs of chunks: how work is cut and shared out, and what is read and written in one go."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamzarr.zarr as sz
from streamzarr.errors import CodecError, KeyNotFoundError
from streamzarr.limits import Limits
from streamzarr.stores import MemoryStore
from streamzarr.zarr.chunks import parallel
from streamzarr.zarr.chunks.runs import tiles_of
from streamzarr.zarr.chunks.scratch import Scratch
from streamzarr.zarr.grids.grid import regular_grid
from streamzarr.zarr.indexing import parse, plan
from streamzarr.zarr.locks import ChunkLocks


@st.composite
def selections(draw):
    shape = tuple(draw(st.lists(st.integers(0, 9), max_size=3)))
    chunks = tuple(draw(st.integers(1, 5)) for _ in shape)
    items = []
    for n in shape:
        start = draw(st.integers(0, n))
        items.append(slice(start, draw(st.integers(start, n)), draw(st.sampled_from([1, 1, 2]))))
    return shape, chunks, tuple(items)


@given(selections(), st.integers(1, 7))
def test_runs_are_the_parts_of_a_plan_joined(case, run):
    shape, chunks, items = case
    selection, grid = parse(items, shape), regular_grid(shape, chunks)
    single = list(plan(selection, grid))
    runs = list(plan(selection, grid, run))
    assert all(part.length <= run for part in runs)
    found = [each for part in runs for each in part.singles()]
    by_chunk = {part.chunk: part for part in found}
    assert len(by_chunk) == len(found) == len(single)
    for part in single:
        other = by_chunk[part.chunk]
        assert (part.source, part.target, part.whole) == (other.source, other.target, other.whole)


@given(selections(), st.integers(1, 7))
def test_tiles_are_views_of_each_chunks_target(case, run):
    shape, chunks, items = case
    selection = parse(items, shape)
    out = np.arange(np.prod(selection.full_shape, dtype=int)).reshape(selection.full_shape)
    for part in plan(selection, regular_grid(shape, chunks), run):
        tiles = tiles_of(out, part)
        assert len(tiles) == part.length
        assert not out.size or np.shares_memory(tiles, out)
        for tile, single in zip(tiles, part.singles(), strict=True):
            np.testing.assert_array_equal(tile, out[single.target])


@pytest.mark.parametrize(
    ("count", "nbytes", "cpus", "in_flight", "threads", "run"),
    [
        (1, 1 << 30, 2, 1, 1, 1),
        (16, 16 << 10, 2, 1, 1, 16),  # 256 KiB: no thread is worth its while
        (10_000, 16 << 10, 1, 1, 1, 128),
        (10_000, 16 << 10, 2, 1, 2, 128),
        (64, 16 << 10, 2, 1, 2, 16),  # each thread gets some
        (100, 256 << 10, 4, 1, 4, 8),
        (100, 4 << 20, 2, 1, 3, 1),
        (2, 4 << 20, 8, 1, 2, 1),
        (3, 10, 2, 16, 3, 1),
        (1000, 10, 2, 1 << 20, parallel.MAX_THREADS, 1),
        (5, 0, 1, 1, 1, 1),
    ],
)
def test_how_work_is_divided(count, nbytes, cpus, in_flight, threads, run):
    assert parallel.divide(count, nbytes, cpus=cpus, in_flight=in_flight) == (threads, run)


@pytest.mark.parametrize(("kib", "threads"), [(16, 1), (63, 1), (64, 8), (256, 8)])
def test_small_chunks_that_are_hardly_more_than_copied_have_one_thread(kib, threads):
    assert parallel.divide(1000, kib << 10, cpus=8, light=True).threads == threads
    assert parallel.divide(1000, kib << 10, cpus=8, light=False).threads == 8
    assert parallel.divide(1000, kib << 10, cpus=8, in_flight=16, light=True).threads == 16


@pytest.mark.parametrize(
    ("zarr_format", "compressors", "is_light"),
    [
        (3, None, True),
        (3, [{"name": "blosc", "configuration": {"cname": "lz4", "clevel": 5}}], True),
        (3, [{"name": "blosc", "configuration": {"cname": "zstd", "clevel": 5}}], False),
        (3, "zstd", False),
        (2, {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1}, True),
        (2, {"id": "blosc", "cname": "zlib", "clevel": 5, "shuffle": 1}, False),
        (2, None, True),
    ],
)
def test_which_chains_are_light(zarr_format, compressors, is_light):
    z = sz.create_array("memory://", shape=(4,), dtype="i4", zarr_format=zarr_format, compressors=compressors)
    assert z.metadata.chain(Limits()).is_light == is_light


@pytest.mark.parametrize("compressors", [None, "zstd", "gzip", "blosc"])
@pytest.mark.parametrize(
    ("shape", "chunks"),
    [
        ((256, 256), (64, 64)),
        ((250, 130), (64, 64)),  # cut on both sides
        ((100_000,), (4096,)),
        ((20, 64, 64), (1, 64, 64)),  # each chunk is contiguous
        ((3, 200, 5), (3, 16, 5)),
        ((512, 512), (512, 100)),
    ],
)
def test_arrays_of_many_chunks_come_back(tmp_path, compressors, shape, chunks):
    values = np.random.default_rng(1).integers(0, 99, shape).astype("i4")
    z = sz.create_array(
        str(tmp_path), shape=shape, chunks=chunks, dtype="i4", compressors=compressors, fill_value=5
    )
    z[...] = values
    np.testing.assert_array_equal(z[...], values)
    inner = tuple(slice(1, n - 1) for n in shape)
    np.testing.assert_array_equal(z[inner], values[inner])
    np.testing.assert_array_equal(z[(inner[0],)], values[(inner[0],)])
    z.delete_chunk((0,) * len(shape))
    values[tuple(slice(c) for c in chunks)] = 5
    np.testing.assert_array_equal(z[...], values)
    z[inner] = -values[inner]
    values[inner] *= -1
    np.testing.assert_array_equal(z[...], values)
    with pytest.raises(KeyNotFoundError, match=r"chunk \(0"):
        sz.create_array(str(tmp_path), shape=shape, chunks=chunks, dtype="i4", overwrite=True).read(
            missing="error"
        )


def test_a_run_of_chunks_leaves_out_those_of_fill():
    z = sz.create_array("memory://", shape=(100,), chunks=(10,), dtype="f4", fill_value=np.nan)
    values = np.full(100, np.nan, "f4")
    values[25], values[30:40] = 1, 2
    z[...] = values
    assert [z.has_chunk((i,)) for i in range(10)] == [i in (2, 3) for i in range(10)]
    z[...] = np.nan
    assert not any(z.has_chunk((i,)) for i in range(10))


def test_the_error_of_a_run_names_the_chunk():
    store = MemoryStore()
    z = sz.create_array(store, shape=(8, 400), chunks=(4, 20), dtype="i4", compressors="zstd")
    z[...] = np.arange(3200).reshape(8, 400)
    store.put("c/1/13", b"noise")
    with pytest.raises(CodecError, match=r"chunk \(1, 13\) \(key 'c/1/13'\)"):
        z[...]
    plain = sz.create_array(store, shape=(400,), chunks=(20,), dtype="i4", compressors=None, overwrite=True)
    plain[...] = 1
    store.put("c/7", b"short")
    with pytest.raises(CodecError, match=r"chunk \(7,\) \(key 'c/7'\): bytes: got 5 bytes, expected 80"):
        plain[...]


def test_chunks_longer_than_the_borrowed_memory_are_read_all_the_same():
    store = MemoryStore()
    z = sz.create_array(store, shape=(40_000,), chunks=(1000,), dtype="i4", compressors=None)
    z[...] = np.arange(40_000)
    store.put("c/3", bytes(5000))
    with pytest.raises(CodecError, match="got 5000 bytes"):
        z[...]


def test_a_borrowed_buffer_is_not_lent_twice():
    with Scratch(10) as a:
        with Scratch(10) as b:
            a[:] = b"a" * 10
            b[:] = b"b" * 10
        assert bytes(a) == b"a" * 10


def test_claims_wait_for_shared_keys_only():
    claims, order = ChunkLocks(), []
    with claims.hold("a", "b"):

        def other():
            with claims.hold("b", "c"):
                order.append("other")

        thread = threading.Thread(target=other)
        thread.start()
        with claims.hold("c"):
            order.append("free")
        thread.join(0.05)
        order.append("first")
    thread.join()
    assert order == ["free", "first", "other"]


def test_a_thread_that_writes_parts_and_one_that_writes_all_lose_nothing():
    z = sz.create_array("memory://", shape=(64,), chunks=(16,), dtype="i4")
    barrier = threading.Barrier(2)

    def whole():
        barrier.wait()
        for value in range(200):
            z[...] = value

    def part():
        barrier.wait()
        for value in range(200):
            z[8:10] = -value

    threads = [threading.Thread(target=each) for each in (whole, part)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    found = z[...]
    assert (found[10:] == 199).all()
    assert (found[:8] == 199).all()


@pytest.mark.parametrize("store", ["local", "memory"])
def test_large_plain_chunks_are_read_in_pieces(tmp_path, store):
    values = np.random.default_rng(3).integers(0, 1 << 30, (1100, 1500)).astype("i4")
    url = str(tmp_path) if store == "local" else "memory://"
    z = sz.create_array(url, shape=values.shape, chunks=(600, 1000), dtype="i4", compressors=None)
    z[...] = values
    np.testing.assert_array_equal(z[...], values)
    np.testing.assert_array_equal(z[5:1000, 3:], values[5:1000, 3:])
    np.testing.assert_array_equal(z[0:1000:7, ::3], values[0:1000:7, ::3])
    key = z.chunk_key((1, 0))
    whole = z.store.get(key)
    for bad in (whole[:-1], whole[:-4000], whole + b"x", b""):
        z.store.put(key, bad)
        with pytest.raises(CodecError, match=rf"chunk \(1, 0\).*got {len(bad)} bytes, expected 2400000"):
            z[...]


class WaitingStore(MemoryStore):
    """Answers a read of a chunk only once `in_flight` of them have been asked for."""

    barrier = threading.Barrier(8)

    @property
    def capabilities(self):
        return replace(super().capabilities, in_flight=8)

    def get_into(self, key, buffer):
        self.barrier.wait(timeout=60)
        return super().get_into(key, buffer)


def test_a_store_that_waits_is_asked_for_many_chunks_at_a_time():
    store = WaitingStore()
    z = sz.create_array(store, shape=(16,), chunks=(1,), dtype="i4")
    z[...] = np.arange(1, 17)
    np.testing.assert_array_equal(z[...], np.arange(1, 17))
