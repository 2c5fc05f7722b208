"""Shards: partial reads and writes, both index places, damage (trap T15)."""

from __future__ import annotations

import json

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import (
    ChecksumError,
    CodecError,
    ConfigError,
    KeyNotFoundError,
    LimitExceededError,
    MetadataError,
)
from streamzarr.limits import Limits
from streamzarr.stores import MemoryStore
from streamzarr.testing.faults import RecordingStore
from streamzarr.zarr.codecs import (
    BytesCodec,
    Crc32cCodec,
    GzipCodec,
    ShardingCodec,
    TransposeCodec,
    ZstdCodec,
)

ABSENT = b"\xff" * 16


def sharded(location="end", **options):
    codec = ShardingCodec((2,), (BytesCodec(),), index_location=location)
    return sz.create_array(
        MemoryStore(),
        **{"shape": (7,), "chunks": (4,), "dtype": "u1", "compressors": None} | options,
        serializer=codec,
    )


def test_t15_the_bytes_of_a_shard_with_the_index_at_the_end():
    z = sharded()
    z[:4] = [1, 2, 0, 0]
    data = z.store.get("c/0")
    assert data[:2] == bytes([1, 2])
    assert data[2:18] == (0).to_bytes(8, "little") + (2).to_bytes(8, "little")
    assert data[18:34] == ABSENT
    assert len(data) == 2 + 32 + 4


def test_t15_offsets_count_from_the_start_of_the_shard():
    z = sharded("start")
    z[:4] = [1, 2, 3, 4]
    data = z.store.get("c/0")
    assert data[:8] == (0x24).to_bytes(8, "little")
    assert data[36:] == bytes([1, 2, 3, 4])
    assert sz.open_array(z.store)[...].tolist() == [1, 2, 3, 4, 0, 0, 0]


@pytest.mark.parametrize("location", ["start", "end"])
def test_t06_inner_chunks_of_fill_are_not_stored_and_an_empty_shard_is_deleted(location):
    z = sharded(location, fill_value=9)
    z[...] = 1
    z[:2] = 9
    assert sorted(z.store.list("c")) == ["c/0", "c/1"]
    assert ABSENT in z.store.get("c/0")
    z[2:4] = 9
    assert sorted(z.store.list("c")) == ["c/1"]
    assert z[...].tolist() == [9, 9, 9, 9, 1, 1, 1]


def test_shards_may_be_of_any_order_and_have_gaps():
    z = sharded()
    z[:4] = [1, 2, 3, 4]
    crc = Crc32cCodec()
    entries = np.array([[7, 2], [1, 2]], "<u8").tobytes()
    z.store.put("c/0", b"?" + bytes([3, 4]) + b"????" + bytes([1, 2]) + bytes(crc.encode(entries)))
    assert z[:4].tolist() == [1, 2, 3, 4]
    z[0] = 8
    assert z[:4].tolist() == [8, 2, 3, 4]


def test_properties_and_metadata():
    z = sz.create_array(
        "memory://", shape=(10, 10), chunks=(2, 3), shards=(4, 6), dtype="i2", compressors="gzip"
    )
    assert (z.chunks, z.shards, z.grid.shape) == ((2, 3), (4, 6), (3, 2))
    assert z.compressors == (GzipCodec(5),)
    assert [codec.name for codec in z.metadata.codecs] == ["sharding_indexed"]
    assert "Shard shape        : (4, 6)" in str(z.info)
    assert sz.create_array("memory://", shape=(9, 9), chunks=3, shards=9, dtype="i2").shards == (9, 9)
    for shards in ((5, 6), (4,), (0, 6), (1, 3)):
        with pytest.raises(ConfigError, match="shards"):
            sz.create_array("memory://", shape=(10, 10), chunks=(2, 3), shards=shards, dtype="i2")


def test_a_partial_read_asks_for_the_index_and_what_it_needs():
    store = RecordingStore(MemoryStore())
    z = sz.create_array(
        store, shape=(1 << 20,), chunks=(1 << 14,), shards=(1 << 20,), dtype="u1", compressors=None
    )
    z[...] = np.random.default_rng(0).integers(1, 255, 1 << 20)
    expected = z[...]
    store.clear()
    assert np.array_equal(z[5:9], expected[5:9])
    assert [call.operation for call in store.calls] == ["get", "get_ranges"]
    store.clear()
    assert np.array_equal(z[:: 1 << 19], expected[:: 1 << 19])
    assert [call.operation for call in store.calls] == ["get", "get_ranges", "get_ranges"]


def test_a_partial_write_keeps_the_bytes_that_it_does_not_touch():
    z = sz.create_array("memory://", shape=(4,), chunks=(2,), shards=(4,), dtype="u1", compressors=None)
    z[...] = [1, 2, 3, 4]
    layout = z.metadata.codecs[0].layout
    before = {inner: bytes(data) for inner, data in layout.split(z.store.get("c/0")).items()}
    z[3] = 9
    after = {inner: bytes(data) for inner, data in layout.split(z.store.get("c/0")).items()}
    assert after == before | {(1,): bytes([3, 9])}


def test_writing_twice_gives_the_same_bytes():
    z = sz.create_array("memory://", shape=(7, 7), chunks=(2, 2), shards=(4, 4), dtype="i4")
    values = np.arange(49).reshape(7, 7)
    z[...] = values
    whole = {key: z.store.get(key) for key in z.store.list("c")}
    for index in z.grid.indices():
        z.write_chunk(index, values[z.grid.slices(index)])
    assert {key: z.store.get(key) for key in z.store.list("c")} == whole
    for row in range(7):
        z[row] = values[row]
    assert {key: z.store.get(key) for key in z.store.list("c")} == whole


