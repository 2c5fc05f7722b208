"""Who follows several streams gets every row once, in order, and none before its turn is certain."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import streamzarr as sz
from streamzarr.errors import ConfigError, KeyNotFoundError, StoreError
from streamzarr.stores import MemoryStore
from streamzarr.stream import Field, MergedFollow, acquire, open_streams, retain
from streamzarr.testing.faults import Fault, FaultyStore

SCHEMA = {"time": Field("i8", sorted=True, chunk_rows=3), "value": Field("i4", chunk_rows=3)}


@pytest.fixture(autouse=True, scope="module")
def no_probe():
    """Memory needs none, and there are many stores."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(acquire, "probe_conditional_put", lambda store: None)
        yield


class Feed:
    """Streams that grow, and whoever follows them."""

    def __init__(self, count, **options):
        self.store = MemoryStore()
        self.writers = [sz.StreamWriter(self.store, f"p{n}", schema=SCHEMA) for n in range(count)]
        self.follow = MergedFollow([*open_streams(self.store).values()], "time", timeout=0, **options)

    def append(self, number, *times):
        writer = self.writers[number]
        rows = np.arange(writer.rows, writer.rows + len(times))
        writer.append({"time": times, "value": 100 * number + rows})
        writer.commit()

    def take(self):
        """Return what can be given now: (time, stream, number of the row)."""
        return [
            row
            for each in self.follow
            for row in zip(each["time"].tolist(), each.streams.tolist(), each.numbers.tolist(), strict=True)
        ]


def test_a_row_comes_when_no_stream_can_commit_one_before_it():
    feed = Feed(2)
    feed.append(0, 1, 4)
    assert feed.take() == []  # the other may begin anywhere
    feed.append(1, 2, 3)
    assert feed.take() == [(1, 0, 0), (2, 1, 0), (3, 1, 1)]
    assert feed.follow.rows == (1, 2)
    feed.append(1, 4)
    assert feed.take() == [(4, 0, 1)]  # the first of equals; it may go on with another 4
    feed.append(0, 9)
    assert feed.take() == [(4, 1, 2)]
    feed.append(1, 10)
    assert feed.take() == [(9, 0, 2)]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.lists(st.integers(0, 2), min_size=1, max_size=5)), max_size=12),
    st.integers(1, 9),
)
def test_what_comes_is_sorted_and_misses_nothing(steps, batch):
    feed, last, found = Feed(3, batch=batch), [0, 0, 0], []
    for number, increments in steps:
        times = [int(each) for each in last[number] + np.cumsum(increments)]
        last[number] = times[-1]
        feed.append(number, *times)
        found += feed.take()
    for number in range(3):
        feed.append(number, 1000)
    found += feed.take()
    rows = [
        (int(time), number, row)
        for number in range(3)
        for row, time in enumerate(sz.open_stream(feed.store, f"p{number}")["time"][:])
    ]
    assert found == sorted(rows)[: len(found)]
    assert len(found) >= len(rows) - 2  # the last of the others wait for the first


def test_an_error_leaves_no_row_out():
    feed = Feed(2)
    feed.append(0, *range(0, 20, 2))
    feed.append(1, *range(1, 21, 2))
    faulty = FaultyStore(feed.store, [Fault(key="*/c/*", nth=nth) for nth in (2, 5, 9)])
    follow = MergedFollow([*open_streams(faulty).values()], "time", batch=4, timeout=0)
    found, errors = [], 0
    while True:
        try:
            found += next(follow)["time"].tolist()
        except StoreError:
            errors += 1
        except StopIteration:
            break
    assert errors
    assert found == [*range(19)]


def test_rows_that_were_given_up_are_no_silent_gap():
    feed = Feed(2)
    feed.append(0, *range(30))
    retain(feed.store, "p0", rows=3)
    with pytest.raises(KeyNotFoundError, match="were given up"):
        next(feed.follow)


def test_a_field_that_one_stream_gets_before_the_other_is_left_out():
    feed = Feed(2)
    feed.append(0, 1, 3)
    feed.writers[0].add_field("more", "i4")
    feed.append(1, 2, 4)
    assert set(next(feed.follow).columns) == {"time", "value"}


def test_it_is_stopped():
    feed = Feed(1)
    feed.append(0, 1)
    feed.follow.stop()
    assert feed.take() == []
    with pytest.raises(ConfigError, match="poll"):
        Feed(1, poll=0)
