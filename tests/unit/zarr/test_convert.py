"""Between v2 and v3: values, attributes and codecs; what cannot be carried is said beforehand."""

from __future__ import annotations

import numcodecs
import numpy as np
import pytest
import zarr

import streamzarr.zarr as sz
from streamzarr.errors import ConfigError, MetadataError, NodeExistsError
from streamzarr.stores import MemoryStore
from streamzarr.zarr.codecs import GzipCodec, TransposeCodec, ZstdCodec

VALUES = np.arange(30, dtype=">i4").reshape(5, 6)


def v2(**options):
    return sz.create_array(
        MemoryStore(), **{"data": VALUES, "chunks": (2, 4), "zarr_format": 2, "fill_value": 3} | options
    )


def v3(**options):
    return sz.create_array(MemoryStore(), **{"data": VALUES, "chunks": (2, 4), "fill_value": 3} | options)


@pytest.mark.parametrize(
    ("options", "filters", "compressors"),
    [
        ({"compressors": "gzip"}, (), (GzipCodec(1),)),
        ({"compressors": numcodecs.Zstd(7), "order": "F"}, (TransposeCodec((1, 0)),), (ZstdCodec(7),)),
        ({"compressors": None}, (), ()),
    ],
    ids=str,
)
def test_t08_codecs_and_order_go_to_v3(options, filters, compressors):
    z = sz.convert(v2(**options), "memory://", zarr_format=3)
    assert (z.zarr_format, z.filters, z.compressors, z.fill_value) == (3, filters, compressors, 3)
    assert np.array_equal(z[...], VALUES)


def test_v2_zlib_does_not_become_gzip(tmp_path):
    z = sz.convert(v2(compressors="zlib", filters=[numcodecs.Delta(">i4")]), str(tmp_path), zarr_format=3)
    assert [codec.name for codec in (*z.filters, *z.compressors)] == ["numcodecs.delta", "numcodecs.zlib"]
    assert np.array_equal(zarr.open_array(tmp_path, mode="r")[...], VALUES)


@pytest.mark.parametrize(
    "options",
    [
        {"compressors": "gzip"},
        {"compressors": "blosc", "shards": (4, 4)},
        {"filters": TransposeCodec((1, 0)), "compressors": "zstd"},
        {"filters": {"name": "numcodecs.delta", "configuration": {"dtype": "<i4"}}, "compressors": None},
        {"compressors": ["zstd", "gzip"]},
        {"dtype": str, "data": None, "shape": (5, 6), "fill_value": "x"},
    ],
    ids=str,
)
def test_v3_goes_to_v2_and_is_read_by_zarr_python(tmp_path, options):
    source = v3(**options)
    z = sz.convert(source, str(tmp_path), zarr_format=2)
    assert (z.zarr_format, z.chunks, z.fill_value) == (2, (2, 4), source.fill_value)
    assert z.order == ("F" if source.filters and source.filters[0].name == "transpose" else "C")
    assert z[...].tolist() == source[...].tolist()
    assert zarr.open_array(tmp_path, mode="r")[...].tolist() == source[...].tolist()
    back = sz.convert(z, "memory://", zarr_format=3)
    assert back[...].tolist() == source[...].tolist()


def test_dimension_names_are_xarrays_attribute_in_v2():
    z = sz.convert(v3(dimension_names=["y", "x"], attributes={"u": 1}), "memory://", zarr_format=2)
    assert z.attrs.asdict() == {"u": 1, "_ARRAY_DIMENSIONS": ["y", "x"]}
    back = sz.convert(z, "memory://", zarr_format=3)
    assert (back.dimension_names, back.attrs.asdict()) == (("y", "x"), {"u": 1})


def test_what_cannot_be_carried_is_said_before_anything_is_written():
    target = MemoryStore()
    source = v3(compressors=["zstd", "crc32c"], dtype="f4", data=None, shape=(4,), chunks=2)
    payload = np.array(0x7FC00001, "u4").view("f4")[()]
    nan = v3(dtype="f4", data=None, shape=(4,), chunks=2, fill_value=payload)
    assert sz.explain_conversion(source.metadata, 3) == []
    assert sz.explain_conversion(source.metadata, 2) == ["codec crc32c has no counterpart"]
    assert sz.explain_conversion(nan.metadata, 2) == ["the payload of the NaN fill value has no place"]
    with pytest.raises(MetadataError, match="crc32c"):
        sz.convert(source, target, zarr_format=2)
    assert list(target.list()) == []
    assert sz.convert(source, target, zarr_format=2, lossy=True)[...].tolist() == [3] * 4
    strings = v2(
        dtype=str,
        data=None,
        shape=(2,),
        chunks=2,
        fill_value="",
        filters=[{"id": "categorize", "labels": ["a"], "dtype": "|O", "astype": "|u1"}],
    )
    assert sz.explain_conversion(strings.metadata, 3) == ["codec categorize has no counterpart"]
    document = strings.metadata.to_json() | {"fill_value": None}
    undefined = type(strings.metadata).from_json(document, "x")
    assert "the undefined fill value becomes ''" in sz.explain_conversion(undefined, 3)


