"""Whoever follows a stream gets every row once, in order, and ends when he should."""

import asyncio
import itertools
import threading

import numpy as np
import pytest

import streamzarr as sz
from streamzarr.errors import ConfigError, KeyNotFoundError, NodeNotFoundError, StoreError
from streamzarr.stores import MemoryStore
from streamzarr.stream import Field
from streamzarr.testing.clock import FakeClock
from streamzarr.testing.faults import Fault, FaultyStore, RecordingStore
from tests.support.streams import give_up, grow

SCHEMA = {"x": Field("i8", sorted=True, chunk_rows=4)}


class Growing(FakeClock):
    """A clock on which `commit` is called each time that somebody has waited."""

    def __init__(self, commit):
        super().__init__()
        self.commit = commit

    def advance(self, seconds):
        super().advance(seconds)
        self.commit()


@pytest.fixture
def store():
    return MemoryStore()


@pytest.fixture
def writer(store):
    writer = sz.StreamWriter(store, schema=SCHEMA)
    append(writer, 10)
    return writer


def append(writer, count):
    writer.append({"x": range(writer.rows, writer.rows + count)})
    writer.commit()


def counts(*sizes, writer):
    """Return what commits so many rows each time that it is called."""
    left = iter(sizes)

    def commit():
        if count := next(left, 0):
            append(writer, count)

    return commit


def numbers(items):
    return [rows["x"][:].tolist() for rows in items]


def test_the_past_comes_first_and_then_what_is_committed(store, writer):
    clock = Growing(counts(2, 0, 0, 3, writer=writer))
    follow = sz.open_stream(store).follow(timeout=5, poll=1, runtime=clock)
    assert numbers(follow) == [[*range(10)], [10, 11], [12, 13, 14]]
    assert clock.now() == 9  # five seconds after the last row


def test_it_ends_at_once_with_what_is_there(store, writer):
    snapshot = sz.open_stream(store)
    append(writer, 2)
    assert numbers(snapshot.follow(timeout=0)) == [[*range(10)], [10, 11]]
    assert numbers(sz.open_stream(store).follow(12, timeout=0)) == []


def test_rows_come_a_few_at_a_time(store, writer):
    clock = Growing(counts(4, writer=writer))
    follow = sz.open_stream(store).follow(batch=4, timeout=3, runtime=clock)
    assert [(rows.start, rows.stop) for rows in follow] == [(0, 4), (4, 8), (8, 10), (10, 14)]


@pytest.mark.parametrize(("start", "first"), [(None, 0), (0, 0), (7, 7), (10, 10), (-3, 7), (-99, 0)])
def test_it_begins_with_a_row(store, writer, start, first):
    append(writer, 1)
    snapshot = sz.open_stream(store)
    append(writer, 1)
    first = first + 1 if start is not None and -99 < start < 0 else first
    found = numbers(snapshot.follow(start, timeout=0))
    assert [*itertools.chain(*found)] == [*range(first, 12)]


def test_it_begins_with_a_value(store, writer):
    assert numbers(sz.open_stream(store).follow({"x": 6.5}, timeout=0)) == [[7, 8, 9]]


def test_a_value_that_has_not_come_is_waited_for(store, writer):
    clock = Growing(counts(2, 0, 5, 1, writer=writer))
    follow = sz.open_stream(store).follow({"x": 13}, timeout=9, runtime=clock)
    assert numbers(follow) == [[*range(13, 17)], [17]]


@pytest.mark.parametrize("start", [11, 2])
def test_it_cannot_begin_where_there_is_no_row(store, writer, start):
    give_up(store, 4)
    with pytest.raises(ConfigError, match=f"row {start}, expected one from 4 to 10"):
        sz.open_stream(store).follow(start)
    assert numbers(sz.open_stream(store).follow(timeout=0)) == [[*range(4, 10)]]
    assert numbers(sz.open_stream(store).follow(-99, timeout=0)) == [[*range(4, 10)]]


@pytest.mark.parametrize("wrong", [{"poll": 0}, {"batch": 0}], ids=str)
def test_arguments_that_make_no_sense_are_refused(store, writer, wrong):
    with pytest.raises(ConfigError):
        sz.open_stream(store).follow(**wrong)


def test_rows_that_are_given_up_first_are_an_error_and_no_gap(store, writer):
    follow = sz.open_stream(store).follow(batch=2, timeout=1, runtime=Growing(lambda: None))
    assert numbers([next(follow), next(follow)]) == [[0, 1], [2, 3]]
    give_up(store, 8)
    with pytest.raises(KeyNotFoundError, match="row 4 is asked for, but rows before 8 were given up"):
        numbers([next(follow)])
    append(writer, 1)
    behind = sz.open_stream(store).follow(-1, timeout=0)
    append(writer, 8)
    give_up(store, 16)
    next(behind)
    with pytest.raises(KeyNotFoundError, match="row 11 comes next, but rows before 16 were given up"):
        next(behind)


