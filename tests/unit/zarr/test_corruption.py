"""Damaged and hostile chunks and documents: the right error, with names, and no memory spent (P7, P10)."""

from __future__ import annotations

import json
import tracemalloc
import zlib

import numcodecs
import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import (
    CodecError,
    DecompressionLimitError,
    KeyNotFoundError,
    LimitExceededError,
    MetadataError,
)
from streamzarr.limits import Limits
from streamzarr.stores import MemoryStore

COMPRESSORS = ["zstd", "gzip", "blosc", "crc32c"]
V2 = ["zstd", "gzip", "blosc", "zlib", "bz2", "lzma", "lz4"]


def filled(compressors, zarr_format=3, **options):
    store = MemoryStore()
    z = sz.create_array(
        store,
        **{"shape": (2000,), "chunks": (1000,), "dtype": "i4", "zarr_format": zarr_format} | options,
        compressors=compressors,
    )
    z[...] = np.random.default_rng(0).integers(0, 1000, z.shape)
    return z, z.chunk_key((1,))


def assert_refused(z):
    with pytest.raises(CodecError) as caught:
        z[...]
    assert z.url in str(caught.value)
    assert "chunk (1,)" in str(caught.value)
    with pytest.raises(CodecError):
        z[1500]
    with pytest.raises(CodecError):
        list(z.stream_chunks(concurrency=2))
    assert z[:1000].shape == (1000,)


ALL = [(name, 3) for name in COMPRESSORS] + [(name, 2) for name in V2]


