"""Partitions are merged by time: every row once, in order, a few in memory."""

import pickle  # noqa: TID251 - snapshots travel between processes

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamzarr as sz
from streamzarr.errors import ConfigError, NodeNotFoundError
from streamzarr.stores import MemoryStore
from streamzarr.stream import Field, merge, open_streams

SCHEMA = {"time": Field("i8", sorted=True, chunk_rows=3), "value": "i4"}


def streams(*times):
    store = MemoryStore()
    for number, each in enumerate(times):
        with sz.StreamWriter(store, f"ticks/p{number:05}", schema=SCHEMA) as writer:
            writer.append({"time": each, "value": np.arange(len(each)) + 100 * number})
    return [*open_streams(store, "ticks").values()]


@given(
    st.lists(st.lists(st.integers(0, 9), max_size=12).map(sorted), min_size=1, max_size=4), st.integers(1, 20)
)
def test_every_row_comes_once_and_in_order(times, size):
    found = [*merge(streams(*times), by="time").batches(size)]
    rows = [
        (int(t), int(s), int(n), int(v))
        for each in found
        for t, s, n, v in zip(each["time"], each.streams, each.numbers, each["value"], strict=True)
    ]
    expected = [
        (t, s, n, 100 * s + n) for s, each in enumerate(times) for n, t in enumerate(each)
    ]  # of equal times the first stream's first
    assert rows == sorted(expected, key=lambda row: row[:3])
    assert all(0 < len(each) <= max(size, len(times)) for each in found)


def test_a_part_of_the_time_is_merged():
    merged = merge(streams([1, 2, 5, 9], [2, 3, 7], [], [11]), by="time")
    assert len(merged) == 8
    [part] = merged.sel(slice(2, 7)).batches()
    assert (part["time"].tolist(), part.streams.tolist()) == ([2, 2, 3, 5, 7], [0, 1, 1, 0, 1])
    assert part.numbers.tolist() == [1, 0, 1, 2, 2]
    assert len(merged.sel(slice(2, 7))) == len(part) == 5
    with pytest.raises(ConfigError, match="slice"):
        merged.sel(3)


def test_a_view_pickles(tmp_path):
    for name, times in (("p0", [1, 3]), ("p1", [2])):
        with sz.StreamWriter(tmp_path, name, schema=SCHEMA) as writer:
            writer.append({"time": times, "value": times})
    merged = pickle.loads(pickle.dumps(merge([*open_streams(tmp_path).values()], by="time")))
    assert merged.names == ("time", "value")
    assert [rows["value"].tolist() for rows in merged.batches()] == [[1, 2, 3]]


def test_nothing_is_read_before_it_is_walked():
    parts = streams([1, 2], [3])
    batches = merge(parts, by="time").batches()
    parts[0].view.store._inner.delete("ticks/p00000/time/c/0")
    with pytest.raises(sz.errors.KeyNotFoundError, match="p00000/time"):
        next(batches)


def test_what_cannot_be_merged_is_refused():
    parts = streams([1], [2])
    with pytest.raises(ConfigError, match="at least one"):
        merge([], by="time")
    with pytest.raises(ValueError, match="not sorted"):
        merge(parts, by="value")
    with pytest.raises(KeyError, match="no field 'x'"):
        merge(parts, by="x")
    other = MemoryStore()
    sz.StreamWriter(other, schema={"time": Field("i8", sorted=True)}).close()
    with pytest.raises(ConfigError, match="same fields"):
        merge([*parts, sz.open_stream(other)], by="time")


def test_streams_below_a_group_are_found_by_name():
    store = MemoryStore()
    for path in ("a/p1", "a/p0", "b/p0"):
        sz.StreamWriter(store, path, schema=SCHEMA).close()
    sz.create_group(store, path="a/none")
    found = open_streams(store, "a")
    assert [*found] == ["p0", "p1"]
    assert found["p0"].url.endswith("/a/p0")
    assert len({id(each.view.sealed) for each in found.values()}) == 1
    with pytest.raises(NodeNotFoundError, match="no stream below"):
        open_streams(store, "c")
