"""What becomes of values when a job changes the dtype: nothing is lost without being asked for."""

import numpy as np
import pytest

import streamzarr as sz
from streamzarr.errors import CastingError, ConfigError
from streamzarr.jobs.cast import can_cast, cast
from tests.support.inline import run_inline


def copied(tmp_path, data, *, fill_value=None, zarr_format=3, **options):
    sz.create_array(tmp_path / "a.zarr", data=data, chunks=2, fill_value=fill_value, zarr_format=zarr_format)
    failed = run_inline(tmp_path, "copy", "a.zarr", "b.zarr", **options)
    return sz.open_array(tmp_path / "b.zarr"), failed


@pytest.mark.parametrize("fill", [np.nan, -9999.0, 1.5])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_another_dtype_keeps_the_fill_value(tmp_path, fill, zarr_format):
    data = np.array([1, 2, 3], "f4")
    z, failed = copied(tmp_path, data, fill_value=fill, zarr_format=zarr_format, dtype="f8")
    assert not failed
    assert z.dtype == "f8"
    np.testing.assert_equal(float(z.fill_value), fill)
    assert z[:].tolist() == [1, 2, 3]


def test_an_undefined_fill_value_of_v2_stays_undefined(tmp_path):
    source = sz.create_array(tmp_path / "a.zarr", data=np.arange(4.0), chunks=2, zarr_format=2)
    document = tmp_path / "a.zarr" / ".zarray"
    document.write_text(document.read_text().replace('"fill_value": 0.0', '"fill_value": null'))
    assert sz.open_array(tmp_path / "a.zarr").fill_value is None
    assert not run_inline(tmp_path, "copy", "a.zarr", "b.zarr", dtype="f4")
    assert sz.open_array(tmp_path / "b.zarr").fill_value is None
    assert source.fill_value == 0


def test_an_integer_that_does_not_fit_is_an_error_of_its_chunk(tmp_path):
    z, failed = copied(tmp_path, np.array([1, 2, 3, 70000, 5]), dtype="i2")
    assert list(failed) == [1]
    assert isinstance(failed[1], CastingError)
    assert str(failed[1]).startswith(f"{z.url}: chunk [1]: the value 70000 at [1] cannot be held as int16")
    assert z[:].tolist() == [1, 2, 0, 0, 5]


def test_unsafe_is_what_numpy_makes_of_it(tmp_path):
    z, failed = copied(tmp_path, np.array([1, 2, 3, 70000]), dtype="i2", casting="unsafe")
    assert not failed
    assert z[:].tolist() == [1, 2, 3, 4464]


@pytest.mark.parametrize(
    ("dtype", "casting"), [("i4", "same_kind"), ("f4", "safe"), (">i4", "no"), ("U8", "safe")]
)
def test_a_rule_that_forbids_the_dtype_is_said_before_anything_is_made(tmp_path, dtype, casting):
    with pytest.raises(ConfigError, match=rf"dtype: float64 values.*casting='{casting}'"):
        copied(tmp_path, np.array([1.0]), dtype=dtype, casting=casting)
    assert not (tmp_path / "b.zarr").exists()


def test_no_such_rule(tmp_path):
    with pytest.raises(ConfigError, match=r"casting is 'loose', expected no, equiv"):
        copied(tmp_path, np.array([1.0]), casting="loose")


@pytest.mark.parametrize(
    ("data", "fill", "dtype"), [([1], -1, "u1"), ([1.0], 1e300, "f4"), (["a"], "abc", "U1")]
)
def test_a_fill_value_that_does_not_fit_is_refused_before_anything_is_made(tmp_path, data, fill, dtype):
    data = np.asarray(data, dtype="U3" if dtype == "U1" else None)
    with pytest.raises(ConfigError, match=r"fill value of .*a.zarr"):
        copied(tmp_path, data, fill_value=fill, dtype=dtype)
    assert not (tmp_path / "b.zarr").exists()


def test_a_missing_value_that_does_not_fit_is_refused(tmp_path):
    sz.create_array(tmp_path / "a.zarr", data=[1, 2], attributes={"_FillValue": -999})
    with pytest.raises(ConfigError, match="attribute _FillValue"):
        run_inline(tmp_path, "copy", "a.zarr", "b.zarr", dtype="u1")


