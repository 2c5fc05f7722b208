"""The traps of the array layer's reference, one named test each."""

from __future__ import annotations

import base64
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import (
    ChecksumError,
    CodecError,
    ConfigError,
    MetadataError,
    NodeExistsError,
    NodeNotFoundError,
    PreconditionFailedError,
)
from streamzarr.stores import MemoryStore, RangeRequest, SuffixRequest
from streamzarr.zarr.codecs import BytesCodec, ShardingCodec
from streamzarr.zarr.codecs.checksum import crc32c
from streamzarr.zarr.dtypes import data_type


@pytest.fixture
def store():
    return MemoryStore()


def array(store, **options):
    return sz.create_array(
        store, **{"shape": (4,), "chunks": (2,), "dtype": "i4", "compressors": None} | options
    )


def document(store, key="zarr.json"):
    return json.loads(store.get(key))


def edit(store, key="zarr.json", **changes):
    """Change keys of a stored document; a value of ... removes the key."""
    new = document(store, key) | changes
    store.put(key, json.dumps({name: value for name, value in new.items() if value is not ...}).encode())


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_t01_edge_chunks_are_stored_whole_and_padded_with_fill(store, zarr_format):
    z = array(store, shape=(3,), dtype="u1", fill_value=7, zarr_format=zarr_format)
    z[...] = 9
    assert store.get(z.chunk_key((1,))) == bytes([9, 7])
    assert z[...].tolist() == [9, 9, 9]


def test_t01_a_chunk_larger_than_the_array_is_legal(store):
    z = array(store, shape=(3,), chunks=(10,), dtype="u1")
    z[...] = [1, 2, 3]
    assert len(store.get("c/0")) == 10
    assert z[...].tolist() == [1, 2, 3]


@pytest.mark.parametrize("data", [b"", b"\0" * 7, b"\0" * 9])
@pytest.mark.parametrize("compressors", [None, "crc32c"])
def test_t02_a_chunk_of_the_wrong_length_is_an_error(store, data, compressors):
    z = array(store, compressors=compressors)
    z[...] = 1
    store.put("c/0", data)
    with pytest.raises(CodecError, match=r"chunk \(0,\) \(key 'c/0'\)"):
        z[...]
    with pytest.raises(CodecError):
        z[1]


def test_t02_an_absent_key_is_fill(store):
    assert array(store, fill_value=5)[...].tolist() == [5] * 4


