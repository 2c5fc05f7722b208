"""What other writers have put into metadata, read as they meant it; and what v3 forbids, refused."""

import json

import numcodecs
import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.data import batches
from streamzarr.errors import MetadataError
from streamzarr.stores import MemoryStore
from streamzarr.zarr.codecs.registry import parse_codec
from streamzarr.zarr.dtypes import data_type, data_type_from_v2, data_type_from_v3


def v2(**entries) -> MemoryStore:
    store = MemoryStore()
    document = {"zarr_format": 2, "shape": [4], "chunks": [2], "dtype": "<i4", "fill_value": 0, "order": "C"}
    store.put(".zarray", json.dumps(document | {"filters": None, "compressor": None} | entries).encode())
    return store


def v3(**entries) -> MemoryStore:
    store = MemoryStore()
    document = {
        "zarr_format": 3,
        "node_type": "array",
        "shape": [4],
        "data_type": "int32",
        "fill_value": 0,
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [2]}},
        "chunk_key_encoding": {"name": "default"},
        "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}],
    }
    store.put("zarr.json", json.dumps(document | entries).encode())
    return store


@pytest.mark.parametrize(
    ("dtype", "document", "expected"),
    [
        ("<i4", "0", 0),
        ("<i2", [-32767], -32767),
        ("<i2", "-1e3", -1000),
        ("|u1", "255", 255),
        ("<i8", "9223372036854775807", 2**63 - 1),
        ("<i4", 1.0, 1),
        ("<i4", True, 1),
        ("<f4", "0", 0.0),
        ("<f4", "nan", np.nan),
        ("<f8", "-inf", -np.inf),
        ("<f8", "Infinity", np.inf),
        ("<f4", [1.5], 1.5),
        ("<f8", "1e300", 1e300),
        ("<f8", ["nan"], np.nan),
        ("<c8", "1.5", 1.5),
        ("<c8", "nan", complex(np.nan, 0)),
        ("<c16", ["inf", "0"], complex(np.inf, 0)),
        ("|b1", "true", True),
        ("|b1", "False", False),
        ("|b1", "0", False),
        ("|b1", [1], True),
        ("<M8[s]", "0", np.datetime64(0, "s")),
        ("<m8[s]", [5], np.timedelta64(5, "s")),
        ("bfloat16", "1.5", 1.5),
        ("int4", ["-8"], -8),
    ],
)
def test_numbers_as_text_or_in_a_list_fill_v2_arrays(dtype, document, expected):
    z = sz.open_array(v2(dtype=dtype, fill_value=document), mode="r+")
    expected = np.full(4, expected)
    np.testing.assert_array_equal(z[...].astype("c16" if dtype[1] == "c" else expected.dtype), expected)
    z.resize(6)  # and the document that is written again is one that others read
    stored = json.loads(z.store.get(".zarray"))["fill_value"]
    assert stored == z.metadata.data_type.fill_to_json(z.fill_value, 2)


@pytest.mark.parametrize("document", ["nan", "1.5", "", [1, 2], [], "one", {}, [[0]]])
def test_what_is_no_integer_stays_none(document):
    with pytest.raises(MetadataError, match="fill_value"):
        sz.open_array(v2(fill_value=document))


@pytest.mark.parametrize(
    ("data_type", "document"),
    [
        *(("int32", each) for each in ("0", [0], 1.0, True)),
        *(("float32", each) for each in ("nan", "0", [1.5])),
    ],
)
def test_v3_has_numbers_and_three_words_only(data_type, document):
    with pytest.raises(MetadataError, match="fill_value"):
        sz.open_array(v3(data_type=data_type, fill_value=document))


@pytest.mark.parametrize(("dtype", "empty"), [("|S0", b""), ("<U0", ""), (">U0", "")])
@pytest.mark.parametrize("fill", [None, "", 0])
def test_strings_of_no_length(dtype, empty, fill):
    z = sz.open_array(v2(dtype=dtype, fill_value=fill), mode="r+")
    assert z[...].tolist() == [empty] * 4
    z[0] = empty
    assert sz.open_array(z.store)[...].tolist() == [empty] * 4


