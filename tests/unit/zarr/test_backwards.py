"""Slices with negative steps, and what brackets give of one element: numpy's answers."""

from __future__ import annotations

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.stores import MemoryStore
from streamzarr.testing.faults import RecordingStore

RECORD = np.dtype([("a", "i4"), ("b", ">f8"), ("c", "S3")])
VALUES = np.arange(63).reshape(9, 7)

LAYOUTS = {
    "chunks": {"chunks": (2, 3)},
    "raw": {"chunks": (2, 3), "compressors": None},
    "one chunk": {"chunks": (9, 7)},
    "rows": {"chunks": (1, 7), "compressors": None},
    "shards": {"chunks": (1, 2), "shards": (4, 4)},
    "transposed": {"chunks": (2, 3), "filters": {"name": "transpose", "configuration": {"order": [1, 0]}}},
    "irregular": {"chunks": [[4, 3, 2], 3]},
    "v2": {"chunks": (4, 3), "zarr_format": 2},
    "v2, order F": {"chunks": (4, 3), "zarr_format": 2, "order": "F"},
    "cached": {"chunks": (2, 3), "cache": 1 << 20},
    "cached shards": {"chunks": (1, 2), "shards": (4, 4), "cache": 1 << 20},
}

SELECTIONS = [
    np.s_[::-1],
    np.s_[:, ::-1],
    np.s_[::-1, ::-1],
    np.s_[::-2, ::-3],
    np.s_[6:1:-1, 1:5],
    np.s_[-2:-8:-3],
    np.s_[3, ::-1],
    np.s_[::-1, 3],
    np.s_[..., ::-4],
    np.s_[5:5:-1],
    np.s_[0:5:-1, ::-1],
    np.s_[100:-100:-1, -1:0:-2],
    np.s_[4:3:-1, 0:1],
    np.s_[1::-1],
]


@pytest.fixture(params=LAYOUTS)
def z(request):
    z = sz.create_array("memory://", shape=VALUES.shape, dtype="i4", **LAYOUTS[request.param])
    z[...] = VALUES
    return z


@pytest.mark.parametrize("selection", SELECTIONS, ids=str)
def test_negative_steps(z, selection):
    expected = VALUES[selection]
    assert np.array_equal(z[selection], expected)
    assert np.array_equal(z.read(selection), expected)
    assert np.array_equal(z.get_basic_selection(selection), expected)
    assert z[selection].flags.c_contiguous
    out = np.empty((*expected.shape, 2), "i4")[..., 0]
    assert z.read(selection, out=out) is out
    assert np.array_equal(out, expected)
    written = VALUES.copy()
    z[selection] = written[selection] = np.arange(expected.size).reshape(expected.shape) + 100
    assert np.array_equal(z[...], written)
    z.set_basic_selection(selection, 7)
    written[selection] = 7
    assert np.array_equal(z[...], written)


def test_beside_lists_and_masks(z):
    assert np.array_equal(z.oindex[[5, 0, 5], ::-2], VALUES[[5, 0, 5], ::-2])
    assert np.array_equal(z[::-1, [3, 1]], VALUES[::-1, [3, 1]])
    mask = np.arange(9) % 2 == 0
    assert np.array_equal(z.oindex[mask, ::-1], VALUES[mask, ::-1])
    written = VALUES.copy()
    z.oindex[::-1, [6, 2]] = written[::-1, [6, 2]] = np.arange(18).reshape(9, 2)
    assert np.array_equal(z[...], written)


def test_where_order_is_not_asked_for_they_are_refused(z):
    if z.grid.shape[0] > 1:
        with pytest.raises(IndexError, match="step 1"):
            z.blocks[::-1]
    assert np.array_equal(z.blocks[0:1:-1], VALUES[:0])
    with pytest.raises(IndexError, match="without steps"):
        z.stream_chunks(region=np.s_[::-1])