@pytest.mark.parametrize(
    "codecs",
    [
        [ShardingCodec((4, 4), (ShardingCodec((2, 2), (BytesCodec(), ZstdCodec())),))],
        [ShardingCodec((2, 2), (TransposeCodec((1, 0)), BytesCodec("big"), Crc32cCodec()))],
        [TransposeCodec((1, 0)), ShardingCodec((2, 4), (BytesCodec(),))],
        [ShardingCodec((2, 2), (BytesCodec(),)), GzipCodec(1)],
        [ShardingCodec((2, 2), (BytesCodec(),), (BytesCodec("big"),))],
        [ShardingCodec((8, 8), (BytesCodec(),), index_location="start")],
    ],
    ids=["nested", "inner transpose", "outer transpose", "outer gzip", "bare index", "one"],
)
def test_chains_in_and_around_shards(codecs):
    filters = [c for c in codecs if isinstance(c, TransposeCodec)]
    serializer = next(c for c in codecs if isinstance(c, ShardingCodec))
    compressors = [c for c in codecs if isinstance(c, GzipCodec)]
    z = sz.create_array(
        "memory://",
        shape=(11, 9),
        chunks=(8, 8),
        dtype="i4",
        filters=filters,
        serializer=serializer,
        compressors=compressors,
        fill_value=5,
    )
    values = np.arange(99).reshape(11, 9)
    z[...] = values
    z = sz.open_array(z.store, mode="r+")
    assert np.array_equal(z[...], values)
    assert np.array_equal(z[2:9:3, 1:], values[2:9:3, 1:])
    z[3:5, ::2] = 5
    values[3:5, ::2] = 5
    assert np.array_equal(z[...], values)
    z.append(np.full((3, 9), 4))
    assert np.array_equal(z[...], np.vstack([values, np.full((3, 9), 4)]))


def test_arrays_without_dimensions_can_be_sharded():
    z = sz.create_array("memory://", shape=(), chunks=(), shards=(), dtype="i4")
    z[...] = 5
    assert sz.open_array(z.store)[...] == 5


def test_resizing_clears_inside_shards():
    z = sz.create_array("memory://", shape=(8,), chunks=(2,), shards=(8,), dtype="u1", fill_value=7)
    z[...] = 1
    z.resize((3,), clear=True)
    z.resize((8,))
    assert z[...].tolist() == [1, 1, 1, 7, 7, 7, 7, 7]


def test_a_missing_shard_can_be_an_error_and_a_missing_inner_chunk_is_fill():
    z = sharded()
    z[:2] = 1
    assert z.read(slice(0, 4), missing="error").tolist() == [1, 1, 0, 0]
    with pytest.raises(KeyNotFoundError, match=r"chunk \(1,\)"):
        z.read(missing="error")
    z.write_chunk((1,), [0, 0, 0], write_empty=True)
    assert z.read(missing="error").tolist() == [1, 1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("location", ["start", "end"])
def test_damaged_shards(location):
    z = sharded(location, compressors=None)
    z[...] = [1, 2, 3, 4, 5, 6, 7]
    whole = z.store.get("c/0")
    for damaged in (b"", whole[:5], whole[:-1]):
        z.store.put("c/0", damaged)
        for access in (lambda: z[...], lambda: z[3], lambda: z.__setitem__(3, 1)):
            with pytest.raises(CodecError, match=r"chunk \(0,\) \(key 'c/0'\).*sharding_indexed"):
                access()
    flipped = bytearray(whole)
    flipped[0 if location == "start" else -5] ^= 1
    z.store.put("c/0", flipped)
    with pytest.raises(ChecksumError, match="index"):
        z[0]


def test_an_index_that_points_outside_of_the_shard():
    z = sharded()
    for entries in ([[0, 2], [2**63, 2]], [[0, 2], [1, 2**40]], [[0, 3], [2, 2]], [[2**64 - 1, 2], [2, 2]]):
        index = np.array(entries, "<u8").tobytes()
        z.store.put("c/0", bytes([1, 2, 3, 4]) + bytes(Crc32cCodec().encode(index)))
        with pytest.raises(CodecError, match="inner chunk"):
            z[:4]
        with pytest.raises(CodecError, match="inner chunk"):
            z[1:3] = 1


@pytest.mark.parametrize(
    "changes",
    [
        {"chunk_shape": [3]},
        {"chunk_shape": [2, 2]},
        {"chunk_shape": [0]},
        {"chunk_shape": 2},
        {"codecs": []},
        {"codecs": [{"name": "nonsense"}]},
        {"index_location": "middle"},
        {"index_codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "gzip"}]},
        {"extra": 1},
    ],
    ids=str,
)
def test_configurations_that_are_not_valid(changes):
    z = sharded()
    document = json.loads(z.store.get("zarr.json"))
    document["codecs"][0]["configuration"] |= changes
    z.store.put("zarr.json", json.dumps(document).encode())
    with pytest.raises(MetadataError, match="sharding_indexed"):
        sz.open_array(z.store)


def test_limits_hold_for_inner_chunks():
    z = sz.create_array("memory://", shape=(4000,), chunks=(1000,), shards=(4000,), dtype="u1")
    assert sz.open_array(z.store, limits=Limits(max_chunk_bytes=1000)).chunks == (1000,)
    with pytest.raises(LimitExceededError):
        sz.open_array(z.store, limits=Limits(max_chunk_bytes=999))
