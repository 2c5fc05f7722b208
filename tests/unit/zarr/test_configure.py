"""The arguments of ``create_array``: the ways to name a codec, a chunk shape, a fill value."""

from __future__ import annotations

import numcodecs
import numpy as np
import pytest
import zarr

import streamzarr.zarr as sz
from streamzarr.errors import ConfigError, MetadataError
from streamzarr.zarr import codecs
from streamzarr.zarr.codecs import (
    BloscCodec,
    Bound,
    BytesBytes,
    Crc32cCodec,
    GzipCodec,
    TransposeCodec,
    ZstdCodec,
)
from tests.support.ids import stable


def make(**options):
    return sz.create_array("memory://", **{"shape": (4, 6), "dtype": "f4", "chunks": (2, 3)} | options)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("zstd", (ZstdCodec(),)),
        ("gzip", (GzipCodec(5),)),
        ("blosc", (BloscCodec(4, "zstd", 5, "shuffle", 0),)),
        ("crc32c", (Crc32cCodec(),)),
        ("auto", (ZstdCodec(),)),
        (None, ()),
        ([], ()),
        (GzipCodec(1), (GzipCodec(1),)),
        (["gzip", Crc32cCodec()], (GzipCodec(5), Crc32cCodec())),
        ({"name": "zstd", "configuration": {"level": 9}}, (ZstdCodec(9),)),
        (numcodecs.Zstd(level=4), (ZstdCodec(4),)),
        (numcodecs.GZip(level=4), (GzipCodec(4),)),
        ({"id": "zstd", "level": 2}, (ZstdCodec(2),)),
        (numcodecs.Blosc("lz4", 3, numcodecs.Blosc.BITSHUFFLE), (BloscCodec(4, "lz4", 3, "bitshuffle", 0),)),
        (zarr.codecs.ZstdCodec(level=3), (ZstdCodec(3),)),
        (zarr.codecs.BloscCodec(), (BloscCodec(4, "zstd", 5, "shuffle", 0),)),
        (
            zarr.codecs.BloscCodec(typesize=2, shuffle="noshuffle"),
            (BloscCodec(2, "zstd", 5, "noshuffle", 0),),
        ),
    ],
    ids=stable,
)
def test_v3_compressors(given, expected):
    assert make(compressors=given).compressors == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("zstd", {"id": "zstd", "level": 0}),
        ("gzip", {"id": "gzip", "level": 1}),
        ("auto", {"id": "zstd", "level": 0}),
        (numcodecs.Zlib(level=3), {"id": "zlib", "level": 3}),
        ({"id": "lz4"}, {"id": "lz4", "acceleration": 1}),
        ([numcodecs.BZ2(level=2)], {"id": "bz2", "level": 2}),
        ({"name": "gzip", "configuration": {"level": 7}}, {"id": "gzip", "level": 7}),
        (ZstdCodec(3), {"id": "zstd", "level": 3}),
        (zarr.codecs.GzipCodec(level=2), {"id": "gzip", "level": 2}),
    ],
    ids=str,
)
def test_v2_compressors(given, expected):
    assert make(compressors=given, zarr_format=2).compressors == (expected,)
    assert make(compressors=None, zarr_format=2).compressors == ()


def test_v2_blosc_from_v3():
    [config] = make(compressors=BloscCodec(4, "lz4", 3, "bitshuffle"), zarr_format=2).compressors
    assert (config["id"], config["shuffle"], config["cname"]) == ("blosc", 2, "lz4")


@pytest.mark.parametrize(
    "options",
    [
        {"compressors": "nonsense"},
        {"compressors": 3},
        {"compressors": TransposeCodec((1, 0))},
        {"filters": "zstd"},
        {"filters": TransposeCodec((0, 2))},
        {"serializer": "zstd"},
        {"compressors": ["zstd", "gzip"], "zarr_format": 2},
        {"compressors": "crc32c", "zarr_format": 2, "filters": Crc32cCodec()},
        {"compressors": 3, "zarr_format": 2},
        {"filters": [numcodecs.get_codec({"id": "pickle"})], "zarr_format": 2},
        {"dimension_names": ["a", "b"], "zarr_format": 2},
        {"shards": (2, 3), "zarr_format": 2},
        {"serializer": "bytes", "zarr_format": 2},
        {"chunk_key_encoding": {"name": "default"}, "zarr_format": 2},
        {"chunk_key_encoding": "morton"},
        {"chunks": (2,)},
        {"chunks": (2, 0)},
        {"chunks": (2, 1.5)},
        {"chunks": (True, 2)},
        {"shape": (-1, 6)},
        {"shape": (2.5, 6)},
        {"dtype": "O"},
        {"dtype": "f4", "fill_value": "x"},
        {"dtype": "i4", "fill_value": 1.5},
        {"dtype": "u1", "fill_value": 300},
        {"dtype": "u1", "fill_value": -1},
        {"dtype": "f4", "fill_value": 1j},
        {"dtype": "?", "fill_value": 2},
        {"dimension_names": ["a"]},
        {"dimension_names": ["a", 1]},
        {"order": "A"},
        {"zarr_format": 1},
        {"data": np.zeros(3)},
        {"shape": None},
        {"dtype": None, "shape": None},
        {"attributes": {"a": float("nan")}},
        {"attributes": {"a": {1, 2}}},
    ],
    ids=str,
)
def test_what_describes_no_array(options):
    with pytest.raises((ConfigError, MetadataError)):
        make(**options)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ((2, 3), (2, 3)),
        (2, (2, 2)),
        ((-1, 2), (4, 2)),
        ((None, 2), (4, 2)),
        ([np.int64(1), 9], (1, 9)),
        (None, (4, 6)),
    ],
    ids=str,
)
def test_chunk_shapes(chunks, expected):
    assert make(chunks=chunks).chunks == expected


