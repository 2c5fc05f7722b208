"""Whole columns are converted as their values would be one by one."""

import datetime as dt
import math
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.convert import Conversion
from streamzarr.feeds.decode.kinds.zones import Zone
from streamzarr.feeds.decode.texts import Texts
from streamzarr.feeds.decode.values import MISSING, Local, LocalTimes, Values
from tests.support.decoding import bits, share

EDGES = [
    0,
    1,
    -1,
    127,
    128,
    255,
    256,
    -129,
    2**31,
    2**53,
    2**53 + 1,
    2**63 - 1,
    2**63,
    -(2**63),
    2**64 - 1,
    2**64,
]
INTEGERS = st.sampled_from(EDGES) | st.integers(-(2**70), 2**70) | st.integers(-1000, 1000)
FLOATS = st.floats() | st.sampled_from([0.1, 0.29, 1.005, 2.0**53, 1e15, 1e16, -0.0, 1e39, 65520.0])
DECIMALS = st.decimals(-(10**12), 10**12, places=3).map(str) | st.decimals(0, 100, places=2).map(str)
NUMBER_TEXTS = (
    DECIMALS
    | INTEGERS.map(str)
    | FLOATS.map(repr)
    | st.text("0123456789+-.eE", max_size=12)
    | st.sampled_from(
        ["1e5", "0e999999999", "1e999999999", "1E400", " 1 ", "1_0", "+1.", ".5", "", "0x1", "٣"]
    )
)
TIMES = st.datetimes(dt.datetime(1600, 1, 1), dt.datetime(2400, 1, 1))
TIME_TEXTS = (
    st.builds(
        lambda time, form: form.format(time.isoformat()),
        TIMES,
        st.sampled_from(
            [
                "{}",
                "{}Z",
                "{}+02:00",
                "{}-0530",
                "{}123",
                "{}.0000000009",
                "{}98765432109Z",
                "{}x",
                "{}z",
                "{}+99:99",
            ]
        ),
    )
    | st.dates().map(str)
    | st.text("0123456789-T:.Z+ ", max_size=22)
    | st.sampled_from(["2020-02-30", "2019-02-29", "2020-01-01T24:00", "2016-12-31T23:59:60Z", "0000-01-01"])
)
TEXTS = st.text(max_size=6) | st.sampled_from(["true", "False", "TRUE", "0", "nan\0", "naïve", "NA"])
ABSENT = st.sampled_from([None, MISSING])


def lists_of(*kinds):
    """Lists of one kind, and of all mixed."""
    mixed = st.one_of(*kinds, ABSENT, st.booleans(), st.just([1]), st.just({"a": 1}), st.just(b"ab"))
    return st.one_of(*(st.lists(kind, min_size=1, max_size=8) for kind in kinds), st.lists(mixed, max_size=8))


COLUMNS = [
    *(ColumnSpec(f"{kind}", kind) for kind in ("f2", "f4", "f8", "i1", "u1", "i4", "u4", "i8", "u8", "?")),
    ColumnSpec("optional", "f4", required=False, missing=(-1, "NA", 0.1)),
    ColumnSpec("none", "i2", required=False, fill=-1),
    *(ColumnSpec(f"scaled{n}", "i8", decimals=n) for n in (0, 2, 8)),
    ColumnSpec("small", "i2", decimals=3),
    *(ColumnSpec(kind, kind) for kind in ("U3", "S3", "string", "bytes")),
    ColumnSpec("word", "string", missing=("NA",), required=False),
]
TIME_COLUMNS = [
    *(ColumnSpec(f"{unit}", f"M8[{unit}]", required=False) for unit in ("D", "h", "s", "ms", "us", "ns")),
    *(ColumnSpec(f"from_{unit}", "M8[ns]", unit=unit) for unit in ("s", "ms", "us", "ns")),
    ColumnSpec("steps", "M8[25s]", unit="ms"),
    ColumnSpec("local", "M8[us]", zone="America/New_York"),
    ColumnSpec("compact", "M8[ms]", format="%Y%m%d %H%M%S%f"),
    ColumnSpec("long", "m8[ms]", unit="s"),
]


def assert_one_by_one(spec, values):
    convert = Conversion(spec)
    column, bad = convert(Values.of(values))
    for row, value in enumerate(values):
        absent = np.array([value is None or value is MISSING])
        [alone], why = convert(Values([value], absent))
        assert bad.get(row) == why.get(0)
        if not why:
            assert bits(column[row : row + 1]) == bits(np.array([alone], column.dtype))


