"""What can be appended, and what is said of what cannot."""

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from streamzarr.stream import Field
from streamzarr.stream.batches import as_columns
from streamzarr.stream.schema import Schema

FIELDS = Schema.of(
    {"time": "M8[us]", "name": "string", "size": "i4", "ok": "?", "pair": Field("f4", shape=(2,))}
).arrays(10)
COLUMNS = {
    "time": np.array(["2026-01-05", "2026-01-06"], "M8[us]"),
    "name": ["a", "bb"],
    "size": [1, 2],
    "ok": [True, False],
    "pair": [[1, 2], [3, 4]],
}
TABLE = pa.table(
    {
        "time": pa.array(COLUMNS["time"]),
        "name": ["a", "bb"],
        "size": pa.array([1, 2], pa.int16()),
        "ok": [True, False],
        "pair": pa.array([[1, 2], [3, 4]], pa.list_(pa.float32(), 2)),
    }
)
RECORD = np.dtype([("n", "u1"), ("text", "S2"), ("at", "M8[ns]")])
STRUCTURED = np.array(
    [(*row[:4], row[4]) for row in zip(*COLUMNS.values(), strict=True)],
    [("time", "M8[us]"), ("name", "U2"), ("size", "i4"), ("ok", "?"), ("pair", "f4", (2,))],
)


@pytest.mark.parametrize(
    "batch",
    [
        COLUMNS,
        STRUCTURED,
        TABLE,
        pa.concat_tables([TABLE.slice(1), TABLE, TABLE.slice(0, 1)]).slice(1, 2),
        TABLE.to_batches()[0],
    ],
    ids=["columns", "structured", "table", "chunked-table", "batch"],
)
def test_every_kind_of_batch_gives_the_same_rows(batch):
    columns = as_columns(batch, FIELDS, "a.zarr")
    assert {name: column.dtype for name, column in columns.items()} == {
        name: array.dtype for name, array in FIELDS.items()
    }
    np.testing.assert_array_equal(columns["time"], COLUMNS["time"])
    for name in ("name", "size", "ok", "pair"):
        assert columns[name].tolist() == COLUMNS[name]


def test_a_data_frame_gives_arrow_data():
    fields = Schema.of({"x": "f8", "name": "string"}).arrays(10)
    columns = as_columns(pd.DataFrame({"x": [0.5, 1.5], "name": ["a", "b"]}), fields, "a.zarr")
    assert (columns["x"].tolist(), columns["name"].tolist()) == ([0.5, 1.5], ["a", "b"])


@pytest.mark.parametrize(
    ("batch", "error", "message"),
    [
        ([1, 2], TypeError, "cannot append list, expected columns by name"),
        (np.zeros(3), TypeError, "cannot append ndarray"),
        ({"x": [1]}, ValueError, r"batch lacks \['y'\] and has unknown \[\]"),
        ({"x": [1], "y": [[1, 2]], "z": [1]}, ValueError, r"lacks \[\] and has unknown \['z'\]"),
        ({"x": [1, 2], "y": [[1, 2]]}, ValueError, "differ in length: {'x': 2, 'y': 1}"),
        ({"x": [1], "y": [[1, 2, 3]]}, ValueError, r"y: values have shape \(1, 3\), .* rows of shape \(2,\)"),
        ({"x": 1, "y": [[1, 2]]}, ValueError, r"x: values have shape \(\), .* rows of shape \(\)"),
        ({"x": [0.5], "y": [[1, 2]]}, TypeError, r"x: .* by same_kind"),
        (pa.table({"x": [1, None], "y": [[1, 2], [3, 4]]}), ValueError, "x: 1 of 2 values are null"),
    ],
)
def test_what_does_not_fit_is_named(batch, error, message):
    fields = Schema.of({"x": "i4", "y": Field("i4", shape=(2,))}).arrays(10)
    with pytest.raises(error, match=message):
        as_columns(batch, fields, "a.zarr")


