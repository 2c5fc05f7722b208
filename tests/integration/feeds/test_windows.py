"""Windows from a topic: each is a row when it is closed, late records and all; on both brokers."""

from types import SimpleNamespace

import numpy as np
import pytest

from streamzarr.errors import ConfigError
from streamzarr.feeds import check_feed, feed_status
from streamzarr.feeds.follow import follow_feed
from streamzarr.feeds.target import find_parts
from streamzarr.queue import DeadLetterQueue
from streamzarr.stream import StreamWriter
from tests.support.feeds import FeedBench, until
from tests.support.timed_ticks import COLUMNS, START, send


def windows(bench, kind="fixed", **window):
    lengths = {"fixed": {"size": "1s"}, "sliding": {"size": "2s", "every": "1s"}, "session": {"gap": "1s"}}
    told = {"kind": kind, **lengths[kind], "time": "at", "key": "symbol", "lateness": "2s", **window}
    return bench.feed(columns=COLUMNS, target={"layout": "windows"}, window=told)


def table(bench, *names):
    """Return begin and end, in milliseconds, with some fields."""
    stream = bench.streams()["p00000"]
    spans = [stream[name][:].astype("M8[ms]").astype(np.int64) - START for name in ("begin", "end")]
    values = [stream[name][:] for name in ("symbol", "count", *names)]
    return [*zip(*(each.tolist() for each in (*spans, *values)), strict=True)]


def assert_checked(bench):
    assert [each for each in check_feed(bench.target, bench.broker) if not each.ok] == []


TICKS = [(0, "A", 10.0, 1), (100, "B", 5.0, 1), (400, "A", 9.0, 3), (1900, "A", 11.0, 4), (2500, "B", 6.0, 1)]
MORE = [(300, "A", 12.0, 2), (2600, "C", None, 7), (9000, "A", 20.0, 1)]  # the first is late, and in time


def test_fixed_windows_go_on_with_what_is_open(bench):
    feed = windows(bench, values={"price": "ohlc", "size": "sum"})
    send(bench, *TICKS)
    bench.ingest(feed)
    assert table(bench) == []
    send(bench, *MORE)
    bench.ingest(feed)
    prices = [f"price_{part}" for part in ("open", "high", "low", "close")]
    assert table(bench, "size", *prices)[:4] == [
        (0, 1000, "A", 3, 6, 10.0, 12.0, 9.0, 9.0),  # the close is the last by time
        (0, 1000, "B", 1, 1, 5.0, 5.0, 5.0, 5.0),
        (1000, 2000, "A", 1, 4, 11.0, 11.0, 11.0, 11.0),
        (2000, 3000, "B", 1, 1, 6.0, 6.0, 6.0, 6.0),
    ]
    assert np.isnan(bench.streams()["p00000"]["price_open"][4])
    assert_checked(bench)


def test_sliding_windows(bench):
    feed = windows(bench, "sliding", key=None, values={"size": "sum"})
    send(bench, *TICKS, *MORE)
    bench.ingest(feed)
    found = bench.streams()["p00000"]
    begins = found["begin"][:].astype("M8[ms]").astype(np.int64) - START
    assert begins.tolist() == [-1000, 0, 1000, 2000]
    assert found["size"][:].tolist() == [7, 11, 12, 8]
    assert found["count"][:].tolist() == [4, 5, 3, 2]
    assert_checked(bench)


def test_sessions_that_a_late_record_joins(bench):
    feed = windows(bench, "session", values={"price": "mean", "size": "max"})
    send(bench, *TICKS)
    bench.ingest(feed)
    send(bench, (1200, "A", 10.0, 9), (9000, "A", 20.0, 1), (12_500, "B", 1.0, 1))
    bench.ingest(feed)
    assert table(bench, "price", "price_count", "size") == [
        (100, 1100, "B", 1, 5.0, 1, 1),
        (0, 2900, "A", 4, 10.0, 4, 9),
        (2500, 3500, "B", 1, 6.0, 1, 1),
        (9000, 10_000, "A", 1, 20.0, 1, 1),
    ]
    assert_checked(bench)