def test_records_may_have_arrays_in_several_spellings():
    for field in (["b", "<f4", [2]], ["b", "<f4", 2], ["b", "(2,)<f4"]):
        z = sz.open_array(v2(dtype=[["a", "<i4"], field], fill_value=None), mode="r+")
        assert z.dtype == np.dtype([("a", "<i4"), ("b", "<f4", (2,))])
        z[1] = (5, [1, 2])
        read = sz.open_array(z.store)[1]
        assert (read["a"].tolist(), read["b"].tolist()) == (5, [1, 2])
    for shape in (0, -1, True, "2", [2, 0], None):
        with pytest.raises(MetadataError, match="positive integers"):
            sz.open_array(v2(dtype=[["b", "<f4", shape]], fill_value=None))


def test_v3_has_no_arrays_in_records():
    with pytest.raises(MetadataError, match="no data type for numpy dtype"):
        sz.create_array(MemoryStore(), shape=2, dtype=[("b", "f4", (2,))]).metadata.to_json()


@pytest.mark.parametrize("key", ["nthreads", "numThreads", "numthreads", "numinternalthreads"])
def test_threads_are_no_part_of_blosc(key):
    config = {"id": "blosc", "cname": "lz4", "clevel": 5, "shuffle": 1, "blocksize": 0}
    values = np.arange(4, dtype="<i4")
    store = v2(compressor=config | {key: 4})
    store.put("0", bytes(numcodecs.get_codec(config).encode(values[:2])))
    z = sz.open_array(store, mode="r+")
    assert z[:2].tolist() == [0, 1]
    z[2:] = values[2:]
    assert sz.open_array(store)[...].tolist() == [0, 1, 2, 3]
    known = {"typesize": 4, "cname": "lz4", "clevel": 5, "shuffle": "shuffle", "blocksize": 0}
    for name, rest in (("blosc", known), ("numcodecs.blosc", {"cname": "lz4"})):
        codec = parse_codec({"name": name, "configuration": rest | {key: 4}}, "x")
        assert key not in codec.configuration()
    with pytest.raises(MetadataError, match="unknown keys"):
        parse_codec({"name": "blosc", "configuration": known | {"other": 1}}, "x")


@pytest.mark.parametrize("name", ["bytes", "variable_length_bytes"])
def test_bytes_are_filled_with_base64_or_numbers(name):
    for document, fill in (([1, 2, 255], b"\1\2\xff"), ("AQI=", b"\1\2"), ([], b""), ("", b"")):
        z = sz.open_array(v3(data_type=name, fill_value=document, codecs=[{"name": "vlen-bytes"}]), mode="r+")
        assert z[...].tolist() == [fill] * 4
        z.resize(5)
        assert json.loads(z.store.get("zarr.json"))["data_type"] == name
    for document in ([256], [-1], ["a"], [1.5], "not base64!", 0, None, {}):
        with pytest.raises(MetadataError, match="fill_value"):
            sz.open_array(v3(data_type=name, fill_value=document, codecs=[{"name": "vlen-bytes"}]))


def test_complex_numbers_by_their_parts():
    for name, registered in (("complex_float32", "complex64"), ("complex_float64", "complex128")):
        assert data_type_from_v3(name, "x") == data_type(registered)


STRUCT = {
    "name": "struct",
    "configuration": {
        "fields": [
            {"name": "a", "data_type": "int32"},
            {
                "name": "t",
                "data_type": {"name": "numpy.datetime64", "configuration": {"unit": "s", "scale_factor": 1}},
            },
            {
                "name": "p",
                "data_type": {
                    "name": "struct",
                    "configuration": {"fields": [{"name": "x", "data_type": "float32"}]},
                },
            },
        ]
    },
}