@pytest.mark.parametrize(("compressors", "zarr_format"), ALL)
def test_a_truncated_chunk(compressors, zarr_format):
    z, key = filled(compressors, zarr_format)
    whole = z.store.get(key)
    for length in (0, 1, 3, 10, len(whole) // 2, len(whole) - 1):
        z.store.put(key, whole[:length])
        assert_refused(z)


@pytest.mark.parametrize(("compressors", "zarr_format"), [each for each in ALL if each[0] != "crc32c"])
def test_a_chunk_that_decodes_to_less_or_more(compressors, zarr_format):
    z, key = filled(compressors, zarr_format)
    codec = numcodecs.get_codec({"id": compressors})
    for size in (0, 4, 3996, 4004, 40_000):
        z.store.put(key, bytes(codec.encode(bytes(size))))
        if compressors == "zlib" and size == 0:
            z.store.put(key, zlib.compress(b""))
        assert_refused(z)


@pytest.mark.parametrize(("compressors", "zarr_format"), ALL)
def test_noise_in_place_of_a_chunk(compressors, zarr_format):
    z, key = filled(compressors, zarr_format)
    for seed in range(20):
        z.store.put(key, np.random.default_rng(seed).bytes(200))
        assert_refused(z)


def test_every_flipped_bit_is_found_under_crc32c():
    z, key = filled(["zstd", "crc32c"], shape=(200,), chunks=(100,))
    whole = z.store.get(key)
    for bit in range(0, len(whole) * 8, 7):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        z.store.put(key, damaged)
        with pytest.raises(CodecError):
            z[...]


def zstd_bomb(size: int, *, stated: bool) -> bytes:
    """A frame of `size` bytes in one repeated byte; with or without its content size."""
    if stated:
        return bytes(numcodecs.Zstd(1).encode(bytes(size)))
    block = 128 * 1024
    body = b"".join(((block << 3) | 2).to_bytes(3, "little") + b"\0" for _ in range(size // block))
    return b"\x28\xb5\x2f\xfd" + b"\x00\x38" + body + (1).to_bytes(3, "little")


@pytest.mark.parametrize(
    ("compressors", "zarr_format", "bomb"),
    [
        ("zstd", 3, zstd_bomb(1 << 28, stated=True)),
        ("zstd", 3, zstd_bomb(1 << 28, stated=False)),
        ("gzip", 3, zlib.compressobj(9, zlib.DEFLATED, 31)),
        ("blosc", 3, bytes(numcodecs.Blosc().encode(bytes(1 << 28)))),
        ("zlib", 2, zlib.compressobj(9)),
        ("bz2", 2, bytes(numcodecs.BZ2().encode(bytes(1 << 28)))),
        ("lzma", 2, bytes(numcodecs.LZMA(preset=0).encode(bytes(1 << 28)))),
        ("lz4", 2, bytes(numcodecs.LZ4().encode(bytes(1 << 28)))),
    ],
    ids=["zstd", "zstd unstated", "gzip", "blosc", "zlib", "bz2", "lzma", "lz4"],
)
def test_a_decompression_bomb_costs_no_memory(compressors, zarr_format, bomb):
    z, key = filled(compressors, zarr_format)
    if not isinstance(bomb, bytes):
        bomb = b"".join(bomb.compress(bytes(1 << 20)) for _ in range(256)) + bomb.flush()
    z.store.put(key, bomb)
    tracemalloc.start()
    try:
        assert_refused(z)
        dictionary = 9 << 20 if compressors == "lzma" else 0
        assert tracemalloc.get_traced_memory()[1] < 2 * len(bomb) + (1 << 20) + dictionary
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(("compressors", "zarr_format"), [each for each in ALL if each[0] != "crc32c"])
def test_chunks_that_decompress_too_well_are_refused_by_who_wants_that(compressors, zarr_format):
    z = sz.create_array(
        "memory://",
        shape=(4, 100_000),
        chunks=(1, 100_000),
        write_empty_chunks=True,
        dtype="i4",
        compressors={"id": compressors} if zarr_format == 2 else compressors,
        zarr_format=zarr_format,
    )
    z[0] = np.random.default_rng(0).integers(0, 1000, 100_000)
    z[1:] = 0
    assert z[...].shape == z.shape
    strict = sz.open_array(z.store, limits=Limits(max_decompression_ratio=50))
    np.testing.assert_array_equal(strict[0], z[0])
    for read in (
        lambda: strict[...],
        lambda: strict[2],
        lambda: strict[2, ::2],
        lambda: strict.read_chunk((2, 0)),
    ):
        with pytest.raises(DecompressionLimitError, match=r"chunk \([12], 0\).*max_decompression_ratio"):
            read()
    assert issubclass(DecompressionLimitError, CodecError)
    assert issubclass(DecompressionLimitError, LimitExceededError)


def test_a_shard_of_which_most_is_missing_is_no_bomb():
    z = sz.create_array("memory://", shape=10**6, chunks=1000, shards=10**6, dtype="i8")
    z[:1000] = np.random.default_rng(0).integers(0, 2**62, 1000)
    strict = sz.open_array(z.store, limits=Limits(max_decompression_ratio=2))
    np.testing.assert_array_equal(strict[:2000], z[:2000])
    z[5000:6000] = 1
    with pytest.raises(DecompressionLimitError):
        strict[5000:6000]


def test_strings_that_decompress_too_well_are_refused():
    z = sz.create_array("memory://", data=np.array(["a" * 10**6] * 4, dtype=np.dtypes.StringDType()))
    assert len(z[0][()]) == 10**6
    with pytest.raises(CodecError, match="expected at most"):
        sz.open_array(z.store, limits=Limits(max_decompression_ratio=100))[...]


def test_a_zstd_frame_without_content_size_is_read():
    z, key = filled("zstd", dtype="u1", chunks=(1000,))
    frame = b"\x28\xb5\x2f\xfd" + b"\x00\x38" + ((1000 << 3) | 3).to_bytes(3, "little") + b"\x07"
    z.store.put(key, frame)
    assert z[1000:].tolist() == [7] * 1000


SKIPPED = b"\x5e\x2a\x4d\x18\x05\0\0\0other"


@pytest.mark.parametrize("dtype", ["u1", np.dtypes.StringDType()], ids=str)
@pytest.mark.parametrize("length", [1000, 300_000])
def test_frames_of_zstd_without_content_are_passed_over(dtype, length):
    """Other programs may write them: RFC 8878, 3.1.2."""
    values = (np.arange(length) % 9).astype(dtype)
    z = sz.create_array("memory://", data=values, compressors="zstd", chunks=(length,))
    frame = z.store.get("c/0")
    for stored in (SKIPPED + frame, SKIPPED + SKIPPED + frame, frame + SKIPPED):
        z.store.put("c/0", stored)
        np.testing.assert_array_equal(z[...], values)
    for stored in (SKIPPED, SKIPPED[:-1], SKIPPED[:6], SKIPPED + frame[:-9]):
        z.store.put("c/0", stored)
        with pytest.raises(CodecError):
            z[...]


def test_a_zstd_chunk_of_two_frames_is_read():
    z, key = filled("zstd", dtype="u1", chunks=(1000,))
    codec = numcodecs.Zstd(1)
    z.store.put(key, bytes(codec.encode(b"a" * 400)) + bytes(codec.encode(b"b" * 600)))
    assert bytes(z[1000:]) == b"a" * 400 + b"b" * 600
    z.store.put(key, bytes(codec.encode(b"a" * 1000)) + bytes(codec.encode(b"b" * 600)))
    with pytest.raises(CodecError):
        z[1000:]


def test_filters_that_give_the_wrong_size():
    z, key = filled("zstd", 2, filters=[numcodecs.Delta("i4")])
    z.store.put(key, bytes(numcodecs.Zstd().encode(bytes(4004))))
    assert_refused(z)


def test_a_compressor_that_cannot_be_used():
    z, _ = filled("zstd", 2)
    document = json.loads(z.store.get(".zarray")) | {"compressor": {"id": "zstd", "level": "high"}}
    z.store.put(".zarray", json.dumps(document).encode())
    with pytest.raises(CodecError, match=r"chunk \(0,\).*zstd"):
        sz.open_array(z.store, mode="r+")[:1000] = 1


def test_pickle_is_never_built_from_metadata():
    z, _ = filled("zstd", 2)
    document = json.loads(z.store.get(".zarray"))
    for change in ({"filters": [{"id": "pickle"}]}, {"compressor": {"id": "pickle"}}):
        z.store.put(".zarray", json.dumps(document | change).encode())
        with pytest.raises(MetadataError, match="pickle"):
            sz.open_array(z.store)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b"\xff\xfe",
        b'{"zarr_format": 4, "node_type": "array"}',
        b"null",
        b'{"zarr_format": 3}',
        b'{"zarr_format": 3, "node_type": "table"}',
        b'{"shape": 1' + b"0" * 5000 + b"}",
    ],
)
@pytest.mark.parametrize("key", ["zarr.json", ".zarray", ".zgroup"])
def test_documents_that_are_none(key, data):
    store = MemoryStore()
    store.put(key, data)
    with pytest.raises(MetadataError, match=key):
        sz.open(store)


@pytest.mark.parametrize("depth", [70, 100_000])
@pytest.mark.parametrize("brackets", [(b'{"a":', b"}"), (b"[", b"]")])
def test_nested_documents(depth, brackets):
    store = MemoryStore()
    left, right = brackets
    store.put("zarr.json", b'{"attributes": ' + left * depth + b"1" + right * depth + b"}")
    with pytest.raises(LimitExceededError, match="nested deeper"):
        sz.open(store)


def test_limits_of_size_rank_and_chunk():
    z, _ = filled("zstd")
    with pytest.raises(LimitExceededError, match="over 100 bytes"):
        sz.open_array(z.store, limits=Limits(max_metadata_bytes=100))
    with pytest.raises(LimitExceededError, match="chunk"):
        sz.open_array(z.store, limits=Limits(max_chunk_bytes=3999))
    assert sz.open_array(z.store, limits=Limits(max_chunk_bytes=4000)).chunks == (1000,)
    with pytest.raises(LimitExceededError, match="dimensions"):
        sz.create_array("memory://", shape=(1,) * 9, dtype="i4", limits=Limits(max_ndim=8))
    with pytest.raises(LimitExceededError, match="chunk"):
        sz.create_array("memory://", shape=(2**40,), chunks=(2**40,), dtype="i4")


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [-1]},
        {"shape": [1.0]},
        {"shape": [True]},
        {"shape": "4"},
        {"shape": [4, 4]},
        {"shape": None},
        {"chunk_grid": {"name": "regular"}},
        {"chunk_grid": "regular"},
        {"chunk_grid": {"name": "hexagonal", "configuration": {}}},
        {"chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2], "x": 1}}},
        {"chunk_key_encoding": {"name": "morton"}},
        {"chunk_key_encoding": {"name": "default", "configuration": {"separator": "-"}}},
        {"chunk_key_encoding": None},
        {"data_type": "int7"},
        {"data_type": None},
        {"data_type": {"name": "numpy.datetime64", "configuration": {"unit": "fortnight"}}},
        {"data_type": {"name": "numpy.datetime64", "configuration": {"unit": "s", "scale_factor": 0}}},
        {"codecs": [{"name": "nonsense"}]},
        {"codecs": [{"configuration": {}}]},
        {"codecs": [{"name": "bytes"}]},
        {"codecs": [{"name": "bytes", "configuration": {"endian": "middle"}}]},
        {
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "gzip", "configuration": {"level": 99}},
            ]
        },
        {
            "codecs": [
                {"name": "bytes", "configuration": {"endian": "little"}},
                {"name": "zstd", "configuration": {"level": True}},
            ]
        },
        {
            "codecs": [
                {"name": "transpose", "configuration": {"order": [1]}},
                {"name": "bytes", "configuration": {"endian": "little"}},
            ]
        },
        {"attributes": [1]},
        {"dimension_names": ["x", "y"]},
        {"dimension_names": [1]},
        {"storage_transformers": [{"name": "x"}]},
        {"node_type": "group"},
    ],
    ids=str,
)
def test_v3_metadata_that_is_not_valid(changes):
    z, _ = filled("zstd")
    document = json.loads(z.store.get("zarr.json"))
    z.store.put("zarr.json", json.dumps(document | changes).encode())
    with pytest.raises(MetadataError) as caught:
        sz.open_array(z.store)
    assert "zarr.json" in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"shape": [-1]},
        {"chunks": [2, 2]},
        {"chunks": 2},
        {"dtype": "i7"},
        {"dtype": "|O"},
        {"dtype": 3},
        {"order": "A"},
        {"dimension_separator": "-"},
        {"compressor": "zstd"},
        {"compressor": {"id": "nonsense"}},
        {"compressor": {}},
        {"filters": {"id": "delta"}},
        {"filters": [{"id": "delta"}]},
        {"fill_value": "x"},
        {"zarr_format": 3},
    ],
    ids=str,
)
def test_v2_metadata_that_is_not_valid(changes):
    z, _ = filled("zstd", 2)
    document = json.loads(z.store.get(".zarray"))
    z.store.put(".zarray", json.dumps(document | changes).encode())
    with pytest.raises(MetadataError) as caught:
        sz.open_array(z.store)
    assert ".zarray" in str(caught.value)


def test_the_one_chunk_of_an_array_without_axes_is_named():
    shuffle = [{"id": "shuffle", "elementsize": 3}]
    z = sz.create_array(MemoryStore(), shape=(), dtype="i4", zarr_format=2, filters=shuffle, compressors=None)
    with pytest.raises(CodecError, match=r"chunk \(\) \(key '0'\): filter shuffle"):
        z[()] = 5
    with pytest.raises(KeyNotFoundError):
        z.read((), missing="error")
    z.store.put("0", b"x")
    with pytest.raises(CodecError, match=r"chunk \(\)"):
        z[()]
