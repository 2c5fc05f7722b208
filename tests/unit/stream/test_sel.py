"""``sel`` finds rows by value: what xarray finds, and with few reads."""

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st

import streamzarr as sz
from streamzarr.stores import MemoryStore
from streamzarr.stream import Field
from streamzarr.testing.faults import RecordingStore
from tests.support.streams import give_up


def stream(values, dtype="i8", chunk_rows=4):
    store = MemoryStore()
    with sz.StreamWriter(store, schema={"x": Field(dtype, sorted=True, chunk_rows=chunk_rows)}) as writer:
        writer.append({"x": np.asarray(values, dtype)})
    return sz.open_stream(store)


@given(
    st.lists(st.integers(-5, 5), max_size=30).map(sorted),
    st.one_of(st.none(), st.integers(-7, 7)),
    st.one_of(st.none(), st.integers(-7, 7), st.floats(-7, 7)),
    st.integers(0, 10),
)
def test_both_ends_of_a_slice_belong_to_it(values, low, high, first):
    snapshot = stream(values)
    rows = snapshot.between(first, len(values)).sel(x=slice(low, high))
    expected = [
        n
        for n in range(min(first, len(values)), len(values))
        if (low is None or values[n] >= low) and (high is None or values[n] <= high)
    ]
    assert [*range(rows.start, rows.stop)] == expected


HOURS = np.datetime64("2026-01-04", "ns") + np.arange(0, 72, 5) * np.timedelta64(1, "h")
TIMES = [
    None,
    "2026-01-04",
    "2026-01-05",
    "2026-01-05T10",
    "2026-01-05 20:00",
    "2026-01",
    "2025",
    "2027",
    np.datetime64("2026-01-05"),
    datetime(2026, 1, 5, 15),
    pd.Timestamp("2026-01-05 15:00"),
]


@pytest.mark.parametrize("low", TIMES, ids=repr)
@pytest.mark.parametrize("high", TIMES, ids=repr)
def test_times_mean_what_they_mean_in_xarray(low, high):
    found = stream(HOURS, "M8[ns]").sel(x=slice(low, high))
    expected = xr.DataArray(HOURS, coords={"x": HOURS}).sel(x=slice(low, high))
    np.testing.assert_array_equal(found["x"][:], expected.values)


@pytest.mark.parametrize(
    ("value", "hours"),
    [
        (datetime(2026, 1, 5, 2, tzinfo=UTC), [5 * n for n in range(6, 15)]),
        (datetime(2026, 1, 5, 8, tzinfo=timezone(timedelta(hours=2))), [5 * n for n in range(6, 15)]),
        (date(2026, 1, 6), [5 * n for n in range(10, 15)]),
    ],
    ids=str,
)
def test_times_of_day_are_utc(value, hours):
    found = stream(HOURS, "M8[ns]").sel(x=slice(value, None))
    assert [int((each - HOURS[0]) / np.timedelta64(1, "h")) for each in found["x"]] == hours


def test_times_are_finer_than_the_field():
    snapshot = stream(["2026-01-05T00:00:01", "2026-01-05T00:00:02"], "M8[s]")
    assert len(snapshot.sel(x=slice("2026-01-05T00:00:01.5", None))) == 1
    assert len(snapshot.sel(x=slice(None, "2026-01-05T00:00:01.999"))) == 1


def test_a_single_value_must_be_there():
    snapshot = stream([1, 3, 3, 3, 3, 3, 7])
    assert snapshot.sel(x=3)["x"][:].tolist() == [3] * 5
    with pytest.raises(KeyError, match="no row has 4"):
        snapshot.sel(x=4)
    assert stream(HOURS, "M8[ns]").sel(x="2026-01-05").start == 5


def test_durations_and_floats_are_found():
    assert len(stream([1, 2, 3], "m8[s]").sel(x=slice(timedelta(seconds=2), np.timedelta64(1, "h")))) == 2
    assert len(stream([-np.inf, 0.5, np.inf], "f4").sel(x=slice(0, np.inf))) == 2


