"""Which values stand for no data, and that reductions leave them out."""

import base64
import struct

import numpy as np
import pytest

import streamzarr.zarr as sz
from streamzarr.errors import ConfigError, MessageError
from streamzarr.jobs.downsample import downsample
from streamzarr.jobs.nodata import nodata_values, parse_nodata
from streamzarr.stores import MemoryStore
from tests.support.inline import run_inline

NAN = float("nan")
AS_XARRAY = base64.b64encode(struct.pack("<d", -99.0)).decode()


def metadata(dtype, fill=None, **attributes):
    array = sz.create_array(MemoryStore(), shape=(2,), dtype=dtype, fill_value=fill, attributes=attributes)
    return array.metadata


@pytest.mark.parametrize(
    ("array", "expected"),
    [
        (metadata("f4"), []),
        (metadata("i2", 0), []),
        (metadata("i2", -9999), [-9999]),
        (metadata("u1", 255), [255]),
        (metadata("f4", NAN), [NAN]),
        (metadata("c8", 1j), [1j]),
        (metadata("b1", True), []),
        (metadata("M8[s]"), [np.datetime64("NaT", "s")]),
        (metadata("M8[s]", 0), []),
        (metadata("f4", _FillValue=-99), [-99]),
        (metadata("f4", _FillValue=AS_XARRAY), [-99]),
        (metadata("f4", _FillValue="NaN", missing_value=[-1, -2]), [NAN, -1, -2]),
        (metadata("f4", NAN, _FillValue="NaN"), [NAN]),
        (metadata("u1", missing_value=-1), []),
        (metadata("i2", missing_value=1.5), []),
        (metadata("f4", _FillValue="nonsense", missing_value={"a": 1}), []),
        (metadata("u8", 2**64 - 1), [2**64 - 1]),
        (metadata("U3", "abc"), []),
    ],
    ids=lambda each: str(getattr(each, "dtype", each)),
)
def test_what_an_array_says(array, expected):
    found = parse_nodata(nodata_values(array), array)
    np.testing.assert_equal(found, expected)
    assert all(np.asarray(value).dtype == array.dtype for value in found)


def test_what_is_given_wins():
    array = metadata("f4", NAN, _FillValue=-99)
    assert nodata_values(array, "none") == ()
    assert parse_nodata(nodata_values(array, -5), array) == [-5]
    assert parse_nodata(nodata_values(metadata("u1"), 255.0), metadata("u1")) == [255]


@pytest.mark.parametrize("given", [-1, 1.5, NAN, "nothing", [1], 2**70, True])
def test_what_is_no_value_of_the_dtype_is_refused(given):
    with pytest.raises(ConfigError, match=r"nodata: .* is no uint8"):
        nodata_values(metadata("u1"), given)


def test_text_has_no_nodata_to_give():
    with pytest.raises(ConfigError, match="nodata: an array of"):
        nodata_values(metadata("U3"), 1)


def test_a_message_with_another_kind_of_value_is_refused():
    with pytest.raises(MessageError, match="nodata"):
        parse_nodata(["x"], metadata("u1"))


@pytest.mark.parametrize("dtype", ["u1", "i2", "i4", "i8", "u8", "f4", "f8", "c8"])
def test_mean_leaves_nodata_out(dtype):
    block = np.array([[100, 4, 100, 100], [100, 6, 100, 100]], dtype)
    assert downsample(block, (2, 2), "mean", [block[0, 0]]).tolist() == [[5, 100]]


@pytest.mark.parametrize("dtype", ["u1", "i2", "i8", "f4", "M8[s]", "m8[s]"])
def test_max_leaves_nodata_out(dtype):
    block = np.array([[100, 4, 100, 100], [100, 6, 100, 100]]).astype(dtype)
    assert downsample(block, (2, 2), "max", [block[0, 0]]).astype("i8").tolist() == [[6, 100]]