def test_a_map_may_change_the_kind_if_the_fill_value_goes_with_it(tmp_path):
    from streamzarr.jobs.transforms import _registered

    _registered["test_casting.classes"] = lambda block: (block > 1).astype("u1")
    data = np.array([1.0, 2.0, 3.0])
    for name, fill in (("a.zarr", 0), ("b.zarr", 255.0), ("c.zarr", np.nan)):
        sz.create_array(tmp_path / name, data=data, chunks=2, fill_value=fill)
    how = {"transform": "test_casting.classes", "dtype": "u1"}
    for name, fill in (("a.zarr", 0), ("b.zarr", 255)):
        assert not run_inline(tmp_path, "map", name, f"{name}.out", **how)
        z = sz.open_array(tmp_path / f"{name}.out")
        assert (z[:].tolist(), z.fill_value) == ([0, 1, 1], fill)
    with pytest.raises(ConfigError, match=r"fill value of .*c.zarr"):
        run_inline(tmp_path, "map", "c.zarr", "c.zarr.out", **how)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.array([2**53 + 1]), "f8"),
        (np.array([2**24 + 1], "i4"), "f4"),
        (np.array([2**63 - 1]), "f8"),
        (np.array([2**64 - 1], "u8"), "i8"),
        (np.array([-1]), "u8"),
        (np.array([1e300]), "f4"),
        (np.array([1e300j]), "c8"),
        (np.array([70000], "u4"), "f2"),
        (np.array(["abc"]), "U2"),
        (np.array([b"abc"]), "S2"),
        (np.array(["2020-01-01T12"], "M8[h]"), "M8[D]"),
        (np.array([2**62], "m8[s]"), "m8[ns]"),
        (np.array([2**64 - 1], "u8"), "m8[s]"),
        (np.array([-(2**63)]), "m8[s]"),
        (np.array([(1, 70000)], [("a", "i4"), ("b", "i4")]), [("a", "i4"), ("b", "i2")]),
        (np.array([([1, 70000],)], [("a", "i4", 2)]), [("a", "i2", 2)]),
    ],
    ids=str,
)
def test_values_that_do_not_fit(values, dtype):
    dtype = np.dtype(dtype)
    assert can_cast(values.dtype, dtype, "same_kind")
    with pytest.raises(CastingError, match=r"here: the value .* at \[0\] cannot be held"):
        cast(values, dtype, "same_kind", "here")
    assert cast(values, dtype, "unsafe", "here").dtype == dtype


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        (np.array([2**53]), "f8"),
        (np.array([-(2**63), 2**62]), "f4"),
        (np.array([0.1, np.nan, np.inf, -np.inf]), "f4"),
        (np.array([255, 0]), "u1"),
        (np.array(["NaT", "2020-01-01"], "M8[s]"), "M8[D]"),
        (np.array(["NaT"], "m8[s]"), "m8[ns]"),
        (np.array([2**63 - 1, 1 - 2**63]), "m8[s]"),
        (np.array(["ab"], "U9"), "U2"),
        (np.array(["ab"], "U9"), np.dtypes.StringDType()),
        (np.array([b"ab"], "S2"), object),
        (np.array([True]), "i1"),
        (np.array([[]], "i8"), "i1"),
        (np.array(7), "i1"),
        (np.array([(1, 2)], [("a", "i4"), ("b", "i4")]), [("a", "i4"), ("b", "i2")]),
    ],
    ids=str,
)
def test_values_that_fit(values, dtype):
    made = cast(values, np.dtype(dtype), "same_kind", "here")
    assert made.dtype == np.dtype(dtype)
    assert made.shape == values.shape
    expected = values.astype(dtype)
    np.testing.assert_array_equal(made, expected)


@pytest.mark.parametrize(("source", "target"), [("i4", "O"), ("i4", np.dtypes.StringDType()), ("i4", "U11")])
def test_numbers_do_not_become_text_or_objects(source, target):
    assert not can_cast(np.dtype(source), np.dtype(target), "safe")


def test_records_need_the_same_fields():
    assert not can_cast(np.dtype([("a", "i4")]), np.dtype([("b", "i4")]), "same_kind")
    inner, swapped = [("x", "i4"), ("y", "i4")], [("y", "i4"), ("x", "i4")]
    assert can_cast(np.dtype([("a", inner)]), np.dtype([("a", inner)]), "same_kind")
    assert not can_cast(np.dtype([("a", inner)]), np.dtype([("a", swapped)]), "same_kind")
