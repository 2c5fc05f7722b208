"""What records say of themselves becomes columns by the same rules as what is in their values."""

import numpy as np
import pytest

from streamzarr.errors import ConfigError
from streamzarr.feeds import ColumnSpec, Feed
from streamzarr.feeds.of_record import OfRecord
from streamzarr.queue import Columns, TopicPartition


def column(dtype, source, *, keys=None, headers=None, timestamps=None, **more):
    """Return the column of such records, and what is bad."""
    count = len(keys or headers or timestamps or [0])
    run = Columns(
        TopicPartition("t", 3),
        [*range(10, 10 + count)],
        keys,
        [b""] * count,
        headers,
        timestamps or [0] * count,
    )
    found, bad = OfRecord(ColumnSpec("c", dtype, source=source, **more))(run)
    assert found.dtype == ColumnSpec("c", dtype).dtype
    return found.tolist(), bad


@pytest.mark.parametrize(
    ("dtype", "key", "more", "expected"),
    [
        ("i8", b"9007199254740993", {}, 9007199254740993),
        ("i8", b"20472.80", {"decimals": 2}, 2047280),
        ("f4", b"1.5", {}, 1.5),
        ("bool", b"false", {}, False),
        ("S4", b"abcd", {}, b"abcd"),
        ("U4", "näää".encode(), {}, "näää"),
        ("string", "naïve".encode(), {}, "naïve"),
        ("bytes", b"\xff\x00", {}, b"\xff\x00"),
        ("M8[s]", b"2026-01-01T00:00:00+01:00", {}, np.datetime64("2025-12-31T23:00:00").item()),
        ("M8[s]", b"1767225600000", {"unit": "ms"}, np.datetime64("2026-01-01T00:00:00").item()),
        ("M8[s]", b"2026-07-01 02:00", {"zone": "Europe/Oslo"}, np.datetime64("2026-07-01T00:00:00").item()),
        ("f8", b"NA", {"missing": ["NA"], "required": False, "fill": -1.0}, -1.0),
    ],
)
def test_a_key_becomes_what_the_same_text_in_a_value_does(dtype, key, more, expected):
    assert column(dtype, "@key", keys=[key, key], **more) == ([expected, expected], {})
    assert column(dtype, "@header.h", headers=[(("h", key),)], **more) == ([expected], {})


@pytest.mark.parametrize(
    ("dtype", "key", "reason"),
    [
        ("u2", b"70000", "expected an integer from 0 to 65535"),
        ("i8", b"99999999999999999999", "expected an integer"),
        ("i8", b"1_000", "expected an integer"),
        ("f4", b"1e39", "expected a number that float32 can hold"),
        ("S4", b"abcdefgh", "expected 4 bytes at most, not 8"),
        ("U4", b"abcdefgh", "expected 4 characters at most, not 8"),
        ("string", b"\xff", "expected text"),
        ("bool", b"maybe", "expected true or false"),
        ("M8[ns]", b"yesterday", "expected a time as in"),
        ("f8", None, "column 'c' (@key): no value"),
    ],
)
def test_a_key_that_does_not_fit_is_bad_and_never_cut_or_wrapped(dtype, key, reason):
    _, bad = column(dtype, "@key", keys=[key, b"1"])
    assert reason in bad[0]


@pytest.mark.parametrize(
    ("dtype", "expected"), [("f8", np.nan), ("M8[ns]", None), ("i4", 0), ("string", ""), ("bytes", b"")]
)
def test_what_is_missing_is_the_fill_of_its_kind(dtype, expected):
    found, bad = column(dtype, "@header.h", headers=[(), (("h", None),)], required=False)
    np.testing.assert_array_equal(found, [expected, expected])
    assert not bad


def test_timestamps_are_milliseconds_whatever_the_column_counts():
    at = 1_767_605_400_123
    assert column("M8[ms]", "@timestamp", timestamps=[at])[0] == [np.datetime64(at, "ms").item()]
    assert column("M8[ns]", "@timestamp", timestamps=[at])[0] == [at * 10**6]
    assert column("M8[s]", "@timestamp", timestamps=[at])[0] == [np.datetime64(at // 1000, "s").item()]
    assert column("i8", "@timestamp", timestamps=[at])[0] == [at]


def test_a_timestamp_that_does_not_fit_or_is_none_is_bad_and_never_wrapped():
    at = 1_767_605_400_123
    assert "a time that datetime64[ns] can" in column("M8[ns]", "@timestamp", timestamps=[at * 1000])[1][0]
    assert "expected an integer" in column("i4", "@timestamp", timestamps=[at])[1][0]
    assert column("M8[ms]", "@timestamp", timestamps=[-1])[1] == {0: "column 'c' (@timestamp): no value"}
    assert column("i8", "@timestamp", timestamps=[-1], required=False, fill=-7) == ([-7], {})


@pytest.mark.parametrize(
    ("dtype", "source"),
    [
        ("string", "@offset"),
        ("f8", "@offset"),
        ("M8[s]", "@partition"),
        ("f8", "@topic"),
        ("bool", "@timestamp"),
    ],
)
def test_a_dtype_that_cannot_hold_it_is_told_with_the_configuration(dtype, source):
    tables = {
        "source": {"broker": "sqlite:///q.db", "topics": ["t"]},
        "decode": {"format": "json"},
        "columns": {"x": "i8", "c": {"dtype": dtype, "from": source}},
        "target": {"url": "x.zarr"},
    }
    with pytest.raises(ConfigError, match=f"columns.c: .*from {source}, expected"):
        Feed.of(tables)
