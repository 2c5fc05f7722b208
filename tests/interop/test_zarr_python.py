"""Bytes on disk, both ways, between streamzarr and zarr-python."""

from __future__ import annotations

import itertools
import json

import numcodecs
import numpy as np
import pytest
import zarr

import streamzarr.zarr as sz
from tests.support.ids import stable

pytestmark = pytest.mark.filterwarnings("ignore::zarr.errors.ZarrUserWarning")

NUMERIC = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16"]
TIMES = ["M8[ns]", "M8[10ms]", "M8[D]", "m8[s]", "m8[25us]"]
BIG = [">i2", ">u8", ">f4", ">c16", ">M8[s]"]


def sample(dtype: str, shape: tuple[int, ...] = (7, 5)) -> np.ndarray:
    rng = np.random.default_rng(0)
    numbers = rng.integers(0, 2 if dtype == "?" else 100, shape)
    if np.dtype(dtype).kind in "mM":
        values = numbers.astype("i8").view(np.dtype(dtype).newbyteorder("=")).astype(dtype)
        values[0, 0] = "NaT"
        return values
    values = numbers.astype(dtype)
    if values.dtype.kind in "fc":
        values[0, :4] = [np.nan, np.inf, -np.inf, -0.0]
    return values


def stored(root) -> dict[str, bytes]:
    """Every chunk by its key."""
    return {path.name: path.read_bytes() for path in root.iterdir() if not path.name.startswith(".")}


def same(left: np.ndarray, right: np.ndarray) -> bool:
    """Equal bit by bit, in either byte order."""
    return left.shape == right.shape and left.tobytes() == right.astype(left.dtype).tobytes()


def pairs(dtypes: list[str], codecs: dict[str, object]) -> list[tuple[str, str]]:
    """Every dtype with some codec, and every codec with some dtype."""
    some = ["i4", "M8[10ms]"]
    return [(dtype, "blosc") for dtype in dtypes] + [
        (d, codec) for d in some for codec in codecs if codec != "blosc"
    ]


V2_COMPRESSORS = {
    "none": None,
    "zstd": numcodecs.Zstd(level=3),
    "blosc": numcodecs.Blosc(cname="lz4", clevel=5, shuffle=1),
    "blosc auto": numcodecs.Blosc(cname="zstd", clevel=1, shuffle=-1),
    "gzip": numcodecs.GZip(level=4),
    "zlib": numcodecs.Zlib(level=4),
    "bz2": numcodecs.BZ2(level=4),
    "lzma": numcodecs.LZMA(preset=1),
    "lz4": numcodecs.LZ4(),
}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize(("dtype", "compressor"), pairs(NUMERIC + TIMES + BIG, V2_COMPRESSORS))
def test_v2_both_ways(tmp_path, dtype, compressor, order):
    values = sample(dtype)
    options = {"compressors": V2_COMPRESSORS[compressor], "order": order, "zarr_format": 2, "chunks": (3, 2)}
    ours = sz.create_array(str(tmp_path / "ours"), shape=values.shape, dtype=dtype, **options)
    ours[...] = values
    assert same(zarr.open_array(tmp_path / "ours", mode="r")[...], values)
    theirs = zarr.create_array(tmp_path / "theirs", shape=values.shape, dtype=dtype, **options)
    theirs[...] = values
    read = sz.open_array(str(tmp_path / "theirs"))
    assert read.dtype == values.dtype
    assert same(read[...], values)
    assert json.loads((tmp_path / "ours/.zarray").read_text()) == json.loads(
        (tmp_path / "theirs/.zarray").read_text()
    )
    if compressor != "gzip":  # theirs writes the time of day
        assert stored(tmp_path / "ours") == stored(tmp_path / "theirs")


