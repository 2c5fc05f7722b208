"""Strings, bytes and records (traps T11 and T12)."""

from __future__ import annotations

import json

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import CodecError, ConfigError, MetadataError
from streamzarr.stores import MemoryStore
from streamzarr.zarr.dtypes import data_type, data_type_from_v2, data_type_from_v3

RECORD = np.dtype([("a", "<i4"), ("b", ">f8"), ("s", "S3"), ("n", [("x", ">i2"), ("y", "<u1")])])
RECORDS = np.array([(1, 1.5, b"x", (-2, 3)), (2, -0.0, b"yyy", (5, 6)), (0, 0, b"", (0, 0))], dtype=RECORD)


def document(z):
    return json.loads(z.store.get("zarr.json" if z.zarr_format == 3 else ".zarray"))


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_t11_structs_keep_the_value_of_every_field(zarr_format):
    z = sz.create_array(MemoryStore(), shape=(3,), chunks=(2,), dtype=RECORD, zarr_format=zarr_format)
    z[...] = RECORDS
    for each in (z, sz.open_array(z.store)):
        read = each[...]
        assert read.tolist() == RECORDS.tolist()
        assert read["b"].tolist() == [1.5, -0.0, 0]
        assert each.fill_value.tolist() == np.zeros((), RECORD).tolist()
    assert (z.dtype == RECORD) == (zarr_format == 2)
    z[0] = (7, 8.5, b"z", (1, 2))
    assert z[0].tolist() == (7, 8.5, b"z", (1, 2))


def test_t11_v3_fields_are_little_endian_or_as_the_codec_says():
    for codec, expected in (
        ("bytes", "0100"),
        ({"name": "bytes", "configuration": {"endian": "big"}}, "0001"),
    ):
        z = sz.create_array(
            MemoryStore(),
            shape=(1,),
            dtype=[("a", ">i2")],
            serializer=codec,
            compressors=None,
            fill_value=(9,),
        )
        z[...] = np.array([(1,)], [("a", "i2")])
        assert z.store.get("c/0").hex() == expected
        assert sz.open_array(z.store)[0].tolist() == (1,)
        assert document(z)["fill_value"] == "CQA="


def test_t11_both_spellings_of_struct_are_read():
    pairs = {"name": "structured", "configuration": {"fields": [["a", "int32"], ["b", "float64"]]}}
    objects = {
        "name": "struct",
        "configuration": {
            "fields": [{"name": "a", "data_type": "int32"}, {"name": "b", "data_type": "float64"}]
        },
    }
    assert data_type_from_v3(pairs, "x").dtype == data_type_from_v3(objects, "x").dtype


def test_structs_are_stored_packed_and_may_hold_arrays_in_v2():
    aligned = np.dtype([("a", "u1"), ("b", "f8")], align=True)
    assert data_type(aligned).itemsize == 9
    dtype = [["a", "<i4"], ["b", "<f4", [2, 2]]]
    assert data_type_from_v2(dtype, [], "x").to_v2() == dtype
    z = sz.create_array(MemoryStore(), shape=(2,), dtype=[("a", "i4"), ("b", "f4", (2, 2))], zarr_format=2)
    z[1] = (5, [[1, 2], [3, 4]])
    assert sz.open_array(z.store)[1]["b"].tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    "dtype",
    [
        [],
        [["a"]],
        [["a", "i7"]],
        [[1, "<i4"]],
        [["a", "<i4", [-1]]],
        [["a", "<i4"], ["a", "<i4"]],
        {},
        "",
    ],
    ids=str,
)
def test_v2_types_that_are_none(dtype):
    with pytest.raises(MetadataError, match="where"):
        data_type_from_v2(dtype, [], "where")