@pytest.mark.parametrize(
    ("dtype", "fill", "expected"),
    [
        ("i4", 3.0, 3),
        ("i4", True, 1),
        ("u8", 2**64 - 1, 2**64 - 1),
        ("f4", 1, 1.0),
        ("c8", 1.5, 1.5),
        ("?", True, True),
        ("i2", np.int64(5), 5),
        ("f8", np.array(2.5), 2.5),
        ("M8[s]", 5, np.datetime64(5, "s")),
    ],
)
def test_fill_values(dtype, fill, expected):
    z = make(dtype=dtype, fill_value=fill)
    assert z.fill_value == expected
    assert z.fill_value.dtype == z.dtype


def test_separators():
    assert make(chunk_key_encoding=".").chunk_key((0, 1)) == "c.0.1"
    assert make(chunk_key_encoding="/").chunk_key((0, 1)) == "c/0/1"
    assert make(chunk_key_encoding={"name": "v2", "separator": "/"}).chunk_key((0, 1)) == "0/1"
    assert make(zarr_format=2).chunk_key((0, 1)) == "0.1"


def test_data_gives_shape_and_dtype():
    z = sz.create_array("memory://", data=[[1, 2], [3, 4]])
    assert (z.shape, z.dtype) == ((2, 2), np.dtype("i8"))
    copy = sz.create_array("memory://", data=z)
    assert copy[...].tolist() == [[1, 2], [3, 4]]


def test_a_third_party_codec(request):
    class Invert(BytesBytes):
        name = "lab.invert"

        @classmethod
        def from_configuration(cls, configuration):
            return cls()

        def configuration(self):
            return {}

        def encoded_bound(self, bound: Bound) -> Bound:
            return bound

        def encode(self, data):
            return bytes(255 - byte for byte in bytes(data))

        def decode(self, data, bound, out=None):
            return self.encode(data)

    sz.register_codec(Invert)
    request.addfinalizer(lambda: codecs.unregister("lab.invert"))  # the documentation registers its own
    assert "lab.invert" in sz.codec_names()
    with pytest.raises(ConfigError, match="registered already"):
        sz.register_codec(Invert)
    z = make(dtype="u1", compressors="lab.invert")
    z[...] = 1
    assert z.store.get("c/0/0") == bytes([254] * 6)
    assert sz.open_array(z.store)[...].tolist() == [[1] * 6] * 4


@pytest.mark.parametrize(
    ("options", "chunks", "shards"),
    [
        ({"shards": "auto"}, (2, 3), (2, 3)),  # no axis has more than eight chunks
        ({"shape": (100, 6), "shards": "auto"}, (2, 3), (4, 3)),
        ({"shape": (100, 6), "shards": {"shape": "auto", "index_location": "start"}}, (2, 3), (4, 3)),
        ({"shape": (8000, 6), "chunks": "auto", "shards": (6000, 6)}, (6000, 6), (6000, 6)),
        ({"shape": (8000, 600), "chunks": "auto", "shards": (3000, 600)}, (375, 600), (3000, 600)),
        ({"shape": (5,), "dtype": "V2000000", "chunks": "auto", "shards": (5,)}, (1,), (5,)),
    ],
)
def test_chunks_and_shards_are_chosen_to_go_together(options, chunks, shards):
    z = make(**options)
    assert (z.chunks, z.shards) == (chunks, shards)


@pytest.mark.filterwarnings("ignore:Automatic shard shape")
@pytest.mark.parametrize("shape", [(100, 60), (1000,), (3, 5000)])
def test_shards_are_chosen_as_zarr_python_does(shape):
    options = {"shape": shape, "dtype": "i2", "chunks": (2,) * len(shape), "shards": "auto"}
    assert make(**options).shards == zarr.create_array({}, **options).shards


def test_shards_of_another_word_are_refused():
    with pytest.raises(ConfigError, match="'auto', got 'big'"):
        make(shards="big")
