"""The chunks of an array: read when demand allows it, bounded by bytes known before, errors are errors."""

import numpy as np
import pytest

import streamzarr.zarr as zarr
from streamzarr.errors import CodecError
from streamzarr.flow import Demand, from_array, ops, run


@pytest.fixture
def source():
    return zarr.create_array("memory://", data=np.arange(70).reshape(7, 10), chunks=(2, 4))


def collect(into):
    return lambda messages: into.extend(message.data for message in messages)


class Reads:
    """Counts the chunks that an array reads, and their bytes."""

    def __init__(self, array, monkeypatch):
        self.count = self.nbytes = 0
        read = type(array).read

        def counted(array, *args, **kwargs):
            data = read(array, *args, **kwargs)
            self.count += 1
            self.nbytes += data.nbytes
            return data

        monkeypatch.setattr(type(array), "read", counted)


@pytest.mark.parametrize("concurrency", [None, 1, 3])
def test_the_blocks_are_those_of_the_array_in_order(source, concurrency):
    blocks = []
    chain = from_array(source, Demand(4), concurrency=concurrency).pipe(ops.settle(collect(blocks)))
    assert run(chain).ok == 12
    assert [block.index for block in blocks] == [(i, j) for i in range(4) for j in range(3)]
    whole = source[:]
    assert all(np.array_equal(block.data, whole[block.slices]) for block in blocks)
    assert sum(block.data.size for block in blocks) == 70


def test_a_region_and_a_filter(source):
    blocks = []
    chain = from_array(source, Demand(4), region=np.s_[1:5, 3:9], where=lambda index: index[1] != 1).pipe(
        ops.settle(collect(blocks))
    )
    run(chain)
    assert [block.index for block in blocks] == [(0, 0), (0, 2), (1, 0), (1, 2), (2, 0), (2, 2)]
    assert blocks[0].slices == (slice(1, 2), slice(3, 4))
    assert blocks[0].data.tolist() == [[13]]


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("max_demand", [1, 2, 5])
def test_no_chunk_is_read_before_demand_allows_it(source, monkeypatch, concurrency, max_demand):
    reads, settled, ahead = Reads(source, monkeypatch), [], []

    def sink(messages):
        ahead.append(reads.count - len(settled))
        settled.extend(messages)

    run(from_array(source, Demand(max_demand), concurrency=concurrency).pipe(ops.settle(sink)))
    assert reads.count == len(settled) == 12
    assert max(ahead) <= max_demand


@pytest.mark.parametrize("concurrency", [1, 4])
def test_bytes_bound_what_is_read(source, monkeypatch, concurrency):
    reads, settled, ahead = Reads(source, monkeypatch), [], []

    def sink(messages):
        ahead.append(reads.nbytes - sum(message.nbytes for message in settled))
        settled.extend(messages)

    demand = Demand(100, max_bytes=2 * 4 * 8 * 2)  # two whole chunks
    run(from_array(source, demand, concurrency=concurrency).pipe(ops.settle(sink)))
    assert len(settled) == 12
    assert max(ahead) <= 128 + 64  # and one that does not fit any more, which waits
    assert demand.peak_bytes <= 128


def test_a_chunk_bigger_than_all_bytes_travels_alone(source):
    demand = Demand(100, max_bytes=10)
    assert run(from_array(source, demand).pipe(ops.settle())).ok == 12
    assert demand.peak == 1


@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_damaged_chunk_breaks_the_chain(source, concurrency):
    source.store.put(source.chunk_key((1, 1)), b"damaged")
    demand, blocks = Demand(4), []
    with pytest.raises(CodecError, match="1"):
        run(from_array(source, demand, concurrency=concurrency).pipe(ops.settle(collect(blocks))))
    assert len(blocks) <= 4
    assert demand.in_flight == 0


def test_it_can_be_run_again(source):
    chain = from_array(source, Demand(4)).pipe(ops.settle())
    assert [run(chain).ok for _ in range(2)] == [12, 12]


def test_an_empty_array_has_no_messages():
    assert (
        run(
            from_array(zarr.create_array("memory://", shape=(0,), dtype="i4"), Demand(1)).pipe(ops.settle())
        ).ok
        == 0
    )
