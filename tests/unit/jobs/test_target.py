"""What describes the data survives a job, between both formats; chunks and shards are those given."""

import numpy as np
import pytest
import xarray as xr
import zarr

import streamzarr as sz
from streamzarr.errors import ConfigError, NodeExistsError
from tests.support.inline import run_inline

DATA = np.arange(12, dtype="f4").reshape(3, 4)


def make(folder, data=DATA, **options):
    return sz.create_array(folder / "a.zarr", data=data, **{"chunks": 2} | options)


def copy(folder, **options):
    failed = run_inline(folder, "copy", "a.zarr", "b.zarr", **options)
    assert not failed, failed
    return sz.open_array(folder / "b.zarr")


def test_dimension_names_become_xarrays_attribute_and_back(tmp_path):
    make(tmp_path, dimension_names=["y", "x"], attributes={"units": "K"})
    old = copy(tmp_path, zarr_format=2)
    assert old.attrs.asdict() == {"units": "K", "_ARRAY_DIMENSIONS": ["y", "x"]}
    assert not run_inline(tmp_path, "copy", "b.zarr", "c.zarr", zarr_format=3)
    new = sz.open_array(tmp_path / "c.zarr")
    assert (new.dimension_names, new.attrs.asdict()) == (("y", "x"), {"units": "K"})


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_given_attributes_replace_the_sources_but_not_the_dimension_names(tmp_path, zarr_format):
    make(tmp_path, dimension_names=["y", "x"], attributes={"units": "K"})
    made = copy(tmp_path, zarr_format=zarr_format, attributes={"new": 1})
    names = {"_ARRAY_DIMENSIONS": ["y", "x"]} if zarr_format == 2 else {}
    assert made.attrs.asdict() == {"new": 1, **names}
    assert made.dimension_names == (None if zarr_format == 2 else ("y", "x"))


@pytest.mark.parametrize("separator", ["/", "."])
@pytest.mark.parametrize(("there", "back"), [(2, 3), (3, 2), (2, 2), (3, 3)])
def test_the_separator_of_keys_survives(tmp_path, separator, there, back):
    make(tmp_path, zarr_format=there, chunk_key_encoding=separator)
    assert copy(tmp_path, zarr_format=back).metadata.chunk_keys.separator == separator


def test_a_key_encoding_of_the_same_format_survives(tmp_path):
    make(tmp_path, chunk_key_encoding={"name": "v2", "configuration": {"separator": "."}})
    assert copy(tmp_path).chunk_key((0, 1)) == "0.1"


def test_order_f_becomes_a_transpose_and_back(tmp_path):
    make(tmp_path, zarr_format=2, order="F")
    new = copy(tmp_path, zarr_format=3)
    assert [codec.name for codec in new.filters] == ["transpose"]
    assert not run_inline(tmp_path, "copy", "b.zarr", "c.zarr", zarr_format=2)
    assert sz.open_array(tmp_path / "c.zarr").order == "F"
    assert not run_inline(tmp_path, "copy", "b.zarr", "d.zarr", dtype="f8")
    assert [codec.name for codec in sz.open_array(tmp_path / "d.zarr").filters] == ["transpose"]


@pytest.mark.parametrize(("there", "back"), [(2, 3), (3, 2)])
def test_filters_and_compressors_survive_where_the_format_has_them(tmp_path, there, back):
    delta = (
        {"id": "delta", "dtype": "<i4"}
        if there == 2
        else {"name": "numcodecs.delta", "configuration": {"dtype": "<i4"}}
    )
    data = DATA.astype("<i4")
    make(tmp_path, data, zarr_format=there, filters=[delta], compressors="blosc")
    made = copy(tmp_path, zarr_format=back)
    names = [
        each["id"] if back == 2 else each.name.removeprefix("numcodecs.")
        for each in (*made.filters, *made.compressors)
    ]
    assert names == ["delta", "blosc"]
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "b.zarr", mode="r")[...], data)


def test_the_serializer_survives_and_is_made_anew_for_another_dtype(tmp_path):
    make(tmp_path, serializer={"name": "bytes", "configuration": {"endian": "big"}})
    assert copy(tmp_path).serializer.endian == "big"
    assert not run_inline(tmp_path, "copy", "a.zarr", "c.zarr", dtype="c8")