def test_a_stream_in_its_place_is_an_error(store, writer):
    follow = sz.open_stream(store).follow(10, timeout=0)
    store.delete_prefix("")
    append(sz.StreamWriter(store, schema=SCHEMA), 3)
    with pytest.raises(NodeNotFoundError, match="another stream was made in place of this one"):
        next(follow)


def test_a_stream_in_its_place_is_an_error_though_it_has_more_rows(store, writer):
    snapshot = sz.open_stream(store)
    follow = snapshot.follow(10, timeout=0)
    assert len(snapshot["x"][:]) == 10  # its chunks are in the cache now
    store.delete_prefix("")
    append(sz.StreamWriter(store, schema=SCHEMA), 30)
    for look in (snapshot.refresh, lambda: next(follow)):
        with pytest.raises(NodeNotFoundError, match="another stream was made in place of this one"):
            look()


def test_a_root_that_was_put_back_is_an_error(store, writer):
    older = store.get("zarr.json")
    append(writer, 5)
    follow = sz.open_stream(store).follow(15, timeout=0)
    store.put("zarr.json", older)
    with pytest.raises(StoreError, match=r"has 10 rows, but row 15 comes next: an older root was put back"):
        next(follow)


def test_an_error_of_the_store_ends_nothing(store, writer):
    faulty = FaultyStore(store, [Fault("fetch_changed", nth=1, times=2)])
    follow = sz.open_stream(faulty).follow(timeout=0)
    next(follow)
    append(writer, 2)
    for _ in range(2):
        with pytest.raises(StoreError, match="planned"):
            next(follow)
    assert numbers(follow) == [[10, 11]]


def test_waiting_costs_one_small_request_each_time(store, writer):
    recording = RecordingStore(store)
    follow = sz.open_stream(recording).follow(10, timeout=5, poll=1, runtime=FakeClock())
    assert [*follow] == []
    assert recording.count("fetch_changed") == 6
    assert len(recording.calls) == 7


def test_fields_that_come_later_are_there_from_their_commit_on(store, writer):
    changes = iter([lambda: grow(store, "y", Field("i4")), lambda: None])
    clock = Growing(lambda: next(changes, lambda: None)())
    follow = sz.open_stream(store).follow(timeout=2, runtime=clock)
    assert next(follow).names == ("x",)
    assert [*follow] == []
    with sz.StreamWriter(store) as later:
        later.append({"x": [10], "y": [5]})
    rows = next(sz.open_stream(store).follow(10))
    assert (rows.names, rows["y"][:].tolist()) == (("x", "y"), [5])


def test_stopping_ends_it_and_says_where_to_go_on(store, writer):
    follow = sz.open_stream(store).follow(batch=4)
    for rows in follow:
        if rows.stop >= 8:
            follow.stop()
    assert follow.row == 8
    assert [*follow] == []
    assert numbers(sz.open_stream(store).follow(follow.row, timeout=0)) == [[8, 9]]


def test_another_thread_stops_one_that_waits(store, writer):
    follow = sz.open_stream(store).follow(10, poll=3600)
    found = []
    thread = threading.Thread(target=lambda: found.append([*follow]))
    thread.start()
    follow.stop()
    thread.join(60)
    assert found == [[]]


def test_a_reader_sees_what_a_writer_in_another_thread_commits(store, writer):
    def write():
        for _ in range(20):
            append(writer, 7)

    thread = threading.Thread(target=write)
    thread.start()
    follow = sz.open_stream(store).follow(poll=0.001, timeout=60)
    found = []
    for rows in follow:
        found += rows["x"][:].tolist()
        if len(found) == 150:
            follow.stop()
    thread.join()
    assert found == [*range(150)]


def test_it_goes_with_async_for(store, writer):
    async def read():
        found = []
        clock = Growing(counts(2, 0, 3, writer=writer))
        async for rows in sz.open_stream(store).follow({"x": 8}, poll=1, timeout=4, runtime=clock):
            found += rows["x"][:].tolist()
        return found

    assert asyncio.run(read()) == [*range(8, 15)]


def test_a_task_that_is_cancelled_loses_no_row(store, writer):
    async def read():
        follow = sz.open_stream(store).follow(10, poll=0.01)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(follow), 0.03)
        append(writer, 2)
        rows = await anext(follow)
        follow.stop()
        return rows["x"][:].tolist(), [each async for each in follow]

    assert asyncio.run(read()) == ([10, 11], [])


def test_what_it_gives_is_lazy(store, writer):
    recording = RecordingStore(store)
    rows = next(sz.open_stream(recording).follow())
    assert recording.count("*", "*/c/*") == 0
    np.testing.assert_array_equal(rows["x"][-1:], [9])
    assert {call.key for call in recording.calls} == {"zarr.json", "x/c/2"}


def test_only_a_sorted_field_says_from_where_on():
    store = MemoryStore()
    with sz.StreamWriter(store, schema={"x": "i4"}) as writer:
        writer.append({"x": [3, 1, 2]})
    with pytest.raises(ValueError, match="not sorted"):
        next(sz.open_stream(store).follow({"x": 2}))
