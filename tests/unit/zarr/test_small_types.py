"""bfloat16, floats of 8 bits and fewer, integers of 2 and 4: elements, fill values, and what is stored."""

import json
import math
import sys

import ml_dtypes
import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import MetadataError
from streamzarr.stores import MemoryStore
from streamzarr.zarr.dtypes import data_type, data_type_from_v2, data_type_from_v3
from streamzarr.zarr.dtypes.small import small_dtype

INTEGERS = ["int2", "int4", "uint2", "uint4"]
FLOATS = [
    "bfloat16",
    *(f"float8_{form}" for form in ("e3m4", "e4m3", "e4m3fn", "e4m3fnuz", "e4m3b11fnuz")),
    *(f"float8_{form}" for form in ("e5m2", "e5m2fnuz", "e8m0fnu")),
    *("float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn"),
]
NAN = {  # the registry's: what the constant "NaN" stands for
    "bfloat16": "7fc0",
    "float8_e3m4": "78",
    "float8_e4m3": "7c",
    "float8_e4m3b11fnuz": "80",
    "float8_e4m3fnuz": "80",
    "float8_e5m2": "7e",
    "float8_e5m2fnuz": "80",
    "float8_e8m0fnu": "ff",
}


def every_element(name: str) -> np.ndarray:
    dtype = small_dtype(name)
    count = 1 << 16 if dtype.itemsize == 2 else 256
    return np.arange(count, dtype=f"u{dtype.itemsize}").view(dtype)


@pytest.mark.parametrize("name", INTEGERS + FLOATS)
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("shards", [None, (64,)])
def test_every_element_comes_back_and_reads_under_its_registered_name(name, zarr_format, shards):
    if zarr_format == 2 and shards:
        return
    bits = {"int2": 2, "uint2": 2, "int4": 4, "uint4": 4, "float4_e2m1fn": 4}.get(name, 8)
    bits = 6 if name.startswith("float6") else bits
    values = every_element(name)[: 1 << bits] if bits < 8 else every_element(name)
    z = sz.create_array(
        MemoryStore(), shape=values.shape, dtype=name, chunks=16, shards=shards, zarr_format=zarr_format
    )
    z[...] = values
    z[3:5] = values[3:5]
    document = json.loads(z.store.get("zarr.json" if zarr_format == 3 else ".zarray"))
    assert document["data_type" if zarr_format == 3 else "dtype"] == name
    read = sz.open_array(z.store)
    assert read.dtype == small_dtype(name)
    assert read[...].tobytes() == values.tobytes()
    assert read[1::3].tobytes() == values[1::3].tobytes()


@pytest.mark.parametrize(("name", "bits"), NAN.items())
def test_nan_is_the_one_of_the_registry_and_others_keep_their_bits(name, bits):
    kind = data_type_from_v3(name, "x")
    big = kind.dtype.newbyteorder(">")
    assert np.asarray(kind.fill_from_json("NaN", 3)).astype(big).tobytes().hex() == bits
    for value in every_element(name):
        again = kind.fill_from_json(json.loads(json.dumps(kind.fill_to_json(value, 3))), 3)
        assert again.tobytes() == value.tobytes()


@pytest.mark.parametrize("name", ["float4_e2m1fn", "float6_e2m3fn", "float6_e3m2fn"])
@pytest.mark.parametrize("document", ["NaN", "Infinity", "-Infinity", "nan", True, None, [1]])
def test_fill_values_that_a_type_does_not_have(name, document):
    with pytest.raises(ValueError, match=r"has no|expected"):
        data_type_from_v3(name, "x").fill_from_json(document, 3)


def test_infinity_only_where_there_is_one():
    assert math.isinf(data_type("bfloat16").fill_from_json("-Infinity", 3))
    assert math.isinf(data_type("float8_e5m2").fill_from_json("Infinity", 3))
    for name in ("float8_e4m3fn", "float8_e8m0fnu", "float8_e5m2fnuz"):
        with pytest.raises(ValueError, match="has no inf"):
            data_type(name).fill_from_json("Infinity", 3)