@pytest.mark.parametrize("spec", COLUMNS, ids=lambda spec: spec.name)
@settings(max_examples=share(12))
@given(values=lists_of(INTEGERS, FLOATS, NUMBER_TEXTS, TEXTS))
def test_a_column_is_what_its_values_are_alone(spec, values):
    assert_one_by_one(spec, values)


@pytest.mark.parametrize("spec", TIME_COLUMNS, ids=lambda spec: spec.name)
@settings(max_examples=share(12))
@given(values=lists_of(INTEGERS, FLOATS, TIME_TEXTS, st.integers(-(2**40), 2**40)))
def test_a_column_of_times_is_what_its_values_are_alone(spec, values):
    assert_one_by_one(spec, values)


NARROW = (
    st.floats(width=32)
    | st.decimals(-200_000, 200_000, places=2).map(float)
    | st.integers(-300, 300).map(float)
)


@pytest.mark.parametrize("spec", COLUMNS + TIME_COLUMNS, ids=lambda spec: spec.name)
@settings(max_examples=share(12))
@given(values=st.lists(NARROW, min_size=1, max_size=8), dtype=st.sampled_from(["f4", "f2"]))
def test_a_column_of_narrow_floats_is_what_its_values_are_alone(spec, values, dtype):
    with np.errstate(over="ignore"):
        narrow = np.array(values).astype(dtype)
    convert = Conversion(spec)
    column, bad = convert(Values(narrow))
    for row, value in enumerate(narrow):
        [alone], why = convert(Values([value]))
        assert bad.get(row) == why.get(0)
        if not why:
            assert bits(column[row : row + 1]) == bits(np.array([alone], column.dtype))


@pytest.mark.parametrize("spec", TIME_COLUMNS, ids=lambda spec: spec.name)
@settings(max_examples=share(12))
@given(
    times=st.lists(TIMES | st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=8),
    unit=st.sampled_from(["D", "h", "s", "ms", "us", "ns"]),
    near=st.integers(-7200, 7200),
)
def test_a_column_of_local_times_is_what_its_values_are_alone(spec, times, unit, near):
    changes = [np.datetime64(each) + np.timedelta64(near, "s") for each in ("2026-11-01T01", "2026-03-08T02")]
    each = [np.array([time], f"M8[{unit}]") for time in times]
    local = np.concatenate([*each, np.array(changes, f"M8[{unit}]")])
    convert = Conversion(spec)
    column, bad = convert(Values(LocalTimes(local)))
    for row, value in enumerate(local):
        [alone], why = convert(Values([Local(value)]))
        assert bad.get(row) == why.get(0)
        if not why:
            assert bits(column[row : row + 1]) == bits(np.array([alone], column.dtype))


@settings(max_examples=share(200))
@given(st.integers(-999_999, 999_999), st.integers(0, 9))
def test_six_digits_survive_in_a_narrow_float(scaled, decimals):
    column, bad = Conversion(ColumnSpec("x", "i4", decimals=decimals))(
        Values(np.array([scaled / 10**decimals], "f4"))
    )
    assert not bad
    assert column[0] == scaled


@given(st.lists(st.text(max_size=5)))
def test_texts_are_what_was_put_in(texts):
    held = Texts.of(texts)
    assert held.tolist() == texts
    assert [held[index] for index in range(len(held))] == texts


@settings(max_examples=share(150))
@given(st.floats(allow_nan=False, allow_infinity=False) | st.floats(0, 1e5).map(lambda x: round(x, 2)))
def test_a_float_of_seconds_is_its_shortest_decimal(seconds):
    column, bad = Conversion(ColumnSpec("t", "M8[ns]", unit="s"))(Values.of([seconds]))
    if not bad:
        assert column.view("i8")[0] == math.floor(Decimal(repr(seconds)) * 10**9)
    else:
        assert abs(seconds) > 9e9


@settings(max_examples=share(50))
@given(st.lists(st.integers(-(10**9), 4 * 10**9), min_size=1, max_size=20))
def test_local_times_are_read_together_as_alone(local):
    zone = Zone.of("Europe/Oslo")
    together, unsure = zone.utc_many(np.array(local))
    for seconds, utc, open_ in zip(local, together.tolist(), unsure.tolist(), strict=True):
        if not open_:
            assert zone.utc(seconds) == utc