@pytest.mark.parametrize(
    "document",
    [
        {"name": "structured"},
        {"name": "structured", "configuration": {"fields": []}},
        {"name": "structured", "configuration": {"fields": [["a", "string"]]}},
        {"name": "structured", "configuration": {"fields": [["a", "int7"]]}},
        {"name": "structured", "configuration": {"fields": ["a"]}},
        {"name": "fixed_length_utf32", "configuration": {"length_bytes": 6}},
        {"name": "null_terminated_bytes", "configuration": {"length_bytes": 0}},
        {"name": "raw_bytes", "configuration": {"length_bytes": True}},
        "r7",
        "r0",
        {"name": "string", "configuration": {"x": 1}},
    ],
    ids=str,
)
def test_v3_types_that_are_none(document):
    with pytest.raises(MetadataError, match="where"):
        data_type_from_v3(document, "where")


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("shards", [None, (4, 2)])
def test_t12_strings_of_any_length(zarr_format, shards):
    if shards and zarr_format == 2:
        return
    values = np.array([["", "a"], ["çé", "日本語"], ["x" * 1000, "\0"]], dtype=np.dtypes.StringDType())
    z = sz.create_array(
        MemoryStore(),
        shape=(3, 2),
        chunks=(2, 1),
        shards=shards,
        dtype=str,
        zarr_format=zarr_format,
        fill_value="?",
    )
    z[...] = values
    z = sz.open_array(z.store, mode="r+")
    assert z.dtype == np.dtypes.StringDType()
    assert z.fill_value == "?"
    assert (z[...] == values).all()
    assert z[1:, 0].tolist() == ["çé", "x" * 1000]
    z[0] = ["new", "?"]
    z.append(np.array([["u", "v"]]))
    z.resize((5, 2))
    assert z[...].tolist() == [["new", "?"], ["çé", "日本語"], ["x" * 1000, "\0"], ["u", "v"], ["?", "?"]]
    z[...] = "?"
    assert [key for key in z.store.list() if "zarr" not in key and ".z" not in key] == []


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_t12_bytes_of_any_length(zarr_format):
    z = sz.create_array(
        MemoryStore(), shape=(3,), chunks=(2,), dtype=bytes, zarr_format=zarr_format, fill_value=b"\1"
    )
    assert z[...].tolist() == [b"\1"] * 3
    z[:2] = [b"", b"\0abc\0"]
    assert sz.open_array(z.store)[...].tolist() == [b"", b"\0abc\0", b"\1"]
    assert document(z)["fill_value"] == "AQ=="


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("dtype", "values", "fill"),
    [
        ("U3", ["a", "日本", ""], "zz"),
        ("S3", [b"a", b"bcd", b""], b"z"),
        ("V2", [b"ab", b"\0\0", b"cd"], b"\1\2"),
    ],
)
def test_t12_fixed_lengths(zarr_format, dtype, values, fill):
    z = sz.create_array(
        MemoryStore(), shape=(4,), chunks=(2,), dtype=dtype, zarr_format=zarr_format, fill_value=fill
    )
    z[:3] = np.array(values, dtype=dtype)
    z = sz.open_array(z.store)
    assert z.dtype == np.dtype(dtype)
    assert z[...].tolist() == np.array([*values, fill], dtype=dtype).tolist()


def test_t12_v2_strings_may_have_zero_or_null_as_fill():
    z = sz.create_array(MemoryStore(), shape=(2,), dtype=str, zarr_format=2)
    assert document(z)["dtype"] == "|O"
    assert document(z)["filters"] == [{"id": "vlen-utf8"}]
    for fill in (0, None, ""):
        z.store.put(".zarray", json.dumps(document(z) | {"fill_value": fill}).encode())
        assert sz.open_array(z.store)[...].tolist() == ["", ""]


def test_t12_v2_strings_are_read_through_categorize():
    z = sz.create_array(
        MemoryStore(),
        shape=(4,),
        dtype=str,
        zarr_format=2,
        filters=[{"id": "categorize", "labels": ["a", "b"], "dtype": "|O", "astype": "|u1"}],
        compressors=None,
    )
    z[...] = ["b", "a", "a", "b"]
    assert z.store.get("0") == bytes([2, 1, 1, 2])
    assert sz.open_array(z.store)[...].tolist() == ["b", "a", "a", "b"]


def test_what_is_no_string_is_refused():
    z = sz.create_array(MemoryStore(), shape=(2,), dtype=str)
    for value in (1, [1, 2], np.array([1, 2]), [b"a", b"b"], ["a", None]):
        with pytest.raises(TypeError):
            z[...] = value
    b = sz.create_array(MemoryStore(), shape=(2,), dtype=bytes)
    for value in ("a", ["a", "b"], 5):
        with pytest.raises(TypeError):
            b[...] = value
    for dtype in (np.dtypes.StringDType(na_object=None), object):
        with pytest.raises(MetadataError):
            sz.create_array(MemoryStore(), shape=(2,), dtype=dtype)
    for options in (
        {"dtype": "U2", "fill_value": "abc"},
        {"dtype": "S2", "fill_value": b"abc"},
        {"dtype": str, "fill_value": 1},
    ):
        with pytest.raises(ConfigError):
            sz.create_array(MemoryStore(), shape=(2,), **options)
    for serializer in ("bytes", "vlen-bytes"):
        with pytest.raises(MetadataError):
            sz.create_array(MemoryStore(), shape=(2,), dtype=str, serializer=serializer)
    with pytest.raises(MetadataError):
        sz.create_array(MemoryStore(), shape=(2,), dtype="i4", serializer="vlen-utf8")


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_damaged_strings(zarr_format):
    z = sz.create_array(MemoryStore(), shape=(2,), dtype=str, zarr_format=zarr_format, compressors=None)
    z[...] = ["ab", "cd"]
    key = z.chunk_key((0,))
    whole = z.store.get(key)
    huge = (2**32 - 1).to_bytes(4, "little")
    for damaged in (
        b"",
        whole[:-1],
        whole[:5],
        huge + whole[4:],
        whole[:4] + huge + whole[8:],
        b"\1\0\0\0" + whole[4:],
    ):
        z.store.put(key, damaged)
        with pytest.raises(CodecError, match=r"chunk \(0,\)"):
            z[...]
    z.store.put(key, whole.replace(b"ab", b"\xff\xfe"))
    with pytest.raises(CodecError):
        z[...]