@pytest.mark.parametrize(
    ("fill", "written"), [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity"), (1.5, 1.5)]
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_t03_special_fills_are_strings(store, fill, written, zarr_format):
    array(store, dtype="f4", fill_value=fill, zarr_format=zarr_format)
    key = "zarr.json" if zarr_format == 3 else ".zarray"
    assert document(store, key)["fill_value"] == written
    assert sz.open_array(store)[0].tobytes() == np.float32(fill).tobytes()


def test_t03_a_nan_keeps_its_payload(store):
    payload = np.array(0x7FC00001, "u4").view("f4")[()]
    array(store, dtype="f4", fill_value=payload)
    assert document(store)["fill_value"] == "0x7fc00001"
    assert sz.open_array(store)[...].view("u4").tolist() == [0x7FC00001] * 4


def test_t03_in_v2_a_nan_has_no_payload_from_the_start(store):
    payload = np.array(0x7FC00001, "u4").view("f4")[()]
    z = array(store, dtype="f4", fill_value=payload, zarr_format=2)
    assert z[...].tobytes() == sz.open_array(store)[...].tobytes()


def test_t04_v2_null_is_undefined_reads_as_zeros_and_stays_null(store):
    array(store, zarr_format=2)
    edit(store, ".zarray", fill_value=None)
    z = sz.open_array(store, mode="r+")
    assert z.fill_value is None
    assert z[...].tolist() == [0] * 4
    z.resize((6,))
    assert document(store, ".zarray")["fill_value"] is None


@pytest.mark.parametrize("fill", [None, ...])
def test_t04_v3_requires_a_fill_value(store, fill):
    array(store)
    edit(store, fill_value=fill)
    with pytest.raises(MetadataError, match="fill_value"):
        sz.open_array(store)


@pytest.mark.parametrize(
    ("dtype", "fill"),
    [
        ("i4", True),
        ("i4", 1.0),
        ("u1", 256),
        ("i1", "NaN"),
        ("f4", True),
        ("f4", "nan"),
        ("?", 1),
        ("c8", 1.0),
        ("c8", [1, 2, 3]),
        ("f4", "0x7fc0"),
        ("u8", -1),
    ],
)
def test_t05_v3_fills_have_the_type_of_the_array(store, dtype, fill):
    array(store, dtype=dtype)
    edit(store, fill_value=fill)
    with pytest.raises(MetadataError, match="fill_value"):
        sz.open_array(store)


def test_t05_the_largest_uint64_stays_an_integer(store):
    array(store, dtype="u8", fill_value=2**64 - 1)
    assert b"18446744073709551615" in store.get("zarr.json")
    assert int(sz.open_array(store)[0]) == 2**64 - 1


def test_t06_a_chunk_of_fill_is_not_stored_and_its_key_is_deleted(store):
    z = array(store, fill_value=3)
    z[...] = 1
    z[:2] = 3
    assert list(store.list("c")) == ["c/1"]
    z[2] = 3
    z[3] = 3
    assert list(store.list("c")) == []
    kept = sz.open_array(store, mode="r+", write_empty_chunks=True)
    kept[...] = 3
    assert sorted(store.list("c")) == ["c/0", "c/1"]
    z.write_chunk((0,), [3, 3], write_empty=True)
    assert "c/0" in list(store.list("c"))


def test_t06_nan_is_fill_and_negative_zero_is_not(store):
    z = array(store, dtype="f8", fill_value=math.nan)
    z[...] = math.nan
    assert list(store.list("c")) == []
    other = array(MemoryStore(), dtype="f8", fill_value=0.0)
    other[...] = -0.0
    assert np.signbit(other[...]).all()
    for dtype in ("c16", "f2", "M8[s]"):
        each = array(MemoryStore(), dtype=dtype)
        each[...] = each.fill_value
        assert list(each.store.list("c")) == []


def test_t07_v2_separator_is_a_dot_unless_given_and_empty_filters_are_null(store):
    z = array(store, shape=(4, 4), chunks=(2, 2), zarr_format=2, filters=[])
    assert document(store, ".zarray")["filters"] is None
    edit(store, ".zarray", dimension_separator=..., filters=[])
    z = sz.open_array(store, mode="r+")
    z[...] = 1
    assert "1.1" in list(store.list())
    nested = array(MemoryStore(), shape=(4, 4), chunks=(2, 2), zarr_format=2, chunk_key_encoding="/")
    nested[...] = 1
    assert "1/1" in list(nested.store.list())
    assert document(nested.store, ".zarray")["dimension_separator"] == "/"


def test_t08_v2_order_f_stores_f_bytes_and_v3_order_f_c_bytes(store):
    values = np.arange(6, dtype="u1").reshape(2, 3)
    z = array(store, shape=(2, 3), chunks=(2, 3), dtype="u1", order="F", zarr_format=2)
    z[...] = values
    assert store.get("0.0").hex() == "000301040205"
    assert np.array_equal(z[...], values)
    v3 = array(MemoryStore(), shape=(2, 3), chunks=(2, 3), dtype="u1", order="F")
    v3[...] = values
    assert v3.store.get("c/0/0").hex() == "000102030405"
    assert v3.filters == ()


def test_t09_shrink_then_grow_keeps_old_values_unless_cleared(store):
    z = array(store, shape=(6,), chunks=(3,), fill_value=7)
    z[...] = 9
    z.resize((1,))
    assert sorted(store.list("c")) == ["c/0"]
    z.resize((5,))
    assert z[...].tolist() == [9, 9, 9, 7, 7]
    z.resize((1,), clear=True)
    z.resize((5,))
    assert z[...].tolist() == [9, 7, 7, 7, 7]


def test_t10_v3_has_one_byte_order_per_array_and_honours_big(store):
    z = array(store, dtype=">i2", serializer={"name": "bytes", "configuration": {"endian": "big"}})
    assert z.dtype == np.dtype("i2")
    assert document(store)["data_type"] == "int16"
    z[...] = [1, 2, 3, 4]
    assert store.get("c/0").hex() == "00010002"
    assert sz.open_array(store)[...].tolist() == [1, 2, 3, 4]


def test_t10_v2_keeps_big_endian(store):
    z = array(store, dtype=">i2", zarr_format=2)
    z[...] = [1, 2, 3, 4]
    assert store.get("0").hex() == "00010002"
    assert sz.open_array(store).dtype == np.dtype(">i2")


RECORD = np.dtype([("id", ">i4"), ("at", [("x", "<f8"), ("y", ">f8")]), ("tag", "S3")])


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_t11_each_field_of_a_record_keeps_its_value_and_v2_its_byte_order(store, zarr_format):
    values = np.array([(1, (1.5, -2.5), b"ab"), (-7, (0.25, 1e300), b"xyz")] * 2, RECORD)
    z = array(store, dtype=RECORD, zarr_format=zarr_format)
    z[...] = values
    read = sz.open_array(store)
    assert read.dtype == (RECORD if zarr_format == 2 else RECORD.newbyteorder("="))
    assert read[...].tolist() == values.tolist()
    stored = np.frombuffer(
        store.get(z.chunk_key((0,))), RECORD if zarr_format == 2 else RECORD.newbyteorder("<")
    )
    assert stored.tolist() == values[:2].tolist()


def test_t11_big_endian_records_in_v3_are_what_the_bytes_codec_says(store):
    z = array(store, dtype=[("a", ">i2")], serializer={"name": "bytes", "configuration": {"endian": "big"}})
    z[...] = np.array([(1,), (2,), (3,), (4,)], z.dtype)
    assert store.get("c/0").hex() == "00010002"
    assert sz.open_array(store)[...]["a"].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("name", ["struct", "structured"])
def test_t11_both_names_of_records_are_read_and_a_fill_is_base64(store, name):
    array(store, dtype=[("a", "i4"), ("b", "f8")])
    fields = [["a", "int32"], ["b", "float64"]]
    if name == "struct":
        fields = [{"name": field, "data_type": data_type} for field, data_type in fields]
    fill = base64.b64encode(np.array((7, 0.5), "<i4,<f8").tobytes()).decode()
    edit(store, data_type={"name": name, "configuration": {"fields": fields}}, fill_value=fill)
    assert sz.open_array(store)[0].tolist() == (7, 0.5)


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_t12_strings_of_any_length_are_counts_lengths_and_utf8(store, zarr_format):
    z = array(store, dtype=str, zarr_format=zarr_format)
    z[:2] = np.array(["é", ""], z.dtype)
    assert store.get(z.chunk_key((0,))).hex() == "02000000" + "02000000c3a9" + "00000000"
    assert sz.open_array(store)[...].tolist() == ["é", "", "", ""]
    if zarr_format == 2:
        assert document(store, ".zarray")["dtype"] == "|O"
        assert document(store, ".zarray")["filters"] == [{"id": "vlen-utf8"}]
    else:
        assert document(store)["data_type"] == "string"
        assert document(store)["codecs"][0]["name"] == "vlen-utf8"


@pytest.mark.parametrize("fill", ["", 0])
def test_t12_v2_strings_may_have_zero_as_fill(store, fill):
    array(store, dtype=str, zarr_format=2)
    edit(store, ".zarray", fill_value=fill)
    assert sz.open_array(store)[...].tolist() == [""] * 4


@pytest.mark.parametrize("value", ["", "a", "ü€😀", "four", "a longer one"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_t12_one_string_without_dimensions(store, value, zarr_format):
    z = array(store, shape=(), chunks=(), dtype=str, zarr_format=zarr_format)
    z[...] = value
    assert sz.open_array(store)[()] == value
    assert (z.chunk_key(()) in list(store.list())) == (value != "")


def test_t12_strings_that_can_be_missing_are_refused(store):
    with pytest.raises(MetadataError, match="na_object"):
        array(store, dtype=np.dtypes.StringDType(na_object=None))


def test_t13_datetimes_have_a_unit_a_factor_and_nat(store):
    z = array(store, dtype="M8[10ms]")
    assert document(store)["data_type"] == {
        "name": "numpy.datetime64",
        "configuration": {"unit": "ms", "scale_factor": 10},
    }
    assert document(store)["fill_value"] == -(2**63)
    assert np.isnat(z[...]).all()
    assert sz.open_array(store).dtype == np.dtype("M8[10ms]")
    edit(store, fill_value="NaT")
    assert np.isnat(sz.open_array(store)[...]).all()


BYTES, GZIP = (
    {"name": "bytes", "configuration": {"endian": "little"}},
    {"name": "gzip", "configuration": {"level": 1}},
)
TRANSPOSE = {"name": "transpose", "configuration": {"order": [0]}}


@pytest.mark.parametrize(
    "codecs",
    [[], [GZIP], [BYTES, BYTES], [GZIP, BYTES], [BYTES, TRANSPOSE], [BYTES, GZIP, TRANSPOSE], "bytes", None],
)
def test_t14_the_codec_chain_has_an_order(store, codecs):
    array(store)
    edit(store, codecs=codecs)
    with pytest.raises(MetadataError, match="codecs"):
        sz.open_array(store)


def test_t14_crc32c_after_gzip_is_allowed(store):
    z = array(store, compressors=["gzip", "crc32c"])
    z[...] = [1, 2, 3, 4]
    assert sz.open_array(store)[...].tolist() == [1, 2, 3, 4]


@pytest.mark.parametrize("location", ["start", "end"])
def test_t15_offsets_count_from_the_start_of_the_shard_and_absent_chunks_are_all_ones(store, location):
    codec = ShardingCodec((2,), (BytesCodec(None),), index_location=location)
    z = array(store, shape=(4,), chunks=(4,), dtype="u1", serializer=codec)
    z[2:] = [7, 8]
    shard = store.get("c/0")
    index = shard[:36] if location == "start" else shard[-36:]
    entries = np.frombuffer(index[:32], "<u8").tolist()
    assert entries == [2**64 - 1, 2**64 - 1, 0x24 if location == "start" else 0, 2]
    assert index[32:] == crc32c(index[:32]).to_bytes(4, "little")
    assert sz.open_array(store)[...].tolist() == [0, 0, 7, 8]


def test_t15_inner_chunks_may_lie_in_any_order(store):
    z = array(store, shape=(4,), chunks=(2,), shards=(4,), dtype="u1")
    z[...] = [1, 2, 3, 4]
    entries = np.array([2, 2, 0, 2], "<u8").tobytes()
    store.put("c/0", bytes([3, 4, 1, 2]) + entries + crc32c(entries).to_bytes(4, "little"))
    assert sz.open_array(store)[...].tolist() == [1, 2, 3, 4]


def test_t15_nested_shards_and_shards_without_dimensions(store):
    inner = ShardingCodec((2,), (BytesCodec(None),))
    z = array(store, shape=(8,), chunks=(8,), dtype="u1", serializer=ShardingCodec((4,), (inner,)))
    z[...] = range(8)
    z[3] = 99
    assert sz.open_array(store)[...].tolist() == [0, 1, 2, 99, 4, 5, 6, 7]
    single = array(MemoryStore(), shape=(), chunks=(), shards=(), dtype="i4")
    single[...] = 5
    assert sz.open_array(single.store)[...] == 5


def test_t16_crc32c_is_little_endian_and_checked(store):
    z = array(store, dtype="u1", shape=(9,), chunks=(9,), compressors="crc32c")
    z[...] = np.frombuffer(b"123456789", "u1")
    assert store.get("c/0") == b"123456789" + 0xE3069283.to_bytes(4, "little")
    store.put("c/0", b"123456788" + 0xE3069283.to_bytes(4, "little"))
    with pytest.raises(ChecksumError, match=r"chunk \(0,\).*crc32c"):
        z[...]
    store.put("c/0", b"123")
    with pytest.raises(CodecError, match="crc32c: got 3 bytes"):
        z[...]


def test_t17_short_names_are_read_and_objects_written(store):
    array(store, dtype="u1")
    edit(store, codecs=["bytes", "crc32c"], data_type={"name": "uint8"})
    z = sz.open_array(store, mode="r+")
    z[...] = [1, 2, 3, 4]
    z.resize((5,))
    assert document(store)["codecs"] == [{"name": "bytes"}, {"name": "crc32c"}]
    assert document(store)["data_type"] == "uint8"


@pytest.mark.parametrize("value", [1, {"must_understand": True}, {}, None])
def test_t18_unknown_keys_are_refused(store, value):
    array(store)
    edit(store, lab=value)
    with pytest.raises(MetadataError, match="lab"):
        sz.open_array(store)


def test_t18_unknown_keys_that_need_not_be_understood_are_kept(store):
    array(store)
    edit(store, lab={"must_understand": False, "x": 1})
    z = sz.open_array(store, mode="r+")
    z.attrs["a"] = 1
    assert document(store)["lab"] == {"must_understand": False, "x": 1}


def test_t19_attributes_are_read_leniently_and_written_strictly(store):
    z = array(store, attributes={"ü": [1, {"b": None}], "a": "µ"})
    assert list(sz.open_array(store).attrs.items()) == [("ü", [1, {"b": None}]), ("a", "µ")]
    store.put("zarr.json", store.get("zarr.json").replace(b'"\\u00b5"', b"NaN"))
    assert math.isnan(sz.open_array(store).attrs["a"])
    z = array(MemoryStore())
    with pytest.raises(MetadataError, match=r"x/1.*not finite"):
        z.attrs["x"] = [1, math.nan]
    assert "x" not in sz.open_array(z.store).attrs


def test_t20_consolidated_metadata_wins_over_a_stale_child(store):
    root = sz.create_group(store)
    child = root.create_array("g/price", shape=(4,), chunks=(2,), dtype="i4", fill_value=1)
    documents = {"g": document(store, "g/zarr.json"), "g/price": child.metadata.to_json() | {"shape": [6]}}
    edit(store, consolidated_metadata={"kind": "inline", "must_understand": False, "metadata": documents})
    found = sz.open_group(store)
    assert found["g/price"].shape == (6,)
    assert found["g"]["price"].shape == (6,)
    assert [(path, node.path) for path, node in found.members(None)] == [("g", "g"), ("g/price", "g/price")]
    assert sz.open_group(store, use_consolidated=False)["g/price"].shape == (4,)


def test_t21_zmetadata_is_one_document_of_all(store):
    root = sz.create_group(store, zarr_format=2)
    root.create_array("g/a", shape=(4,), dtype="i4", attributes={"u": "m"})
    documents = {
        key: document(store, key)
        for key in list(store.list())
        if key.endswith((".zarray", ".zgroup", ".zattrs"))
    }
    store.put(".zmetadata", json.dumps({"zarr_consolidated_format": 1, "metadata": documents}).encode())
    store.delete_prefix("g")
    found = sz.open_group(store, use_consolidated=True)
    assert found["g/a"].attrs["u"] == "m"
    assert [path for path, _ in found.members(None)] == ["g", "g/a"]


@pytest.mark.parametrize(
    "name", [".", "..", "...", "__x", "a/__x", "zarr.json", "a\\b", "a//b", ".zarray", "x\0"]
)
def test_t22_reserved_and_impossible_names_are_refused(store, name):
    with pytest.raises(ConfigError):
        sz.create_group(store).create_group(name)


def test_t22_names_differ_by_their_bytes(store):
    root = sz.create_group(store)
    root.create_group("caf\u00e9")
    assert "cafe\u0301" not in root


def test_t23_paths_are_normalised_but_never_collapsed(store):
    root = sz.create_group(store)
    root.create_group("/a/")
    assert "a" in root
    with pytest.raises(ConfigError):
        root["a/../a"]
    root.create_group("foobar")
    root.create_group("foo")
    del root["foo"]
    assert sorted(root) == ["a", "foobar"]


def test_t24_arrays_without_dimensions(store):
    z = array(store, shape=(), chunks=())
    z[...] = 5
    assert z.chunk_key(()) == "c"
    assert z[()] == 5
    assert (z.grid.shape, z.nchunks, z.ndim, z.size) == ((), 1, 0, 1)
    v2 = array(MemoryStore(), shape=(), chunks=(), zarr_format=2)
    v2[()] = 6
    assert v2.chunk_key(()) == "0"
    assert v2[...] == 6


def test_t24_arrays_without_elements(store):
    z = array(store, shape=(0, 4), chunks=(1, 4))
    assert (z.nchunks, z.cdata_shape) == (0, (0, 1))
    assert z[...].shape == (0, 4)
    z[...] = 1
    assert z.append(np.ones((2, 4), "i4")) == (2, 4)
    assert z[...].tolist() == [[1] * 4] * 2


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_t24_chunks_of_zero_are_refused(store, zarr_format):
    with pytest.raises(ConfigError):
        array(store, chunks=(0,), zarr_format=zarr_format)
    array(store, zarr_format=zarr_format)
    if zarr_format == 3:
        edit(store, chunk_grid={"name": "regular", "configuration": {"chunk_shape": [0]}})
    else:
        edit(store, ".zarray", chunks=[0])
    with pytest.raises(MetadataError):
        sz.open_array(store)


def test_t25_results_are_the_callers_own(store):
    z = array(store, shape=(2,))
    values = np.array([1, 2], "i4")
    z[...] = values
    values[...] = 0
    read = z[...]
    assert read.flags.writeable
    read[...] = 0
    assert z[...].tolist() == [1, 2]
    block = z.read_chunk((0,))
    block[...] = 0
    assert z[...].tolist() == [1, 2]


def test_t26_ranges_longer_than_the_value_are_cut_and_those_past_it_are_empty(store):
    store.put("a", b"0123")
    assert store.get("a", SuffixRequest(9)) == b"0123"
    assert store.get("a", RangeRequest(2, 99)) == b"23"
    assert store.get("a", RangeRequest(99)) == b""
    assert store.get_ranges("a", [SuffixRequest(2), RangeRequest(4, 6)]) == [b"23", b""]


def test_t27_v3_wins_over_v2_with_a_warning(store):
    array(store, dtype="i4")
    array(MemoryStore(), dtype="f8", zarr_format=2)
    v2 = array(MemoryStore(), dtype="f8", zarr_format=2)
    store.put(".zarray", v2.store.get(".zarray"))
    with pytest.warns(UserWarning, match="both Zarr v3 and v2"):
        assert sz.open_array(store).dtype == np.dtype("i4")
    assert sz.open_array(store, zarr_format=2).dtype == np.dtype("f8")
    assert sz.open_array(store, zarr_format=3).dtype == np.dtype("i4")


@pytest.mark.parametrize(("dtype", "typesize", "shuffle"), [("u1", 1, "bitshuffle"), ("f8", 8, "shuffle")])
def test_t28_blosc_takes_typesize_and_shuffle_from_the_dtype(store, dtype, typesize, shuffle):
    array(store, dtype=dtype, compressors="blosc")
    configuration = document(store)["codecs"][-1]["configuration"]
    assert (configuration["typesize"], configuration["shuffle"]) == (typesize, shuffle)


def test_t29_what_is_no_node_is_passed_over(store):
    root = sz.create_group(store)
    root.create_array("a", shape=(1,), dtype="i4")
    store.put(".lock", b"")
    store.put("notes/readme.txt", b"hello")
    assert list(root) == ["a"]


def test_every_trap_of_the_reference_has_a_test_of_its_name():
    named = {
        int(number) for number in re.findall(r"^def test_t(\d\d)_", Path(__file__).read_text(), re.MULTILINE)
    }
    assert named == set(range(1, 30))


def test_both_kinds_of_absence_and_presence(store):
    with pytest.raises(NodeNotFoundError):
        sz.open_array(store)
    array(store, path="a")
    with pytest.raises(NodeExistsError):
        array(store, path="a")
    with pytest.raises(NodeExistsError):
        array(store, path="a/b")
    with pytest.raises(KeyError):
        sz.open_group(store)["b"]


def test_every_data_type_says_what_it_cannot_be():
    with pytest.raises(MetadataError, match="no data type"):
        data_type(np.dtype("O"))


def test_changes_of_two_processes_are_both_kept(store):
    mine = array(store)
    theirs = sz.open_array(store, mode="r+")
    mine.attrs["a"] = 1
    theirs.attrs["b"] = 2
    mine.resize((6,))
    theirs.attrs["c"] = 3
    assert sz.open_array(store).attrs.asdict() == {"a": 1, "b": 2, "c": 3}
    assert theirs.shape == (6,)


def test_a_racing_change_is_applied_to_the_newer_metadata(store):
    z = array(store)

    class Racing(MemoryStore):
        raced = False

        def put(self, key, data, **conditions):
            if not self.raced and "if_match" in conditions:
                self.raced = True
                raise PreconditionFailedError("another was faster")
            return super().put(key, data, **conditions)

    racing = Racing()
    for key in store.list():
        racing.put(key, store.get(key))
    sz.open_array(racing, mode="r+").attrs["a"] = 1
    assert racing.raced
    assert sz.open_array(racing).attrs["a"] == 1
    assert z.attrs.asdict() == {}