@pytest.mark.parametrize(
    ("dtype", "values", "error", "message"),
    [
        ("i8", None, TypeError, "not 'NoneType'"),
        ("i1", [{}], TypeError, "not 'dict'"),
        ("i8", [date(2026, 1, 1)], TypeError, "not 'datetime.date'"),
        ("?", [1, [2]], ValueError, "inhomogeneous shape"),
        ("M8[ns]", ["nope"], ValueError, "Error parsing datetime string"),
        ("S4", ["é"], ValueError, "can't encode character"),
        ("U3", [b"\xff"], ValueError, "can't decode byte"),
        ("V3", [1.5], TypeError, "not 'float'"),
        ("int4", [100], ValueError, "expected integers from -8 to 7"),
        ("u1", [2**70], ValueError, "too large|out of bounds"),
        (RECORD, 5, TypeError, "not iterable"),
        (RECORD, [(1, 2)], ValueError, "tuple of length 2"),
    ],
)
def test_what_numpy_refuses_is_told_with_the_name_of_the_field(dtype, values, error, message):
    fields = Schema.of({"x": dtype}).arrays(4)
    with pytest.raises(error, match=f"^a.zarr: x: (?!a.zarr).*({message})"):
        as_columns({"x": values}, fields, "a.zarr")


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("i4", np.array([1, 2**40])),
        ("u2", [1, 70_000]),
        ("u8", np.array([-1])),
        ("i8", np.array([2**63], "u8")),
        ("f4", np.array([1.5, 1e300])),
        ("S4", np.array([b"abcdefgh"])),
        ("U2", ["abc"]),
        ("M8[ns]", np.array(["3000-01-01"], "M8[D]")),
        ("M8[ns]", ["3000-01-01"]),
        ("f4", [1e300]),
        ("i4", pd.Series([2**40])),
        ("m8[ns]", np.array([2**40], "m8[D]")),
        ("m8[ns]", [timedelta(days=200_000)]),
        ("f2", np.array([70_000])),
        ("f2", [70_000]),
        ("c8", np.array([1e300 + 1j])),
        ("c8", np.array([1e300])),
        ("bfloat16", np.array([1e40])),
        ("float8_e4m3fn", [1e10]),
        ("int4", np.array([100])),
        ("U3", np.array([b"abcdef"])),
        ("U3", [b"abcdef"]),
        ("U3", np.array([123_456])),
        ("U9", [123_456]),
        ("S9", [1.5]),
        ("U3", np.array(["abcdef"], object)),
        ("U3", ["a", None]),
        (RECORD, np.array([(1, b"abc", 0)], [("n", "u1"), ("text", "S3"), ("at", "M8[D]")])),
        (RECORD, np.array([(1, b"", "3000-01-01")], [("n", "u1"), ("text", "S2"), ("at", "M8[D]")])),
        (RECORD, [(1, b"abc", "2026")]),
        (RECORD, [(1, b"", "3000")]),
    ],
)
def test_a_value_that_a_field_cannot_hold_is_refused_and_never_wrapped_or_cut(dtype, values):
    fields = Schema.of({"x": dtype}).arrays(4)
    with pytest.raises((ValueError, TypeError), match="x: "):
        as_columns({"x": values}, fields, "a.zarr")


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        ("i4", np.array([1, -(2**31)]), [1, -(2**31)]),
        ("f4", np.array([0.1, np.inf, np.nan, -np.inf]), np.array([0.1, np.inf, np.nan, -np.inf], "f4")),
        ("S4", np.array([b"abcd", b""], "S8"), [b"abcd", b""]),
        ("M8[s]", np.array(["2026-01-01T00:00:00.5", "NaT"], "M8[ns]"), ["2026-01-01", "NaT"]),
        ("M8[ns]", np.array(["2026-01-01", "NaT"], "M8[D]"), ["2026-01-01", "NaT"]),
        ("M8[ns]", ["2026-01-01T00:00:00.123456789", "NaT"], ["2026-01-01T00:00:00.123456789", "NaT"]),
        ("M8[D]", [1, 2], ["1970-01-02", "1970-01-03"]),
        ("m8[s]", [1, 2], np.array([1, 2], "m8[s]")),
        ("M8[ns]", [pd.Timestamp("2026-01-01T00:00:00.123456789")], ["2026-01-01T00:00:00.123456789"]),
        ("M8[ns]", [pd.Timestamp("2026-01-01T01:00", tz="Europe/Berlin")], ["2026-01-01"]),
        ("m8[ns]", [pd.Timedelta(7, "ns")], np.array([7], "m8[ns]")),
        (">M8[ns]", np.array(["2026-01-01"], "M8[D]"), ["2026-01-01"]),
        ("U3", pd.Series(["ab", "abc"]), ["ab", "abc"]),
        ("S3", pa.table({"x": [b"ab", b"abc"]}), [b"ab", b"abc"]),
        ("U3", pa.table({"x": ["ab", "abc"]}), ["ab", "abc"]),
        ("f4", np.array([True, False]), [1, 0]),
        ("c8", [1, 2.5], [1, 2.5]),
        (RECORD, [(1, b"ab", "2026")], np.array([(1, b"ab", "2026")], RECORD)),
    ],
)
def test_a_value_that_a_field_can_hold_is_taken_whatever_it_came_as(dtype, values, expected):
    fields = Schema.of({"x": dtype}).arrays(4)
    found = as_columns(values if isinstance(values, pa.Table) else {"x": values}, fields, "a.zarr")["x"]
    np.testing.assert_array_equal(found, np.array(expected, dtype))
