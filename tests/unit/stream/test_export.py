"""Rows as data of other libraries: the same values, lazily where the library can."""

import pickle  # noqa: TID251 - snapshots travel between processes
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import streamzarr as sz
from streamzarr.errors import ConfigError
from streamzarr.stores import MemoryStore
from streamzarr.stream import Field
from streamzarr.testing.faults import RecordingStore
from tests.support.streams import give_up

ROWS = 11
SCHEMA = {
    "time": Field("M8[ns]", sorted=True, attributes={"long_name": "time of day"}),
    "price": "f8",
    "size": Field("i4", chunk_rows=3),
    "name": "string",
    "frame": Field("u2", shape=(2, 3), dimension_names=("y", "x")),
}
FLAT = ["time", "price", "size", "name"]


@pytest.fixture
def rows():
    return {
        "time": np.datetime64("2026-01-05", "ns") + np.arange(ROWS),
        "price": np.arange(ROWS) / 4,
        "size": np.arange(ROWS, dtype="i4"),
        "name": np.array([f"n{n}" for n in range(ROWS)], object),
        "frame": np.arange(ROWS * 6, dtype="u2").reshape(ROWS, 2, 3),
    }


@pytest.fixture
def store(rows):
    store = MemoryStore()
    with sz.StreamWriter(store, schema=SCHEMA, chunk_rows=4, attributes={"title": "ticks"}) as writer:
        writer.append(rows)
    return store


@pytest.fixture(params=["with dask", "without dask"])
def dask(request, monkeypatch):
    if request.param == "without dask":
        monkeypatch.setitem(sys.modules, "dask.array", None)
    return request.param == "with dask"


def test_a_dataset_is_read_when_it_is_computed(store, rows, dask):
    recording = RecordingStore(store)
    found = sz.open_stream(recording).to_xarray()
    assert recording.count("*", "*/c/*") == 0
    assert found.sizes == {"row": ROWS, "y": 2, "x": 3}
    assert [*found.coords] == ["time"]
    assert found.attrs == {"title": "ticks"}
    assert found["time"].attrs["long_name"] == "time of day"
    assert (found["price"].chunks is not None) == dask
    for name, values in rows.items():
        np.testing.assert_array_equal(found[name].values, values, name)
        np.testing.assert_array_equal(found[name][2:9:3].values, values[2:9:3], name)
    np.testing.assert_array_equal(found["frame"].isel(row=[7, 1], x=1).values, rows["frame"][[7, 1], :, 1])
    np.testing.assert_array_equal(found["price"].isel(row=-1).values, rows["price"][-1])


def test_a_dataset_indexes_only_the_chunks_it_needs(store, rows, dask):
    recording = RecordingStore(store)
    found = sz.open_stream(recording).to_xarray(["size"]).isel(row=slice(3, 5))
    assert found["size"].values.tolist() == [3, 4]
    assert {call.key for call in recording.calls if "/c/" in call.key} == {"size/c/1"}


def test_dask_has_the_chunks_of_the_stream(store, rows):
    give_up(store, 4)
    snapshot = sz.open_stream(store)
    assert snapshot.to_xarray()["price"].chunks == ((4, 3),)
    assert snapshot.between(5, 10).to_xarray()["size"].chunks == ((1, 3, 1),)
    assert snapshot.between(5, 5).to_xarray()["size"].values.tolist() == []
    np.testing.assert_array_equal(snapshot.between(5, 10).to_xarray()["size"].values, range(5, 10))


def test_a_dataset_pickles(tmp_path, rows, dask):
    with sz.StreamWriter(tmp_path, schema=SCHEMA, chunk_rows=4) as writer:
        writer.append(rows)
    found = pickle.loads(pickle.dumps(sz.open_stream(tmp_path).to_xarray()))
    np.testing.assert_array_equal(found["frame"].values, rows["frame"])


def test_a_data_frame_is_indexed_by_row(store, rows):
    give_up(store, 4)
    found = sz.open_stream(store).between(5, 9).to_pandas(FLAT)
    assert found.index.equals(pd.RangeIndex(5, 9, name="row"))
    for name in FLAT:
        np.testing.assert_array_equal(found[name], rows[name][5:9], name)
    assert found["time"].dtype == "M8[ns]"


def test_a_data_frame_holds_one_value_in_a_cell(store):
    with pytest.raises(ValueError, match=r"frame.*shape \(2, 3\)"):
        sz.open_stream(store).to_pandas()