def test_a_type_without_zero_is_filled_with_the_memory_of_zeros():
    z = sz.create_array(MemoryStore(), shape=2, dtype="float8_e8m0fnu")
    assert z[...].tobytes() == b"\0\0"
    assert float(z.fill_value) == 2.0**-127
    assert data_type("float8_e8m0fnu").fill_from_json(0.0, 3).tobytes() == b"\0"  # as tensorstore writes it


@pytest.mark.parametrize(
    ("name", "least", "greatest"), [("int2", -2, 1), ("int4", -8, 7), ("uint2", 0, 3), ("uint4", 0, 15)]
)
def test_integers_have_their_range(name, least, greatest):
    kind = data_type(name)
    assert [int(kind.fill_from_json(n, 3)) for n in (least, greatest)] == [least, greatest]
    for number in (least - 1, greatest + 1, 0.5, "1", True):
        with pytest.raises(ValueError, match="expected"):
            kind.fill_from_json(number, 3)
    z = sz.create_array(MemoryStore(), shape=2, dtype=name, fill_value=greatest)
    z[0] = least
    assert sz.open_array(z.store)[...].astype(int).tolist() == [least, greatest]
    with pytest.raises(OverflowError, match=f"from {least} to {greatest}"):
        z[0] = greatest + 1
    with pytest.raises(TypeError, match="same_kind"):
        z[...] = np.array([0.5, 1.5])


def test_numbers_are_taken_by_kind():
    z = sz.create_array(MemoryStore(), shape=3, dtype="bfloat16")
    z[...] = [1, 2.5, True]
    assert z[...].astype(float).tolist() == [1, 2.5, 1]
    wide = sz.create_array(MemoryStore(), shape=3, dtype="f4")
    wide[...] = z[...]
    assert wide[...].tolist() == [1, 2.5, 1]
    with pytest.raises(TypeError, match="same_kind"):
        z[...] = np.array([1j, 2, 3])
    whole = sz.create_array(MemoryStore(), shape=3, dtype="i4")
    with pytest.raises(TypeError, match="same_kind"):
        whole[...] = z[...]


def test_bits_that_a_type_does_not_use_are_not_written_and_not_read():
    z = sz.create_array(MemoryStore(), shape=4, dtype="int4", compressors=None)
    z[...] = np.array([0xF1, 0x2F, 0x08, 0x77], "u1").view(ml_dtypes.int4)
    assert z.store.get("c/0").hex() == "010f0807"
    z.store.put("c/0", bytes.fromhex("f1fff8a7"))
    read = sz.open_array(z.store)[...]
    assert (read.astype(int).tolist(), read.tobytes().hex()) == ([1, -1, -8, 7], "010f0807")


def test_bfloat16_has_a_byte_order():
    big = {"name": "bytes", "configuration": {"endian": "big"}}
    z = sz.create_array(
        MemoryStore(), data=np.array([1, 2], ml_dtypes.bfloat16), serializer=big, compressors=None
    )
    assert z.store.get("c/0").hex() == "3f804000"
    assert sz.open_array(z.store)[...].astype(float).tolist() == [1, 2]


def test_records_of_small_numbers():
    dtype = np.dtype([("a", ml_dtypes.bfloat16), ("b", "i4")])
    for zarr_format in (2, 3):
        z = sz.create_array(MemoryStore(), shape=2, dtype=dtype, zarr_format=zarr_format)
        z[0] = (1.5, 7)
        assert sz.open_array(z.store)[...].tolist() == [(1.5, 7), (0, 0)]
    assert data_type_from_v2([["a", "bfloat16"]], [], "x").to_v2() == [["a", "bfloat16"]]


def test_without_ml_dtypes_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    small_dtype.cache_clear()
    with pytest.raises(MetadataError, match=r"streamzarr\[ml\]"):
        data_type_from_v3("int4", "x")
