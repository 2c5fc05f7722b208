"""Bounds say between which rows a value lies, and are never many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.errors import MetadataError
from streamzarr.stream.bounds import MOST, Bounds


@given(
    st.lists(st.integers(0, 90), max_size=12), st.integers(1, 4), st.integers(-5, 500), st.integers(0, 900)
)
def test_a_value_lies_between_the_rows_they_say(counts, every, value, rows):
    values = np.sort(np.random.default_rng(len(counts)).integers(0, 500, sum(counts)))
    bounds, start = Bounds(every), 0
    for count in counts:
        bounds = bounds.extended(values[start : start + count], start)
        start += count
        assert bounds.values == tuple(values[: start : bounds.every].tolist())
        assert len(bounds.values) <= MOST
        assert Bounds.from_json(bounds.to_json(), "x") == bounds
    rows = min(rows, start)
    for side in ("left", "right"):
        before, behind = bounds.upto(rows).around(value, side, values.dtype, "x")
        place = np.searchsorted(values[:rows], value, side=side)
        assert before <= max(place - 1, 0)
        assert behind is None or place <= behind < rows


@pytest.mark.parametrize("dtype", ["u8", "i1", "f2", "f8", "M8[ns]", "m8[s]"])
def test_each_dtype_is_kept_exactly(dtype):
    values = np.array([0, 1, 100]).astype(dtype)
    if dtype[0] == "f":
        values = np.array([-np.inf, 0.1, np.inf], dtype)
    if dtype == "u8":
        values = np.array([0, 2**63, 2**64 - 1], dtype)
    bounds = Bounds(1).extended(values, 0)
    for number, value in enumerate(values):
        assert bounds.around(value, "left", values.dtype, "x") == (max(number - 1, 0), number)


@pytest.mark.parametrize(
    "document",
    [
        None,
        {},
        {"every": 0, "values": []},
        {"every": 1, "values": [0.5]},
        {"every": 1, "values": ["x"]},
        {"every": True, "values": []},
        {"every": 1, "values": [0] * (MOST + 1)},
        {"every": 1, "values": [True]},
    ],
    ids=str,
)
def test_what_are_no_bounds_is_refused(document):
    with pytest.raises(MetadataError, match="x: expected bounds"):
        Bounds.from_json(document, "x")


@pytest.mark.parametrize("values", [(2**70,), (5, 3)], ids=str)
def test_what_cannot_be_the_fields_is_refused(values):
    with pytest.raises(MetadataError, match="x: bounds"):
        Bounds(1, values).around(1, "left", np.dtype("i8"), "x")
