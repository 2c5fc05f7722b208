"""Functions on every chunk: results, targets, processes, and layouts that would lose data."""

import asyncio
import os
import threading
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import CodecError, ConfigError, KeyNotFoundError, UnsupportedError
from streamzarr.stores import MemoryStore
from streamzarr.testing.faults import RecordingStore
from tests.support.chunk_functions import (
    CAUSE,
    Append,
    die,
    double,
    fail_on_seven,
    fail_unpicklably,
    process_of,
)

VALUES = np.arange(60, dtype="i4").reshape(10, 6)


@pytest.fixture
def source():
    return sz.create_array("memory://", data=VALUES, chunks=(4, 3))


@pytest.fixture
def stored(tmp_path):
    return sz.create_array(tmp_path / "source.zarr", data=VALUES, chunks=(4, 3))


def new(place="memory://", shape=VALUES.shape, dtype="i4", **options):
    return sz.create_array(place, shape=shape, dtype=dtype, **options)


@pytest.mark.parametrize("ordered", [True, False])
@pytest.mark.parametrize("concurrency", [None, 1, 3])
def test_gives_a_result_for_every_chunk(source, concurrency, ordered):
    reports = []
    sums = source.map_chunks(
        np.sum, concurrency=concurrency, ordered=ordered, progress=lambda *report: reports.append(report)
    )
    assert len(sums) == 6
    results = list(sums)
    assert all(result.value == VALUES[result.slices].sum() for result in results)
    indices = [result.index for result in results]
    assert sorted(indices) == list(source.grid.indices())
    assert not ordered or indices == sorted(indices)
    assert reports == [(n, 6) for n in range(7)]
    assert len(list(sums)) == 6


def test_a_region_a_filter_and_what_is_missing(source):
    inside = list(source.map_chunks(np.sum, region=(slice(3, 5), slice(0, 2))))
    assert [result.slices for result in inside] == [
        (slice(3, 4), slice(0, 2)),
        (slice(4, 5), slice(0, 2)),
    ]
    assert [result.value for result in inside] == [VALUES[3:4, :2].sum(), VALUES[4:5, :2].sum()]
    assert [r.index for r in source.map_chunks(np.sum, where=lambda index: index[1] == 1)] == [
        (0, 1),
        (1, 1),
        (2, 1),
    ]
    source.delete_chunk((1, 1))
    assert len(list(source.map_chunks(np.sum))) == 6
    assert len(list(source.map_chunks(np.sum, missing="skip"))) == 5
    with pytest.raises(KeyNotFoundError):
        list(source.map_chunks(np.sum, missing="error"))


def test_async_loops(source):
    async def collect():
        return [result.value async for result in source.map_chunks(np.sum)]

    assert sum(asyncio.run(collect())) == VALUES.sum()


@pytest.mark.parametrize(
    "layout",
    [
        {"chunks": (4, 3)},
        {"chunks": (3, 6)},
        {"chunks": (2, 1), "shards": (4, 3)},
        {"chunks": (2, 2), "shards": (6, 6), "compressors": None},
    ],
)
def test_writes_to_a_target_of_any_chunks_one_unit_each(source, layout):
    store = RecordingStore(MemoryStore())
    target = new(store, **layout)
    store.clear()
    assert source.map_chunks(double, concurrency=2).into(target) is target
    assert np.array_equal(target[:], VALUES * 2)
    written = [call.key for call in store.calls if call.operation.startswith("put")]
    assert len(written) == len(set(written)) == target.grid.size


def test_a_target_of_another_shape_gets_result_for_result():
    source = new(shape=(10, 6), chunks=(4, 3))
    source[:] = VALUES
    target = new(shape=(3, 6), dtype="i8", chunks=(1, 3))
    source.map_chunks(lambda block: block.sum(axis=0, keepdims=True, dtype="i8")).into(target)
    assert np.array_equal(target[:], [VALUES[a:b].sum(axis=0) for a, b in ((0, 4), (4, 8), (8, 10))])


def test_in_place(source):
    source.map_chunks(double).into(source)
    assert np.array_equal(source[:], VALUES * 2)


def test_what_would_let_tasks_share_an_object_is_refused(source):
    # Every result would be a chunk of a shard that other results are in, too.
    shards = new(shape=(3, 6), chunks=(1, 3), shards=(3, 3))
    with pytest.raises(ConfigError, match="several tasks would write parts of one shard"):
        source.map_chunks(lambda block: block.sum(axis=0, keepdims=True)).into(shards)
    # Two calls, perhaps in two processes, would each write a part of one shard.
    sharded = new(chunks=(2, 3), shards=(4, 3))
    for rows in (slice(0, 2), slice(2, 10), slice(1, 8)):
        with pytest.raises(ConfigError, match="region: along axis 0 it cuts a shard"):
            source.map_chunks(double, region=rows).into(sharded)
    assert sharded.nchunks_initialized == shards.nchunks_initialized == 0
    source.map_chunks(double, region=slice(4, 10)).into(sharded)
    source.map_chunks(double, region=slice(0, 4)).into(sharded)
    assert np.array_equal(sharded[:], VALUES * 2)