def test_an_arrow_table_can_be_appended_again(store, rows):
    table = sz.open_stream(store).to_arrow()
    assert table.schema.field("time").type == pa.timestamp("ns")
    assert table.schema.field("name").type == pa.string()
    assert table.schema.field("frame").type == pa.list_(pa.list_(pa.uint16(), 3), 2)
    other = MemoryStore()
    with sz.StreamWriter(other, schema=SCHEMA) as writer:
        writer.append(table)
    for name, values in rows.items():
        np.testing.assert_array_equal(sz.open_stream(other)[name][:], values, name)


@pytest.mark.parametrize(
    "dtype", ["?", "i1", "u8", "f2", "f4", "M8[s]", "M8[D]", "m8[ms]", "U4", "S4", "bytes"]
)
@pytest.mark.parametrize("count", [0, 3])
def test_arrow_takes_each_dtype(dtype, count):
    store = MemoryStore()
    values = np.array(range(count)).astype("S4" if dtype == "bytes" else dtype)
    with sz.StreamWriter(store, schema={"x": dtype}) as writer:
        writer.append({"x": values})
    assert sz.open_stream(store).to_arrow()["x"].to_pylist() == pa.array(values).to_pylist()


@pytest.mark.parametrize("dtype", ["c16", [("a", "i4"), ("b", "f4")]], ids=str)
def test_what_arrow_has_no_type_for_is_named(dtype):
    store = MemoryStore()
    with sz.StreamWriter(store, schema={"x": Field(np.dtype(dtype))}) as writer:
        writer.append({"x": np.zeros(2, dtype)})
    with pytest.raises(TypeError, match=r"/x: Arrow has no type for"):
        sz.open_stream(store).to_arrow()


def test_a_data_frame_of_polars(store, rows):
    pl = pytest.importorskip("polars")
    found = sz.open_stream(store).sel(time=slice(None, rows["time"][5])).to_polars()
    assert found["time"].dtype == pl.Datetime("ns")
    assert found["frame"].dtype == pl.Array(pl.UInt16, (2, 3))
    for name in ("price", "size", "name"):
        assert found[name].to_list() == rows[name][:6].tolist()
    np.testing.assert_array_equal(found["time"].to_numpy(), rows["time"][:6])
    np.testing.assert_array_equal(found["frame"].to_numpy(), rows["frame"][:6])


@pytest.mark.parametrize("package", ["xarray", "pandas", "pyarrow", "polars"])
def test_a_package_that_is_missing_is_named(store, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    method = {"pyarrow": "to_arrow"}.get(package, f"to_{package}")
    with pytest.raises(ConfigError, match=f"pip install {package}"):
        getattr(sz.open_stream(store).between(0, 1), method)(FLAT)


def test_fields_are_arrays_in_memory(store, rows):
    found = sz.open_stream(store).to_numpy(["size", "price"])
    assert [*found] == ["size", "price"]
    np.testing.assert_array_equal(found["size"], rows["size"])


@pytest.mark.parametrize(
    "dtype", ["M8[10s]", "M8[m]", "M8[h]", "M8[25us]", "M8[W]", "M8[M]", "M8[Y]", "m8[10s]", "m8[D]", "m8[h]"]
)
def test_times_of_units_that_others_lack_are_the_same_moments(dtype):
    values = np.array([*range(-3, 4), np.datetime64("NaT").view("i8")], "i8").view(dtype)
    store = MemoryStore()
    with sz.StreamWriter(store, schema={"at": dtype}) as writer:
        writer.append({"at": values})
    found = sz.open_stream(store)
    whole = "ns" if "us" in dtype else "s"
    expected = values.astype(f"{dtype[:2]}[{whole}]")
    for given in (
        found.to_pandas()["at"].to_numpy(),
        found.to_arrow()["at"].to_numpy(),
        found.to_polars()["at"].to_numpy(),
    ):
        np.testing.assert_array_equal(given.astype(expected.dtype), expected)


def test_a_time_that_others_cannot_hold_is_an_error():
    store = MemoryStore()
    with sz.StreamWriter(store, schema={"at": "M8[h]"}) as writer:
        writer.append({"at": np.array([2**61], "M8[h]")})
    with pytest.raises(TypeError, match=r"out of the range of datetime64\[s\]"):
        sz.open_stream(store).to_arrow()
