"""xarray and dask on our stores, through zarr-python and ``ZarrStore``: written, and read lazily."""

from __future__ import annotations

import dask.array
import numpy as np
import pytest
import xarray

import streamzarr.zarr as sz
from streamzarr.interop import ZarrStore
from streamzarr.stores import LocalStore, MemoryStore, ZipBuilder, ZipStore
from streamzarr.testing.faults import RecordingStore

pytestmark = pytest.mark.filterwarnings(
    "ignore::UserWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"
)

KINDS = ["memory", "local", "s3", "zip"]


def packed(inner, path):
    """The same values, in an archive."""
    with ZipBuilder(path) as builder:
        for key in inner.list():
            builder.put(key, inner.get(key))
    return ZipStore(path)


@pytest.fixture(params=KINDS)
def places(request, tmp_path):
    """Where to write, and a function of it that says where to read."""
    if request.param == "s3":
        return request.getfixturevalue("moto_store"), lambda inner: inner
    if request.param == "local":
        return LocalStore(tmp_path / "a"), lambda inner: inner
    if request.param == "zip":
        return MemoryStore(), lambda inner: packed(inner, tmp_path / "a.zip")
    return MemoryStore(), lambda inner: inner


def weather() -> xarray.Dataset:
    rng = np.random.default_rng(0)
    return xarray.Dataset(
        {
            "t": (("time", "x"), rng.random((12, 5)).astype("f4"), {"units": "K"}),
            "wet": (("time", "x"), rng.random((12, 5)) > 0.5),
            "station": (("x",), np.array(["a", "bb", "", "ü", "dddd"])),
        },
        coords={
            "time": np.arange("2026-01-01", "2026-01-13", dtype="M8[D]").astype("M8[ns]"),
            "x": np.arange(5),
        },
        attrs={"source": "test"},
    )


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_dataset_comes_back(places, zarr_format):
    inner, read_from = places
    expected = weather()
    expected.chunk(time=4).to_zarr(ZarrStore(inner), zarr_format=zarr_format, mode="w")
    store = ZarrStore(read_from(inner))
    with xarray.open_zarr(store) as found:
        xarray.testing.assert_identical(found.load(), expected)
    ours = sz.open_group(store.inner)
    assert np.array_equal(ours["t"][3:9], expected.t.values[3:9])
    assert ours["t"].attrs["units"] == "K"


def test_a_dataset_grows_along_a_dimension(places):
    inner, read_from = places
    whole = weather()
    whole.isel(time=slice(0, 8)).to_zarr(ZarrStore(inner), mode="w", zarr_format=3)
    whole.isel(time=slice(8, 12)).drop_vars("station").to_zarr(ZarrStore(inner), append_dim="time")
    with xarray.open_zarr(ZarrStore(read_from(inner))) as found:
        xarray.testing.assert_equal(found.load(), whole)


def test_only_the_chunks_that_are_used_are_read():
    inner = MemoryStore()
    weather().chunk(time=3).to_zarr(ZarrStore(inner), zarr_format=3)
    recording = RecordingStore(inner)
    found = xarray.open_zarr(ZarrStore(recording))
    recording.clear()
    values = found.t.isel(time=slice(4, 6)).values
    assert np.array_equal(values, weather().t.values[4:6])
    assert {call.key for call in recording.calls} == {"t/c/1/0"}


def test_dask_arrays_both_ways(places):
    inner, read_from = places
    expected = np.arange(60.0).reshape(12, 5)
    dask.array.from_array(expected, chunks=(4, 5)).to_zarr(ZarrStore(inner), component="a")
    found = dask.array.from_zarr(ZarrStore(read_from(inner)), component="a")
    assert found.chunks == ((4, 4, 4), (5,))
    assert (found + 1).sum().compute(scheduler="threads") == (expected + 1).sum()
    assert np.array_equal(sz.open_array(read_from(inner), path="a")[...], expected)


def test_dask_processes_write_one_array(tmp_path):
    source = dask.array.random.default_rng(0).random((40, 6), chunks=(10, 6))
    source.to_zarr(ZarrStore(str(tmp_path)), component="a", compute=False).compute(
        scheduler="processes", num_workers=2
    )
    ours = sz.open_array(str(tmp_path), path="a")
    assert np.array_equal(ours[...], source.compute(scheduler="sync"))


def test_dask_reads_an_array_of_ours_without_zarr_python(tmp_path):
    z = sz.create_array(str(tmp_path), data=np.arange(40).reshape(8, 5), chunks=(3, 5))
    lazy = dask.array.from_array(z, chunks=z.chunks)
    assert lazy[2:7].sum().compute(scheduler="processes", num_workers=2) == z[2:7].sum()