def test_bad_arguments_are_refused_before_anything_runs(source, tmp_path):
    for bad in ({"executor": "fibers"}, {"concurrency": 0}, {"missing": "ignore"}):
        with pytest.raises(ConfigError, match=next(iter(bad))):
            source.map_chunks(np.sum, **bad)
    with pytest.raises(IndexError, match="region"):
        source.map_chunks(np.sum, region=slice(None, None, 2))
    new(tmp_path / "r.zarr")
    with pytest.raises(UnsupportedError, match="read-only"):
        source.map_chunks(die).into(sz.open_array(tmp_path / "r.zarr"))


def test_a_result_that_does_not_fit_is_an_error_that_names_the_chunk(source):
    with pytest.raises(ValueError, match="block has shape") as caught:
        source.map_chunks(np.sum, concurrency=1).into(new(chunks=(4, 3)))
    assert "chunk (0, 0) of" in caught.value.__notes__[0]


def test_the_first_error_wins_cancels_the_rest_and_names_its_chunk(source):
    called = []

    def fail_late(block):
        called.append(int(block[0, 0]))
        return fail_on_seven(block)

    with pytest.raises(ValueError, match=CAUSE) as caught:
        list(source.map_chunks(fail_late, concurrency=1))
    assert caught.value.__notes__ == [f"in map_chunks: chunk (0, 0) of {source.url}"]
    assert len(called) <= 2
    store = source.store
    store.put(source.chunk_key((1, 0)), b"broken")
    seen = []
    with pytest.raises(CodecError, match=r"chunk \(1, 0\)"):
        seen.extend(result.index for result in source.map_chunks(np.sum, concurrency=2))
    assert seen == [(0, 0), (0, 1)]


def test_threads_end_with_the_loop_however_it_ends(source):
    def threads():
        return [thread for thread in threading.enumerate() if thread.name.startswith("streamzarr-map")]

    for _ in source.map_chunks(np.sum, concurrency=3):
        assert threads()
        break
    assert not threads()
    with pytest.raises(ValueError, match=CAUSE):
        list(source.map_chunks(fail_on_seven, concurrency=3))
    assert not threads()


def test_memory_stays_bounded_whatever_the_number_of_chunks():
    source = new(shape=(200, 10), chunks=(1, 10))
    lock, alive, most = threading.Lock(), 0, 0

    class Held:
        def __init__(self, block):
            nonlocal alive, most
            with lock:
                alive += 1
                most = max(most, alive)

        def __del__(self):
            nonlocal alive
            with lock:
                alive -= 1

    for ordered in (True, False):
        for result in source.map_chunks(Held, concurrency=3, ordered=ordered):
            del result
    assert 0 < most <= 2 * 3 + 2  # in flight, one that is handed over, one that the loop holds
    assert alive == 0


def test_an_executor_of_the_callers_is_used_and_left_running(source):
    with ThreadPoolExecutor(1, thread_name_prefix="mine") as mine:
        names = {r.value for r in source.map_chunks(lambda _: threading.current_thread().name, executor=mine)}
        assert names == {"mine_0"}
        assert mine.submit(int).result() == 0


def test_processes_write_a_target_without_sending_chunks(stored, tmp_path):
    calls = tmp_path / "calls"
    target = new(tmp_path / "target.zarr", chunks=(2, 3), shards=(4, 6))
    # Threads have been used before, and locks may be held: processes are spawned.
    assert len(list(stored.map_chunks(np.sum, concurrency=2))) == 6
    stored.map_chunks(Append(calls), executor="processes", concurrency=2).into(target)
    assert np.array_equal(target[:], VALUES + 1)
    pids = calls.read_text().split()
    assert len(pids) == target.grid.size == 3
    assert str(os.getpid()) not in pids


def test_processes_send_results_and_errors_back(stored):
    pids = [result.value for result in stored.map_chunks(process_of, executor="processes", concurrency=1)]
    assert len(pids) == 6
    assert os.getpid() not in pids
    with pytest.raises(ValueError, match=CAUSE) as caught:
        list(stored.map_chunks(fail_on_seven, executor="processes", concurrency=1))
    assert any("chunk (0, 0) of" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("fn", [die, fail_unpicklably])
def test_a_process_that_dies_is_an_error_not_a_hang(stored, fn):
    with pytest.raises(BrokenExecutor) as caught:
        list(stored.map_chunks(fn, executor="processes", concurrency=1))
    assert any("chunk (0, 0) of" in note for note in caught.value.__notes__)


def test_what_cannot_be_sent_to_a_process_is_said_at_once(stored, source):
    with pytest.raises(Exception, match="local object") as caught:
        list(stored.map_chunks(lambda block: block, executor="processes"))
    assert any("top of a module" in note for note in caught.value.__notes__)
    with pytest.raises(UnsupportedError, match="memory store"):
        list(source.map_chunks(double, executor="processes"))


def test_chunks_of_different_lengths_are_units_like_others(source):
    uneven = new(chunks=[[3, 4, 3], [5, 1]])
    source.map_chunks(double).into(uneven)
    assert np.array_equal(uneven[:], VALUES * 2)
    assert [result.value for result in uneven.map_chunks(np.shape)] == [
        (rows, columns) for rows in (3, 4, 3) for columns in (5, 1)
    ]
    with pytest.raises(ConfigError, match="cuts a chunk"):
        source.map_chunks(double, region=slice(0, 4)).into(uneven)
    source.map_chunks(np.negative, region=slice(3, 7)).into(uneven)
    assert np.array_equal(uneven[3:7], -VALUES[3:7])
