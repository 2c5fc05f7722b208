"""Objects of Zarr v2: JSON values and arrays of any length, as numcodecs stores them, within bounds."""

from __future__ import annotations

import json
import zlib

import numcodecs
import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import CodecError, ConfigError, MetadataError
from streamzarr.limits import Limits
from streamzarr.stores import MemoryStore

JSON2 = numcodecs.JSON().get_config()
MIXED = [1, True, 1.0, "a", None, [1, [2]], {"b": [3]}, "é", -0.0, [], float("inf"), 2**70]


def objects(items, shape=None):
    found = np.empty(len(items), object)
    for at, item in enumerate(items):
        found[at] = item
    return found.reshape(len(items) if shape is None else shape)


def json_array(shape=(2,), chunks=None, **options):
    options = {"filters": "json2", "compressors": None, "zarr_format": 2} | options
    return sz.create_array(MemoryStore(), shape=shape, chunks=chunks or shape, dtype=object, **options)


def lists_array(shape=(4,), chunks=(2,), dtype="<i4", **options):
    filters = [{"id": "vlen-array", "dtype": dtype}]
    return sz.create_array(
        MemoryStore(), shape=shape, chunks=chunks, dtype=object, filters=filters, zarr_format=2, **options
    )


def test_json_values_are_what_numcodecs_writes():
    z = json_array((12,), (5,))
    z[:] = objects(MIXED)
    assert json.loads(z.store.get(".zarray"))["filters"] == [JSON2 | {"separators": [",", ":"]}]
    padded = objects([*MIXED[10:], None, None, None])
    assert [z.store.get(key) for key in "012"] == [
        numcodecs.JSON().encode(part) for part in (objects(MIXED[:5]), objects(MIXED[5:10]), padded)
    ]
    again = sz.open_array(z.store)
    assert repr(again[:].tolist()) == repr(MIXED)
    assert again[5] == [1, [2]]
    assert again[::-5].tolist() == [2**70, {"b": [3]}, True]
    assert again.oindex[[5, 0]].tolist() == [[1, [2]], 1]
    assert again.vindex[[6, 6]].tolist() == [{"b": [3]}] * 2


def test_json_lists_are_elements_below_the_axes_of_a_selection():
    z = json_array((2, 2), (1, 2))
    z[0, 0] = [1, 2]
    z[1] = [[3, 4], [5, 6]]  # which numcodecs writes and cannot read
    z[0, 1:] = [{}]
    assert sz.open_array(z.store)[...].tolist() == [[[1, 2], {}], [[3, 4], [5, 6]]]
    z.append([["x", None]])
    z.resize((4, 2))
    assert z[2:].tolist() == [["x", None], [None, None]]


def test_json_values_that_are_equal_but_others_are_no_fill_values():
    for fill, other in ((1, True), (1, 1.0), (0, False), (0.0, -0.0), ("", None)):
        z = json_array((2,), fill_value=fill)
        z[:] = other
        assert repr(sz.open_array(z.store)[:].tolist()) == repr([other] * 2)
        z[:] = fill
        assert not z.has_chunk((0,))
        assert repr(sz.open_array(z.store)[:].tolist()) == repr(
            [fill or None] * 2 if fill is None else [fill] * 2
        )


def test_json_in_order_f_is_read_as_its_text_says():
    values = objects(["a", 1, None, True, 2.5, "f"], (2, 3))
    z = json_array((2, 3), order="F")
    z.store.put("0.0", numcodecs.JSON().encode(values))
    assert z[...].tolist() == values.tolist()
    stored = z.store.get("0.0")
    z[...] = values
    assert z.store.get("0.0") == stored


def test_strings_of_fixed_length_through_json2():
    z = sz.create_array(MemoryStore(), data=np.array(["a", "bc"]), zarr_format=2, filters="json2")
    assert sz.open_array(z.store)[...].tolist() == ["a", "bc"]


