"""Replayed records and their places, when a life ends at the worst moment, and when headers lie."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.errors import ConfigError, StoreError
from streamzarr.feeds import Feed, read_in_place
from streamzarr.feeds.replayed.names import OWN
from streamzarr.feeds.replayed.places import place_in
from streamzarr.queue import DeadLetter, NewRecord, Record, TopicPartition
from streamzarr.stream import open_stream
from tests.support.routes import WHERE, RouteBench


def feed(**changes):
    tables = {
        "source": {"broker": "sqlite:///q.db", "topics": ["t"], "session_timeout": 5},
        "decode": {"format": "json"},
        "columns": {"s": "string", "x": {"dtype": "f8", "sorted": True}},
        "target": {"url": "memory://", "chunk_rows": 4},
    }
    return Feed.of({**tables, **changes})


def grid():
    return feed(
        columns={"x": {"dtype": "datetime64[s]", "unit": "s"}},
        target={"url": "memory://", "layout": "grid"},
        grid={"time": "x", "step": "1s"},
    )


def again(bench, offset, x, origin=None):
    """Send the record of `offset` once more, as a replay does."""
    origin = f"t[0]@{offset}/0" if origin is None else origin
    record = NewRecord(
        b'{"s": "late", "x": %d}' % x, headers=(("streamzarr.origin", origin.encode()),), partition=0
    )
    with bench.broker.producer() as producer:
        producer.send("t", [record])
    bench.sent += 1


@pytest.fixture
def bench():
    found = RouteBench()
    found.send("a", "b", "c")  # x is 0, 1, 2
    found.broker.append("t", 0, b"bad")
    found.sent += 1
    return found


def take_and_commit(bench, life):
    bench.take(life, 4, 6)
    life.commit({WHERE: 6})


def in_place(bench):
    return read_in_place(open_stream(bench.store, "p00000"))["x"].tolist()


@pytest.mark.parametrize(
    "failing", ["replayed/p00000/zarr.json", "p00000/zarr.json", "replayed/p00000/x/c/0"]
)
def test_a_put_that_fails_loses_and_doubles_no_replay(bench, failing):
    again(bench, 3, 7)
    bench.send("d")
    life = bench.life(feed())
    bench.take(life, 0, 4)
    bench.store.failing = failing
    with pytest.raises(StoreError):
        take_and_commit(bench, life)
    bench.store.failing = ""
    take_and_commit(bench, life)
    assert in_place(bench) == [0, 1, 2, 7, 5]
    assert bench.letters.keys() == {3}


def test_a_life_that_ends_between_the_replay_and_its_position(bench):
    again(bench, 3, 7)
    life = bench.life(feed())
    bench.take(life, 0, 5)  # what was replayed is there, the position is not
    assert open_stream(bench.store, "p00000").rows == 0
    life = bench.life(feed())
    assert bench.begins == 0
    bench.take(life, 0, 5)
    life.commit({WHERE: 5})
    assert in_place(bench) == [0, 1, 2, 7]
    again(bench, 3, 8)
    bench.take(life, 5, 6)
    life.commit({WHERE: 6})
    assert in_place(bench) == [0, 1, 2, 7]
    assert bench.letters[5] == "offset 3 was replayed before, as offset 4"


def test_a_record_that_is_good_meanwhile_and_its_replay_in_one_run(bench):
    life = bench.life(feed())
    again(bench, 1, 1)
    bench.take(life, 0, 5)
    life.commit({WHERE: 5})
    assert in_place(bench) == [0, 1, 2]
    assert bench.letters[4] == "offset 1 has its rows already"


def test_a_replay_before_a_grid_has_a_slot_has_a_letter_again(bench):
    again(bench, 3, 1)
    life = bench.life(grid())
    bench.take(life, 0, 5)
    assert bench.letters[4] == "no slot is there yet; replay it once there are"


def test_two_replays_of_one_record_in_one_run(bench):
    again(bench, 3, 7)
    again(bench, 3, 8)
    life = bench.life(feed())
    bench.take(life, 0, 6)
    life.commit({WHERE: 6})
    assert in_place(bench) == [0, 1, 2, 7]
    assert bench.letters.keys() == {3, 5}


@pytest.mark.parametrize(
    "origin", ["t[1]@3/0", "other[0]@3/0", "t[0]@x/0", "rubbish", "t[0]@99999999999999999999/0"]
)
def test_what_is_no_replay_of_this_partition_is_a_record_like_others(bench, origin):
    again(bench, 3, 7, origin)
    life = bench.life(feed())
    bench.take(life, 0, 5)
    life.commit({WHERE: 5})
    assert open_stream(bench.store, "p00000")["x"][:].tolist() == [0, 1, 2, 7]


@pytest.mark.parametrize(
    ("place", "why"), [(1, "has its rows already"), (4, "comes before it"), (10**9, "comes before it")]
)
def test_a_header_that_lies_puts_nothing_in_place(bench, place, why):
    again(bench, place, 7)
    life = bench.life(feed())
    bench.take(life, 0, 5)
    life.commit({WHERE: 5})
    assert in_place(bench) == [0, 1, 2]
    assert why in bench.letters[4]


def test_a_replay_into_a_grid_that_is_read_again_is_there_once(bench):
    bench.send("e", "f")  # x is 4 and 5: slots 0 to 4 close
    again(bench, 3, 1)
    life = bench.life(grid())
    bench.take(life, 0, 6)
    bench.take(life, 6, 7)
    life.commit({WHERE: 7})
    life = bench.life(grid())
    bench.take(life, bench.begins, 7)
    again(bench, 3, 1)
    bench.take(life, 7, 8)
    life.commit({WHERE: 8})
    late = open_stream(bench.store, "replayed/p00000")
    assert (late["origin_offset"][:].tolist(), late["replay_offset"][:].tolist()) == ([3], [6])
    assert late["slot_time"][:].tolist() == [np.datetime64(1, "s").astype("M8[ns]").astype(int)]
    assert bench.letters.keys() == {3, 7}


def test_what_a_life_has_reserved_too_early_is_no_place(bench):
    life = bench.life(grid())
    bench.take(life, 0, 4)  # the bad record is noted, and there the life ends
    partition = life.owned[WHERE]
    partition._late.commit()
    better = feed(
        columns={"x": {"dtype": "datetime64[s]", "unit": "s", "from": "@timestamp"}},
        target={"url": "memory://", "layout": "grid"},
        grid={"time": "x", "step": "1s"},
    )
    life = bench.life(better)  # to which the record is good
    assert bench.begins == 0
    assert life.owned[WHERE]._late._reserved.among({3}) == set()


@pytest.mark.parametrize("name", OWN)
def test_a_column_is_not_called_like_those_of_replayed_rows(name):
    with pytest.raises(ConfigError, match="a field of its own"):
        feed(columns={name: "i8"})


@given(
    st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    st.integers(0, 10**6),
    st.integers(0, 2**59),
)
def test_a_letter_says_where_its_record_was(topic, partition, offset):
    record = Record(topic, partition, offset, None, b"", (), 5)
    [(_, origin)] = DeadLetter.of(record, error=ValueError(), stage="s").again().headers
    assert place_in(origin, TopicPartition(topic, partition)) == offset
    assert place_in(origin, TopicPartition(topic, partition + 1)) is None


@given(st.binary(max_size=50))
def test_any_bytes_may_stand_in_a_header(origin):
    place_in(origin, WHERE)