def test_hierarchies(tmp_path):
    root = sz.create_group(MemoryStore(), zarr_format=2, attributes={"run": 7})
    root.create_array("a/b", data=VALUES, chunks=(2, 4), attributes={"u": "m"})
    root.create_group("a/g", attributes={"k": 1})
    found = sz.convert(root, str(tmp_path), zarr_format=3, path="x", concurrency=2)
    assert [path for path, _ in found.members(None)] == ["a", "a/b", "a/g"]
    assert found.attrs.asdict() == {"run": 7}
    theirs = zarr.open_group(tmp_path / "x", mode="r")
    assert np.array_equal(theirs["a/b"][...], VALUES)
    assert theirs["a/g"].attrs["k"] == 1
    with pytest.raises(NodeExistsError):
        sz.convert(root, str(tmp_path), zarr_format=3, path="x")
    again = sz.convert(found, str(tmp_path), zarr_format=2, path="y")
    assert {type(node.metadata).__name__ for _, node in again.members(None)} == {
        "GroupMetadataV2",
        "ArrayMetadataV2",
    }
    with pytest.raises(NodeExistsError, match="itself"):
        sz.convert(found, str(tmp_path), zarr_format=2, path="x")


def test_chunks_that_are_not_stored_stay_so():
    source = v2(data=None, shape=(6, 8), dtype="i4")
    source[:2] = 5
    z = sz.convert(source, "memory://", zarr_format=3)
    assert z.nchunks_initialized == source.nchunks_initialized == 2


def test_a_hierarchy_is_explained_before_it_is_converted():
    store, target = MemoryStore(), MemoryStore()
    root = sz.create_group(store, attributes={"run": 7})
    root.create_array("good", data=VALUES, dimension_names=["y", "x"])
    root.create_array("deep/sum", data=VALUES, compressors=["gzip", "crc32c"])
    root.create_array("deep/uneven", data=VALUES, chunks=[[1, 4], 6])
    expected = [
        f"{store.url}/deep/sum: codec crc32c has no counterpart",
        f"{store.url}/deep/uneven: rectilinear chunks ([1, 4], 6) become regular ones of (4, 6)",
    ]
    assert sz.explain_conversion(store, 2) == sz.explain_conversion(root, 2) == expected
    assert sz.explain_conversion(root["good"], 2) == []
    assert sz.explain_conversion(root, 2, codecs="default") == expected[1:]
    assert sz.explain_conversion(root, 3) == []
    with pytest.raises(MetadataError, match=r"crc32c.*rectilinear.*pass lossy=True"):
        sz.convert(store, target, zarr_format=2)
    assert list(target.list()) == []
    made = sz.convert(store, target, zarr_format=2, lossy=True)
    assert [path for path, _ in made.members(None)] == ["deep", "deep/sum", "deep/uneven", "good"]
    assert made["deep/sum"].compressors == (numcodecs.GZip(5).get_config(),)
    assert made["deep/uneven"].chunks == (4, 6)
    assert made["good"].attrs["_ARRAY_DIMENSIONS"] == ["y", "x"]
    for path in ("deep/sum", "deep/uneven", "good"):
        assert np.array_equal(made[path][:], VALUES)


def test_codecs_may_be_those_of_a_new_array():
    source = v2(compressors="lzma", filters=[numcodecs.Delta(">i4")], order="F")
    made = sz.convert(source, "memory://", zarr_format=3, codecs="default")
    assert made.metadata.codecs == sz.create_array("memory://", data=VALUES, chunks=(2, 4)).metadata.codecs
    assert np.array_equal(made[:], VALUES)
    with pytest.raises(ConfigError, match="'keep' or 'default'"):
        sz.convert(source, "memory://", zarr_format=3, codecs="best")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_what_was_consolidated_is_again(zarr_format):
    store = MemoryStore()
    sz.create_group(store, zarr_format=5 - zarr_format).create_array("a/b", data=VALUES)
    sz.consolidate_metadata(store)
    made = sz.convert(store, "memory://", zarr_format=zarr_format)
    assert made.zarr_format == zarr_format
    assert made.metadata.consolidated
    assert np.array_equal(sz.open_consolidated(made.store)["a/b"][:], VALUES)


def test_a_filter_does_not_take_the_place_of_a_compressor_that_is_lost():
    delta = {"name": "numcodecs.delta", "configuration": {"dtype": "<i4"}}
    source = sz.create_array("memory://", data=VALUES.astype("<i4"), filters=delta, compressors="crc32c")
    made = sz.convert(source, "memory://", zarr_format=2, lossy=True)
    assert ([each["id"] for each in made.filters], made.compressors) == (["delta"], ())
    assert np.array_equal(made[:], VALUES)
