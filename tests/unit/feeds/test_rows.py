"""Columns of runs of records: what is left when some are bad."""

import numpy as np
import pytest

from streamzarr.errors import MessageError
from streamzarr.feeds import ColumnSpec
from streamzarr.feeds.decode import Decoded
from streamzarr.feeds.rows import RowMaker, going_back
from streamzarr.queue import Columns, TopicPartition


def run_of(count, **more):
    fields = {"keys": None, "headers": None, "timestamps": [0] * count} | more
    return Columns(
        TopicPartition("t", 3),
        [*range(10, 10 + count)],
        fields["keys"],
        [b""] * count,
        fields["headers"],
        fields["timestamps"],
    )


def rows_of(decoded, *columns, **run):
    specs = {each.name: each for each in columns}
    count = run.pop("count")
    return RowMaker(specs, lambda values: decoded)(run_of(count, **run))


X = ColumnSpec("x", "i8")
OFFSET = ColumnSpec("offset", "i8", source="@offset")


def test_a_row_for_each_record():
    rows = rows_of(Decoded({"x": np.arange(3)}, None, {}), X, OFFSET, count=3)
    assert [list(each) for each in rows.columns.values()] == [[0, 1, 2], [10, 11, 12]]
    assert (rows.origin, rows.bad) == (None, {})


def test_many_rows_of_one_record_have_its_offset():
    decoded = Decoded({"x": np.arange(5)}, np.array([0, 0, 2, 2, 2]), {1: "bad"})
    rows = rows_of(decoded, X, OFFSET, count=3)
    assert list(rows.columns["offset"]) == [10, 10, 12, 12, 12]
    assert rows.bad == {1: "bad"}


def test_a_record_without_a_row_is_a_bad_one():
    rows = rows_of(Decoded({"x": np.arange(2)}, np.array([0, 2]), {}), X, OFFSET, count=4)
    assert rows.bad == {1: "holds no row", 3: "holds no row"}


def test_what_the_record_lacks_makes_all_of_its_rows_bad():
    key = ColumnSpec("who", "string", source="@key")
    decoded = Decoded({"x": np.arange(4)}, np.array([0, 0, 1, 2]), {})
    rows = rows_of(decoded, X, OFFSET, key, count=3, keys=[b"\xff", b"b", b"c"])
    assert list(rows.columns["x"]) == [2, 3]
    assert list(rows.columns["who"]) == ["b", "c"]
    assert list(rows.origin) == [1, 2]
    assert "column 'who' (@key): got the text" in rows.bad[0]


@pytest.mark.parametrize(
    ("dtype", "fill", "expected"),
    [
        ("string", None, ["7", ""]),
        ("bytes", None, [b"7", b""]),
        ("i2", -1, [7, -1]),
        ("f8", float("nan"), [7.0, float("nan")]),
        ("S3", b"", [b"7", b""]),
    ],
)
def test_a_header_of_each_type_that_may_be_missing(dtype, fill, expected):
    spec = ColumnSpec("h", dtype, source="@header.v", required=False, fill=fill)
    rows = rows_of(Decoded({}, None, {}), spec, OFFSET, count=2, headers=[(("v", b"7"),), ()])
    np.testing.assert_array_equal(rows.columns["h"], np.array(expected, rows.columns["h"].dtype))
    assert rows.columns["h"].dtype == spec.dtype


def test_columns_of_the_record_alone():
    rows = rows_of(Decoded({}, None, {1: "no"}), OFFSET, count=3)
    assert list(rows.columns["offset"]) == [10, 12]


def test_a_decoder_that_does_not_say_where_rows_are_from():
    with pytest.raises(MessageError, match="gave 2 rows, and nothing says which record"):
        rows_of(Decoded({"x": np.arange(2)}, None, {}), X, OFFSET, count=3)


@pytest.mark.parametrize(
    ("values", "last", "expected"),
    [
        ([1.0, np.nan, 0.5, 2.0], None, [1, 2]),
        (np.array(["2026-01-02", "NaT", "2026-01-01"], "M8[D]"), None, [1, 2]),
        ([5, 6], 7, [0, 1]),
        ([7, 7, 8], 7, []),
        ([2**53 + 1, 2**53], None, [1]),
    ],
)
def test_records_that_go_back(values, last, expected):
    found = going_back(np.asarray(values), np.arange(len(values)), last)
    assert list(found) == expected