def test_struct_is_written_as_it_was_found_with_fill_values_by_field():
    fill = {"a": 7, "t": 0, "p": {"x": "NaN"}}
    z = sz.open_array(v3(data_type=STRUCT, fill_value=fill), mode="r+")
    assert z[0]["a"] == 7
    assert np.isnan(z[0]["p"]["x"])
    z.resize(5)
    document = json.loads(z.store.get("zarr.json"))
    assert (document["data_type"], document["fill_value"]) == (STRUCT, fill)


def test_a_new_struct_by_its_document():
    z = sz.create_array(MemoryStore(), shape=2, dtype=STRUCT)
    document = json.loads(z.store.get("zarr.json"))
    assert document["data_type"] == STRUCT
    assert document["codecs"][0] == {"name": "bytes", "configuration": {"endian": "little"}}
    assert document["fill_value"] == {"a": 0, "t": 0, "p": {"x": 0.0}}


@pytest.mark.parametrize(
    "fill", [{"a": 7}, {"a": 7, "t": 0, "p": {}}, {"a": 7, "t": 0, "p": {"x": 0}, "z": 0}, 0, []]
)
def test_struct_needs_a_fill_value_for_every_field(fill):
    with pytest.raises(MetadataError, match="fill_value"):
        sz.open_array(v3(data_type=STRUCT, fill_value=fill))


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [{"name": "", "data_type": "int8"}],
        [{"name": "a", "data_type": "int8"}, {"name": "a", "data_type": "int8"}],
        [{"name": "a", "data_type": "string"}],
        [{"name": "a", "data_type": "int7"}],
        [{"name": "a"}],
    ],
)
def test_structs_that_are_none(fields):
    with pytest.raises(MetadataError):
        data_type_from_v3({"name": "struct", "configuration": {"fields": fields}}, "x")


def test_structured_with_fill_values_by_field_and_struct_with_base64_are_read_too():
    old = {"name": "structured", "configuration": {"fields": [["x", "float32"], ["y", "uint8"]]}}
    z = sz.open_array(v3(data_type=old, fill_value={"x": 1.5, "y": 2}))
    assert z[0].tolist() == (1.5, 2)
    fields = [{"name": "x", "data_type": "float32"}, {"name": "y", "data_type": "uint8"}]
    new = {"name": "struct", "configuration": {"fields": fields}}
    assert sz.open_array(v3(data_type=new, fill_value="AADAPwI="))[0].tolist() == (1.5, 2)


def test_v2_names_of_types():
    assert data_type_from_v2("|S0", [], "x").to_v2() == "|S1"


def test_null_for_order_and_separator_is_what_they_are_without():
    z = sz.open_array(v2(order=None, dimension_separator=None, shape=[2, 2], chunks=[2, 2]), mode="r+")
    z[...] = [[1, 2], [3, 4]]
    assert z.store.get("0.0") == np.array([1, 2, 3, 4], "<i4").tobytes()


@pytest.mark.parametrize("shape", [[0], [0, 3]], ids=str)
@pytest.mark.parametrize("make", [v2, v3], ids=["v2", "v3"])
def test_chunks_of_no_length_hold_no_rows_and_take_none(make, shape):
    chunks = [0, 2][: len(shape)]
    grid = {"name": "regular", "configuration": {"chunk_shape": chunks}}
    store = make(shape=shape, chunks=chunks) if make is v2 else make(shape=shape, chunk_grid=grid)
    z = sz.open_array(store, mode="r+")
    assert (list(z), list(batches(z, batch_size=2, shuffle="chunks")), z[::-1].shape) == ([], [], z.shape)
    rows = np.ones((2, *z.shape[1:]), "i4")
    for grow in (lambda: z.append(rows), lambda: z.resize((2, *z.shape[1:]))):
        with pytest.raises(ValueError, match="hold no element"):
            grow()
    assert z.append(rows[:0]) == z.shape