def test_by_name():
    z = sz.create_array("memory://", data=VALUES, dimension_names=("y", "x"))
    assert np.array_equal(z.isel(x=slice(None, None, -1), y=2), VALUES[2, ::-1])


@pytest.mark.parametrize(
    "values",
    [
        np.array(["a", "", "ccc", "ä", "e"], "T"),
        np.array(["a", "bb", "ccc", "ä", "e"]),
        np.array([(n, n / 2, b"x" * (n % 4)) for n in range(5)], RECORD),
        np.arange(5).astype("M8[s]"),
        np.array([True, False, True, True, False]),
        np.arange(5) * 1j,
    ],
    ids=lambda values: str(values.dtype),
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_every_kind_of_element(values, zarr_format):
    z = sz.create_array("memory://", data=values, chunks=2, zarr_format=zarr_format)
    assert np.array_equal(z[::-1], values[::-1])
    assert np.array_equal(z[3:0:-2], values[3:0:-2])
    z[::-1] = values
    assert np.array_equal(z[:], values[::-1])


def test_fields_of_records_backwards():
    values = np.array([(n, n / 2, b"x") for n in range(5)], RECORD)
    z = sz.create_array("memory://", data=values, chunks=2)
    assert np.array_equal(z[::-1, "a"], values["a"][::-1])
    z[::-1, "b"] = np.arange(5)
    assert np.array_equal(z["b"], np.arange(5)[::-1])


def test_many_chunks_on_several_threads():
    values = np.random.default_rng(1).integers(0, 99, (512, 1024))
    z = sz.create_array("memory://", data=values, chunks=(64, 64))
    with sz.config.set(threads=3):
        assert np.array_equal(z[::-1, ::-1], values[::-1, ::-1])
        z[::-1, ::-1] = values
    assert np.array_equal(z[:], values[::-1, ::-1])


def test_whole_chunks_are_written_without_being_read():
    store = RecordingStore(MemoryStore())
    z = sz.create_array(store, shape=(8,), chunks=(2,), dtype="i4")
    store.clear()
    z[::-1] = np.arange(8)
    assert {call.operation for call in store.calls} == {"put"}


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_the_element_of_an_array_without_dimensions(zarr_format):
    for values in (np.array(5, "i2"), np.array(2.5), np.array(True), np.array(1, "M8[s]"), np.array("ab")):
        z = sz.create_array("memory://", data=values, zarr_format=zarr_format)
        assert type(z[()]) is type(values[()])
        assert z[()] == values[()]
        assert type(z[...]) is np.ndarray
        assert type(z.oindex[()]) is type(values[()])
    record = sz.create_array("memory://", data=np.array((1, 2.5, b"x"), RECORD), zarr_format=zarr_format)
    assert isinstance(record[()], np.void)
    assert record[()]["b"] == 2.5


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize(
    ("dtype", "values", "element"),
    [(bytes, [b"a", b"", b"c\x00c"], bytes), (str, ["a", "", "ccc"], np.ndarray)],
)
def test_elements_of_variable_length_are_bytes_and_texts_stay_arrays(zarr_format, dtype, values, element):
    z = sz.create_array("memory://", shape=(3,), chunks=2, dtype=dtype, zarr_format=zarr_format)
    z[:] = values
    for at, value in enumerate(values):
        for found in (z[at], z[at - 3], z[(at,)], z.oindex[at], z.vindex[at]):
            assert type(found) is element
            assert found == value
    assert type(z[0, ...]) is np.ndarray
    alone = sz.create_array("memory://", shape=(), dtype=dtype, zarr_format=zarr_format)
    assert type(alone[()]) is dtype
    alone[()] = values[2]
    assert alone[()] == values[2]
    assert alone[...].shape == ()


def test_elements_of_fixed_length_stay_arrays_without_dimensions():
    z = sz.create_array("memory://", data=VALUES)
    for found in (z[2, 3], z.oindex[2, 3], z.vindex[2, 3]):
        assert type(found) is np.ndarray
        assert found.flags.writeable
        assert found == VALUES[2, 3]