def test_nan_and_nat_as_nodata_do_not_spread():
    block = np.array([NAN, 4, NAN, NAN], "f4")
    np.testing.assert_array_equal(downsample(block, (2,), "mean", [NAN]), [4, NAN])
    np.testing.assert_array_equal(downsample(block, (2,), "max", [NAN]), [4, NAN])
    times = np.array(["NaT", "2020"], "M8[Y]")
    assert downsample(times, (2,), "max", [times[0]]).tolist() == times[1:].tolist()


def test_nan_that_is_not_nodata_spreads():
    block = np.array([-9, NAN, -9, 2], "f4")
    np.testing.assert_array_equal(downsample(block, (2,), "mean", [-9]), [NAN, 2])


def test_a_block_of_nothing_but_nodata_is_the_first_of_them():
    assert downsample(np.array([-1, -2, -2, 3], "i2"), (2,), "mean", [-2, -1]).tolist() == [-2, 3]


def test_the_least_values_are_found_beside_nodata():
    block = np.array([-np.inf, NAN], "f4")
    assert downsample(block, (2,), "max", [NAN]).tolist() == [-np.inf]
    least = np.array([-128, 127], "i1")
    assert downsample(least, (2,), "max", [127]).tolist() == [-128]


@pytest.mark.parametrize("method", ["mean", "max", "nearest"])
def test_arrays_without_axes(method):
    for value in (3.0, NAN):
        block = np.array(value)
        reduced = downsample(block, (), method, [] if method == "nearest" else [NAN])
        np.testing.assert_equal(np.asarray(reduced).shape, ())
        np.testing.assert_equal(float(reduced), value)


@pytest.mark.parametrize("method", ["mean", "max"])
@pytest.mark.parametrize("how", [{"fill_value": -9999}, {"attributes": {"_FillValue": -9999}}])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_a_pyramid_leaves_the_sources_nodata_out_at_each_level(tmp_path, method, how, zarr_format):
    data = np.full((8, 8), -9999, "i2")
    data[0, 0] = 10
    data[7, :] = 20
    sz.create_array(tmp_path / "a.zarr", data=data, chunks=4, zarr_format=zarr_format, **how)
    assert not run_inline(tmp_path, "downsample", "a.zarr", "p.zarr", levels=4, method=method)
    levels = sz.open_group(tmp_path / "p.zarr")
    assert levels["1"][0].tolist() == [10, -9999, -9999, -9999]
    assert levels["1"][3].tolist() == [20] * 4
    assert levels["2"][...].tolist() == [[10, -9999], [20, 20]]
    assert levels["3"][...].tolist() == [[17 if method == "mean" else 20]]


def test_other_attributes_of_the_target_change_nothing_about_the_sources_nodata(tmp_path):
    data = np.array([-9, 4], "i2")
    sz.create_array(tmp_path / "a.zarr", data=data, attributes={"_FillValue": -9})
    assert not run_inline(tmp_path, "downsample", "a.zarr", "p.zarr", attributes={"units": "m"})
    assert sz.open_array(tmp_path / "p.zarr/1")[:].tolist() == [4]


def test_a_fill_value_of_zero_counts(tmp_path):
    sz.create_array(tmp_path / "a.zarr", data=np.array([0, 10, 0, 0], "f4"), chunks=2)
    assert not run_inline(tmp_path, "downsample", "a.zarr", "p.zarr")
    assert sz.open_array(tmp_path / "p.zarr/1")[:].tolist() == [5, 0]


def test_nodata_given_to_a_job(tmp_path):
    data = np.array([0, 10, 0, 0], "f4")
    sz.create_array(tmp_path / "a.zarr", data=data, chunks=2, fill_value=10)
    for target, nodata, expected in (("p", 0, [10, 0]), ("q", "none", [5, 0]), ("r", "auto", [0, 0])):
        assert not run_inline(tmp_path, "downsample", "a.zarr", target, nodata=nodata)
        assert sz.open_array(tmp_path / target / "1")[:].tolist() == expected
    with pytest.raises(ConfigError, match="nearest"):
        run_inline(tmp_path, "downsample", "a.zarr", "s", method="nearest", nodata=0)
    with pytest.raises(ConfigError, match="copy job takes no nodata"):
        run_inline(tmp_path, "copy", "a.zarr", "s", nodata=0)
