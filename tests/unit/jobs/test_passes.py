"""What the planner is told of arrays: their grids, shards, dtypes and stores."""

import pytest

import streamzarr as sz
from streamzarr.jobs.passes import MEASURED, plan_passes, requests_to, source_of, target_of
from streamzarr.jobs.planner import FILES, Even, Requests, Uneven
from streamzarr.stores import Capabilities, MemoryStore
from streamzarr.testing.faults import RecordingStore


def array(store="memory://", **options):
    return sz.create_array(store, **({"dtype": "f4"} | options))


class Waiting(RecordingStore):
    """A store that likes sixteen requests at a time."""

    @property
    def capabilities(self):
        return Capabilities(conditional_put=True, atomic_put=True, in_flight=16)


def test_chunks_of_one_shape_and_of_several():
    even = source_of(array(shape=(10, 12), chunks=(4, 12)))
    assert (even.chunks, even.shards, even.itemsize) == ((Even(10, 4), Even(12, 12)), None, 4)
    uneven = source_of(array(shape=(10, 12), chunks=[[3, 4, 3], 5]))
    assert uneven.chunks[0] == Uneven((3, 4, 3))
    assert (uneven.shape, uneven.chunks[1].count, uneven.chunks[1].largest) == ((10, 12), 3, 5)


def test_inner_chunks_are_decoded_and_shards_asked_for():
    sharded = array(shape=(16, 16), chunks=(2, 2), shards=(8, 8))
    source = source_of(sharded)
    assert source.chunks == (Even(16, 2), Even(16, 2))
    assert source.stored == source.shards == (Even(16, 8), Even(16, 8))
    assert target_of(sharded.metadata).chunks == (8, 8)  # a task writes whole shards
    [found] = plan_passes(sharded, array(shape=(16, 16), chunks=(4, 4)).metadata, max_task_bytes=1 << 20)
    # Of each shard its index, and a range.
    assert (found.block, found.decoded, found.reads) == ((2, 2), 1.0, 2 * 4)


def test_elements_of_variable_length_go_to_no_intermediate_array():
    names = array(shape=(4096, 4096), chunks=(1, 4096), dtype="str")
    others = array(shape=(4096, 4096), chunks=(4096, 1), dtype="str")
    assert len(plan_passes(names, others.metadata, max_task_bytes=16 << 20)) == 1
    numbers = array(shape=(4096, 4096), chunks=(1, 4096), dtype="f8")
    others = array(shape=(4096, 4096), chunks=(4096, 1), dtype="f8")
    assert len(plan_passes(numbers, others.metadata, max_task_bytes=16 << 20)) > 1


def test_a_task_has_few_elements_of_variable_length():
    documents = array(shape=(2_000_000,), chunks=(10,), dtype="str")
    [found] = plan_passes(documents, documents.metadata)
    assert 1 < found.block[0] * 10 <= (128 << 20) // (16 << 10)
    names, others = (array(shape=(1000, 1000), chunks=each, dtype="str") for each in [(1, 1000), (1000, 10)])
    [found] = plan_passes(names, others.metadata)
    assert found.tasks == 100


def test_a_downsampling_has_one_pass():
    above = array(shape=(4096, 4096), chunks=(1, 4096))
    level = array(shape=(2048, 2048), chunks=(2048, 1))
    assert len(plan_passes(above, level.metadata, factor=(2, 2), wide=32, max_task_bytes=8 << 20)) == 1


def test_files_are_not_asked_and_stores_that_wait_are():
    store = Waiting(MemoryStore("waiting"))
    distant = array(store, shape=(4,), chunks=(4,))
    store.calls.clear()
    before = store.count("head")
    requests = requests_to(distant, 1)
    assert store.count("head") == before + MEASURED
    assert requests.in_flight == 16
    assert 0 < requests.seconds < Requests().seconds
    assert source_of(distant).readers == 16
    assert requests_to(array(shape=(4,), chunks=(4,)), 1) == FILES
    assert requests_to(array(shape=(4,), chunks=(4,)), 16) == Requests()


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_arrays_of_both_formats(zarr_format):
    one = array(shape=(9, 9), chunks=(9, 1), zarr_format=zarr_format)
    other = array(shape=(9, 9), chunks=(1, 9), zarr_format=zarr_format)
    [found] = plan_passes(one, other.metadata, max_task_bytes=1 << 20)
    assert (found.chunks, found.writes, found.bytes_written) == ((1, 9), 9, 324)