V2_FILTERS = {
    "delta": ("i4", [numcodecs.Delta("i4")]),
    "delta narrow": ("i4", [numcodecs.Delta("i4", astype="i2")]),
    "shuffle": ("f8", [numcodecs.Shuffle(8)]),
    "quantize": ("f8", [numcodecs.Quantize(3, "f8")]),
    "fixedscaleoffset": ("f8", [numcodecs.FixedScaleOffset(0, 10, "f8", "u2")]),
    "packbits": ("?", [numcodecs.PackBits()]),
    "bitround": ("f4", [numcodecs.BitRound(10)]),
    "astype": ("f8", [numcodecs.AsType("f4", "f8")]),
    "two": ("i8", [numcodecs.Delta("i8"), numcodecs.Shuffle(8)]),
}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("name", V2_FILTERS)
def test_v2_filters_both_ways(tmp_path, name, order):
    dtype, filters = V2_FILTERS[name]
    if name == "bitround" and order == "F":
        filters = [numcodecs.AsType("f8", "f4")]  # zarr-python stores bitround with order F as order C
    values = np.arange(48).reshape(6, 8).astype(dtype)
    options = {"filters": filters, "order": order, "zarr_format": 2, "chunks": (3, 8)}
    ours = sz.create_array(str(tmp_path / "ours"), shape=values.shape, dtype=dtype, **options)
    ours[...] = values
    theirs = zarr.create_array(tmp_path / "theirs", shape=values.shape, dtype=dtype, **options)
    theirs[...] = values
    assert same(zarr.open_array(tmp_path / "ours", mode="r")[...], theirs[...])
    assert same(sz.open_array(str(tmp_path / "theirs"))[...], theirs[...])
    assert (tmp_path / "ours/0.0").read_bytes() == (tmp_path / "theirs/0.0").read_bytes()


METADATA = [
    {"dtype": "f4"},
    {"dtype": "i1", "compressors": None},
    {"dtype": "f2", "fill_value": float("nan")},
    {"dtype": "c16", "fill_value": 1 + 2j},
    {"dtype": "M8[10ms]"},
    {"dtype": "m8[s]"},
    {"dtype": ">i4"},
    {"dtype": "u8", "fill_value": 2**64 - 1},
    {"dtype": "?", "attributes": {"b": [1, None], "a": {"ü": 1}}},
    {"dtype": "f8", "dimension_names": ["y", None]},
    {"dtype": "f8", "chunk_key_encoding": {"name": "v2", "separator": "."}},
    {"dtype": "f8", "chunk_key_encoding": {"name": "default", "separator": "."}},
    {"dtype": "i2", "compressors": zarr.codecs.BloscCodec()},
    {"dtype": "i1", "compressors": [zarr.codecs.BloscCodec(), zarr.codecs.Crc32cCodec()]},
    {
        "dtype": "f8",
        "filters": [zarr.codecs.TransposeCodec(order=(1, 0))],
        "compressors": zarr.codecs.GzipCodec(),
    },
]


@pytest.mark.parametrize("options", METADATA, ids=stable)
def test_v3_metadata_is_written_as_zarr_python_writes_it(tmp_path, options):
    sz.create_array(str(tmp_path / "ours"), shape=(4, 5), chunks=(2, 2), **options)
    zarr.create_array(tmp_path / "theirs", shape=(4, 5), chunks=(2, 2), **options)
    assert (tmp_path / "ours/zarr.json").read_text() == (tmp_path / "theirs/zarr.json").read_text()


def test_v2_metadata_is_written_as_zarr_python_writes_it(tmp_path):
    for name, options in {
        "plain": {"dtype": "f4"},
        "time": {"dtype": "m8[s]", "attributes": {"a": 1}},
        "big": {"dtype": ">i4", "order": "F"},
        "inf": {"dtype": "f8", "fill_value": float("inf")},
        "complex": {"dtype": "c16", "fill_value": 1 + 2j},
        "nested": {"dtype": "f8", "chunk_key_encoding": {"name": "v2", "separator": "/"}},
        "blosc": {"dtype": "f8", "compressors": numcodecs.Blosc()},
    }.items():
        sz.create_array(str(tmp_path / "ours" / name), shape=(4, 5), chunks=(2, 2), zarr_format=2, **options)
        zarr.create_array(tmp_path / "theirs" / name, shape=(4, 5), chunks=(2, 2), zarr_format=2, **options)
        for document in (".zarray", ".zattrs"):
            ours, theirs = (tmp_path / side / name / document for side in ("ours", "theirs"))
            assert ours.read_text() == theirs.read_text(), name