def test_an_array_without_axes_holds_one_object():
    z = json_array(())
    z[...] = {"a": 1}
    assert z.store.get("0") == numcodecs.JSON().encode(objects([{"a": 1}], ()))
    assert z[()] == {"a": 1}


def test_what_is_no_json_is_refused():
    z = json_array()
    for value in (object(), {1, 2}, b"a", np.int64):
        with pytest.raises(CodecError, match="json2"):
            z[0] = value
    for fill in ([], {}, b"a"):
        with pytest.raises(ConfigError, match="fill_value"):
            json_array(fill_value=fill)


HOSTILE = {
    "a shape that is not the chunk's": b'[0,"|O",[1000000000]]',
    "too few": b'["|O",[2]]',
    "nested otherwise": b'[[0,0],"|O",[2,1]]',
    "another dtype": b'[1,2,"<f8",[2]]',
    "negative": b'[1,2,"|O",[-1,-2]]',
    "no shape": b'[1,2,"|O","x"]',
    "no list": b"{}",
    "no json": b"[1,2",
    "no text": b"\xff",
    "deep": b"[" * 100_000,
    "long number": b'[1,%s,"|O",[2]]' % (b"9" * 10_000),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE)
def test_damaged_json(data):
    z = json_array()
    z.store.put("0", data)
    with pytest.raises(CodecError, match=r"chunk \(0,\).*json2"):
        z[:]


def test_json_that_could_not_be_read_is_not_written():
    store = json_array((1,)).store
    z = sz.open_array(store, mode="r+", limits=Limits(max_metadata_bytes=4096))
    with pytest.raises(CodecError, match="at most 4096"):
        z[0] = "x" * 5000
    store.put("0", b" " * 5000)
    with pytest.raises(CodecError, match="at most 4096"):
        z[0]


@pytest.mark.parametrize(
    "config",
    [
        *({"encoding": "zip"}, {"encoding": "idna"}, {"encoding": 5}, {"indent": 10**9}, {"indent": "x"}),
        *({"separators": [","]}, {"separators": "ab"}, {"separators": [", " * 99, ":"]}, {"what": 1}),
    ],
    ids=str,
)
def test_json2_that_would_not_be_json_or_swell(config):
    with pytest.raises(MetadataError, match="json2"):
        json_array(filters=[{"id": "json2"} | config])


@pytest.mark.parametrize(
    "config", [{"indent": 2}, {"separators": [" , ", ":\n"]}, {"encoding": "utf-16"}, {"ensure_ascii": False}]
)
def test_json2_as_it_may_be_set_up(config):
    z = json_array(filters=[{"id": "json2"} | config])
    z[:] = ["é", {"a": 1}]
    assert sz.open_array(z.store)[:].tolist() == ["é", {"a": 1}]
    assert numcodecs.get_codec(dict(z.filters[0])).decode(z.store.get("0")).tolist() == ["é", {"a": 1}]


def test_arrays_of_any_length_are_what_numcodecs_writes():
    rows = [np.array(each, "<i4") for each in ([1, 2, 3], [], [4], [5, 6])]
    z = lists_array(compressors=None)
    z[:] = objects(rows)
    codec = numcodecs.VLenArray("<i4")
    assert [z.store.get(key) for key in "01"] == [
        codec.encode(objects(rows[:2])),
        codec.encode(objects(rows[2:])),
    ]
    again = sz.open_array(z.store)
    assert [each.tolist() for each in again[:]] == [[1, 2, 3], [], [4], [5, 6]]
    assert again[0].dtype == "<i4"
    assert again[0].tolist() == [1, 2, 3]


def test_lists_and_rows_are_elements_of_vlen_array():
    z = lists_array()
    z[0] = [1, 2, 3]
    z[1] = np.array([4])
    z[2:] = np.array([[5, 6], [7, 8]])
    assert [each.tolist() for each in z[:]] == [[1, 2, 3], [4], [5, 6], [7, 8]]
    z[:2] = [[], [9]]
    z.append([[10], [11, 12]])
    z.resize(7)
    assert [each.tolist() for each in z[:]] == [[], [9], [5, 6], [7, 8], [10], [11, 12], []]
    assert z.fill_value is None
    z[:] = []
    assert [key for key in z.store.list() if not key.startswith(".")] == []


