"""Shards inside of shards: only what is needed is read, at any depth, and nothing corrupt reads as data."""

from __future__ import annotations

import numpy as np
import pytest
import zarr
from zarr.codecs import BytesCodec as TheirBytes
from zarr.codecs import ShardingCodec as TheirSharding

import streamzarr.zarr as sz
from streamzarr.errors import CodecError
from streamzarr.stores import MemoryStore, Store
from streamzarr.testing.faults import WrappedStore
from streamzarr.zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec

LENGTH = 1 << 20


class CountingStore(WrappedStore):
    """Remembers how many bytes each read of chunks returned."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.reads: list[int] = []

    def get(self, key, byte_range=None):
        data = self.inner.get(key, byte_range)
        self.reads.append(len(data))
        return data

    def get_ranges(self, key, ranges):
        found = self.inner.get_ranges(key, ranges)
        self.reads.append(sum(map(len, found)))
        return found


def nested(*shapes, locations=("end", "start", "end"), codecs=None):
    """Return a sharding codec of inner shards of `shapes`, the outermost first."""
    codecs = codecs or (BytesCodec(),)
    for shape, location in zip(reversed(shapes), locations, strict=False):
        codecs = (ShardingCodec(shape, tuple(codecs), index_location=location),)
    return codecs[0]


@pytest.fixture(params=[("end", "end"), ("start", "start"), ("end", "start"), ("start", "end")], ids="-".join)
def array(request):
    store = CountingStore(MemoryStore())
    z = sz.create_array(
        store,
        shape=(2 * LENGTH,),
        chunks=(LENGTH,),
        dtype="u1",
        serializer=nested((1 << 18,), (1 << 10,), locations=request.param),
        compressors=None,
        fill_value=0,
    )
    z[:LENGTH] = np.random.default_rng(0).integers(1, 255, LENGTH)
    store.reads.clear()
    return z


def test_one_element_costs_two_indexes_and_a_chunk(array):
    expected = array[:LENGTH]
    array.store.reads.clear()
    assert array[300_000] == expected[300_000]
    outer, inner, chunk = array.store.reads
    assert outer == 4 * 16 + 4
    assert inner == 256 * 16 + 4
    assert chunk == 1 << 10


def test_neighbours_share_a_request_and_whole_inner_shards_are_not_taken_apart(array):
    expected = array[:LENGTH]
    array.store.reads.clear()
    # The end of one inner shard, all of the next, the beginning of a third.
    selection = slice((1 << 18) - 2000, (1 << 19) + 2000)
    assert np.array_equal(array[selection], expected[selection])
    assert len(array.store.reads) <= 5
    assert sum(array.store.reads) < (1 << 18) + 5 * (1 << 12) + 2 * (1 << 17)
    array.store.reads.clear()
    assert np.array_equal(array[:LENGTH], expected)
    assert len(array.store.reads) == 2


def test_a_few_elements_from_far_apart(array):
    expected = array[:LENGTH]
    places = np.array([5, 999_999, 300_001, 6, 300_000])
    for read in (array.vindex, array.oindex):
        array.store.reads.clear()
        assert np.array_equal(read[places], expected[places])
        assert sum(array.store.reads) < 3 * (256 * 16 + (1 << 17))
    array.store.reads.clear()
    assert np.array_equal(array[: LENGTH : 1 << 17], expected[:: 1 << 17])
    assert sum(array.store.reads) < LENGTH


def test_what_was_never_written_reads_as_the_fill_value(array):
    assert not array[LENGTH:].any()
    array[: 1 << 18] = 0
    array[(1 << 18) + 5 : (1 << 18) + 5000] = 0
    assert not array[100:5000].any()
    assert not array[(1 << 18) + 1024 : (1 << 18) + 4096].any()
    assert array[(1 << 18) + 5001] != 0


@pytest.mark.parametrize("codecs", [(BytesCodec(),), (BytesCodec(), Crc32cCodec())], ids=str)
def test_three_levels_in_two_dimensions_are_what_numpy_selects(codecs, tmp_path):
    data = np.arange(24 * 32, dtype="i4").reshape(24, 32)
    serializer = nested((12, 16), (6, 8), (3, 2), codecs=codecs)
    z = sz.create_array(str(tmp_path), data=data, chunks=(24, 32), serializer=serializer, compressors=None)
    rng = np.random.default_rng(1)
    for _ in range(60):
        (a, b), (c, d) = sorted(rng.integers(0, 25, 2)), sorted(rng.integers(0, 33, 2))
        step = int(rng.integers(1, 4))
        assert np.array_equal(z[a:b:step, c:d], data[a:b:step, c:d])
        rows, columns = rng.integers(0, 24, 5), rng.integers(0, 32, 5)
        assert np.array_equal(z.oindex[rows, columns], data[np.ix_(rows, columns)])
        assert np.array_equal(z.vindex[rows, columns], data[rows, columns])
        z[a:b, c:d] = data[a:b, c:d] = data[a:b, c:d] + 1
        assert z[int(rows[0]), int(columns[0])] == data[rows[0], columns[0]]
    assert np.array_equal(zarr.open_array(tmp_path)[:], data)


def test_what_zarr_python_nested(tmp_path):
    data = np.arange(64, dtype="u2")
    inner = TheirSharding(chunk_shape=(4,), codecs=[TheirBytes()], index_location="start")
    theirs = zarr.create_array(
        tmp_path, shape=(64,), chunks=(16,), shards=(64,), dtype="u2", serializer=inner, compressors=None
    )
    theirs[:] = data
    z = sz.open_array(str(tmp_path))
    for start in range(0, 64, 7):
        assert np.array_equal(z[start : start + 9], data[start : start + 9])


def test_corrupt_indexes_are_named(array):
    key = "c/0"
    whole = bytearray(array.store.inner.get(key))
    layout = array.metadata.codecs[0].layout
    crc = Crc32cCodec()

    def put(entries):
        index = bytes(crc.encode(np.array(entries, "<u8").tobytes()))
        body = whole[layout.index_nbytes :] if layout.location == "start" else whole[: -layout.index_nbytes]
        array.store.inner.put(key, bytes(index + body if layout.location == "start" else body + index))

    good = (layout.index_nbytes if layout.location == "start" else 0, 1 << 18)
    for wrong in ((good[0], 10), (1 << 62, 1 << 18), (good[0] + 7, 1 << 18), (1 << 21, 1 << 18)):
        put([wrong] * 4)
        with pytest.raises(CodecError, match=r"chunk \(0,\) \(key 'c/0'\): sharding_indexed: "):
            array[5]
    inner = layout.nested
    at = good[0] + (0 if inner.location == "start" else (1 << 18) + inner.index_nbytes - 6)
    whole[at] ^= 1
    array.store.inner.put(key, bytes(whole))
    with pytest.raises(CodecError, match=r"inner chunk \(0,\).*index"):
        array[5]