@pytest.mark.parametrize("shape", [(1000,), (10**6,), (1000, 1000), (10, 20, 30), (0, 4), (), (1, 1, 10**7)])
@pytest.mark.parametrize("dtype", ["u1", "f4", "c16"])
def test_chunks_are_chosen_as_zarr_python_chooses_them(shape, dtype):
    ours = sz.create_array("memory://", shape=shape, dtype=dtype)
    assert ours.chunks == zarr.create_array({}, shape=shape, dtype=dtype).chunks


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_hierarchies_both_ways(tmp_path, zarr_format):
    ours = sz.create_group(str(tmp_path / "ours"), attributes={"run": 7}, zarr_format=zarr_format)
    theirs = zarr.create_group(tmp_path / "theirs", attributes={"run": 7}, zarr_format=zarr_format)
    for root in (ours, theirs):
        root.create_group("a/b", attributes={"x": [1]})
        root.create_array("a/c", shape=(3,), dtype="i4")[:] = [1, 2, 3]
        root.create_array("d", shape=(2, 2), dtype="f4")
    assert str(ours.tree()) == str(theirs.tree()).rstrip()
    read = zarr.open_group(tmp_path / "ours", mode="r")
    assert sorted(path for path, _ in read.members(max_depth=None)) == ["a", "a/b", "a/c", "d"]
    assert read["a/b"].attrs.asdict() == {"x": [1]}
    assert read["a/c"][:].tolist() == [1, 2, 3]
    mine = sz.open_group(str(tmp_path / "theirs"))
    assert [path for path, _ in mine.members(max_depth=None)] == ["a", "a/b", "a/c", "d"]
    assert mine["a"]["b"].attrs.asdict() == {"x": [1]}
    assert mine["a/c"][:].tolist() == [1, 2, 3]
    assert mine.attrs.asdict() == {"run": 7}


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_consolidated_metadata_of_zarr_python_is_read(tmp_path, zarr_format):
    root = zarr.create_group(tmp_path, zarr_format=zarr_format)
    root.create_group("a").create_array("b", shape=(4,), dtype="f8", attributes={"u": "m"})[:] = range(4)
    zarr.consolidate_metadata(tmp_path, zarr_format=zarr_format)
    # Only the consolidated metadata knows the nodes now.
    for name in ("zarr.json", ".zarray", ".zgroup", ".zattrs"):
        for path in itertools.chain(tmp_path.glob(f"a/{name}"), tmp_path.glob(f"a/b/{name}")):
            path.unlink()
    found = sz.open_group(str(tmp_path))
    assert [path for path, _ in found.members(max_depth=None)] == ["a", "a/b"]
    assert found["a/b"][:].tolist() == [0, 1, 2, 3]
    assert found["a"]["b"].attrs["u"] == "m"
    assert "a" not in sz.open_group(str(tmp_path), use_consolidated=False)


def test_what_zarr_python_resized_and_appended(tmp_path):
    theirs = zarr.create_array(tmp_path, shape=(4, 3), chunks=(3, 2), dtype="i4", fill_value=9)
    theirs[...] = np.arange(12).reshape(4, 3)
    theirs.resize((5, 4))
    theirs.append(np.full((2, 4), 5, "i4"))
    ours = sz.open_array(str(tmp_path), mode="r+")
    assert np.array_equal(ours[...], theirs[...])
    ours.append(np.full((7, 1), 6, "i4"), axis=1)
    assert np.array_equal(zarr.open_array(tmp_path, mode="r")[...], ours[...])


def test_unknown_keys_survive_our_resize(tmp_path):
    zarr.create_array(tmp_path, shape=(4,), chunks=(2,), dtype="i4")
    document = json.loads((tmp_path / "zarr.json").read_text())
    document["lab"] = {"must_understand": False, "bench": 3}
    (tmp_path / "zarr.json").write_text(json.dumps(document))
    sz.open_array(str(tmp_path), mode="r+").resize((6,))
    assert json.loads((tmp_path / "zarr.json").read_text()) == document | {"shape": [6]}