def test_what_is_no_array_of_the_type_is_refused():
    z = lists_array()
    for value in ([1.5], [2**31], 3, "ab", [[1, 2], 3], {"a": 1}, np.zeros((2, 2, 2))):
        with pytest.raises((TypeError, ValueError)):
            z[0] = value
    for dtype in ("|O", "U0", "nothing"):
        with pytest.raises(MetadataError, match="vlen-array"):
            lists_array(dtype=dtype)


def test_damaged_vlen_arrays():
    z = lists_array((2,), compressors=None)
    z[:] = [[1, 2], [3]]
    whole = z.store.get("0")
    for damaged in (
        b"",
        whole[:-1],
        whole[:5],
        b"\1" + whole[1:],
        whole[:4] + b"\xff\xff\xff\xff" + whole[8:],
    ):
        z.store.put("0", damaged)
        with pytest.raises(CodecError, match=r"chunk \(0,\)"):
            z[:]


def test_zero_null_and_empty_text_as_fill_are_no_elements():
    z = lists_array()
    document = json.loads(z.store.get(".zarray"))
    for fill in (0, None, ""):
        z.store.put(".zarray", json.dumps(document | {"fill_value": fill}).encode())
        assert [each.tolist() for each in sz.open_array(z.store)[:]] == [[]] * 4
    z.store.put(".zarray", json.dumps(document | {"fill_value": 7}).encode())
    with pytest.raises(MetadataError, match="fill_value"):
        sz.open_array(z.store)


def test_objects_have_no_place_in_v3():
    z = json_array()
    with pytest.raises(MetadataError, match="json2"):
        json_array(zarr_format=3)
    assert "json2" in sz.explain_conversion(z, 3)[0]
    with pytest.raises(MetadataError, match="json2"):
        sz.convert(z, MemoryStore(), zarr_format=3, lossy=True)
    z[:] = ["a", [1]]
    assert sz.convert(z, MemoryStore(), zarr_format=2)[:].tolist() == ["a", [1]]


def test_objects_that_a_reader_changes_change_in_no_cache():
    z = json_array()
    z[:] = [[1], {"a": 1}]
    cached = sz.open_array(z.store, cache=sz.ChunkCache(max_bytes=1 << 20))
    cached[0].append(2)
    cached[1]["a"] = 3
    assert cached[:].tolist() == [[1], {"a": 1}]


@pytest.mark.parametrize("compressor", ["zlib", "gzip", "bz2", "lzma", "zstd", "blosc", "lz4"])
def test_a_compressor_among_the_filters_is_bounded(compressor):
    z = sz.create_array(
        MemoryStore(), shape=(3,), dtype="i4", zarr_format=2, filters=[compressor], compressors=None
    )
    z[:] = [1, 2, 3]
    assert sz.open_array(z.store)[:].tolist() == [1, 2, 3]
    z.store.put("0", numcodecs.get_codec({"id": compressor}).encode(bytes(1 << 20)))
    with pytest.raises(CodecError, match=r"chunk \(0,\)"):
        z[:]


def test_pickled_and_unbounded_objects_are_refused():
    for identity in ("pickle", "msgpack2"):
        document = {
            "zarr_format": 2,
            "shape": [1],
            "chunks": [1],
            "dtype": "<i4",
            "fill_value": 0,
            "order": "C",
        }
        store = MemoryStore()
        store.put(
            ".zarray", json.dumps(document | {"filters": [{"id": identity}], "compressor": None}).encode()
        )
        store.put("0", zlib.compress(b""))
        with pytest.raises(MetadataError, match=f"{identity}.*refused"):
            sz.open_array(store)