def test_a_codec_without_counterpart_is_said_before_anything_is_made(tmp_path):
    make(tmp_path, compressors=["zstd", "crc32c"])
    with pytest.raises(ConfigError, match=r"a.zarr as Zarr v2 loses: codec crc32c.*compressors="):
        copy(tmp_path, zarr_format=2)
    assert not (tmp_path / "b.zarr").exists()
    assert copy(tmp_path, zarr_format=2, compressors="zstd").compressors[0]["id"] == "zstd"


def test_what_else_has_no_place_is_said_in_the_log(tmp_path, caplog):
    make(tmp_path, zarr_format=2)
    document = tmp_path / "a.zarr" / ".zarray"
    document.write_text(document.read_text().replace('"fill_value": 0.0', '"fill_value": null'))
    copy(tmp_path, zarr_format=3)
    assert "as Zarr v3 loses: the undefined fill value becomes" in caplog.text


@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("given", [{"chunks": 1000}, {"chunks": (7, 1000)}, {}])
def test_chunks_given_are_chunks_got_of_an_empty_array(tmp_path, zarr_format, given):
    make(tmp_path, np.zeros((0, 5)), chunks=(30, 40))
    made = copy(tmp_path, zarr_format=zarr_format, **given)
    wanted = given.get("chunks", (30, 40))
    assert made.chunks == ((wanted,) * 2 if isinstance(wanted, int) else wanted)


def test_chunks_larger_than_the_shape_stay_as_given(tmp_path):
    make(tmp_path, chunks=100)
    assert copy(tmp_path).chunks == (100, 100)
    np.testing.assert_array_equal(zarr.open_array(tmp_path / "b.zarr", mode="r")[...], DATA)
    assert not run_inline(tmp_path, "copy", "a.zarr", "c.zarr", chunks=(50, 2))
    assert sz.open_array(tmp_path / "c.zarr").chunks == (50, 2)


def test_shards_larger_than_the_shape_stay_as_given(tmp_path):
    make(tmp_path)
    made = copy(tmp_path, chunks=2, shards=64)
    assert (made.chunks, made.shards) == ((2, 2), (64, 64))
    np.testing.assert_array_equal(made[:], DATA)
    assert not run_inline(tmp_path, "copy", "b.zarr", "c.zarr")
    assert sz.open_array(tmp_path / "c.zarr").shards == (64, 64)


def test_shards_of_the_source_survive_though_its_chunks_exceed_the_shape(tmp_path):
    make(tmp_path, chunks=8, shards=64)
    made = copy(tmp_path)
    assert (made.chunks, made.shards) == ((8, 8), (64, 64))


def test_where_the_index_of_shards_is_survives(tmp_path):
    make(tmp_path, shards={"shape": (4, 4), "index_location": "start"})
    assert copy(tmp_path).metadata.sharding.index_location == "start"


@pytest.mark.parametrize("chunks", [(1.5, 2), True, (True, 2), "12", (2,), 0, (-1, 2), ([1, 2], 4)])
def test_chunks_that_are_none_are_refused(tmp_path, chunks):
    make(tmp_path)
    with pytest.raises(ConfigError, match="chunks"):
        copy(tmp_path, chunks=chunks)


def test_a_dtype_that_is_none_is_refused(tmp_path):
    make(tmp_path)
    with pytest.raises(ConfigError, match="dtype is 'float33'"):
        copy(tmp_path, dtype="float33")


def test_a_target_that_is_there_is_refused(tmp_path):
    make(tmp_path)
    copy(tmp_path)
    with pytest.raises(NodeExistsError):
        copy(tmp_path)


@pytest.mark.parametrize(("there", "back"), [(2, 3), (3, 2), (2, 2), (3, 3)])
@pytest.mark.parametrize("dtype", ["string", "bytes"])
def test_elements_of_any_length_are_copied_and_rechunked(tmp_path, there, back, dtype):
    values = np.array([["a", "", "\u00e9t\u00e9"], ["x" * 1000, "b", "c"]], np.dtypes.StringDType())
    data = values if dtype == "string" else np.array([[v.encode() for v in row] for row in values], object)
    fill = "none" if dtype == "string" else b"none"
    source = sz.create_array(
        tmp_path / "a.zarr", shape=(2, 4), chunks=1, dtype=dtype, fill_value=fill, zarr_format=there
    )
    source[:, :3] = data
    made = copy(tmp_path, zarr_format=back, chunks=(2, 3))
    assert (made.dtype, made.fill_value) == (source.dtype, fill)
    assert made[:].tolist() == source[:].tolist()
    assert zarr.open_array(tmp_path / "b.zarr", mode="r")[...].tolist() == source[:].tolist()


