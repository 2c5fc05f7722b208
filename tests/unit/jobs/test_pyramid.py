"""What a pyramid and its levels say of themselves: names, attributes, chunks, OME-NGFF's multiscales."""

import numpy as np
import pytest
import xarray as xr

import streamzarr.zarr as sz
from streamzarr.errors import ConfigError
from streamzarr.jobs.multiscales import OWN_KEY, axis_names, ome_axes
from tests.support.inline import run_inline


def pyramid(folder, data, *, named=None, zarr_format=3, source=None, **options):
    names = {"dimension_names": named} if zarr_format == 3 else {}
    attributes = {"units": "K"}
    if named and zarr_format == 2:
        attributes["_ARRAY_DIMENSIONS"] = list(named)
    made = {"chunks": 4, "zarr_format": zarr_format, "attributes": attributes} | names | (source or {})
    sz.create_array(folder / "a.zarr", data=data, **made)
    failed = run_inline(folder, "downsample", "a.zarr", "p.zarr", **options)
    assert not failed, failed
    return sz.open_group(folder / "p.zarr")


@pytest.mark.parametrize(
    ("names", "types"),
    [
        (["y", "x"], ["space", "space"]),
        (["z", "y", "x"], ["space"] * 3),
        (["time", "lat", "lon"], ["time", "space", "space"]),
        (["T", "C", "z", "y", "x"], ["time", "channel", "space", "space", "space"]),
        (["band", "y", "x"], ["channel", "space", "space"]),
        (["dim_0", "dim_1", "dim_2", "dim_3"], [None, "space", "space", "space"]),
        (["time", "member", "z", "y", "x"], ["time", None, "space", "space", "space"]),
    ],
)
def test_axes_have_the_types_of_their_names(names, types):
    assert [axis.get("type") for axis in ome_axes(names)] == types


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["x"],
        ["time", "x"],
        ["x", "x"],
        ["y", "x", "c"],
        ["y", "time", "x"],
        ["a", "b", "c", "d", "e"],
        ["t", "c", "m", "z", "y", "x"],
        ["c", "time", "y", "x"],
        ["time", "t", "y", "x"],
    ],
)
def test_axes_that_the_rules_do_not_allow_are_not_claimed(names):
    assert ome_axes(names) is None


def test_axes_without_names_get_some():
    assert axis_names(None, 2) == ("dim_0", "dim_1")
    assert axis_names((None, ""), 2) == ("dim_0", "dim_1")


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("named", [("y", "x"), None])
def test_each_level_has_attributes_and_names_and_opens_in_xarray(tmp_path, zarr_format, named):
    data = np.arange(64, dtype="f4").reshape(8, 8)
    group = pyramid(tmp_path, data, named=named, zarr_format=zarr_format, levels=3)
    dims = named or ("dim_0", "dim_1")
    for level, size in enumerate((8, 4, 2)):
        others = [str(each) for each in range(3) if each != level]
        options = {"consolidated": False, "drop_variables": others, "mask_and_scale": False}
        opened = xr.open_zarr(tmp_path / "p.zarr", **options)[str(level)]
        assert (opened.dims, opened.shape, opened.attrs["units"]) == (dims, (size, size), "K")
        np.testing.assert_array_equal(opened.values, group[str(level)][...])
    assert "_ARRAY_DIMENSIONS" not in group.attrs


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_levels_without_words_in_ome_have_our_own(tmp_path, zarr_format):
    source = {"attributes": {"multiscales": "of something else", "ome": {"version": "0.5"}}}
    group = pyramid(tmp_path, np.arange(8.0), zarr_format=zarr_format, source=source)
    assert group.attrs.asdict() == {
        OWN_KEY: {
            "axes": ["dim_0"],
            "datasets": [
                {
                    "path": path,
                    "coordinateTransformations": [
                        {"type": "scale", "scale": [scale]},
                        {"type": "translation", "translation": [shift]},
                    ],
                }
                for path, scale, shift in (("0", 1.0, 0.0), ("1", 2.0, 0.5))
            ],
            "type": "mean",
        }
    }


def test_chunks_and_shards_given_are_those_of_every_level(tmp_path):
    group = pyramid(tmp_path, np.zeros((8, 8), "u1"), levels=3, chunks=4, shards=8)
    assert [(group[n].chunks, group[n].shards) for n in "012"] == [((4, 4), (8, 8))] * 3


def test_fill_value_dtype_and_codecs_are_those_of_every_level(tmp_path):
    source = {"fill_value": 7, "compressors": "gzip"}
    group = pyramid(tmp_path, np.ones((8, 8), "u1"), source=source, levels=3, dtype="i2")
    for name in "012":
        assert (group[name].dtype, group[name].fill_value, group[name].compressors[0].name) == (
            "i2",
            7,
            "gzip",
        )


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("method", ["mean", "max", "nearest"])
@pytest.mark.parametrize("shape", [(), (0, 4), (1, 1)])
def test_odd_shapes(tmp_path, zarr_format, method, shape):
    source = {"chunks": (2,) * len(shape)}
    data = np.ones(shape)
    group = pyramid(tmp_path, data, zarr_format=zarr_format, source=source, method=method, levels=3)
    assert group["2"].shape == tuple(min(1, n) if n < 4 else 1 for n in shape)
    assert (group["2"][...] == 1).all()


def test_times_and_records(tmp_path):
    times = np.array(["2020", "NaT", "NaT", "NaT"], "M8[D]")
    group = pyramid(tmp_path, times, method="max")
    np.testing.assert_array_equal(group["1"][...], times[[0, 1]])
    (tmp_path / "r").mkdir()
    records = np.array([(1, 2.0), (3, 4.0)], [("a", "i4"), ("b", "f8")])
    assert pyramid(tmp_path / "r", records, method="nearest")["1"][...].tolist() == [(1, 2.0)]


@pytest.mark.parametrize(
    ("data", "method", "message"),
    [
        (np.array(["2020"], "M8[D]"), "mean", "needs numbers"),
        (np.zeros(2, [("a", "i4")]), "mean", "needs numbers"),
        (np.zeros(2, [("a", "i4")]), "max", "ordered"),
        (np.array(["a"], np.dtypes.StringDType()), "max", "ordered"),
        (np.array(["a"]), "mean", "needs numbers"),
        (np.array([1j]), "max", "ordered"),
    ],
    ids=str,
)
def test_what_cannot_be_reduced_is_refused_before_anything_is_made(tmp_path, data, method, message):
    with pytest.raises(ConfigError, match=message):
        pyramid(tmp_path, data, method=method)
    assert not (tmp_path / "p.zarr").exists()


def test_the_method_is_checked_against_the_dtype_of_the_levels(tmp_path):
    with pytest.raises(ConfigError, match="ordered"):
        pyramid(tmp_path, np.ones((4, 4)), method="max", dtype="c16")