@pytest.mark.parametrize(
    ("dtype", "value", "error"),
    [
        ("i8", "2026", TypeError),
        ("i8", float("nan"), TypeError),
        ("f8", datetime(2026, 1, 1), TypeError),
        ("M8[ns]", 5, TypeError),
        ("M8[ns]", "yesterday", ValueError),
        ("M8[ns]", "NaT", TypeError),
        ("M8[ns]", np.datetime64("NaT"), TypeError),
        ("m8[s]", 5, TypeError),
    ],
)
def test_what_cannot_be_compared_is_refused(dtype, value, error):
    for wanted in (value, slice(value, None), slice(None, value)):
        with pytest.raises(error, match="memory://"):
            stream([1, 2], dtype).sel(x=wanted)


def test_only_sorted_fields_are_searched():
    store = MemoryStore()
    sz.StreamWriter(store, schema={"x": "i4"}).close()
    with pytest.raises(ValueError, match="not sorted"):
        sz.open_stream(store).sel(x=slice(1, 2))
    with pytest.raises(KeyError, match="no field 'y'"):
        sz.open_stream(store).sel(y=1)
    with pytest.raises(ValueError, match="no step"):
        stream([1]).sel(x=slice(1, 2, 3))


def test_several_fields_narrow_the_rows():
    store = MemoryStore()
    schema = {name: Field("i4", sorted=True, chunk_rows=3) for name in "xy"}
    with sz.StreamWriter(store, schema=schema) as writer:
        writer.append({"x": range(10), "y": range(0, 100, 10)})
    assert sz.open_stream(store).sel({"x": slice(2, None)}, y=slice(None, 60))["x"][:].tolist() == [
        *range(2, 7)
    ]


def test_few_chunks_are_read_and_once():
    store = MemoryStore()
    with sz.StreamWriter(store, schema={"x": Field("i8", sorted=True, chunk_rows=2)}) as writer:
        writer.append({"x": range(2000)})
    noting = RecordingStore(store)
    assert sz.open_stream(noting).sel(x=slice(700, 1300)).start == 700
    read = [call.key for call in noting.calls if "/c/" in call.key]
    assert len(read) == len(set(read)) <= 22


def test_the_record_says_between_which_chunks_and_does_not_grow():
    store = MemoryStore()
    sizes = []
    writer = sz.StreamWriter(store, schema={"x": Field("i8", sorted=True, chunk_rows=1)})
    for start in range(0, 1200, 100):
        writer.append({"x": 10**9 + np.arange(start, start + 100)})
        writer.commit()
        sizes.append(len(store.get("zarr.json")))
    writer = sz.StreamWriter(store)
    writer.append({"x": [10**9 + 1200]})
    writer.commit()
    assert max(sizes) - sizes[0] < 400
    bounds = sz.open_stream(store).record.bounds["x"]
    assert (bounds.every, len(bounds.values)) == (32, 38)
    noting = RecordingStore(store)
    assert sz.open_stream(noting).sel(x=slice(10**9 + 700, None)).start == 700
    assert sum("/c/" in call.key for call in noting.calls) <= 6


def test_bounds_are_those_of_committed_rows_only():
    store = MemoryStore()
    writer = sz.StreamWriter(store, schema={"x": Field("f8", sorted=True, chunk_rows=4)}, tail="memory")
    writer.append({"x": [-np.inf, 0.5, 1, 2, 3, np.inf]})
    writer.commit()
    assert sz.open_stream(store).record.bounds["x"].values == ("-inf",)
    writer.close()
    assert sz.open_stream(store).record.bounds["x"].values == ("-inf", float(3).hex())


def test_what_was_given_up_is_not_looked_at():
    snapshot = stream(range(20))
    give_up(snapshot.view.store._inner, 10)
    assert snapshot.refresh().sel(x=slice(5, 12))["x"][:].tolist() == [10, 11, 12]
