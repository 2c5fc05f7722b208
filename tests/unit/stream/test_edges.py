"""Values of another type than the field's are compared exactly: no rounding, no wrapping."""

from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamzarr as sz
from streamzarr.stream import Field

SECONDS = {"D": 86400, "h": 3600, "m": 60, "s": 1} | {
    unit: Fraction(1, 1000**power) for power, unit in enumerate(("ms", "us", "ns"), 1)
}
DTYPES = st.sampled_from(["i1", "u2", "i4", "u8", "i8"])
NEAR = st.sampled_from([0, 2**7, 2**16, 2**31, 2**53, 2**63, 2**64, 1_767_225_600_000_000_000])


def stored(values, dtype, chunk_rows=3):
    store = sz.stores.MemoryStore()
    with sz.StreamWriter(store, schema={"x": Field(dtype, sorted=True, chunk_rows=chunk_rows)}) as writer:
        writer.append({"x": np.array(values, dtype)})
    return sz.open_stream(store)


@given(DTYPES, NEAR, st.integers(-5, 5), st.sampled_from([int, float, np.int64, np.uint64, np.float32]))
def test_integers_are_compared_as_numbers(dtype, near, off, kind):
    limits = np.iinfo(dtype)
    values = [near + each for each in range(-4, 5) if limits.min <= near + each <= limits.max]
    try:
        label = kind(near + off)
    except OverflowError:
        return
    snapshot, number = stored(values, dtype), int(label)
    assert len(snapshot.sel(x=slice(None, label))) == sum(each <= number for each in values)
    assert len(snapshot.sel(x=slice(label, None))) == sum(each >= number for each in values)


@given(
    st.sampled_from(["M8", "m8"]),
    st.sampled_from([*SECONDS]),
    st.sampled_from([*SECONDS]),
    st.lists(st.integers(-(2**63) + 1, 2**63 - 1) | st.integers(-100, 100), max_size=8).map(sorted),
    st.integers(-(2**62), 2**62) | st.integers(-100, 100),
)
def test_times_are_compared_as_moments(kind, unit, other, values, number):
    snapshot = stored(np.array(values, "i8").view(f"{kind}[{unit}]"), f"{kind}[{unit}]")
    label, moment = np.array(number).view(f"{kind}[{other}]")[()], number * SECONDS[other]
    moments = [each * SECONDS[unit] for each in values]
    assert len(snapshot.sel(x=slice(None, label))) == sum(each <= moment for each in moments)
    assert len(snapshot.sel(x=slice(label, None))) == sum(each >= moment for each in moments)


def test_floats_of_few_bits_are_compared_with_the_whole_label():
    values = np.arange(0, 3, 0.1, "f4")
    snapshot = stored(values, "f4", chunk_rows=7)
    for label in (0.1, 0.7, 1.4, 2.1, 2.8, 1e300, -1e300, 10**400, float("inf")):
        expected = [float(each) <= label for each in values]
        assert len(snapshot.sel(x=slice(None, label))) == sum(expected)


@pytest.mark.parametrize(
    ("low", "high", "count"),
    [("1500", "3000", 3), (None, "3000", 3), ("3000", None, 0), (None, "1500", 0), ("1500", None, 3)],
)
def test_years_that_the_unit_does_not_reach(low, high, count):
    snapshot = stored(["2026-01-01", "2026-01-02", "2026-01-03"], "M8[ns]")
    assert len(snapshot.sel(x=slice(low, high))) == count


def test_durations_of_pandas_have_nanoseconds():
    assert len(stored(range(10), "m8[ns]").sel(x=slice(None, pd.Timedelta(5, "ns")))) == 6
