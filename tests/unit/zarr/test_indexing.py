"""Orthogonal, pointwise, mask, block and named indexing, read and written."""

from __future__ import annotations

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.zarr.grids.grid import regular_grid
from streamzarr.zarr.indexing import Points, plan


@pytest.fixture(params=[None, (6, 4)], ids=["chunks", "shards"])
def z(request):
    z = sz.create_array("memory://", shape=(7, 5), chunks=(3, 2), shards=request.param, dtype="i4")
    z[...] = np.arange(35).reshape(7, 5)
    return z


@pytest.fixture
def values():
    return np.arange(35).reshape(7, 5)


def mask(*positions, n):
    found = np.zeros(n, bool)
    found[list(positions)] = True
    return found


ORTHOGONAL = [
    ([0, 6, 3], slice(None)),
    ([6, 0, 0], [4, 1]),
    (slice(1, 6, 2), [-1, 0]),
    (3, [1, 2]),
    ([3], 2),
    (mask(1, 6, n=7), mask(0, 4, n=5)),
    ([], [1]),
    (np.array([2, 5]), ...),
    (mask(n=7),),
]


@pytest.mark.parametrize("selection", ORTHOGONAL, ids=str)
def test_orthogonal(z, values, selection):
    axes = [*selection, *[slice(None)] * 2][:2]
    axes = [slice(None) if item is ... else item for item in axes]
    lists = [np.arange(n)[item] for item, n in zip(axes, (7, 5), strict=True)]
    dropped = tuple(0 if each.ndim == 0 else slice(None) for each in lists)
    expected = values[np.ix_(*[np.atleast_1d(each).astype(int) for each in lists])][dropped]
    assert np.array_equal(z.oindex[selection], expected)
    out = np.empty(expected.shape, "i4")
    assert z.get_orthogonal_selection(selection, out=out) is out
    assert np.array_equal(out, expected)
    new = np.arange(expected.size).reshape(expected.shape) + 100
    z.oindex[selection] = new
    written = values.copy()
    grid = np.ix_(*[np.atleast_1d(each).astype(int) for each in lists])
    written[grid] = new.reshape([len(np.atleast_1d(each)) for each in lists])
    assert np.array_equal(z[...], written)


@pytest.mark.parametrize(
    "selection",
    [
        ([0, 6, 3], [4, 0, 2]),
        ([[0, 1], [5, 6]], [[1, 1], [4, 0]]),
        ([6, 6, 0], 3),
        (np.array([-1, -7]), np.array([[0], [1]])),
        (2, 3),
        ([], []),
    ],
    ids=str,
)
def test_points(z, values, selection):
    index = tuple(np.asarray(each, dtype=int) for each in selection)
    assert np.array_equal(z.vindex[selection], values[index])
    new = np.arange(values[index].size).reshape(values[index].shape)
    z.set_coordinate_selection(selection, new)
    values[index] = new
    assert np.array_equal(z[...], values)
    out = np.empty((2, *values[index].shape), "i4")[1, ...]
    z.get_coordinate_selection(selection, out=out)
    assert np.array_equal(out, values[index])


def test_masks(z, values):
    chosen = values % 3 == 0
    assert np.array_equal(z[chosen], values[chosen])
    assert np.array_equal(z.vindex[chosen], values[chosen])
    assert np.array_equal(z.get_mask_selection(chosen), values[chosen])
    z[chosen] = -1
    values[chosen] = -1
    assert np.array_equal(z[...], values)
    z.set_mask_selection(~chosen, np.arange((~chosen).sum()))
    values[~chosen] = np.arange((~chosen).sum())
    assert np.array_equal(z[...], values)
    for bad in (np.zeros((7, 4), bool), np.zeros((7, 5), "u1")):
        with pytest.raises(IndexError, match="mask"):
            z.get_mask_selection(bad)


@pytest.mark.parametrize(
    "selection",
    [
        [0, 3],
        ([0, 1], slice(None)),
        (slice(2), [1, 4]),
        mask(1, 2, n=7),
        ([1, 2], [3, 4]),
        ([1, 2], 0),
        (0, [1, 2]),
    ],
    ids=str,
)
def test_brackets_take_what_is_not_ambiguous(z, values, selection):
    assert np.array_equal(z[selection], values[selection])
    z[selection] = 7
    values[selection] = 7
    assert np.array_equal(z[...], values)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (lambda z: z.oindex[[7]], "out of bounds"),
        (lambda z: z.oindex[[-8]], "out of bounds"),
        (lambda z: z.oindex[[[0, 1]]], "list of integers"),
        (lambda z: z.oindex[[0.5]], "integers"),
        (lambda z: z.oindex[mask(0, n=5), :], "mask of length 7"),
        (lambda z: z.oindex[0, 0, 0], "too many"),
        (lambda z: z.vindex[[0]], "each of 2 axes"),
        (lambda z: z.vindex[[0], :], "slice"),
        (lambda z: z.vindex[[0, 1], [0, 1, 2]], "broadcast|shape mismatch"),
        (lambda z: z.vindex[[0, 7], [0, 0]], "out of bounds"),
        (lambda z: z.blocks[3], "out of bounds"),
        (lambda z: z.blocks[::2], "step 1"),
        (lambda z: z.isel(x=0), "no one dimension"),
        (lambda z: z[["a"]], "integers"),
    ],
)
def test_what_is_refused(index, message):
    z = sz.create_array("memory://", shape=(7, 5), chunks=(3, 2), dtype="i4")
    with pytest.raises(IndexError, match=message):
        index(z)


