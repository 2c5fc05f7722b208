"""A feed from a topic to its target, on each broker: each record once, in order, whatever happens."""

import numpy as np
import pytest

from streamzarr.errors import ConfigError, OffsetOutOfRangeError, SourceChangedError
from streamzarr.feeds.check import check_feed
from streamzarr.feeds.follow import follow_feed
from streamzarr.feeds.status import feed_status
from streamzarr.feeds.target import find_parts
from streamzarr.queue import open_broker
from tests.support.feeds import FeedBench, tick, until


def checked(bench):
    found = check_feed(bench.target, bench.broker)
    assert all(each.ok for each in found), found
    return found


def test_rows_are_what_the_records_say(bench):
    bench.ticks(500, partition=0)
    bench.ticks(300, start=500, partition=1)
    assert bench.ingest().ok == 800
    first, second = bench.streams().values()
    assert (first.rows, second.rows, first.position, second.position) == (500, 300, 500, 300)
    assert np.array_equal(second["n"][:], np.arange(500, 800))
    assert np.array_equal(second["bid"][:], np.arange(500, 800) / 4)
    assert list(second["symbol"][:3]) == [tick(number)["symbol"] for number in (500, 501, 502)]
    assert np.array_equal(first["offset"][:], np.arange(500))
    assert [(each.rows, each.records, each.verified) for each in checked(bench)] == [
        (500, 500, 500),
        (300, 300, 300),
    ]


def test_a_feed_goes_on_where_it_was(bench):
    bench.ticks(100)
    bench.ingest()
    bench.ticks(100, start=100)
    report = bench.ingest()
    assert report.delivered == 100
    assert np.array_equal(bench.streams()["p00000"]["n"][:], np.arange(200))
    checked(bench)


def test_the_commit_that_says_where_a_partition_begins_is_not_counted(bench):
    bench.ticks(300)
    at_once = bench.feed(target={"commit": {"seconds": 30}, "chunk_rows": 1000})
    bench.ingest(at_once)
    first, second = feed_status(bench.target, bench.broker).partitions
    assert (first.commits, first.rows_a_commit, first.write_amplification) == (1, 300, 1.0)
    assert (second.commits, second.rows_a_commit, second.write_amplification) == (0, 0, 1.0)


def test_the_groups_offsets_are_only_a_gauge(bench):
    bench.ticks(100)
    bench.ingest()
    until(lambda: bench.broker.committed(bench.feed().group, bench.topic).get(0) == 100, "the gauge")
    other = bench.feed(target={"url": f"{bench.target}.other"}, source={"group": bench.feed().group})
    bench.ingest(other)  # the same group, another target: it begins at the beginning
    assert [each.rows for each in check_feed(other.url, bench.broker)] == [100, 0]


def test_a_bad_record_becomes_a_letter_and_the_feed_goes_on(bench):
    bench.ticks(3)
    bench.send(b"no json", b'{"n": 4}', None)
    bench.ticks(2, start=6)
    bench.send(b"7")
    assert bench.ingest().delivered == 9
    stream = bench.streams()["p00000"]
    assert list(stream["offset"][:]) == [0, 1, 2, 6, 7]
    assert stream.position == 9
    letters = bench.letters()
    assert [(each.offset, each.value, each.stage) for each in letters] == [
        (3, b"no json", "decode"),
        (4, b'{"n": 4}', "decode"),
        (5, None, "decode"),
        (8, b"7", "decode"),
    ]
    assert all(each.message for each in letters)
    [first, _] = checked(bench)
    assert (first.records, first.dead, first.verified) == (5, 4, 9)


def test_nothing_but_bad_records(bench):
    bench.send(*[b"rubbish"] * 50)
    bench.ingest()
    assert len(bench.letters()) == 50
    assert (bench.streams()["p00000"].rows, bench.streams()["p00000"].position) == (0, 50)
    checked(bench)


def test_what_records_say_of_themselves(bench):
    columns = {
        "n": "i4",
        "at": {"dtype": "datetime64[ms]", "from": "@timestamp"},
        "who": {"dtype": "string", "from": "@key", "required": False},
        "version": {"dtype": "i2", "from": "@header.version"},
        "part": {"dtype": "u2", "from": "@partition"},
        "record": {"dtype": "i8", "from": "@offset"},
        "topic": {"dtype": "string", "from": "@topic"},
    }
    headers = (("version", b"3"), ("other", b""))
    bench.send(b'{"n": 1}', partition=1, key=b"EURUSD", headers=headers, timestamp=1767225600123)
    bench.send(b'{"n": 2}', partition=1, headers=headers, timestamp=1767225600124)
    bench.send(b'{"n": 3}', partition=1, key=b"\xff", headers=headers)
    bench.send(b'{"n": 4}', partition=1, key=b"x")
    bench.ingest(bench.feed(columns=columns))
    stream = bench.streams()["p00001"]
    assert list(stream["at"][:]) == [
        np.datetime64("2026-01-01T00:00:00.123"),
        np.datetime64("2026-01-01T00:00:00.124"),
    ]
    assert (list(stream["who"][:]), list(stream["version"][:])) == (["EURUSD", ""], [3, 3])
    assert (list(stream["part"][:]), list(stream["record"][:])) == ([1, 1], [0, 1])
    assert list(stream["topic"][:]) == [bench.topic] * 2
    assert ["key" in bench.letters()[0].message, "'version'" in bench.letters()[1].message] == [True, True]


