"""Every kind of job, on every broker, read back by zarr-python and compared with numpy."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import zarr

import streamzarr as sz
from streamzarr.errors import ConfigError

SHARED = Path(__file__).parents[4] / "shared" / "data"


def altitude():
    """World altitude, uint8, 2160 x 4320: the real grid where it is there, else one like it."""
    path = SHARED / "world_altitude.h5"
    if path.exists():
        import h5py

        with h5py.File(path) as file:
            return next(iter(file.values()))[...]
    y, x = np.mgrid[-90:90:2160j, -180:180:4320j]
    return np.clip(120 + 90 * np.sin(np.radians(x) * 3) * np.cos(np.radians(y) * 2), 0, 255).astype("u1")


def pyramid(data, levels):
    """Numpy's own words for the levels: the mean of 2 x 2 cells, rounded half to even."""
    yield data
    for _ in range(levels - 1):
        h, w = data.shape
        data = np.rint(data.reshape(h // 2, 2, w // 2, 2).mean(axis=(1, 3))).astype(data.dtype)
        yield data


def test_world_altitude_is_rechunked_and_recompressed(bench):
    data = altitude()
    sz.create_array(
        bench.url("v2.zarr"),
        data=data,
        chunks=(135, 135),
        zarr_format=2,
        compressors="blosc",
        attributes={"u": "m"},
    )
    report = bench.run("copy", "v2.zarr", "v3.zarr", chunks=(540, 720), compressors="zstd", zarr_format=3)
    assert (report.written, report.dead, report.state) == (4 * 6, 0, "done")
    assert report.bytes == data.nbytes
    theirs = zarr.open_array(bench.url("v3.zarr"), mode="r")
    assert theirs.metadata.zarr_format == 3
    assert theirs.chunks == (540, 720)
    assert dict(theirs.attrs) == {"u": "m"}
    np.testing.assert_array_equal(theirs[...], data)


def test_world_altitude_becomes_a_pyramid(bench):
    data = altitude()
    sz.create_array(bench.url("v2.zarr"), data=data, chunks=(270, 270), zarr_format=2, compressors="zlib")
    report = bench.run("downsample", "v2.zarr", "pyramid.zarr", levels=3, zarr_format=3, chunks=512)
    assert report.complete
    group = zarr.open_group(bench.url("pyramid.zarr"), mode="r")
    for level, expected in enumerate(pyramid(data, 3)):
        np.testing.assert_array_equal(group[str(level)][...], expected)
    datasets = group.attrs["ome"]["multiscales"][0]["datasets"]
    assert [d["path"] for d in datasets] == ["0", "1", "2"]
    assert datasets[2]["coordinateTransformations"][0]["scale"] == [4.0, 4.0]


@pytest.mark.parametrize("method", ["nearest", "max"])
def test_downsampling_by_other_methods_and_factors(embedded, method):
    data = np.random.default_rng(3).normal(size=(9, 20, 31)).astype("f4")
    sz.create_array(embedded.url("a.zarr"), data=data, chunks=(4, 7, 8))
    report = embedded.run("downsample", "a.zarr", "b.zarr", factor=(1, 2, 3), levels=2, method=method)
    assert report.complete
    result = zarr.open_group(embedded.url("b.zarr"), mode="r")["1"][...]
    if method == "nearest":
        expected = data[:, ::2, ::3]
    else:
        padded = np.pad(data, ((0, 0), (0, 0), (0, 2)), constant_values=-np.inf)
        expected = padded.reshape(9, 10, 2, 11, 3).max(axis=(2, 4))
    np.testing.assert_array_equal(result, expected)


def test_map_applies_a_registered_transform(bench, transforms):
    rows = [float(line.split(b",")[-1] or "nan") for line in _sea_surface_temperature()]
    data = np.asarray(rows, "f4") + np.float32(273.15)
    sz.create_array(bench.url("kelvin.zarr"), data=data, chunks=(500,), fill_value=float("nan"))
    report = bench.run(
        "map", "kelvin.zarr", "celsius.zarr", transform="celsius", fleet={"transforms": transforms}
    )
    assert report.complete
    theirs = zarr.open_array(bench.url("celsius.zarr"), mode="r")
    np.testing.assert_array_equal(theirs[...], data + np.float32(-273.15))


def _sea_surface_temperature():
    path = SHARED / "sea_surface_temperature.csv.gz"
    if path.exists():
        return gzip.decompress(path.read_bytes()).splitlines()[1:]
    return [b"t,%.2f" % (10 + 5 * np.sin(i / 500)) for i in range(19_226)]


@pytest.mark.parametrize(("there", "back"), [(2, 3), (3, 2)])
def test_formats_convert_both_ways_with_what_they_carry(embedded, there, back):
    data = np.arange(7 * 11, dtype="<i4").reshape(7, 11)
    sz.create_array(
        embedded.url("a.zarr"),
        data=data,
        chunks=(3, 4),
        zarr_format=there,
        compressors={"id": "gzip", "level": 5} if there == 2 else "gzip",
        fill_value=-1,
        attributes={"name": "a"},
    )
    assert embedded.run("copy", "a.zarr", "b.zarr", zarr_format=back).complete
    theirs = zarr.open_array(embedded.url("b.zarr"), mode="r")
    assert theirs.metadata.zarr_format == back
    assert theirs.fill_value == -1
    assert dict(theirs.attrs) == {"name": "a"}
    assert "gzip" in repr(theirs.compressors).lower()
    np.testing.assert_array_equal(theirs[...], data)


@pytest.mark.parametrize("shape", [(), (1,), (0, 4), (5,)])
def test_odd_shapes(embedded, shape):
    data = np.arange(int(np.prod(shape)), dtype="f8").reshape(shape)
    sz.create_array(embedded.url("a.zarr"), data=data, chunks=tuple(max(1, s // 2) for s in shape))
    assert embedded.run("copy", "a.zarr", "b.zarr", compressors="zstd").complete
    np.testing.assert_array_equal(sz.open_array(embedded.url("b.zarr"))[...], data)


def test_a_chunk_that_is_not_stored_reads_as_fill(embedded):
    array = sz.create_array(embedded.url("a.zarr"), shape=(10,), chunks=(5,), dtype="i4", fill_value=7)
    array[5:] = 1
    assert embedded.run("copy", "a.zarr", "b.zarr", compressors="gzip").complete
    assert sz.open_array(embedded.url("b.zarr"))[...].tolist() == [7] * 5 + [1] * 5


def test_a_source_with_rectilinear_chunks_gets_regular_ones(embedded):
    data = np.arange(120).reshape(10, 12)
    sz.create_array(embedded.url("a.zarr"), data=data, chunks=[[3, 4, 3], 5])
    with pytest.raises(ConfigError, match=r"rectilinear, \(\[3, 4, 3\], 5\).*say which chunks"):
        embedded.submit("copy", "a.zarr", "b.zarr")
    assert not os.path.exists(embedded.url("b.zarr"))
    assert embedded.run("copy", "a.zarr", "b.zarr", chunks=4, workers=1).written == 9
    copied = sz.open_array(embedded.url("b.zarr"))
    assert copied.chunks == (4, 4)
    assert np.array_equal(copied[:], data)