def test_several_lists_among_slices_are_ambiguous():
    z = sz.create_array("memory://", shape=(3, 4, 5), dtype="i4")
    with pytest.raises(IndexError, match="oindex"):
        z[[0, 1], :, [0, 1]]


def test_blocks():
    values = np.arange(35).reshape(7, 5)
    z = sz.create_array("memory://", data=values, chunks=(3, 2))
    assert np.array_equal(z.blocks[2, 2], values[6:, 4:])
    assert np.array_equal(z.blocks[:2, -1], values[:6, 4:])
    assert np.array_equal(z.blocks[1], values[3:6])
    assert z.blocks[3:].shape == (0, 5)
    z.blocks[0, 0] = -1
    values[:3, :2] = -1
    z.set_block_selection((1, slice(1, 3)), np.zeros((3, 3), "i8"))
    values[3:6, 2:] = 0
    assert np.array_equal(z[...], values)


def test_named_dimensions():
    z = sz.create_array("memory://", data=np.arange(24).reshape(2, 3, 4), dimension_names=["t", None, "x"])
    assert np.array_equal(z.isel(x=[0, 3], t=1), np.arange(24).reshape(2, 3, 4)[1][:, [0, 3]])
    assert z.isel().shape == (2, 3, 4)
    twice = sz.create_array("memory://", shape=(2, 2), dtype="i4", dimension_names=["x", "x"])
    with pytest.raises(IndexError, match="no one dimension"):
        twice.isel(x=0)


def test_arrays_without_dimensions_have_points_too():
    z = sz.create_array("memory://", data=np.int32(5))
    assert z.vindex[()] == 5
    assert z.get_mask_selection(np.array(True)).tolist() == [5]
    assert z.get_mask_selection(np.array(False)).tolist() == []
    z.vindex[()] = 6
    assert z[...] == 6


def test_points_are_grouped_by_chunk():
    coordinates = (np.array([9, 0, 8, 1, 9]),)
    parts = list(plan(Points(coordinates, (5,)), regular_grid((10,), (5,))))
    assert [part.chunk for part in parts] == [(0,), (1,)]
    assert parts[1].target[0].tolist() == [0, 2, 4]


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_fields_of_records(zarr_format):
    dtype = [("time", "M8[s]"), ("price", "f8"), ("size", "u4")]
    data = np.zeros((4, 3), dtype)
    data["time"] = np.arange(12).reshape(4, 3)
    data["price"] = np.arange(12).reshape(4, 3) / 2
    z = sz.create_array("memory://", data=data, chunks=(2, 2), zarr_format=zarr_format)
    assert np.array_equal(z["price"], data["price"])
    assert np.array_equal(z[1:3, 0, "price"], data["price"][1:3, 0])
    assert np.array_equal(z["size", -1], data[-1]["size"])
    several = z[:2, "price", "time"]
    assert several.dtype.names == ("price", "time")
    assert several.dtype.itemsize == 16
    assert np.array_equal(several["time"], data["time"][:2])
    assert z[["time"]].dtype == np.dtype("M8[s]")
    assert z["price"].flags.owndata
    z[1, "price"] = 7
    data["price"][1] = 7
    z[2:, "price", "time"] = data[2:][::-1]
    for name in ("price", "time"):
        data[name][2:] = data[name][2:][::-1].copy()
    assert np.array_equal(z[:], data)
    for wrong in ("colour", (0, "colour"), ["price", "colour"]):
        with pytest.raises(IndexError, match="no field 'colour'"):
            z[wrong]
        with pytest.raises(IndexError, match="no field 'colour'"):
            z[wrong] = 1
    assert np.array_equal(z.get_basic_selection((1, 0), fields="size"), data["size"][1, 0])
    assert np.array_equal(z.oindex[[0, 2], 1, "price"], data["price"][[0, 2], 1])
    assert np.array_equal(z.vindex[[0, 2], [1, 0], "size"], data["size"][[0, 2], [1, 0]])
    assert np.array_equal(z.blocks[0, 0, "size"], data["size"][:2, :2])
    mask = data["price"] > 3
    assert np.array_equal(z.get_mask_selection(mask, fields=["price"]), data["price"][mask])
    out = np.empty((4,), "f8")
    assert z.get_orthogonal_selection((slice(None), 2), fields="price", out=out) is out
    assert np.array_equal(out, data["price"][:, 2])
    with pytest.raises(ValueError, match="out has"):
        z.get_orthogonal_selection((slice(None), 2), fields="size", out=out)
    z.set_coordinate_selection(([0, 3], [0, 2]), [11, 12], fields="size")
    data["size"][[0, 3], [0, 2]] = [11, 12]
    z.vindex[[1], [1], "price"] = -1
    data["price"][1, 1] = -1
    z.set_mask_selection(mask, 5, fields="size")
    data["size"][mask] = 5
    z.blocks[1, 0, "price"] = 8
    data["price"][2:, :2] = 8
    assert np.array_equal(z[:], data)
    with pytest.raises(IndexError, match="no field 'colour'"):
        z.get_basic_selection(0, fields="colour")
    with pytest.raises(TypeError):
        z["price"] = 1j
    with pytest.raises(IndexError):
        sz.zeros((3,))["price"]
    with pytest.raises(IndexError, match="no field"):
        sz.zeros((3,)).get_basic_selection(0, fields="price")