def test_a_sorted_column_takes_nothing_that_goes_back(bench):
    feed = bench.feed(columns={"n": {"dtype": "i8", "sorted": True}})
    for number in (1, 5, 3, 5, 6):
        bench.ticks(1, start=number)
    bench.ingest(feed)
    for number in (4, 7):
        bench.ticks(1, start=number)
    bench.ingest(feed)
    assert list(bench.streams()["p00000"]["n"][:]) == [1, 5, 5, 6, 7]
    assert [letter.offset for letter in bench.letters()] == [2, 5]
    assert "goes back" in bench.letters()[0].message
    checked(bench)


def test_several_topics(bench):
    other = f"{bench.topic}.b"
    bench.broker.create_topic(other, 1)
    bench.ticks(10)
    bench.send(*[b'{"n": 7, "bid": 1, "symbol": "x"}'] * 5, topic=other)
    feed = bench.feed(source={"topics": [bench.topic, other]})
    bench.ingest(feed)
    assert {name: each.rows for name, each in bench.streams(bench.topic).items()} == {
        "p00000": 10,
        "p00001": 0,
    }
    assert {name: each.rows for name, each in bench.streams(other).items()} == {"p00000": 5}
    assert [each.name for each in checked(bench)] == [
        f"{bench.topic}.b/p00000",
        f"{bench.topic}/p00000",
        f"{bench.topic}/p00001",
    ]


def test_a_new_target_may_begin_at_the_end(bench):
    bench.ticks(10)
    feed = bench.feed(source={"start": "end"})
    bench.ingest(feed)
    bench.ticks(5, start=10)
    bench.ingest(feed)
    assert list(bench.streams()["p00000"]["n"][:]) == [10, 11, 12, 13, 14]
    assert [each.verified for each in checked(bench)] == [5, 0]


def test_a_topic_that_was_made_anew_stops_the_feed(bench):
    bench.ticks(10)
    bench.ingest()
    bench.broker.delete_topic(bench.topic)
    bench.broker.create_topic(bench.topic, 2)
    bench.ticks(20)
    with pytest.raises(SourceChangedError, match="was made anew"):
        bench.stops()
    assert bench.streams()["p00000"].rows == 10


def test_what_was_trimmed_beyond_the_position_stops_the_feed(bench):
    bench.ticks(10)
    bench.ingest()
    bench.ticks(10, start=10)
    bench.broker.trim(bench.topic, {0: 15})
    with pytest.raises(OffsetOutOfRangeError, match="10 to 14"):
        bench.stops()
    assert bench.streams()["p00000"].rows == 10


def test_another_cluster_stops_the_feed(bench, tmp_path):
    bench.ticks(10)
    bench.ingest()
    other = FeedBench(f"sqlite:///{tmp_path}/other.db", tmp_path, topic=bench.topic)
    other.ticks(20)
    with pytest.raises(SourceChangedError, match="another cluster"):
        other.stops()


def test_other_columns_than_the_target_has_stop_the_feed(bench):
    bench.ticks(1)
    bench.ingest()
    with pytest.raises(ConfigError, match="has the field 'bid', which the configuration lacks"):
        bench.stops(bench.feed(columns={"n": "i8"}))


def test_a_new_column_is_added_to_the_target(bench):
    bench.ticks(3)
    bench.ingest(bench.feed(columns={"n": "i8"}))
    bench.ticks(2, start=3)
    at = {"dtype": "datetime64[ms]", "from": "@timestamp"}
    more = {"bid": {"dtype": "f8", "fill": -1.0}, "price": {"dtype": "f8", "from": "bid"}, "at": at}
    bench.ingest(bench.feed(columns={"n": "i8", **more}))
    stream = bench.streams()["p00000"]
    assert list(stream["bid"][:]) == [-1.0, -1.0, -1.0, 0.75, 1.0]
    assert np.array_equal(stream["price"][:], [np.nan, np.nan, np.nan, 0.75, 1.0], equal_nan=True)
    assert list(np.isnat(stream["at"][:])) == [True, True, True, False, False]
    assert list(stream["n"][:]) == [0, 1, 2, 3, 4]
    checked(bench)


def test_a_new_column_that_is_sorted_stops_the_feed(bench):
    bench.ticks(1)
    bench.ingest(bench.feed(columns={"n": "i8"}))
    with pytest.raises(ConfigError, match="the stream has"):
        bench.stops(bench.feed(columns={"n": "i8", "bid": {"dtype": "f8", "sorted": True}}))


def test_a_topic_that_is_not_there(bench):
    with open_broker(bench.url) as broker, pytest.raises(Exception, match="no topic"):
        broker.describe("nowhere")
    with pytest.raises(Exception, match="nowhere"):
        bench.stops(bench.feed(source={"topics": ["nowhere"]}))


def test_partitions_that_come_later_are_followed_from_their_first_row(bench):
    bench.ticks(3)
    bench.ticks(2, start=3, partition=1)
    bench.ingest()
    there = [find_parts(bench.target)[:1], find_parts(bench.target)]
    rows = follow_feed(lambda: there.pop(0) if len(there) > 1 else there[0], last=1, look=0)
    first, second = (next(rows) for _ in range(2))
    assert (first[0], first[1]["n"][:].tolist()) == ("p00000", [2])
    assert (second[0], second[1]["n"][:].tolist()) == ("p00001", [3, 4])
    bench.ticks(1, start=5, partition=1)
    bench.ingest()
    assert next(rows)[1]["n"][:].tolist() == [5]
