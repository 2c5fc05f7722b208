"""Arrays made as numpy makes them, and arrays made like others."""

from __future__ import annotations

import numpy as np
import pytest
import zarr

import streamzarr as sz
from streamzarr.errors import ContainsArrayError, NodeExistsError
from streamzarr.stores import MemoryStore
from streamzarr.testing.faults import RecordingStore
from streamzarr.zarr import (
    empty_like,
    full_like,
    ones_like,
    open_like,
    save_array,
    save_group,
    zeros_like,
)
from streamzarr.zarr.codecs import GzipCodec


def test_values_as_in_numpy():
    assert sz.zeros((2, 3))[:].tolist() == np.zeros((2, 3)).tolist()
    assert sz.ones(3, dtype="i2")[:].tolist() == [1, 1, 1]
    assert sz.full((2,), 7, dtype="u1", chunks=1)[:].tolist() == [7, 7]
    assert sz.empty((2,), dtype="M8[s]").dtype == np.dtype("M8[s]")
    assert sz.zeros(2).dtype == "f8"
    assert list(sz.ones((100,), chunks=10).store.list()) == ["zarr.json"]


def test_like_another_array(tmp_path):
    a = sz.create_array(
        str(tmp_path / "a"),
        data=np.arange(12, dtype="i2").reshape(3, 4),
        chunks=(1, 2),
        shards={"shape": (3, 4), "index_location": "start"},
        compressors="gzip",
        fill_value=9,
        dimension_names=("y", "x"),
        attributes={"u": 1},
    )
    for made, values in (
        (empty_like(a), 9),
        (zeros_like(a), 0),
        (ones_like(a), 1),
        (full_like(a, 5, store=str(tmp_path / "b")), 5),
    ):
        assert np.array_equal(made[:], np.full((3, 4), values))
        assert (made.dtype, made.chunks, made.shards, made.dimension_names) == (
            a.dtype,
            (1, 2),
            (3, 4),
            ("y", "x"),
        )
        assert made.metadata.codecs == a.metadata.codecs
        assert not made.attrs
    assert zeros_like(a, chunks=(3, 2), dtype="f4").dtype == "f4"
    assert zeros_like(np.ones((2, 2), "i4")).dtype == "i4"
    assert ones_like([1, 2])[:].tolist() == [1, 1]
    opened = open_like(a, str(tmp_path / "c"))
    opened[0, 0] = 3
    assert open_like(a, str(tmp_path / "c"))[0, 0] == 3


SOURCES = {
    "v2": {"zarr_format": 2, "chunks": (2, 3), "order": "F", "compressors": "zlib"},
    "v3": {"chunks": (2, 3), "compressors": ["gzip", "crc32c"], "dimension_names": ["y", None]},
    "sharded": {
        "chunks": (1, 2),
        "shards": (2, 4),
        "filters": [{"name": "transpose", "configuration": {"order": [1, 0]}}],
    },
    "rectilinear": {"chunks": [[1, 2, 1], 4]},
    "rectilinear shards": {"chunks": (1, 2), "shards": [[3, 1], [4, 2]]},
    "variable": {"chunks": (2, 3)},
}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("zarr_format", [None, 2, 3])
def test_from_an_array_with_all_that_describes_it(kind, zarr_format):
    data = np.arange(24, dtype="i4").reshape(4, 6)
    if kind == "variable":
        data = data.astype(np.dtypes.StringDType())
    source = sz.create_array("memory://", data=data, attributes={"u": "m"}, **SOURCES[kind])
    if zarr_format == 2 and "rectilinear" in kind:
        made = sz.from_array("memory://", data=source, zarr_format=2, chunks=(2, 2), shards=None)
    else:
        made = sz.from_array("memory://", data=source, zarr_format=zarr_format)
    assert np.array_equal(made[:], data)
    assert dict(made.attrs)["u"] == "m"
    assert made.zarr_format == (zarr_format or source.zarr_format)
    if made.zarr_format == source.zarr_format:
        assert made.metadata == source.metadata


def test_from_an_array_without_its_values_or_with_other_storage(tmp_path):
    data = np.arange(10)
    source = sz.create_array("memory://", data=data, chunks=2, compressors="gzip", fill_value=-1)
    assert sz.from_array("memory://", data=source, write_data=False)[:].tolist() == [-1] * 10
    made = sz.from_array(
        str(tmp_path), data=source, chunks=5, compressors=None, attributes={"a": 1}, path="x/y"
    )
    assert (made.chunks, made.compressors, made.path) == ((5,), (), "x/y")
    assert zarr.open_array(tmp_path, path="x/y")[:].tolist() == data.tolist()
    kept = sz.from_array("memory://", data=source, chunks="keep", compressors="keep")
    assert (kept.chunks, kept.compressors) == ((2,), (GzipCodec(5),))
    assert sz.from_array("memory://", data=[[1, 2]])[:].tolist() == [[1, 2]]
    theirs = zarr.create_array({}, shape=(7,), chunks=(2,), dtype="i4")
    theirs[:] = np.arange(7)
    assert sz.from_array("memory://", data=theirs, chunks=3)[:].tolist() == [0, 1, 2, 3, 4, 5, 6]
    with pytest.raises(ContainsArrayError):
        sz.from_array(str(tmp_path), data=[1], path="x/y")


def test_another_array_is_read_in_pieces():
    store = RecordingStore(MemoryStore())
    source = sz.create_array(store, data=np.arange(1, 101), chunks=10, compressors=None)
    largest = 0

    class Watched:
        shape, dtype = source.shape, source.dtype

        def __getitem__(self, selection):
            nonlocal largest
            values = source[selection]
            largest = max(largest, values.size)
            return values

    made = sz.create_array("memory://", data=Watched(), chunks=25)
    assert np.array_equal(made[:], np.arange(1, 101))
    assert largest == 25


def test_saving():
    store = MemoryStore()
    save_array(store, [1, 2, 3], path="one", chunks=2, zarr_format=2)
    assert (sz.load(store, "one").tolist(), sz.open_array(store, path="one").chunks) == ([1, 2, 3], (2,))
    save_group(store, [1], path="many", x=[2])
    sz.save(store, [3], path="alone", zarr_format=2)
    assert {name: values.tolist() for name, values in sz.load(store, "many").items()} == {
        "arr_0": [1],
        "x": [2],
    }
    assert sz.load(store, "alone", zarr_format=2).tolist() == [3]
    with pytest.raises(NodeExistsError):
        save_group(store, [1], path="many")
    with pytest.raises(ValueError, match="at least one"):
        save_group(store, path="none")