def test_what_is_too_late_has_a_letter_and_a_replay_of_it_is_refused(bench):
    feed = windows(bench)
    send(bench, (10_000, "A", 1.0, 1), (7_999, "A", 1.0, 1), (7_000, "A", 1.0, 1), (20_000, "A", 1.0, 1))
    bench.ingest(feed)
    assert [letter.message for letter in bench.letters()] == [
        "at is late by more than 2 s: its window is over"
    ] * 2
    queue = DeadLetterQueue(bench.broker, f"{bench.topic}.dead")
    queue.replay(queue.ls())
    bench.ingest(feed)
    [why] = {letter.message for letter in bench.letters()}
    assert why == "windows take no replay: it may be in its window already, or that is closed"
    assert table(bench, "size") == [(10_000, 11_000, "A", 1, 1)]
    assert_checked(bench)


def test_partitions_have_windows_of_their_own(bench):
    send(bench, (0, "A", 1.0, 1), (8000, "A", 1.0, 1))
    send(bench, (2000, "A", 2.0, 1), (9000, "A", 1.0, 1), partition=1)
    bench.ingest(windows(bench))
    assert [each.rows for each in bench.streams().values()] == [1, 1]
    status = feed_status(bench.target, bench.broker)
    assert (status.rows, status.lag, status.dead) == (2, 0, 0)
    followed = follow_feed(lambda: find_parts(bench.target), last=10)
    assert sorted(next(followed)[0] for _ in range(2)) == ["p00000", "p00001"]
    assert_checked(bench)


def test_a_silent_partition_closes_its_windows(bench):
    feed = windows(bench, "session", idle="200ms")
    send(bench, *TICKS)
    with bench.running(feed) as ended:
        until(lambda: ended or (bench.caught_up(feed) and len(table(bench)) == 4), "the rows")
    bench.report(ended)
    assert table(bench, "size")[-1] == (2500, 3500, "B", 1, 1)
    assert_checked(bench)


def test_what_is_wrong_is_found(bench, monkeypatch):
    feed = windows(bench)
    send(bench, *TICKS, *MORE)
    bench.ingest(feed)
    whole = StreamWriter.append

    def lacking(self, batch, **more):
        whole(self, {name: values[1:] for name, values in batch.items()}, **more)

    def doubling(self, batch, **more):
        whole(self, {name: [each for each in values for _ in "ab"] for name, values in batch.items()}, **more)

    for number, (wrong, what) in enumerate(((lacking, "missing_count"), (doubling, "disorder_count"))):
        bench.place = f"{bench.folder}/{number}.zarr"
        monkeypatch.setattr(StreamWriter, "append", wrong)
        bench.ingest(windows(bench))
        monkeypatch.setattr(StreamWriter, "append", whole)
        found = check_feed(bench.target, bench.broker)[0]
        assert (found.ok, getattr(found, what) > 0) == (False, True)


@pytest.mark.parametrize(
    ("kind", "changes", "expected"),
    [
        ("fixed", {"size": "1 parsec"}, "window.size: size is '1 parsec'"),
        ("fixed", {"gap": "1s"}, 'window.gap: not expected where kind is "fixed", which has size'),
        ("session", {"gap": None}, "window.gap: missing; it is needed where kind is"),
        ("sliding", {"every": "3s"}, "window.every: is longer than size"),
        ("sliding", {"every": "1ns"}, "window.every: .*expected at most 10000"),
        ("fixed", {"lateness": "late"}, "window.lateness: lateness is 'late'"),
        ("fixed", {"max_bytes": "9 cows"}, "window.max_bytes: .*9 cows"),
        ("fixed", {"time": "when"}, "window: no column 'when'"),
        ("fixed", {"time": "size"}, "no datetime64"),
        ("fixed", {"values": {"price": "median"}}, "window.values: price is 'median', expected one of last"),
        ("fixed", {"values": {"symbol": "sum"}, "key": None}, "'symbol' is string, and has no sum"),
        ("fixed", {"open": 0}, "window.open: expected `int` >= 1"),
    ],
)
def test_windows_that_cannot_be(kind, changes, expected):
    bench = SimpleNamespace(feed=FeedBench.feed, url="sqlite:///q.db", topic="t", session_timeout=1.0)
    bench.target = "t.zarr"
    bench.feed = lambda **tables: FeedBench.feed(bench, **tables)
    with pytest.raises(ConfigError, match=expected):
        windows(bench, kind, **changes)