def test_records_and_times_and_arrays_without_axes_are_copied(tmp_path):
    record = np.array([(1, 2.5)], [("a", "i4"), ("b", "f8")])
    for name, data in {"r": record, "t": np.array(["2020", "NaT"], "M8[s]"), "n": np.array(3.5)}.items():
        sz.create_array(tmp_path / name, data=data, chunks=(1,) * data.ndim)
        for fmt in (2, 3):
            assert not run_inline(tmp_path, "copy", name, f"{name}{fmt}", zarr_format=fmt)
            np.testing.assert_array_equal(sz.open_array(tmp_path / f"{name}{fmt}")[...], data)


@pytest.mark.parametrize(("there", "back"), [(2, 3), (3, 2), (2, 2), (3, 3)])
def test_xarray_finds_the_same_dimensions_attributes_and_values(tmp_path, there, back):
    values = np.where(DATA == 5, np.nan, DATA)
    dataset = xr.Dataset(
        {"t": (("y", "x"), values, {"units": "K", "coordinates": "lat"})},
        coords={"lat": ("y", np.array([1.0, 2.0, 3.0]), {"axis": "Y"})},
    )
    for name in ("a", "b"):
        zarr.open_group(tmp_path / name, mode="w", zarr_format=there if name == "a" else back)
    fill = {"t": {"_FillValue": np.float32(np.nan)}}
    dataset.to_zarr(tmp_path / "a", mode="w", zarr_format=there, encoding=fill, consolidated=False)
    for name in ("t", "lat"):
        assert not run_inline(tmp_path, "copy", f"a/{name}", f"b/{name}", zarr_format=back)
    before = xr.open_zarr(tmp_path / "a", consolidated=False)
    after = xr.open_zarr(tmp_path / "b", consolidated=False)
    np.testing.assert_array_equal(after["t"].values, before["t"].values)
    assert after["t"].dims == ("y", "x")
    assert after["t"].attrs["units"] == "K"
    assert after["lat"].attrs == {"axis": "Y"}
    assert "lat" in after["t"].coords


@pytest.mark.parametrize("missing", [-9999.0, "NaN"])
def test_xarray_opens_in_v3_what_v2_says_of_missing_values(tmp_path, missing):
    zarr.open_group(tmp_path / "g", mode="w", zarr_format=3)
    attributes = {"_FillValue": missing, "_ARRAY_DIMENSIONS": ["x"]}
    data = np.array([1, float(missing), 3], "f4")
    sz.create_array(tmp_path / "a.zarr", data=data, zarr_format=2, attributes=attributes)
    assert not run_inline(tmp_path, "copy", "a.zarr", "g/t", zarr_format=3)
    opened = xr.open_zarr(tmp_path / "g", consolidated=False)["t"]
    np.testing.assert_array_equal(opened.values, [1, np.nan, 3])
    assert not run_inline(tmp_path, "copy", "g/t", "c.zarr", zarr_format=2)
    assert sz.open_array(tmp_path / "c.zarr").attrs.asdict() == attributes
    assert not run_inline(tmp_path, "copy", "g/t", "g/u", dtype="f8")
    np.testing.assert_array_equal(
        xr.open_zarr(tmp_path / "g", consolidated=False)["u"].values, [1, np.nan, 3]
    )


@pytest.mark.parametrize(
    ("dtype", "other", "missing"),
    [
        ("u1", "i2", -1),  # of packed bytes that are meant to be signed
        ("i4", "f8", "NaN"),
        ("i4", "f8", 0.5),
        ("i4", "i8", "AAAAAAAAAAA="),
        ("f4", "f8", 10**400),
        ("f4", "f8", "unknown"),
    ],
)
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_an_attribute_of_missing_values_that_no_element_equals_stays(
    tmp_path, dtype, other, missing, zarr_format
):
    data = np.arange(4, dtype=dtype)
    make(tmp_path, data, attributes={"_FillValue": missing, "missing_value": missing})
    for options in ({}, {"dtype": other}):
        target = copy(tmp_path, zarr_format=zarr_format, overwrite=True, **options)
        assert target.attrs["_FillValue"] == missing
    assert not run_inline(tmp_path, "downsample", "a.zarr", "p.zarr")
    means = [0.5, 2.5] if data.dtype.kind == "f" else [0, 2]
    assert sz.open_array(tmp_path / "p.zarr/1")[:].tolist() == means
